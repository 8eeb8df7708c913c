//! What the documents of sessions look like, for `/openapi.json`.

// Read by the derive macros alone.
#![expect(dead_code, reason = "descriptions: nothing is ever made of these")]

use utoipa::{IntoParams, ToSchema};

/// Whose sessions end.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct EndSessionsParams {
    /// The sessions that began then or before; a time still to come is now. Sent again with the same time, it goes on where it was.
    #[param(format = DateTime)]
    begun_until: String,
}

/// What came of it.
#[derive(ToSchema)]
#[schema(as = EndedSessions)]
pub(crate) struct EndedSessionsShape {
    /// By this request.
    ended: u64,
    /// Whether some are left: send the same request again.
    left: bool,
}
