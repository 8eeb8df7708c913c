//! What a history looks like, for `/openapi.json`; `entry.rs` writes it.

// Read by the derive macros alone.
#![expect(dead_code, reason = "descriptions: nothing is ever made of these")]

use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

/// A page of changes.
#[derive(ToSchema)]
#[schema(as = History)]
pub(crate) struct HistoryShape {
    items: Vec<ChangeShape>,
    /// Where the list goes on; null at its end.
    #[schema(required)]
    next: Option<String>,
}

/// Who changed what, when and why.
#[derive(ToSchema)]
#[schema(as = HistoryEntry)]
struct ChangeShape {
    /// What the change made of them.
    version: i64,
    #[schema(format = DateTime)]
    occurred_at: String,
    /// `user.created`, `user.updated`, `password.set`, …
    action: String,
    actor: ActorShape,
    /// How it came, where it was no request of its own: `batch`, `import`.
    #[schema(required)]
    via: Option<String>,
    /// What the caller sent as `Doorward-Reason`.
    #[schema(required)]
    reason: Option<String>,
    #[schema(required)]
    request_id: Option<String>,
    /// Field by field; null where it can't be read any more (the person was erased, or the sealing key lost).
    #[schema(required)]
    changes: Option<Vec<FieldChangeShape>>,
}

/// Who acted.
#[derive(ToSchema)]
#[schema(as = HistoryActor)]
struct ActorShape {
    /// `client`, `user`, `operator`, `system`.
    kind: String,
    #[schema(required)]
    id: Option<String>,
    /// The client that a person acted through.
    #[schema(required)]
    client_id: Option<String>,
}

/// One field.
#[derive(ToSchema)]
#[schema(as = HistoryField)]
struct FieldChangeShape {
    field: String,
    /// Null: it was not set.
    old: Value,
    /// Null: it is not set.
    new: Value,
}

/// What a history is asked for.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct HistoryParams {
    /// Changes in a page; 50 unless asked for otherwise.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// A `next` of the same history.
    after: Option<String>,
}
