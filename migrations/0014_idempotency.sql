-- Requests that made something, kept for a day so that the same request again makes nothing more (the row is written in the transaction of what was
-- made). Keys and requests are known by their MAC alone, answers are sealed.
create table idempotency (
    key_mac      bytea       not null,
    request_mac  bytea       not null,
    -- the person that the answer tells of, where it tells of one: erased with them
    user_id      uuid,
    sealed       bytea       not null,
    expires_at   timestamptz not null,
    constraint idempotency_pkey primary key (key_mac),
    constraint idempotency_user_fkey foreign key (user_id) references "user" (id) on delete cascade
);

create index idempotency_expiry_idx on idempotency (expires_at);
create index idempotency_user_idx on idempotency (user_id) where user_id is not null;
