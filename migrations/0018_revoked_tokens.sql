-- Access tokens that were revoked before their end (RFC 7009), until then. Those of a family that ended need no row here.
create table revoked_token (
    jti         text        collate "C" not null,
    expires_at  timestamptz not null,
    constraint revoked_token_pkey primary key (jti)
);

create index revoked_token_expiry_idx on revoked_token (expires_at);
