-- Clients (RFC 6749 §2), as the operator registered them.
create table client (
    id                  text        collate "C" not null,
    name                text        not null,
    auth_method         text        not null,
    grants              text[]      not null,
    scopes              text[]      not null,
    audiences           text[]      not null,
    -- the audience that this client is: it serves tokens that name it
    serves              text,
    signing_alg         text        not null,
    access_token_seconds integer,
    -- the password grant ends here, where the operator gave an end
    password_grant_until timestamptz,
    version             bigint      not null default 1,
    created_at          timestamptz not null,
    updated_at          timestamptz not null,
    constraint client_pkey primary key (id),
    constraint client_serves_key unique (serves),
    constraint client_auth_method_check check (auth_method in ('client_secret_basic', 'client_secret_post', 'none')),
    constraint client_signing_alg_check check (signing_alg in ('ES256', 'RS256', 'PS256', 'EdDSA'))
);

create index client_created_idx on client (created_at, id);

-- Machine secrets are 256 random bits of ours, so SHA-256 keeps them. Several may be valid while one is being exchanged.
create table client_secret (
    client_id    text        collate "C" not null,
    secret_hash  bytea       not null,
    created_at   timestamptz not null,
    expires_at   timestamptz,
    constraint client_secret_pkey primary key (client_id, secret_hash),
    constraint client_secret_client_fkey foreign key (client_id) references client (id) on delete cascade,
    constraint client_secret_hash_check check (octet_length(secret_hash) = 32)
);
