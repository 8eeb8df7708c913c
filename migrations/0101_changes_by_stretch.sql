-- Whoever replays changes by time does so once in a long while; each change of each feed paid for it. A summary of each stretch of pages does.
-- Made before the other goes: readers are shut out for that moment alone.
create index change_occurred_brin_idx on change using brin (occurred_at);
drop index change_occurred_idx;
