//! A person's history: the audit trail of what changed them, opened with their key.

use serde_json::{Map, Value};
use sqlx::PgConnection;
use time::OffsetDateTime;

use super::record::told_purpose;
use super::store::{self, Kept};
use crate::cx::Cx;
use crate::kernel::seal::DataKey;
use crate::kernel::{Fault, UserId};
use crate::keys::person;

/// One change of a person.
pub(crate) struct Changed {
    pub(crate) occurred_at: OffsetDateTime,
    pub(crate) action: String,
    /// What the change made of them.
    pub(crate) version: i64,
    pub(crate) actor_kind: String,
    pub(crate) actor_id: Option<String>,
    pub(crate) client_id: Option<String>,
    pub(crate) via: Option<String>,
    pub(crate) request_id: Option<String>,
    /// `None` where they can't be read any more: the person was erased, or the sealing key was lost.
    pub(crate) told: Option<Told>,
}

/// What of a change is personal.
#[derive(Default)]
pub(crate) struct Told {
    /// The members that changed, as they were; those that were not set are absent.
    pub(crate) before: Map<String, Value>,
    /// The same members as they became.
    pub(crate) after: Map<String, Value>,
    pub(crate) reason: Option<String>,
}

/// Changes of a person, the newest first, from below the version `before` on.
pub(crate) async fn list(
    user: UserId,
    before: Option<i64>,
    limit: i64,
    db: &mut PgConnection,
    cx: &Cx,
) -> Result<Vec<Changed>, Fault> {
    let key = person::find(user, db, cx).await?;
    let rows = store::list(user, before, limit, db).await?;
    Ok(rows
        .into_iter()
        .map(|row| open(row, user, key.as_ref()))
        .collect())
}

/// Blanks what the audit trail holds of a person in clear, from before people had keys.
pub(crate) async fn blank(user: UserId, db: &mut PgConnection) -> Result<(), Fault> {
    store::blank(user, db).await
}

fn open(row: Kept, user: UserId, key: Option<&DataKey>) -> Changed {
    let told = match (&row.sealed, key) {
        (None, Some(_)) => Some(Told::default()),
        (Some(sealed), Some(key)) => key
            .open(&told_purpose(row.id, user), sealed)
            .ok()
            .and_then(|plain| read(plain.expose())),
        (_, None) => None,
    };
    Changed {
        occurred_at: row.occurred_at,
        action: row.action,
        version: row.version,
        actor_kind: row.actor_kind,
        actor_id: row.actor_id,
        client_id: row.client_id,
        via: row.via,
        request_id: row.request_id,
        told,
    }
}

fn read(plain: &[u8]) -> Option<Told> {
    type Parts = (
        Option<Map<String, Value>>,
        Option<Map<String, Value>>,
        Option<String>,
    );
    let (before, after, reason): Parts = serde_json::from_slice(plain).ok()?;
    Some(Told {
        before: before.unwrap_or_default(),
        after: after.unwrap_or_default(),
        reason,
    })
}
