//! The secrets as they are kept: sealed under the sealing key, and sealed anew when another takes its place.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::signature::SigningSecret;
use super::store::{self, Sealed};
use crate::audit::{self, Action, Target};
use crate::cx::{Actor, Cx};
use crate::kernel::Fault;
use crate::kernel::seal::SealingKeys;

pub(super) fn seal(keys: &SealingKeys, id: Uuid, secret: &SigningSecret) -> Vec<u8> {
    keys.seal(&purpose(id), secret.bytes())
}

/// The secrets that sign at this time. Fails where the present one can't be opened; the one before it is then not missed.
pub(super) fn open(
    keys: &SealingKeys,
    id: Uuid,
    sealed: &Sealed,
    now: OffsetDateTime,
) -> Result<Vec<SigningSecret>, Fault> {
    let open = |sealed: &[u8]| {
        let opened = keys.open(&purpose(id), sealed);
        opened.map(SigningSecret::from_stored)
    };
    let lost = || Fault::internal("opening a webhook's secret", format!("webhook {id}"));
    let present = open(&sealed.secret).map_err(|_| lost())?;
    let before = sealed.previous(now).and_then(|sealed| open(sealed).ok());
    Ok([Some(present), before].into_iter().flatten().collect())
}

/// Whether the present secret went with a sealing key that was lost.
pub(super) fn is_lost(keys: &SealingKeys, id: Uuid, sealed: &Sealed) -> bool {
    keys.open(&purpose(id), &sealed.secret).is_err()
}

/// Seals secrets that are under an older sealing key under the newest; gives how many webhooks' that were.
pub(crate) async fn reseal(cx: &Cx) -> Result<usize, Fault> {
    let mut db = cx.connection().await?;
    let mut count = 0;
    for (id, old) in store::all_secrets(&mut db).await? {
        // What can't be opened was given up with its sealing key: it stays until its webhook gets another.
        let renew = |sealed: &[u8]| cx.app.sealing.renew(&purpose(id), sealed).ok().flatten();
        let secret = renew(&old.secret);
        let previous_secret = old.previous_secret.as_deref().and_then(renew);
        if secret.is_some() || previous_secret.is_some() {
            let new = Sealed {
                secret: secret.unwrap_or_else(|| old.secret.clone()),
                previous_secret: previous_secret.or_else(|| old.previous_secret.clone()),
                previous_until: old.previous_until,
            };
            count += usize::from(store::replace_secrets(id, &old, &new, &mut db).await?);
        }
    }
    Ok(count)
}

/// Fails where a webhook is to deliver whose secret none of these keys opens: one was taken away too early, or lost.
pub(crate) async fn check(keys: &SealingKeys, db: &mut PgConnection) -> Result<(), Fault> {
    let delivering = store::list_delivering(db).await?;
    for (id, sealed) in store::all_secrets(db).await? {
        if delivering.contains(&id) && is_lost(keys, id, &sealed) {
            let text = "webhooks' secrets were sealed under another key than the present sealing keys; restore the right one beside them (docs/operations.md, Losing the sealing key)";
            return Err(Fault::internal("looking at webhooks' secrets", text));
        }
    }
    Ok(())
}

/// Pauses all webhooks, for when the sealing key is lost; gives how many. Each gets a new secret when it goes on.
pub(crate) async fn abandon(now: OffsetDateTime, db: &mut PgConnection) -> Result<usize, Fault> {
    let paused = store::pause_all(now, db).await?;
    for id in &paused {
        let (action, target) = (Action::WebhookUpdated, Target::Webhook(*id));
        audit::record_start(&Actor::Operator, action, target, now, db).await?;
    }
    Ok(paused.len())
}

/// What was sealed for one webhook opens for no other.
fn purpose(id: Uuid) -> String {
    format!("webhook_secret/{id}")
}
