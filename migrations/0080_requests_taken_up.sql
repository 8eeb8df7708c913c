-- When a browser first came back for a request: where an address has too many, those that nobody came back for go first.
alter table authorization_request add column taken_up_at timestamptz;
