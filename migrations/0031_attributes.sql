-- The JSON Schemas that people's attributes were declared by, newest last: the newest binds whatever is written from then on.
create table attribute_schema (
    version     bigint      not null,
    schema      jsonb       not null,
    created_at  timestamptz not null,
    constraint attribute_schema_pkey primary key (version)
);
