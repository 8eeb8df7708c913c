//! Requests on their way.

use serde_json::Value;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::model::Request;
use crate::db::SWEEP_BATCH;
use crate::kernel::{Fault, TokenHash};

/// A request as it is stored.
pub(super) struct Stored {
    /// Without its hint.
    pub(super) request: Request,
    pub(super) sealed_hint: Option<Vec<u8>>,
    /// The session that the person chose to go on with.
    pub(super) chosen: Option<Uuid>,
}

fn read(request: Value) -> Result<Request, Fault> {
    serde_json::from_value(request)
        .map_err(|e| Fault::internal("reading an authorization request", e))
}

/// What is written of a new request.
pub(super) struct New<'a> {
    pub(super) id: &'a TokenHash,
    pub(super) browser: Option<&'a TokenHash>,
    pub(super) request: &'a Request,
    pub(super) sealed_hint: Option<&'a [u8]>,
    pub(super) household: &'a str,
    pub(super) expires_at: OffsetDateTime,
}

/// Stores a request. A household has `most` of them: the oldest make room, those first that no browser came back for (E33), so that
/// whoever begins many shuts nobody out. Gives whether some had to.
pub(super) async fn insert(new: &New<'_>, most: i64, db: &mut PgConnection) -> Result<bool, Fault> {
    let document = serde_json::to_value(new.request)
        .map_err(|e| Fault::internal("writing an authorization request", e))?;
    let crowded = sqlx::query_scalar!(
        r#"
        with beyond as (
            select id_hash
              from authorization_request
             where household = $5
               and expires_at > $6
             order by taken_up_at is null, created_at desc
            offset $8
        ), going as (
            select id_hash
              from authorization_request
             where id_hash in (select id_hash from beyond)
               for update skip locked
        ), gone as (
            delete from authorization_request
             where id_hash in (select id_hash from going)
        )
        insert into authorization_request (id_hash, browser_hash, client_id, request, sealed_hint, household, created_at, expires_at)
        values ($1, $2, $3, $4, $9, $5, $6, $7)
        returning exists (select from beyond) as "crowded!""#,
        new.id.as_bytes(),
        new.browser.map(TokenHash::as_bytes),
        new.request.client_id.as_str(),
        document,
        new.household,
        new.request.asked_at,
        new.expires_at,
        most - 1,
        new.sealed_hint,
    )
    .fetch_one(db)
    .await?;
    Ok(crowded)
}

/// A request that this browser began, noting that it came back for it.
pub(super) async fn find(
    id: &TokenHash,
    browser: &TokenHash,
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<Option<Stored>, Fault> {
    let row = sqlx::query!(
        "
        with taken_up as (
            update authorization_request
               set taken_up_at = $3
             where id_hash = $1
               and browser_hash = $2
               and expires_at > $3
               and taken_up_at is null
        )
        select request, sealed_hint, chosen_session
          from authorization_request
         where id_hash = $1
           and browser_hash = $2
           and expires_at > $3",
        id.as_bytes(),
        browser.as_bytes(),
        now,
    )
    .fetch_optional(db)
    .await?;
    row.map(|row| {
        Ok(Stored {
            request: read(row.request)?,
            sealed_hint: row.sealed_hint,
            chosen: row.chosen_session,
        })
    })
    .transpose()
}

/// Binds a request that came by POST, without cookies, to the first browser that comes for it.
pub(super) async fn bind(
    id: &TokenHash,
    browser: &TokenHash,
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<(), Fault> {
    sqlx::query!(
        "
        update authorization_request
           set browser_hash = $2
         where id_hash = $1
           and browser_hash is null
           and expires_at > $3",
        id.as_bytes(),
        browser.as_bytes(),
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Notes the session that the person chose to go on with.
pub(super) async fn choose(
    id: &TokenHash,
    session: Uuid,
    db: &mut PgConnection,
) -> Result<(), Fault> {
    sqlx::query!(
        "update authorization_request set chosen_session = $2 where id_hash = $1",
        id.as_bytes(),
        session,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Takes the request out: of any number of tabs that finish it, one does.
pub(super) async fn take(id: &TokenHash, db: &mut PgConnection) -> Result<bool, Fault> {
    let done = sqlx::query!(
        "delete from authorization_request where id_hash = $1",
        id.as_bytes()
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Deletes requests that nobody finished, a batch at a time; gives how many.
pub(crate) async fn sweep(now: OffsetDateTime, db: &mut PgConnection) -> Result<u64, Fault> {
    let done = sqlx::query!(
        "
        delete from authorization_request
         where id_hash in (
               select id_hash
                 from authorization_request
                where expires_at <= $1
                limit $2
                  for update skip locked
         )",
        now,
        SWEEP_BATCH,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}
