-- Signing keys: the private half sealed under a key from outside the database. Steps: next, current, retiring (DESIGN, "Keys live in steps").
create table signing_key (
    kid            text        collate "C" not null,
    alg            text        not null,
    step           text        not null,
    public_jwk     jsonb       not null,
    sealed_private bytea       not null,
    created_at     timestamptz not null,
    current_at     timestamptz,
    retiring_at    timestamptz,
    constraint signing_key_pkey primary key (kid),
    constraint signing_key_alg_check check (alg in ('ES256', 'RS256', 'PS256', 'EdDSA')),
    constraint signing_key_step_check check (step in ('next', 'current', 'retiring'))
);

create unique index signing_key_one_current_idx on signing_key (alg) where step = 'current';
create unique index signing_key_one_next_idx on signing_key (alg) where step = 'next';
