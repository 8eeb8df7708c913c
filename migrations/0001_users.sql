-- People. What was typed is kept beside what is compared: the folded columns (NFC and case folding, done in Rust) decide uniqueness.
create table "user" (
    id                        uuid        not null,
    version                   bigint      not null default 1,
    status                    text        not null,
    admin                     boolean     not null,
    email                     text,
    email_folded              text        collate "C",
    email_verified            boolean     not null,
    username                  text,
    username_folded           text        collate "C",
    phone_number              text,
    phone_number_verified     boolean     not null,
    name                      text,
    -- the other standard claims (OpenID Connect Core §5.1), those that are set
    claims                    jsonb       not null,
    password_hash             text,
    password_change_required  boolean     not null,
    -- tokens and sessions from before this time are refused (disabled, deleted, password changed)
    tokens_valid_from         timestamptz not null,
    created_at                timestamptz not null,
    updated_at                timestamptz not null,
    deleted_at                timestamptz,
    constraint user_pkey primary key (id),
    constraint user_email_key unique (email_folded),
    constraint user_username_key unique (username_folded),
    constraint user_status_check check (status in ('active', 'disabled')),
    constraint user_email_check check ((email is null) = (email_folded is null)),
    constraint user_username_check check ((username is null) = (username_folded is null)),
    constraint user_identifier_check check (num_nonnulls(email, username, phone_number) > 0)
);

create index user_list_idx on "user" (id) where deleted_at is null;
create index user_status_idx on "user" (status, id) where deleted_at is null;
create index user_updated_idx on "user" (updated_at, id) where deleted_at is null;
create index user_status_updated_idx on "user" (status, updated_at, id) where deleted_at is null;
