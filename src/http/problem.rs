//! Errors of the REST API: problem documents (RFC 9457). Each `type` is an anchor in docs/errors.md.

use std::borrow::Cow;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};

use super::failure::{self, Shape};
use crate::kernel::Fault;

/// The kinds of problem that the REST API knows; a test holds docs/errors.md to this list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    NotFound,
    MethodNotAllowed,
    MalformedRequest,
    UnsupportedMediaType,
    TooLarge,
    Invalid,
    InvalidQuery,
    Conflict,
    NotDeleted,
    HistoryLost,
    PatchFailed,
    RequestInFlight,
    KeyReused,
    PreconditionFailed,
    Unauthorized,
    Forbidden,
    HeaderTooLarge,
    UriTooLong,
    Timeout,
    Unavailable,
    Internal,
}

impl ProblemKind {
    pub const ALL: [Self; 21] = [
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::MalformedRequest,
        Self::UnsupportedMediaType,
        Self::TooLarge,
        Self::Invalid,
        Self::InvalidQuery,
        Self::Conflict,
        Self::NotDeleted,
        Self::HistoryLost,
        Self::PatchFailed,
        Self::RequestInFlight,
        Self::KeyReused,
        Self::PreconditionFailed,
        Self::Unauthorized,
        Self::Forbidden,
        Self::HeaderTooLarge,
        Self::UriTooLong,
        Self::Timeout,
        Self::Unavailable,
        Self::Internal,
    ];

    /// Anchor, title and status.
    pub fn facts(self) -> (&'static str, &'static str, StatusCode) {
        match self {
            Self::NotFound => ("not-found", "There is no such thing", StatusCode::NOT_FOUND),
            Self::MethodNotAllowed => (
                "method-not-allowed",
                "That method does not exist here",
                StatusCode::METHOD_NOT_ALLOWED,
            ),
            Self::MalformedRequest => (
                "malformed-request",
                "The request could not be read",
                StatusCode::BAD_REQUEST,
            ),
            Self::UnsupportedMediaType => (
                "unsupported-media-type",
                "The body has the wrong media type",
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ),
            Self::TooLarge => (
                "too-large",
                "The body is too large",
                StatusCode::PAYLOAD_TOO_LARGE,
            ),
            Self::Invalid => (
                "invalid",
                "Some fields are not valid",
                StatusCode::UNPROCESSABLE_ENTITY,
            ),
            Self::InvalidQuery => (
                "invalid-query",
                "Some query parameters are not valid",
                StatusCode::BAD_REQUEST,
            ),
            Self::Conflict => (
                "conflict",
                "Something with that identifier exists",
                StatusCode::CONFLICT,
            ),
            Self::NotDeleted => (
                "not-deleted",
                "Only who is deleted can be erased",
                StatusCode::CONFLICT,
            ),
            Self::HistoryLost => (
                "history-lost",
                "What was then is not known any more",
                StatusCode::GONE,
            ),
            Self::PatchFailed => (
                "patch-failed",
                "The patch does not fit what it is to change",
                StatusCode::CONFLICT,
            ),
            Self::RequestInFlight => (
                "request-in-flight",
                "The same request is still under way",
                StatusCode::CONFLICT,
            ),
            Self::KeyReused => (
                "key-reused",
                "The idempotency key came with another request before",
                StatusCode::UNPROCESSABLE_ENTITY,
            ),
            Self::PreconditionFailed => (
                "precondition-failed",
                "It has changed since it was read",
                StatusCode::PRECONDITION_FAILED,
            ),
            Self::Unauthorized => (
                "unauthorized",
                "A valid access token is needed",
                StatusCode::UNAUTHORIZED,
            ),
            Self::Forbidden => (
                "forbidden",
                "The access token does not allow that",
                StatusCode::FORBIDDEN,
            ),
            Self::HeaderTooLarge => (
                "header-too-large",
                "The request's header is too large",
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            ),
            Self::UriTooLong => (
                "uri-too-long",
                "The URL is too long",
                StatusCode::URI_TOO_LONG,
            ),
            Self::Timeout => (
                "timeout",
                "The request took too long",
                StatusCode::REQUEST_TIMEOUT,
            ),
            Self::Unavailable => (
                "unavailable",
                "The server can't answer now",
                StatusCode::SERVICE_UNAVAILABLE,
            ),
            Self::Internal => (
                "internal",
                "The server failed",
                StatusCode::INTERNAL_SERVER_ERROR,
            ),
        }
    }
}

