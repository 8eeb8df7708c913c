-- When a retiring key goes: its last token has expired by then.
alter table signing_key add column gone_at timestamptz;
