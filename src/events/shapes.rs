//! What the feed looks like, for `/openapi.json`; `feed.rs` writes it, and a test holds the two together.

// Read by the derive macros alone.
#![expect(dead_code, reason = "descriptions: nothing is ever made of these")]

use utoipa::{IntoParams, ToSchema};

use crate::users::shapes::UserShape;

/// A change of a person.
#[derive(ToSchema)]
#[schema(as = Change)]
pub(crate) struct ChangeShape {
    /// Its place in the feed: larger is later.
    position: i64,
    /// `user.created`, `user.updated`, `user.deleted`, `user.restored` or `user.erased`: the newest of what happened. `user.merged` is reserved.
    r#type: String,
    user_id: String,
    version: i64,
    #[schema(format = DateTime)]
    occurred_at: String,
    /// The person at that version or a later one, as the reader may see them; null: they are gone.
    #[schema(required)]
    user: Option<UserShape>,
}

/// A page of changes.
#[derive(ToSchema)]
#[schema(as = ChangeList)]
pub(crate) struct ChangeListShape {
    items: Vec<ChangeShape>,
    /// Where to go on; never null.
    next: String,
}

/// What the feed is asked for.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ChangesParams {
    /// Changes in a page; 100 unless asked for otherwise.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// A `next` of this feed; without it, from the beginning.
    after: Option<String>,
    /// Only the people of one bucket of so many, such as `3/64` (docs/propagation.md).
    bucket: Option<String>,
    /// Seconds to wait for a change where there is none.
    #[param(minimum = 0, maximum = 30)]
    wait: Option<u32>,
}
