-- A webhook's changes are replayed by times too.
create index change_occurred_idx on change (feed_id, occurred_at);
