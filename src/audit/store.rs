//! The audit table's one statement.

use serde_json::Value;
use sqlx::PgConnection;

use super::{Action, Target};
use crate::cx::{Actor, Cx};
use crate::kernel::Fault;
use crate::kernel::id::uuid_v7;

/// Records what the actor of `cx` did. `before` and `after` are what the API shows of the target, or of its changed fields.
pub(crate) async fn record(
    action: Action,
    target: Target<'_>,
    before: Option<Value>,
    after: Option<Value>,
    db: &mut PgConnection,
    cx: &Cx,
) -> Result<(), Fault> {
    let (actor_kind, actor_id, client_id) = match &cx.actor {
        Actor::Nobody => ("nobody", None, None),
        Actor::Client { id, .. } => ("client", Some(id.to_string()), None),
        Actor::Person { id, client_id, .. } => {
            ("user", Some(id.to_string()), Some(client_id.to_string()))
        }
        Actor::Session { user_id, .. } => ("user", Some(user_id.to_string()), None),
        Actor::Operator => ("operator", None, None),
        Actor::System => ("system", None, None),
    };
    sqlx::query!(
        "
        insert into audit (id, occurred_at, action, actor_kind, actor_id, client_id, target_kind, target_id, before, after, ip, user_agent, request_id)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        uuid_v7(cx.now),
        cx.now,
        action.as_str(),
        actor_kind,
        actor_id,
        client_id,
        target.kind(),
        target.id(),
        before,
        after,
        cx.origin.ip.map(|ip| ip.to_string()),
        cx.origin.user_agent,
        cx.origin.request_id,
    )
    .execute(db)
    .await?;
    Ok(())
}
