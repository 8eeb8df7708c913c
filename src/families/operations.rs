//! Ending families, inside the transaction of whatever ends them.

use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{EndReason, store};
use crate::audit::{self, Action, Change, Target};
use crate::cx::Cx;
use crate::kernel::{ClientId, FamilyId, Fault, UserId};

/// Ends a family, whatever it gave, on every replica at once; `false` where it has ended before.
pub(crate) async fn end(
    id: FamilyId,
    reason: EndReason,
    db: &mut PgConnection,
    cx: &Cx,
) -> Result<bool, Fault> {
    let Some(ended) = store::end(id, reason, cx.now, db).await? else {
        return Ok(false);
    };
    let change = Change {
        before: None,
        after: Some(
            json!({ "family": id.0, "client_id": ended.client_id, "reason": reason.as_str() }),
        ),
    };
    let target = Target::User(ended.user_id);
    audit::record(Action::TokenFamilyEnded, target, change, db, cx).await?;
    Ok(true)
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

/// Ends what belongs to a session that ends, but for what outlives a logout (`offline_access`).
pub(crate) async fn end_of_session(
    session: Uuid,
    db: &mut PgConnection,
    cx: &Cx,
) -> Result<u64, Fault> {
    store::end_of_session(session, cx.now, db).await
}

/// Ends all that a client has of a person who takes their consent back.
pub(crate) async fn end_of_consent(
    user: UserId,
    client: &ClientId,
    db: &mut PgConnection,
    cx: &Cx,
) -> Result<u64, Fault> {
    store::end_of_consent(user, client, cx.now, db).await
}
