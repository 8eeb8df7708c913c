-- Each person's key in every other system, and the attributes that the deployment declares. `name_folded` is what lists by name are ordered by
-- and what a search looks into (the first 255 bytes; '' without a name). It is null while the person's words are not written yet: people from
-- before this migration, until the job has come to them (folding is done in Rust).
alter table "user"
    add column external_ids jsonb not null default '{}',
    add column attributes   jsonb not null default '{}',
    add column name_folded  text  collate "C",
    drop constraint user_identifier_check,
    add constraint user_identifier_check check (num_nonnulls(email, username, phone_number) > 0 or external_ids <> '{}');

-- Every list is read as the merge of its statuses, so one index a sort serves it with and without that filter.
drop index user_list_idx;
drop index user_updated_idx;
create index user_status_name_idx on "user" (status, name_folded, id) where deleted_at is null;
create index user_unsearched_idx on "user" (id) where name_folded is null;

-- Who has which key in which system; the same keys stand in the person's row, so that reading a person is one query. Like an address they stay
-- taken until the person is erased.
create table user_external_id (
    system       text  collate "C" not null,
    external_id  text  collate "C" not null,
    user_id      uuid  not null,
    constraint user_external_id_key primary key (system, external_id)
);

-- Every suffix of three characters or more of each word of name, address and username of everybody who is not deleted: a part of a word is the
-- beginning of one of them. No second index: rows are deleted by their whole key, which follows from the person's row.
create table user_word (
    suffix   text  collate "C" not null,
    user_id  uuid  not null,
    constraint user_word_pkey primary key (suffix, user_id)
);

-- The same for each attribute that is a text, a number or a boolean.
create table user_attribute (
    name     text  collate "C" not null,
    value    text  collate "C" not null,
    user_id  uuid  not null,
    constraint user_attribute_pkey primary key (name, value, user_id)
);

-- Views show them too: the digest of a person as before, with the two new members.
create or replace function person_digest(of_user uuid, members text[]) returns bigint language sql stable as $$
    select ('x' || left(encode(sha256(convert_to(of_user::text || coalesce(string_agg(coalesce(octet_length(value) || ':' || value, '-'), '' order by place), ''), 'UTF8')), 'hex'), 16))::bit(64)::bigint
      from (
        select place,
               case when strpos(member, '.') = 0 then document ->> member
                    else document -> split_part(member, '.', 1) ->> substr(member, strpos(member, '.') + 1)
               end as value
          from (
            select u.claims || jsonb_build_object(
                       'email', u.email, 'email_verified', u.email_verified, 'username', u.username, 'phone_number', u.phone_number,
                       'phone_number_verified', u.phone_number_verified, 'name', u.name, 'status', u.status, 'admin', u.admin,
                       'password_change_required', u.password_change_required,
                       'external_ids', nullif(u.external_ids, '{}'), 'attributes', nullif(u.attributes, '{}')) as document
              from "user" u
             where u.id = of_user
               and u.deleted_at is null
          ) as person,
          unnest(members) with ordinality as listed (member, place)
      ) as shown
    having count(*) > 0
$$;
