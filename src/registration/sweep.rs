//! What is over, and strangers' clients that nobody uses.

use time::Duration;

use super::metadata::is_a_strangers;
use super::model::HOUR;
use super::store;
use crate::clients::{self, ClientError};
use crate::cx::Cx;
use crate::families;
use crate::http::IfMatch;
use crate::kernel::{ClientId, Fault};

/// How long a stranger's client is kept that nobody signs in to.
const UNUSED: Duration = Duration::hours(24);

/// Deletes what is over: tokens, budgets, what clients that are gone still counted for, and strangers' clients that nobody signed in to
/// within a day and that no operator made his own.
pub(crate) async fn sweep(cx: &Cx) -> Result<(), Fault> {
    let over: Vec<ClientId> = {
        let mut connection = cx.connection().await?;
        while store::sweep(cx.now - HOUR, cx.now, &mut connection).await? > 0 {}
        let unused = store::list_unused(&mut connection).await?;
        let ids: Vec<String> = unused.iter().map(|(id, _)| id.to_string()).collect();
        let used = families::used_among(&ids, &mut connection).await?;
        store::note_used(&used, cx.now, &mut connection).await?;
        let over = unused.into_iter().filter(|(id, registered_at)| {
            *registered_at <= cx.now - UNUSED && !used.iter().any(|used| used == id.as_str())
        });
        over.map(|(id, _)| id).collect()
    };
    for id in over {
        match delete_unused(&id, cx).await {
            Ok(()) | Err(ClientError::Unknown) => {}
            Err(ClientError::Fault(fault)) => return Err(fault),
            Err(_) => tracing::warn!(client.id = %id, "an unused client could not be deleted"),
        }
    }
    Ok(())
}

async fn delete_unused(id: &ClientId, cx: &Cx) -> Result<(), ClientError> {
    let client = clients::get(id, cx).await?;
    if is_a_strangers(&client.registration) {
        // Not one that an operator makes his own this very moment.
        return match clients::delete(id, &IfMatch::OneOf(vec![client.version]), cx).await {
            Err(ClientError::Stale) => Ok(()),
            done => done,
        };
    }
    let mut connection = cx.connection().await?;
    store::note_used(&[id.to_string()], cx.now, &mut connection).await?;
    Ok(())
}
