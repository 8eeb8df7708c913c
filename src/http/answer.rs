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

/// Says where that is which was made.
pub(crate) fn located(mut response: Response, path: &str) -> Response {
    if let Ok(location) = HeaderValue::try_from(path) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}
