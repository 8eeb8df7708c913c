//! Recording: who acted, from the request; what was done, from the operation. What is somebody's personal data is sealed under their key.

use serde_json::json;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::store::{self, Entry};
use super::{Action, Change, Target};
use crate::cx::{Actor, Cx, Origin};
use crate::kernel::id::uuid_v7;
use crate::kernel::seal::DataKey;
use crate::kernel::{Fault, UserId};
use crate::keys::person;

/// The keys that an entry is sealed under: of the person it tells of, and of the person who acted.
#[derive(Default)]
pub(crate) struct Seals {
    target: Option<DataKey>,
    /// `None` also where they are the same person.
    actor: Option<DataKey>,
}

impl Seals {
    /// Those that recording this needs.
    pub(crate) async fn find(
        target: Target<'_>,
        change: &Change,
        db: &mut PgConnection,
        cx: &Cx,
    ) -> Result<Self, Fault> {
        let Some(user) = target.user() else {
            return Self::with(None, None, db, cx).await;
        };
        let told = change.before.is_some() || change.after.is_some() || cx.origin.reason.is_some();
        let key = if told || cx.actor.person() == Some(user) {
            person::find_or_make(user, db, cx).await?
        } else {
            None
        };
        Self::with(Some(user), key, db, cx).await
    }

    /// The same where the key of the person it tells of is at hand.
    pub(crate) async fn with(
        user: Option<UserId>,
        key: Option<DataKey>,
        db: &mut PgConnection,
        cx: &Cx,
    ) -> Result<Self, Fault> {
        let actor = match cx.actor.person() {
            Some(actor) if user != Some(actor) => person::find_or_make(actor, db, cx).await?,
            _ => None,
        };
        Ok(Self { target: key, actor })
    }
}

/// Records what the actor of `cx` did.
pub(crate) async fn record(
    action: Action,
    target: Target<'_>,
    change: Change,
    db: &mut PgConnection,
    cx: &Cx,
) -> Result<(), Fault> {
    let seals = Seals::find(target, &change, db, cx).await?;
    store::insert(entry(action, target, change, &seals, cx), db).await
}

/// The same under keys that are at hand.
pub(crate) async fn record_under(
    seals: &Seals,
    action: Action,
    target: Target<'_>,
    change: Change,
    db: &mut PgConnection,
    cx: &Cx,
) -> Result<(), Fault> {
    store::insert(entry(action, target, change, seals, cx), db).await
}

/// Records what was done while there was no running program yet: at a start, or by a command that works without one.
pub(crate) async fn record_start(
    actor: &Actor,
    action: Action,
    target: Target<'_>,
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<(), Fault> {
    let change = Change::default();
    let origin = Origin::default();
    let entry = make(
        action,
        target,
        change,
        &Seals::default(),
        actor,
        &origin,
        now,
    );
    store::insert(entry, db).await
}

/// The row that tells of what the actor of `cx` did, for a statement that writes it together with what was done.
pub(crate) fn entry(
    action: Action,
    target: Target<'_>,
    change: Change,
    seals: &Seals,
    cx: &Cx,
) -> Entry {
    make(action, target, change, seals, &cx.actor, &cx.origin, cx.now)
}

fn make(
    action: Action,
    target: Target<'_>,
    change: Change,
    seals: &Seals,
    actor: &Actor,
    origin: &Origin,
    now: OffsetDateTime,
) -> Entry {
    let id = uuid_v7(now);
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
    let user_id = target.user();
    let (ip, user_agent) = (
        origin.ip.map(|ip| ip.to_string()),
        origin.user_agent.clone(),
    );
    let mut entry = Entry {
        id,
        occurred_at: now,
        action: action.as_str(),
        actor_kind,
        actor_id,
        client_id,
        target_kind: target.kind(),
        target_id: target.id(),
        user_id,
        version: target.version(),
        before: None,
        after: None,
        sealed: None,
        ip: None,
        user_agent: None,
        sealed_origin: None,
        via: origin.via,
        request_id: origin.request_id.clone(),
    };
    match (user_id, &seals.target) {
        // A client's or a key's own facts are nobody's personal data.
        (None, _) => (entry.before, entry.after) = (change.before, change.after),
        (Some(user), Some(key)) => {
            let told = json!([change.before, change.after, origin.reason]);
            if told
                .as_array()
                .is_some_and(|t| t.iter().any(|v| !v.is_null()))
            {
                let purpose = told_purpose(id, user);
                entry.sealed = Some(key.seal(&purpose, told.to_string().as_bytes()));
            }
        }
        // Nobody's any more: they were erased meanwhile, and nothing is kept of them.
        (Some(_), None) => {}
    }
    match actor.person() {
        None => (entry.ip, entry.user_agent) = (ip, user_agent),
        Some(person) => {
            let key = if user_id == Some(person) {
                &seals.target
            } else {
                &seals.actor
            };
            if let Some(key) = key
                .as_ref()
                .filter(|_| ip.is_some() || user_agent.is_some())
            {
                let told = json!([ip, user_agent]).to_string();
                entry.sealed_origin = Some(key.seal(&origin_purpose(id, person), told.as_bytes()));
            }
        }
    }
    entry
}

/// What is sealed of a person opens for this row and them alone.
pub(super) fn told_purpose(row: Uuid, user: UserId) -> String {
    format!("audit/{row}/{user}")
}

fn origin_purpose(row: Uuid, actor: UserId) -> String {
    format!("audit_origin/{row}/{actor}")
}
