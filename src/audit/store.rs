//! The audit table's SQL.

use serde_json::Value;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::kernel::{Fault, UserId};

/// A row of the audit trail, sealed and ready to be written.
pub(crate) struct Entry {
    pub(crate) id: Uuid,
    pub(crate) occurred_at: OffsetDateTime,
    pub(crate) action: &'static str,
    pub(crate) actor_kind: &'static str,
    pub(crate) actor_id: Option<String>,
    /// The client that a person acted through.
    pub(crate) client_id: Option<String>,
    pub(crate) target_kind: &'static str,
    pub(crate) target_id: String,
    /// The person it was done to, and the version that it made of them.
    pub(crate) user_id: Option<UserId>,
    pub(crate) version: Option<i64>,
    pub(crate) before: Option<Value>,
    pub(crate) after: Option<Value>,
    pub(crate) sealed: Option<Vec<u8>>,
    pub(crate) ip: Option<String>,
    pub(crate) user_agent: Option<String>,
    pub(crate) sealed_origin: Option<Vec<u8>>,
    pub(crate) via: Option<&'static str>,
    pub(crate) request_id: String,
}

pub(super) async fn insert(entry: Entry, db: &mut PgConnection) -> Result<(), Fault> {
    sqlx::query!(
        "
        insert into audit (id, occurred_at, action, actor_kind, actor_id, client_id, target_kind, target_id, user_id, version, before, after,
                           sealed, ip, user_agent, sealed_origin, via, request_id)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)",
        entry.id,
        entry.occurred_at,
        entry.action,
        entry.actor_kind,
        entry.actor_id,
        entry.client_id,
        entry.target_kind,
        entry.target_id,
        entry.user_id.map(|id| id.0),
        entry.version,
        entry.before,
        entry.after,
        entry.sealed,
        entry.ip,
        entry.user_agent,
        entry.sealed_origin,
        entry.via,
        entry.request_id,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A change of a person as it is kept.
pub(super) struct Kept {
    pub(super) id: Uuid,
    pub(super) occurred_at: OffsetDateTime,
    pub(super) action: String,
    pub(super) version: i64,
    pub(super) actor_kind: String,
    pub(super) actor_id: Option<String>,
    pub(super) client_id: Option<String>,
    pub(super) via: Option<String>,
    pub(super) request_id: Option<String>,
    pub(super) sealed: Option<Vec<u8>>,
}

/// Changes of a person, the newest first, from below the version `before` on.
pub(super) async fn list(
    user: UserId,
    before: Option<i64>,
    limit: i64,
    db: &mut PgConnection,
) -> Result<Vec<Kept>, Fault> {
    let rows = sqlx::query_as!(
        Kept,
        r#"
        select id, occurred_at, action, version as "version!", actor_kind, actor_id, client_id, via, request_id, sealed
          from audit
         where user_id = $1
           and version is not null
           and version < $2
         order by version desc
         limit $3"#,
        user.0,
        before.unwrap_or(i64::MAX),
        limit,
    )
    .fetch_all(db)
    .await?;
    Ok(rows)
}

/// Blanks what rows from before people had keys hold of a person in clear, as the one whom it was done to and as the one who did it.
pub(super) async fn blank(user: UserId, db: &mut PgConnection) -> Result<(), Fault> {
    sqlx::query!(
        "
        update audit
           set before = null, after = null, ip = null, user_agent = null
         where target_kind = 'user'
           and target_id = $1
           and user_id is null
           and num_nonnulls(before, after, ip, user_agent) > 0",
        user.to_string(),
    )
    .execute(&mut *db)
    .await?;
    sqlx::query!(
        "
        update audit
           set ip = null, user_agent = null
         where actor_kind = 'user'
           and actor_id = $1
           and (ip is not null or user_agent is not null)",
        user.to_string(),
    )
    .execute(db)
    .await?;
    Ok(())
}
