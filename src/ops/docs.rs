//! `/docs/errors`: what the `type` of a problem document points to.

use axum::http::header;
use axum::response::{IntoResponse, Response};

/// docs/errors.md as it is.
pub(crate) async fn errors() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/markdown; charset=utf-8"),
        (header::CACHE_CONTROL, "public, max-age=3600"),
    ];
    (headers, include_str!("../../docs/errors.md")).into_response()
}
