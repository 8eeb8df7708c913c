-- A person's digest covers the members that came since: their keys in other systems and the declared attributes. An empty object is shown to
-- nobody, so it counts as none.
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
                       'external_ids', nullif(u.external_ids, '{}'), 'attributes', nullif(u.attributes, '{}'),
                       'password_change_required', u.password_change_required) as document
              from "user" u
             where u.id = of_user
               and u.deleted_at is null
          ) as person,
          unnest(members) with ordinality as listed (member, place)
      ) as shown
    having count(*) > 0
$$;
