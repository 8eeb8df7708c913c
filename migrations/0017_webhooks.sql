-- Webhooks: addresses that are told of changes. What is told is read when it is told, so nothing of a person is kept here.
create table webhook (
    id                 uuid        not null,
    version            bigint      not null default 1,
    url                text        not null,
    description        text,
    -- whose view is shown; null: everything, as the API shows it
    consumer           text        collate "C",
    paused             boolean     not null,
    -- what the messages are signed with, sealed: the present one, and the one before it while it is still good
    secret             bytea       not null,
    previous_secret    bytea,
    previous_until     timestamptz,
    created_at         timestamptz not null,
    updated_at         timestamptz not null,

    -- each change of the feed up to here has been received, or is kept as a letter
    feed_id            integer     not null,
    position           bigint      not null,
    -- what is sent once more: the changes after the one place, up to the other
    replay_position    bigint,
    replay_until       bigint,
    replays            integer     not null default 0,
    -- attempts since the last that succeeded, and when the next may be made
    failures           integer     not null default 0,
    failing_since      timestamptz,
    next_attempt_at    timestamptz,
    last_error         text,
    last_error_at      timestamptz,
    last_delivered_at  timestamptz,
    -- the replica that delivers, and a number that it raises every second for as long as it lives
    worker             uuid,
    beat               bigint      not null default 0,

    constraint webhook_pkey primary key (id),
    constraint webhook_consumer_fkey foreign key (consumer) references consumer (name) on delete cascade,
    constraint webhook_previous_check check ((previous_secret is null) = (previous_until is null)),
    constraint webhook_replay_check check ((replay_position is null) = (replay_until is null))
) with (fillfactor = 50);

-- People whose newest change a webhook did not take: it is tried again, then kept until somebody replays it. Ids and times, nothing else.
create table webhook_letter (
    webhook_id       uuid        not null,
    user_id          uuid        not null,
    attempts         integer     not null,
    failed_at        timestamptz not null,
    next_attempt_at  timestamptz not null,
    -- given up
    dead_at          timestamptz,
    error            text        not null,
    constraint webhook_letter_pkey primary key (webhook_id, user_id),
    constraint webhook_letter_webhook_fkey foreign key (webhook_id) references webhook (id) on delete cascade
);
