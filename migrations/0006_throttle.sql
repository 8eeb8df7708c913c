-- Failed attempts, counted over all replicas. Keys are hashes: this table tells nobody who tried.
create table throttle (
    key           bytea       not null,
    -- a bucket (address, address and account, client, everybody), or else an account
    bucket        boolean     not null,
    -- accounts: consecutive failures; buckets: how many the bucket holds
    failures      integer     not null,
    -- accounts: no attempt before this time; buckets: when the bucket will be empty again (the theoretical arrival time of GCRA)
    blocked_until timestamptz not null,
    updated_at    timestamptz not null,
    constraint throttle_pkey primary key (key)
);

create index throttle_updated_idx on throttle (updated_at);
