//! Ending families, inside the transaction of whatever ends them.

use serde_json::json;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::model::MOST;
use super::{EndReason, Family, store};
use crate::audit::{self, Action, Change, Target};
use crate::cx::Cx;
use crate::kernel::{ClientId, FamilyId, Fault, UserId};
use crate::notices;

/// Begins a family and gives the time that it ends at; `None`, and the caller rolls back, where its person or session is not let in any
/// more. Those that are too many beside it make room.
pub(crate) async fn begin(
    family: &Family,
    db: &mut PgConnection,
    cx: &Cx,
) -> Result<Option<OffsetDateTime>, Fault> {
    let begun = store::begin(family, MOST, cx.now, db).await?;
    let Some(store::Begun { expires_at, ended }) = begun else {
        return Ok(None);
    };
    for id in ended {
        let (user, client) = (family.user_id, &family.client_id);
        record(id, user, client, EndReason::TooMany, db, cx).await?;
    }
    Ok(Some(expires_at))
}

/// Ends a family, whatever it gave, on every replica at once; `false` where it has ended before.
pub(crate) async fn end(
    id: FamilyId,
    reason: EndReason,
    db: &mut PgConnection,
    cx: &Cx,
) -> Result<bool, Fault> {
    let Some(ended) = store::end(id, None, reason, cx.now, db).await? else {
        return Ok(false);
    };
    record(id, ended.user_id, &ended.client_id, reason, db, cx).await?;
    Ok(true)
}

/// Ends a family whose person asks for it, and has its application told. Somebody else's is none of theirs: nothing happens.
pub(crate) async fn end_own(id: FamilyId, owner: UserId, cx: &Cx) -> Result<(), Fault> {
    let mut tx = cx.begin().await?;
    let reason = EndReason::Revoked;
    if let Some(ended) = store::end(id, Some(owner), reason, cx.now, &mut tx).await? {
        record(id, owner, &ended.client_id, reason, &mut tx, cx).await?;
        let told = [(ended.client_id, ended.session_id)];
        notices::append(owner, &told, cx.now, &mut tx).await?;
    }
    Ok(tx.commit().await?)
}

async fn record(
    id: FamilyId,
    user: UserId,
    client: &ClientId,
    reason: EndReason,
    db: &mut PgConnection,
    cx: &Cx,
) -> Result<(), Fault> {
    let change =
        Change::made(json!({ "family": id.0, "client_id": client, "reason": reason.as_str() }));
    let target = Target::User(user);
    audit::record(Action::TokenFamilyEnded, target, change, db, cx).await
}

/// Ends a family of which something was used twice: somebody has a copy.
pub(crate) async fn replayed(
    id: FamilyId,
    reason: EndReason,
    db: &mut PgConnection,
    cx: &Cx,
) -> Result<(), Fault> {
    if end(id, reason, db, cx).await? {
        tracing::warn!(family = %id.0, reason = reason.as_str(), "a token was used again; its family has ended");
    }
    Ok(())
}

/// What there is of a session that somebody ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    Ended,
    /// Idle for too long, or ended before.
    Gone,
}

/// Ends what belongs to a session that ends, but for what outlives a logout (`offline_access`), and writes down which applications are to
/// be told: all that got something by it, unless it had ended before. Whatever ends a session comes here. Gives whether anything ended.
pub(crate) async fn end_of_session(
    session: Uuid,
    record: Record,
    user: UserId,
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<bool, Fault> {
    let (any, told) = store::end_of_session(session, user, now, db).await?;
    let ended = any || record == Record::Ended;
    if ended {
        notices::append(user, &told, now, db).await?;
    }
    Ok(ended)
}

/// The same for everything that a person gave to clients: they are out, wherever they were signed in.
pub(crate) async fn end_of_user(
    user: UserId,
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<(), Fault> {
    let told = store::end_of_user(user, now, db).await?;
    notices::append(user, &told, now, db).await
}

/// Ends all that a client has of a person who takes their consent back; gives whether that was something.
pub(crate) async fn end_of_consent(
    user: UserId,
    client: &ClientId,
    db: &mut PgConnection,
    cx: &Cx,
) -> Result<bool, Fault> {
    let told = store::end_of_consent(user, client, cx.now, db).await?;
    notices::append(user, &told, cx.now, db).await?;
    Ok(!told.is_empty())
}
