//! Changing a person. Most changes are of what nobody is found by, and take two statements: a look, and one that writes the row where it is
//! still as it was seen, its event and its audit row. Whatever else there is to change, and whoever was overtaken, goes the long way, under
//! the row's lock.

use serde_json::{Value, json};
use sqlx::PgConnection;

use super::attributes::judge_attributes;
use super::index;
use super::model::{Fields, Status, User};
use super::operations::{UNIQUE, Update, UserError, apply, check_rank, overtaken};
use super::store::{self, Row};
use crate::audit::{self, Action, Change, Entry, Seals, Target};
use crate::cx::Cx;
use crate::db::OnConstraint;
use crate::events;
use crate::http::IfMatch;
use crate::kernel::{Fault, UserId, object};
use crate::keys::person;
use crate::sessions;

/// Changes a person where they are at a version that `if_match` allows. A change that changes nothing writes nothing.
pub(crate) async fn update(
    id: UserId,
    update: Update,
    if_match: &IfMatch,
    cx: &Cx,
) -> Result<User, UserError> {
    if let Some(user) = at_once(id, &update, if_match, cx).await? {
        return Ok(user);
    }
    // Two people who are given each other's address at once wait for one another, until PostgreSQL gives one of them up.
    match under_lock(id, update.clone(), if_match, cx).await {
        Err(UserError::Fault(fault)) if fault.is_deadlock() => {
            under_lock(id, update, if_match, cx).await
        }
        decided => decided,
    }
}

/// The short way; `None` where the long one is to decide.
async fn at_once(
    id: UserId,
    update: &Update,
    if_match: &IfMatch,
    cx: &Cx,
) -> Result<Option<User>, UserError> {
    let mut db = cx.connection().await?;
    let Some((before, Some(key))) = find_with_key(id, &mut db).await? else {
        return Ok(None);
    };
    if !if_match.allows(before.version) {
        return Ok(None);
    }
    let fields = apply(&before, update.clone())?;
    check_rank(&before, &fields, cx)?;
    if fields == before.fields || concerns_more(&before.fields, &fields) {
        return Ok(None);
    }
    let key = person::open(id, &key, &cx.app.sealing)?;
    let seals = Seals::with(Some(id), Some(key), &mut db, cx).await?;
    let Told { members, change } = Told::of(&before.fields, &fields);
    let target = Target::Changed(id, before.version + 1);
    let entry = audit::entry(Action::UserUpdated, target, change, &seals, cx);
    let version = write(id, before.version, &fields, &members, entry, &mut db).await?;
    Ok(version.map(|version| User {
        version,
        fields,
        updated_at: cx.now,
        ..before
    }))
}

/// Whether more is to change than [`write`] writes: what they are found by, say, or their sessions.
fn concerns_more(before: &Fields, after: &Fields) -> bool {
    let written = Fields {
        status: after.status,
        email_verified: after.email_verified,
        phone_number: after.phone_number.clone(),
        phone_number_verified: after.phone_number_verified,
        claims: after.claims.clone(),
        ..before.clone()
    };
    ends(before, after) || written != *after
}

/// Whether what was given to the person ends. Of another rank, other lives of sessions and other scopes hold: they sign in anew.
fn ends(before: &Fields, after: &Fields) -> bool {
    let disabled = after.status == Status::Disabled && before.status == Status::Active;
    disabled || after.admin != before.admin
}

async fn under_lock(
    id: UserId,
    update: Update,
    if_match: &IfMatch,
    cx: &Cx,
) -> Result<User, UserError> {
    let mut tx = cx.begin().await?;
    let before = store::find_for_update(id, &mut tx)
        .await?
        .ok_or(UserError::Unknown)?;
    let fields = apply(&before, update)?;
    check_rank(&before, &fields, cx)?;
    judge_attributes(Some(&before.fields), &fields, &mut tx, cx).await?;
    if fields == before.fields {
        // Nothing to write, so nothing decides but the version itself, under the row's lock.
        return if if_match.allows(before.version) {
            Ok(before)
        } else {
            Err(overtaken(&before, if_match, &mut tx, cx).await)
        };
    }
    let ends = ends(&before.fields, &fields);
    let key = person::find_or_make(id, &mut tx, cx).await?;
    let seals = Seals::with(Some(id), key, &mut tx, cx).await?;
    let version = store::update(id, &fields, if_match.versions(), ends, cx.now, &mut tx)
        .await
        .on_constraint(&UNIQUE)?;
    let Some(version) = version else {
        return Err(overtaken(&before, if_match, &mut tx, cx).await);
    };
    let Told { members, change } = Told::of(&before.fields, &fields);
    events::append_update(id, version, &members, cx.now, &mut tx).await?;
    let (action, target) = (Action::UserUpdated, Target::Changed(id, version));
    audit::record_under(&seals, action, target, change, &mut tx, cx).await?;
    index::hold_external_ids(id, Some(&before.fields), Some(&fields), &mut tx)
        .await
        .on_constraint(&UNIQUE)?;
    index::index(id, Some(&before.fields), Some(&fields), &mut tx).await?;
    if ends {
        sessions::end_all(id, &mut tx, cx).await?;
    }
    tx.commit().await?;
    Ok(User {
        version,
        fields,
        updated_at: cx.now,
        ..before
    })
}

