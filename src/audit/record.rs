//! Recording: who acted, from the request; what was done, from the operation.

use sqlx::PgConnection;
use time::OffsetDateTime;

use super::store::{self, By};
use super::{Action, Change, Target};
use crate::cx::{Actor, Cx, Origin};
use crate::kernel::Fault;

/// Records what the actor of `cx` did.
pub(crate) async fn record(
    action: Action,
    target: Target<'_>,
    change: Change,
    db: &mut PgConnection,
    cx: &Cx,
) -> Result<(), Fault> {
    let by = by(&cx.actor, &cx.origin);
    store::insert(action, target, change, by, cx.now, db).await
}

/// Records what was done while there was no running program yet: at a start, or by a command that works without one.
pub(crate) async fn record_start(
    actor: &Actor,
    action: Action,
    target: Target<'_>,
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<(), Fault> {
    let by = by(actor, &Origin::default());
    store::insert(action, target, Change::default(), by, now, db).await
}

fn by(actor: &Actor, origin: &Origin) -> By {
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
    By {
        actor_kind,
        actor_id,
        client_id,
        ip: origin.ip.map(|ip| ip.to_string()),
        user_agent: origin.user_agent.clone(),
        request_id: origin.request_id.clone(),
    }
}
