//! Appends an event in the transaction of the change that it tells of.

use sqlx::PgConnection;
use time::OffsetDateTime;

use super::EventKind;
use crate::kernel::{Fault, UserId};

/// Appends that `kind` happened to the person, who is at `version` since.
pub(crate) async fn append(
    kind: EventKind,
    user: UserId,
    version: i64,
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<(), Fault> {
    sqlx::query!(
        "
        insert into event (type, user_id, version, occurred_at)
        values ($1, $2, $3, $4)",
        kind.as_str(),
        user.0,
        version,
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}
