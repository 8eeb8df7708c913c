-- The letters whose time comes next: there may be any number of them, and they are read a few at a time.
create index webhook_letter_due_idx on webhook_letter (webhook_id, next_attempt_at) where dead_at is null;
