-- A key for each person: what audit and history keep of them is sealed under it, and goes with it when they are erased.
create table person_key (
    user_id       uuid  not null,
    sealed_key    bytea not null,
    -- names the sealing key that opens it, so that a rotation knows what is left to do
    sealed_under  bytea not null,
    constraint person_key_pkey primary key (user_id),
    constraint person_key_user_fkey foreign key (user_id) references "user" (id) on delete cascade,
    constraint person_key_sealed_under_check check (octet_length(sealed_under) = 8)
);

create index person_key_sealed_under_idx on person_key (sealed_under);

-- What is left of a person who was erased.
create table erased_user (
    id         uuid        not null,
    version    bigint      not null,
    erased_at  timestamptz not null,
    constraint erased_user_pkey primary key (id)
);

-- One row serves audit and history. `before`, `after`, `ip` and `user_agent` stay for what is nobody's personal data (clients, keys).
alter table audit
    -- the person it was done to
    add column user_id       uuid,
    -- the version that the change made of them; none where the person did not change (a sign-in)
    add column version       bigint,
    -- how it came, where not as a request of its own: a batch, an import, the command line, a page, a job
    add column via           text,
    -- before, after and the caller's reason, under the key of the person it was done to
    add column sealed        bytea,
    -- address and program, under the key of the person who did it
    add column sealed_origin bytea;

-- A change of a person pays for one narrow index.
drop index audit_target_idx;
create unique index audit_history_idx on audit (user_id, version) where version is not null;
create index audit_user_idx on audit (user_id, id) where version is null and user_id is not null;
create index audit_target_idx on audit (target_kind, target_id, id) where user_id is null;

-- Rows of before (and those that a replica of the version before still writes) hold people's data in clear. Erasing blanks them: that is
-- the one change that an audit row may undergo.
create index audit_clear_actor_idx on audit (actor_id) where actor_kind = 'user' and (ip is not null or user_agent is not null);

create or replace function audit_is_append_only() returns trigger language plpgsql as $$
declare
    blank audit := old;
begin
    blank.before := null;
    blank.after := null;
    blank.ip := null;
    blank.user_agent := null;
    if new is distinct from blank then
        raise exception 'audit rows are never changed';
    end if;
    return new;
end;
$$;

-- Deleted people are found too: to restore or to erase them.
create index user_deleted_idx on "user" (id) where deleted_at is not null;
