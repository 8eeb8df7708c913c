//! Looking back.

use serde_json::{Map, Value};
use time::OffsetDateTime;

use super::rewind::{Rewind, Then};
use crate::audit::{self, Changed};
use crate::cx::Cx;
use crate::kernel::UserId;
use crate::users::{UserError, store};

/// Changes that one look takes.
const BATCH: i64 = 200;

/// Changes of a person, deleted or erased ones too, the newest first, from below the version `before` on.
pub(super) async fn list(
    id: UserId,
    before: Option<i64>,
    limit: i64,
    cx: &Cx,
) -> Result<Vec<Changed>, UserError> {
    let mut db = cx.connection().await?;
    let known = store::find_even_deleted(id, &mut db).await?.is_some()
        || store::is_erased(id, &mut db).await?;
    if !known {
        return Err(UserError::Unknown);
    }
    Ok(audit::list_history(id, before, limit, &mut db, cx).await?)
}

/// The person as the API showed them at that time; unknown where there was none, or a deleted one.
pub(crate) async fn as_of(
    id: UserId,
    at: OffsetDateTime,
    cx: &Cx,
) -> Result<Map<String, Value>, UserError> {
    let mut db = cx.connection().await?;
    let now = store::find_even_deleted(id, &mut db).await?;
    let now = now.ok_or(UserError::Unknown)?;
    if at < now.created_at {
        return Err(UserError::Unknown);
    }
    let mut rewind = Rewind::new(now.to_json(), now.version);
    // What changes meanwhile is above the version that was read.
    let mut before = Some(now.version + 1);
    loop {
        let changes = audit::list_history(id, before, BATCH, &mut db, cx).await?;
        for change in &changes {
            match rewind.step(change, at) {
                Then::Earlier => before = Some(change.version),
                Then::So(person) => return Ok(person),
                Then::Deleted => return Err(UserError::Unknown),
                Then::Lost => return Err(UserError::HistoryLost),
            }
        }
        if rewind.is_nobody() {
            return Err(UserError::Unknown);
        }
        if changes.is_empty() {
            return Err(UserError::HistoryLost);
        }
    }
}
