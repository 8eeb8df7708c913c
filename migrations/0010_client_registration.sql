-- What a client registers beyond its grants (OpenID Connect Dynamic Client Registration §2, RFC 7591 §2).
alter table client
    -- the algorithm of its assertions (private_key_jwt), and the public keys that verify them: by value or by address
    add column assertion_alg text,
    add column jwks          jsonb,
    add column jwks_uri      text,
    -- how people sign in to it: redirect URIs, lifetimes, logout
    add column sign_on       jsonb not null default '{}',
    -- what people are told of it: logo, policies, contacts
    add column about         jsonb not null default '{}',
    drop constraint client_auth_method_check,
    add constraint client_auth_method_check check (auth_method in ('client_secret_basic', 'client_secret_post', 'none', 'private_key_jwt')),
    add constraint client_assertion_alg_check check (assertion_alg in ('ES256', 'RS256', 'PS256', 'EdDSA')),
    add constraint client_jwks_check check (jwks is null or jwks_uri is null),
    add constraint client_keys_check check (auth_method <> 'private_key_jwt' or assertion_alg is not null);

-- A secret is named by its id where it is listed or ended; its last use is written by a job, never by a request.
alter table client_secret
    add column id           uuid not null default gen_random_uuid(),
    add column last_used_at timestamptz,
    add constraint client_secret_id_key unique (id);
alter table client_secret alter column id drop default;
