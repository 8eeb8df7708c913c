-- Those that have not ended, of which there are few; without the time of use, which every refresh moves. By person and client for whom they make
-- room, by session for the order that ends everybody's.
create index token_family_open_idx on token_family (user_id, client_id) where ended_at is null;
create index token_family_open_session_idx on token_family (session_id) where ended_at is null and not offline;
