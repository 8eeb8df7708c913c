//! A failure on its way out. Errors are encoded in the outermost layer, where the request id is known and the cause is logged once;
//! that of too much to do once a second.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::{OAuthError, PageError, Problem};
use crate::kernel::fault::FaultKind;
use crate::kernel::{Fault, clock};
use crate::meters::Meters;

/// What a handler refused with, carried in the response's extensions until the outermost layer renders it.
#[derive(Clone)]
pub(super) struct Failure(std::sync::Arc<std::sync::Mutex<Option<Shape>>>);

pub(super) enum Shape {
    OAuth(OAuthError),
    Problem(Problem),
    Page(PageError),
}

impl Shape {
    /// A response that says nothing yet but the status.
    pub(super) fn into_response(self, status: StatusCode) -> Response {
        let mut response = status.into_response();
        response
            .extensions_mut()
            .insert(Failure(std::sync::Arc::new(std::sync::Mutex::new(Some(
                self,
            )))));
        response
    }
}

/// Gives a failure its body and headers, and logs what is behind it under the request id.
pub(super) fn render(mut response: Response, request_id: &str, meters: &Meters) -> Response {
    let failure = response.extensions_mut().remove::<Failure>();
    let shape = failure.and_then(|f| f.0.lock().ok().and_then(|mut slot| slot.take()));
    match shape {
        Some(Shape::OAuth(error)) => {
            meters.token_error(error.code());
            error.render(response)
        }
        Some(Shape::Problem(problem)) => problem.render(response, request_id),
        Some(Shape::Page(error)) => error.render(response, request_id),
        None => response,
    }
}

/// Logs a fault, once; too much to do once a second for each cause.
pub(super) fn log_fault(fault: &Fault) {
    match fault.kind {
        FaultKind::Internal => tracing::error!(cause = %fault, "a request failed by our fault"),
        FaultKind::Unavailable => {
            tracing::warn!(cause = %fault, "a request could not be served now");
        }
        FaultKind::Overloaded if is_time_to_say(fault.doing) => {
            tracing::warn!(cause = %fault, "requests can't be served now: too much to do");
        }
        FaultKind::Overloaded => {}
    }
}

/// Once a second for each cause: how a request was answered has a line of its own anyway, and a second one would take from those that are served.
fn is_time_to_say(doing: &'static str) -> bool {
    static SAID: Mutex<BTreeMap<&str, Instant>> = Mutex::new(BTreeMap::new());
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    let now = clock::monotonic();
    let last = said.get(doing);
    let due = last.is_none_or(|last| now.duration_since(*last) >= Duration::from_secs(1));
    if due {
        said.insert(doing, now);
    }
    due
}

/// The status that a fault means to a caller: 503 for what passes, else 500.
pub(super) fn status_of(fault: &Fault) -> StatusCode {
    match fault.kind {
        FaultKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        FaultKind::Unavailable | FaultKind::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
    }
}

pub(super) fn with_body(
    mut response: Response,
    content_type: &'static str,
    body: impl Into<Body>,
) -> Response {
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    *response.body_mut() = body.into();
    response
}

/// `Retry-After` in seconds (RFC 9110 §10.2.3).
pub(super) fn with_retry_after(mut response: Response, seconds: u32) -> Response {
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_much_to_do_is_said_once_a_second_for_each_cause() {
        assert!(is_time_to_say("hashing for a test"));
        assert!(!is_time_to_say("hashing for a test"));
        assert!(is_time_to_say("something else for a test"));
    }
}
