-- What an event is comes from the program's own list, and the rule was read anew by each change of a person.
alter table event drop constraint event_type_check;
