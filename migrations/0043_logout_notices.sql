-- Applications that are to be told that a session ended (OpenID Connect Back-Channel Logout 1.0): written in the transaction of whatever
-- ended it, gone once they were told.
create table logout_notice (
    id          uuid        not null,
    client_id   text        collate "C" not null,
    user_id     uuid        not null,
    -- `sid` in the tokens
    session_id  uuid        not null,
    created_at  timestamptz not null,
    -- the next try; whoever claims it moves it ahead
    due_at      timestamptz not null,
    attempts    integer     not null default 0,
    constraint logout_notice_pkey primary key (id),
    constraint logout_notice_session_key unique (session_id, client_id),
    constraint logout_notice_client_fkey foreign key (client_id) references client (id) on delete cascade
);

create index logout_notice_due_idx on logout_notice (due_at);
