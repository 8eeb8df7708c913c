-- Failed attempts, counted over all replicas. Keys are hashes: this table tells nobody who tried.
create table throttle (
    key           bytea       not null,
    -- consecutive failures (accounts), 0 for buckets
    failures      integer     not null,
    -- accounts: no attempt before this time; buckets: the theoretical arrival time
    blocked_until timestamptz not null,
    updated_at    timestamptz not null,
    constraint throttle_pkey primary key (key)
);

create index throttle_updated_idx on throttle (updated_at);
