//! What answers have in common.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

/// Kept by no cache: personal data, and what is told once.
pub(crate) fn private(answer: impl IntoResponse) -> Response {
    let mut response = answer.into_response();
    let no_store = HeaderValue::from_static("no-store");
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, no_store);
    response
}
