//! Appends an event in the transaction of the change that it tells of.

use sqlx::PgConnection;
use time::OffsetDateTime;

use super::EventKind;
use crate::kernel::{Fault, UserId};

/// Appends that `kind` happened to the person, who is at `version` since. Any of their members may have changed.
pub(crate) async fn append(
    kind: EventKind,
    user: UserId,
    version: i64,
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<(), Fault> {
    insert(kind, user, version, None, now, db).await
}

/// Appends that these members of the person changed ([`super::changed_members`]), and nothing else that anybody is shown.
pub(crate) async fn append_update(
    user: UserId,
    version: i64,
    members: &[String],
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<(), Fault> {
    insert(EventKind::Updated, user, version, Some(members), now, db).await
}

async fn insert(
    kind: EventKind,
    user: UserId,
    version: i64,
    members: Option<&[String]>,
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<(), Fault> {
    sqlx::query!(
        "
        insert into event (type, user_id, version, occurred_at, fields)
        values ($1, $2, $3, $4, $5)",
        kind.as_str(),
        user.0,
        version,
        now,
        members,
    )
    .execute(db)
    .await?;
    Ok(())
}
