//! Remembering consent, and taking it back.

use serde_json::json;
use sqlx::PgConnection;

use super::store;
use crate::audit::{self, Action, Change, Target};
use crate::authorize;
use crate::cx::Cx;
use crate::families;
use crate::kernel::{ClientId, Fault, UserId};

/// Whether the person granted all of this to the client before.
pub(crate) async fn covers(
    user: UserId,
    client: &ClientId,
    asked: &[String],
    db: &mut PgConnection,
) -> Result<bool, Fault> {
    store::covers(user, client, asked, db).await
}

/// Remembers that the person granted this, beside what they granted before.
pub(crate) async fn remember(
    user: UserId,
    client: &ClientId,
    asked: &[String],
    db: &mut PgConnection,
    cx: &Cx,
) -> Result<(), Fault> {
    store::add(user, client, asked, cx.now, db).await?;
    record(Action::ConsentGranted, user, client, asked, db, cx).await
}

/// Takes back what the person granted, and ends all that the client has of them, codes included, on every replica at once.
pub(crate) async fn withdraw(user: UserId, client: &ClientId, cx: &Cx) -> Result<(), Fault> {
    let mut tx = cx.begin().await?;
    let consented = store::delete(user, client, &mut tx).await?;
    let ended = families::end_of_consent(user, client, &mut tx, cx).await?;
    authorize::void_codes(user, client, &mut tx, cx).await?;
    if consented || ended {
        record(Action::ConsentWithdrawn, user, client, &[], &mut tx, cx).await?;
    }
    Ok(tx.commit().await?)
}

async fn record(
    action: Action,
    user: UserId,
    client: &ClientId,
    granted: &[String],
    db: &mut PgConnection,
    cx: &Cx,
) -> Result<(), Fault> {
    let change = Change::made(json!({ "client_id": client, "granted": granted }));
    audit::record(action, Target::User(user), change, db, cx).await
}
