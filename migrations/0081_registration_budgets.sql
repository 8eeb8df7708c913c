-- A client that is gone counts against whoever registered it for as long as one that stayed.
alter table registered_client
    drop constraint registered_client_client_fkey,
    drop constraint registered_client_pkey,
    drop constraint registered_client_hash_key;
alter table registered_client
    alter column client_id drop not null,
    -- when it was seen that somebody had signed in to it
    add column used_at timestamptz,
    add constraint registered_client_pkey primary key (token_hash),
    add constraint registered_client_client_key unique (client_id),
    add constraint registered_client_client_fkey foreign key (client_id) references client (id) on delete set null;

-- How much of their budget for changes (RFC 7592) those have used up who registered clients: so many at once, then one each while (GCRA).
create table registration_budget (
    -- whence a stranger's clients came, or a client that a token vouches for
    holder   text        collate "C" not null,
    -- when it will be whole again
    whole_at timestamptz not null,
    constraint registration_budget_pkey primary key (holder)
);

create index registration_budget_whole_idx on registration_budget (whole_at);
