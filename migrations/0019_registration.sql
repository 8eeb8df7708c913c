-- Lets a client register itself a number of times (RFC 7591 §3, initial access token). Kept as a hash.
create table initial_access_token (
    id           uuid        not null,
    token_hash   bytea       not null,
    -- grants that the clients it registers may have
    grants       text[]      not null,
    -- whether these need PKCE
    require_pkce boolean     not null,
    uses_left    integer     not null,
    created_at   timestamptz not null,
    expires_at   timestamptz not null,
    constraint initial_access_token_pkey primary key (id),
    constraint initial_access_token_hash_key unique (token_hash),
    constraint initial_access_token_hash_check check (octet_length(token_hash) = 32),
    constraint initial_access_token_uses_check check (uses_left >= 0)
);

create index initial_access_token_expiry_idx on initial_access_token (expires_at);

-- Clients that registered themselves, and the token by which each manages its own registration (RFC 7592 §1.2).
create table registered_client (
    client_id        text        collate "C" not null,
    token_hash       bytea       not null,
    -- the initial access token's id, and where registration is open, whence it came
    initial_token_id uuid,
    household        text        collate "C",
    registered_at    timestamptz not null,
    constraint registered_client_pkey primary key (client_id),
    constraint registered_client_client_fkey foreign key (client_id) references client (id) on delete cascade,
    constraint registered_client_hash_key unique (token_hash),
    constraint registered_client_hash_check check (octet_length(token_hash) = 32)
);

create index registered_client_household_idx on registered_client (household, registered_at) where household is not null;
