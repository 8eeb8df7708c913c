//! The SQL of what people are found by: words, attributes, external ids.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::PgConnection;

use super::super::model::Fields;
use super::super::{attributes, words};
use crate::kernel::{Fault, UserId};

/// Writes what the person is found by, in place of what they were found by before; `None`: not at all. For every change that adds, changes,
/// hides or brings back a person, in its transaction. What they are found by follows from their fields alone, so nothing is read.
pub(in crate::users) async fn index(
    id: UserId,
    before: Option<&Fields>,
    after: Option<&Fields>,
    db: &mut PgConnection,
) -> Result<(), Fault> {
    let words = |fields: Option<&Fields>| fields.map(words::suffixes).unwrap_or_default();
    let (words_before, words_after) = (words(before), words(after));
    let attributes = |fields: Option<&Fields>| fields.map(searched_attributes).unwrap_or_default();
    let (attributes_before, attributes_after) = (attributes(before), attributes(after));
    if words_before == words_after && attributes_before == attributes_after {
        return Ok(());
    }
    let gone: Vec<String> = words_before.difference(&words_after).cloned().collect();
    let new: Vec<String> = words_after.difference(&words_before).cloned().collect();
    let (gone_names, gone_values) = pairs(&without(&attributes_before, &attributes_after));
    let (names, values) = pairs(&without(&attributes_after, &attributes_before));
    // How many words there are is hidden from the planner: it would make a plan for each change, which takes longer than the change. (Cast
    // once more, for `any (select …)` alone would look among rows.)
    sqlx::query!(
        r#"
        with gone_word as (
            delete from user_word
             where user_id = $1
               and suffix = any ((select $2::text[])::text[])
        ), gone_attribute as (
            delete from user_attribute
             where user_id = $1
               and (name, value) in (select name, value from unnest($4::text[], $5::text[]) as listed (name, value))
        ), word as (
            insert into user_word (suffix, user_id)
            select suffix, $1
              from unnest($3::text[]) as listed (suffix)
                on conflict do nothing
        )
        insert into user_attribute (name, value, user_id)
        select name, value, $1
          from unnest($6::text[], $7::text[]) as listed (name, value)
            on conflict do nothing"#,
        id.0,
        &gone,
        &new,
        &gone_names,
        &gone_values,
        &names,
        &values,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Gives the person the external ids of `after` in place of those of `before`; `None`: none. The constraint decides whether they are free.
/// Hiding a person frees none of them.
pub(in crate::users) async fn hold_external_ids(
    id: UserId,
    before: Option<&Fields>,
    after: Option<&Fields>,
    db: &mut PgConnection,
) -> Result<(), sqlx::Error> {
    let ids = |fields: Option<&Fields>| fields.map(|f| f.external_ids.clone()).unwrap_or_default();
    let (before, after) = (ids(before), ids(after));
    if before == after {
        return Ok(());
    }
    let (gone_systems, gone_ids) = pairs(&without(&before, &after));
    let (systems, external_ids) = pairs(&without(&after, &before));
    sqlx::query!(
        r#"
        with gone as (
            delete from user_external_id
             where user_id = $1
               and (system, external_id) in (select system, external_id from unnest($2::text[], $3::text[]) as listed (system, external_id))
        )
        insert into user_external_id (system, external_id, user_id)
        select system, external_id, $1
          from unnest($4::text[], $5::text[]) as listed (system, external_id)"#,
        id.0,
        &gone_systems,
        &gone_ids,
        &systems,
        &external_ids,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Writes what up to `limit` people are found by who are from before there was a search; gives how many they were. A row that somebody changes just now
/// is left for the next time.
pub(super) async fn index_older(limit: i64, db: &mut PgConnection) -> Result<usize, Fault> {
    let people = sqlx::query!(
        r#"
        select id, name, email, username, deleted_at is not null as "deleted!"
          from "user"
         where name_folded is null
         order by id
         limit $1
           for no key update skip locked"#,
        limit,
    )
    .fetch_all(&mut *db)
    .await?;
    let (mut ids, mut names) = (Vec::new(), Vec::new());
    let (mut owners, mut suffixes) = (Vec::new(), Vec::new());
    for person in people {
        ids.push(person.id);
        names.push(words::name_folded(person.name.as_deref()));
        if !person.deleted {
            let fields = Fields {
                name: person.name,
                email: person.email,
                username: person.username,
                ..Fields::default()
            };
            for suffix in words::suffixes(&fields) {
                owners.push(person.id);
                suffixes.push(suffix);
            }
        }
    }
    sqlx::query!(
        r#"
        with word as (
            insert into user_word (suffix, user_id)
            select suffix, user_id
              from unnest($1::text[], $2::uuid[]) as listed (suffix, user_id)
                on conflict do nothing
        )
        update "user"
           set name_folded = listed.name_folded
          from unnest($3::uuid[], $4::text[]) as listed (id, name_folded)
         where "user".id = listed.id"#,
        &suffixes,
        &owners,
        &ids,
        &names,
    )
    .execute(db)
    .await?;
    Ok(ids.len())
}

/// Whether everybody is found who should be.
pub(super) async fn is_indexed(db: &mut PgConnection) -> Result<bool, Fault> {
    Ok(sqlx::query_scalar!(
        r#"select not exists (select from "user" where name_folded is null) as "indexed!""#
    )
    .fetch_one(db)
    .await?)
}

/// The attributes that a filter may name: the plain ones, as texts.
pub(in crate::users) fn searched_attributes(fields: &Fields) -> BTreeMap<String, String> {
    let plain = fields
        .attributes
        .iter()
        .filter_map(|(name, value)| Some((name.clone(), attributes::filtered(name, value)?)));
    plain.collect()
}

fn without(
    all: &BTreeMap<String, String>,
    others: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    all.iter()
        .filter(|(name, value)| others.get(*name) != Some(value))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

pub(in crate::users) fn pairs(of: &BTreeMap<String, String>) -> (Vec<String>, Vec<String>) {
    of.iter()
        .map(|(name, value)| (name.clone(), value.clone()))
        .unzip()
}

pub(in crate::users) fn listed(set: BTreeSet<String>) -> Vec<String> {
    set.into_iter().collect()
}
