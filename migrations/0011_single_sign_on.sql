-- An authorization request on its way from a browser to its answer (RFC 6749 §4.1.1): what was asked for is what is kept here, and
-- the browser carries its name alone.
create table authorization_request (
    id_hash        bytea       not null,
    -- the cookie of the browser that began it; null until a browser has come for it
    browser_hash   bytea,
    client_id      text        collate "C" not null,
    request        jsonb       not null,
    -- the session that the person chose to go on with, where the request asks for a choice
    chosen_session uuid,
    -- whence it came, so that nobody can fill the table
    household      text        collate "C" not null,
    created_at     timestamptz not null,
    expires_at     timestamptz not null,
    constraint authorization_request_pkey primary key (id_hash),
    constraint authorization_request_client_fkey foreign key (client_id) references client (id) on delete cascade,
    constraint authorization_request_id_hash_check check (octet_length(id_hash) = 32)
);

create index authorization_request_household_idx on authorization_request (household, expires_at);
create index authorization_request_expiry_idx on authorization_request (expires_at);

-- What a person let a client have, so that they are asked once.
create table consent (
    user_id    uuid        not null,
    client_id  text        collate "C" not null,
    -- scopes, and claims that were asked for by name (`claim:…`)
    granted    text[]      collate "C" not null,
    granted_at timestamptz not null,
    constraint consent_pkey primary key (user_id, client_id),
    constraint consent_user_fkey foreign key (user_id) references "user" (id) on delete cascade,
    constraint consent_client_fkey foreign key (client_id) references client (id) on delete cascade
);

create index consent_client_idx on consent (client_id);

-- All that a client got by one sign-in: it ends as one (RFC 9700 §4.14.2).
create table token_family (
    id            uuid        not null,
    client_id     text        collate "C" not null,
    user_id       uuid        not null,
    -- the session's public id, `sid` in tokens
    session_id    uuid        not null,
    scope         text        not null,
    audience      text        not null,
    -- claims that userinfo gives beyond those of the scopes (OpenID Connect Core §5.5)
    claims        text[]      not null,
    -- whether it outlives a logout
    offline       boolean     not null,
    auth_time     timestamptz not null,
    -- the person's tokens_valid_from at their sign-in: the family counts while it is the same
    valid_from    timestamptz not null,
    created_at    timestamptz not null,
    last_used_at  timestamptz not null,
    -- refreshing never moves it
    expires_at    timestamptz not null,
    ended_at      timestamptz,
    end_reason    text,
    constraint token_family_pkey primary key (id),
    constraint token_family_client_fkey foreign key (client_id) references client (id) on delete cascade,
    constraint token_family_user_fkey foreign key (user_id) references "user" (id) on delete cascade,
    constraint token_family_end_check check ((ended_at is null) = (end_reason is null)),
    constraint token_family_end_reason_check check (end_reason in ('code_replayed', 'refresh_token_replayed', 'signed_out', 'revoked', 'consent_withdrawn'))
);

create index token_family_user_idx on token_family (user_id, client_id);
create index token_family_client_idx on token_family (client_id);
create index token_family_session_idx on token_family (session_id);
create index token_family_expiry_idx on token_family (expires_at);

-- All that is good once: authorization codes, refresh tokens, ids of assertions. Spent by one guarded statement (src/db/spend.rs).
create table single_use (
    kind        text        collate "C" not null,
    hash        bytea       not null,
    -- a code is number 0 of the family that it buys, refresh tokens follow
    family_id   uuid,
    number      integer,
    data        jsonb       not null,
    created_at  timestamptz not null,
    expires_at  timestamptz not null,
    spent_at    timestamptz,
    -- what came after it, sealed under a key that only its holder has, and how often it was told again
    successor   bytea,
    repeats     integer     not null default 0,
    constraint single_use_pkey primary key (kind, hash),
    constraint single_use_number_key unique (family_id, number),
    constraint single_use_hash_check check (octet_length(hash) = 32),
    constraint single_use_family_check check ((family_id is null) = (number is null))
);

create index single_use_expiry_idx on single_use (expires_at);
create index single_use_successor_idx on single_use (spent_at) where successor is not null;
