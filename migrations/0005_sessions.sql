-- Browser sessions. Only the hash of the id is kept, so reading this table gives nobody a session.
create table session (
    id_hash      bytea       not null,
    -- names the session to its owner; gives no access
    public_id    uuid        not null,
    -- who is signed in, or is about to be (data says which)
    user_id      uuid        not null,
    data         jsonb       not null,
    ip           text,
    user_agent   text,
    idle_seconds integer     not null,
    created_at   timestamptz not null,
    last_seen_at timestamptz not null,
    expires_at   timestamptz not null,
    constraint session_pkey primary key (id_hash),
    constraint session_public_id_key unique (public_id),
    constraint session_user_fkey foreign key (user_id) references "user" (id) on delete cascade,
    constraint session_id_hash_check check (octet_length(id_hash) = 32)
);

create index session_user_idx on session (user_id, last_seen_at);
create index session_expiry_idx on session (expires_at);
