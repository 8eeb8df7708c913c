-- A person's rows of the audit by one whole index: each condition of a partial one is tried by every row that is written.
create unique index audit_person_idx on audit (user_id, version);
drop index audit_history_idx;
drop index audit_user_idx;
