-- The digest that a place had before the newest one: the statement that writes the new one finds it where it writes, without a look-up of its own.
alter table change add column digest_before bigint;

-- The digest of a person over the members given, each the name of one or `object.member`; no row where there is no such person. As a table, so that
-- it becomes a part of the statement that asks. An empty object is shown to nobody, so it counts as none.
create function digest_of(of_user uuid, members text[]) returns table (digest bigint) language sql stable as $$
    select ('x' || encode(substr(sha256(convert_to(of_user::text || array_to_string(array(
               select coalesce(octet_length(value) || ':' || value, '-')
                 from unnest(members) with ordinality as listed (member, place),
                      lateral (
                        select case member
                                   when 'email' then u.email
                                   when 'email_verified' then u.email_verified::text
                                   when 'username' then u.username
                                   when 'phone_number' then u.phone_number
                                   when 'phone_number_verified' then u.phone_number_verified::text
                                   when 'name' then u.name
                                   when 'status' then u.status
                                   when 'admin' then u.admin::text
                                   when 'password_change_required' then u.password_change_required::text
                                   when 'external_ids' then nullif(u.external_ids, '{}')::text
                                   when 'attributes' then nullif(u.attributes, '{}')::text
                                   else case
                                       when strpos(member, '.') = 0 then u.claims ->> member
                                       else case split_part(member, '.', 1)
                                               when 'external_ids' then u.external_ids
                                               when 'attributes' then u.attributes
                                               else u.claims -> split_part(member, '.', 1)
                                            end ->> substr(member, strpos(member, '.') + 1)
                                   end
                               end
                        offset 0
                      ) as shown (value)
                order by place
           ), ''), 'UTF8')), 1, 8), 'hex'))::bit(64)::bigint
      from "user" u
     where u.id = of_user
       and u.deleted_at is null
$$;

-- The release before asks for it so.
create or replace function person_digest(of_user uuid, members text[]) returns bigint language sql stable as $$
    select digest from digest_of(of_user, members)
$$;
