-- The outbox: a row for each change of a person, written in the change's own transaction. It holds no personal data: a reader joins the
-- person as they are. `xact` lets a reader stop short of what is still being written, so that it misses nothing (DESIGN, feed).
create table event (
    position     bigint      generated always as identity,
    xact         xid8        not null default pg_current_xact_id(),
    type         text        not null,
    user_id      uuid        not null,
    version      bigint      not null,
    occurred_at  timestamptz not null,
    constraint event_pkey primary key (position),
    constraint event_type_check check (type in ('user.created', 'user.updated', 'user.deleted', 'user.restored', 'user.merged', 'user.erased'))
);

create index event_user_idx on event (user_id, position);

-- Who did what to whom, append only, written in the change's own transaction.
create table audit (
    id            uuid        not null,
    occurred_at   timestamptz not null,
    action        text        not null,
    actor_kind    text        not null,
    actor_id      text,
    -- the client that acted for a person, where one did
    client_id     text,
    target_kind   text        not null,
    target_id     text        not null,
    before        jsonb,
    after         jsonb,
    ip            text,
    user_agent    text,
    request_id    text,
    constraint audit_pkey primary key (id)
);

create index audit_target_idx on audit (target_kind, target_id, id);

create function audit_is_append_only() returns trigger language plpgsql as $$
begin
    raise exception 'audit rows are never changed';
end;
$$;

create trigger audit_append_only before update on audit for each row execute function audit_is_append_only();