/// One field that is wrong: a JSON pointer (RFC 6901) into the body, or a parameter's name.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct FieldError {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pointer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) parameter: Option<String>,
    pub(crate) detail: Cow<'static, str>,
    /// What it is now, where that is what the caller did not know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) present: Option<Value>,
}

/// A problem document on its way out.
pub(crate) struct Problem {
    kind: ProblemKind,
    detail: Option<Cow<'static, str>>,
    errors: Vec<FieldError>,
    fault: Option<Fault>,
    retry_after: Option<u32>,
    www_authenticate: Option<String>,
}

impl Problem {
    pub(crate) fn new(kind: ProblemKind) -> Self {
        Self {
            kind,
            detail: None,
            errors: Vec::new(),
            fault: None,
            retry_after: None,
            www_authenticate: None,
        }
    }

    /// A query parameter that is not what it must be.
    pub(crate) fn invalid_query(
        parameter: impl Into<String>,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(ProblemKind::InvalidQuery).parameter(parameter, detail)
    }

    /// `after` is none of this list's.
    pub(crate) fn no_cursor() -> Self {
        Self::invalid_query("after", "This is not a cursor of this list.")
    }

    /// What is wrong with this request, in a sentence.
    pub(crate) fn detail(self, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            detail: Some(detail.into()),
            ..self
        }
    }

    /// Names a field of the body by its JSON pointer.
    pub(crate) fn field(
        mut self,
        pointer: impl Into<String>,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        self.errors.push(FieldError {
            pointer: Some(pointer.into()),
            parameter: None,
            detail: detail.into(),
            present: None,
        });
        self
    }

    /// Names a field that has changed meanwhile, and what it is now.
    pub(crate) fn changed(mut self, pointer: String, present: Value) -> Self {
        self.errors.push(FieldError {
            pointer: Some(pointer),
            parameter: None,
            detail: "It has changed since.".into(),
            present: Some(present),
        });
        self
    }

    /// Names a query parameter.
    pub(crate) fn parameter(
        mut self,
        name: impl Into<String>,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        self.errors.push(FieldError {
            pointer: None,
            parameter: Some(name.into()),
            detail: detail.into(),
            present: None,
        });
        self
    }

    /// When to come again, in seconds.
    pub(crate) fn retry_after(self, seconds: u32) -> Self {
        Self {
            retry_after: Some(seconds),
            ..self
        }
    }

    /// The challenge of a 401 or 403 (RFC 6750 §3).
    pub(crate) fn www_authenticate(self, challenge: String) -> Self {
        Self {
            www_authenticate: Some(challenge),
            ..self
        }
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.kind.facts().2
    }

    /// The document alone, for an answer that holds several.
    pub(crate) fn into_json(self, request_id: &str) -> Value {
        if let Some(fault) = &self.fault {
            failure::log_fault(fault);
        }
        self.body(request_id)
    }

    fn body(&self, request_id: &str) -> Value {
        let (anchor, title, status) = self.kind.facts();
        let mut body = json!({
            "type": format!("/docs/errors#{anchor}"),
            "title": title,
            "status": status.as_u16(),
            "request_id": request_id,
        });
        if let Some(detail) = &self.detail {
            body["detail"] = json!(detail);
        }
        if !self.errors.is_empty() {
            body["errors"] = json!(self.errors);
        }
        body
    }

    pub(super) fn render(self, mut response: Response, request_id: &str) -> Response {
        if let Some(fault) = &self.fault {
            failure::log_fault(fault);
        }
        if let Some(seconds) = self.retry_after {
            response = failure::with_retry_after(response, seconds);
        }
        if let Some(challenge) = self
            .www_authenticate
            .as_ref()
            .and_then(|c| HeaderValue::try_from(c).ok())
        {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, challenge);
        }
        let body = self.body(request_id);
        failure::with_body(response, "application/problem+json", body.to_string())
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        let problem = match failure::status_of(&fault) {
            StatusCode::SERVICE_UNAVAILABLE => Self::new(ProblemKind::Unavailable).retry_after(1),
            _ => Self::new(ProblemKind::Internal),
        };
        Self {
            fault: Some(fault),
            ..problem
        }
    }
}

impl From<sqlx::Error> for Problem {
    fn from(cause: sqlx::Error) -> Self {
        Fault::from(cause).into()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (_, _, status) = self.kind.facts();
        Shape::Problem(self).into_response(status)
    }
}
