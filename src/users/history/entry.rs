//! A change as the API tells it.

use serde_json::{Value, json};

use crate::audit::{Changed, Told};
use crate::kernel::clock::rfc3339;

/// Who changed what, when and why.
pub(super) fn to_json(changed: &Changed) -> Value {
    json!({
        "version": changed.version,
        "occurred_at": rfc3339(changed.occurred_at),
        "action": changed.action,
        "actor": {
            "kind": changed.actor_kind,
            "id": changed.actor_id,
            "client_id": changed.client_id,
        },
        "via": changed.via,
        "reason": changed.told.as_ref().and_then(|told| told.reason.clone()),
        "request_id": changed.request_id,
        "changes": changed.told.as_ref().map(changes),
    })
}

/// Field by field; `null` stands for what was, or is, not set.
fn changes(told: &Told) -> Vec<Value> {
    let gone = told.before.keys();
    let new = told
        .after
        .keys()
        .filter(|name| !told.before.contains_key(*name));
    gone.chain(new)
        .map(|name| json!({ "field": name, "old": told.before.get(name), "new": told.after.get(name) }))
        .collect()
}