/// What is told of a change: the names of its members to the feeds, before and after to the audit.
struct Told {
    members: Vec<String>,
    change: Change,
}

impl Told {
    fn of(before: &Fields, after: &Fields) -> Self {
        let (old, new) = (before.to_json(), after.to_json());
        let (was, is) = object::differing(&old, &new);
        Self {
            members: events::changed_members(&old, &new),
            change: Change::between(Value::Object(was), Value::Object(is)),
        }
    }
}

/// A person who is not deleted, with their sealed key where they have one.
async fn find_with_key(
    id: UserId,
    db: &mut PgConnection,
) -> Result<Option<(User, Option<Vec<u8>>)>, Fault> {
    let row = sqlx::query!(
        r#"
        select id as "id: UserId", version, status, admin, email, email_verified, username, phone_number, phone_number_verified,
               name, claims, external_ids, attributes, password_change_required, created_at, updated_at,
               sealed_key as "sealed_key?"
          from "user"
          left join person_key on person_key.user_id = "user".id
         where id = $1
           and deleted_at is null"#,
        id.0,
    )
    .fetch_optional(db)
    .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let person = Row {
        id: row.id,
        version: row.version,
        status: row.status,
        admin: row.admin,
        email: row.email,
        email_verified: row.email_verified,
        username: row.username,
        phone_number: row.phone_number,
        phone_number_verified: row.phone_number_verified,
        name: row.name,
        claims: row.claims,
        external_ids: row.external_ids,
        attributes: row.attributes,
        password_change_required: row.password_change_required,
        created_at: row.created_at,
        updated_at: row.updated_at,
    };
    Ok(Some((person.try_into()?, row.sealed_key)))
}

/// Writes those of the fields that nobody is found by where the person is still at version `seen`, the event and the audit row with them, and
/// gives the new version. Of racing writers that saw the same version exactly one finds it: the guard is in the statement. The event is made of
/// the written row, so after the row's lock was taken.
async fn write(
    id: UserId,
    seen: i64,
    fields: &Fields,
    members: &[String],
    entry: Entry,
    db: &mut PgConnection,
) -> Result<Option<i64>, Fault> {
    let version = sqlx::query_scalar!(
        r#"
        with changed as (
            update "user"
               set status = $3, email_verified = $4, phone_number = $5, phone_number_verified = $6, claims = $7, version = version + 1,
                   updated_at = $8
             where id = $1
               and deleted_at is null
               and version = $2
            returning version
        ), told as (
            insert into event (type, user_id, version, occurred_at, fields)
            select 'user.updated', $1, version, $8, $9
              from changed
        ), noted as (
            insert into audit (id, occurred_at, action, actor_kind, actor_id, client_id, target_kind, target_id, user_id, version, sealed, ip,
                               user_agent, sealed_origin, via, request_id)
            select $10, $8, $11, $12, $13, $14, $15, $16, $1, version, $17, $18, $19, $20, $21, $22
              from changed
        )
        select version as "version!" from changed"#,
        id.0,
        seen,
        fields.status.as_str(),
        fields.email_verified,
        fields.phone_number,
        fields.phone_number_verified,
        json!(fields.claims),
        entry.occurred_at,
        members,
        entry.id,
        entry.action,
        entry.actor_kind,
        entry.actor_id,
        entry.client_id,
        entry.target_kind,
        entry.target_id,
        entry.sealed,
        entry.ip,
        entry.user_agent,
        entry.sealed_origin,
        entry.via,
        entry.request_id,
    )
    .fetch_optional(db)
    .await?;
    Ok(version)
}
