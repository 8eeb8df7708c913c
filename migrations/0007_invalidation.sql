-- What caches must forget, written in the change's own transaction; one notifier takes the rows and tells every replica.
create table invalidation (
    id     bigint generated always as identity,
    topic  text   not null,
    key    text   not null,
    constraint invalidation_pkey primary key (id)
);

-- The oldest migration that a binary must know to work on this database: raised by the migrations that remove something.
create table schema_floor (
    only_row         boolean not null default true,
    oldest_migration bigint  not null,
    constraint schema_floor_pkey primary key (only_row),
    constraint schema_floor_one_row_check check (only_row)
);

insert into schema_floor (oldest_migration) values (1);
