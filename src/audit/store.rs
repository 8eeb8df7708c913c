//! The audit table's one statement.

use serde_json::Value;
use sqlx::PgConnection;
use time::OffsetDateTime;

use super::{Action, Target};
use crate::cx::{Actor, Cx, Origin};
use crate::kernel::Fault;
use crate::kernel::id::uuid_v7;

/// What the target was before and is after, or its changed fields, as the API shows them.
#[derive(Default)]
pub(crate) struct Change {
    pub(crate) before: Option<Value>,
    pub(crate) after: Option<Value>,
}

/// Records what the actor of `cx` did.
pub(crate) async fn record(
    action: Action,
    target: Target<'_>,
    change: Change,
    db: &mut PgConnection,
    cx: &Cx,
) -> Result<(), Fault> {
    insert(action, target, change, (&cx.actor, &cx.origin), cx.now, db).await
}

/// Records what Doorward did by itself before there was a request.
pub(crate) async fn record_start(
    action: Action,
    target: Target<'_>,
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<(), Fault> {
    let by = (&Actor::System, &Origin::default());
    insert(action, target, Change::default(), by, now, db).await
}

async fn insert(
    action: Action,
    target: Target<'_>,
    change: Change,
    (actor, origin): (&Actor, &Origin),
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<(), Fault> {
    let (actor_kind, actor_id, client_id) = match actor {
        Actor::Nobody => ("nobody", None, None),
        Actor::Client { id, .. } => ("client", Some(id.to_string()), None),
        Actor::Person { id, client_id, .. } => {
            ("user", Some(id.to_string()), Some(client_id.to_string()))
        }
        Actor::Session { user_id } => ("user", Some(user_id.to_string()), None),
        Actor::Operator => ("operator", None, None),
        Actor::System => ("system", None, None),
    };
    sqlx::query!(
        "
        insert into audit (id, occurred_at, action, actor_kind, actor_id, client_id, target_kind, target_id, before, after, ip, user_agent, request_id)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        uuid_v7(now),
        now,
        action.as_str(),
        actor_kind,
        actor_id,
        client_id,
        target.kind(),
        target.id(),
        change.before,
        change.after,
        origin.ip.map(|ip| ip.to_string()),
        origin.user_agent,
        origin.request_id,
    )
    .execute(db)
    .await?;
    Ok(())
}
