//! The audit table's one statement.

use sqlx::PgConnection;
use time::OffsetDateTime;

use super::{Action, Change, Target};
use crate::kernel::Fault;
use crate::kernel::id::uuid_v7;

/// Who did it, and whence.
pub(super) struct By {
    pub(super) actor_kind: &'static str,
    pub(super) actor_id: Option<String>,
    /// The client that a person acted through.
    pub(super) client_id: Option<String>,
    pub(super) ip: Option<String>,
    pub(super) user_agent: Option<String>,
    pub(super) request_id: String,
}

pub(super) async fn insert(
    action: Action,
    target: Target<'_>,
    change: Change,
    by: By,
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<(), Fault> {
    sqlx::query!(
        "
        insert into audit (id, occurred_at, action, actor_kind, actor_id, client_id, target_kind, target_id, before, after, ip, user_agent, request_id)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        uuid_v7(now),
        now,
        action.as_str(),
        by.actor_kind,
        by.actor_id,
        by.client_id,
        target.kind(),
        target.id(),
        change.before,
        change.after,
        by.ip,
        by.user_agent,
        by.request_id,
    )
    .execute(db)
    .await?;
    Ok(())
}
