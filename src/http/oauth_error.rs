//! Errors of OAuth's endpoints: RFC 6749 §5.2 JSON.

use std::borrow::Cow;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::failure::{self, Shape};
use crate::kernel::Fault;

/// The codes, as RFC 6749 §5.2 and RFC 8707 §2 spell them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OAuthCode {
    InvalidRequest,
    InvalidClient,
    InvalidGrant,
    UnauthorizedClient,
    UnsupportedGrantType,
    InvalidScope,
    InvalidTarget,
    /// RFC 7591 §3.2.2.
    InvalidRedirectUri,
    /// RFC 7591 §3.2.2.
    InvalidClientMetadata,
    /// RFC 6749 §4.1.2.1's code for 503, used here too: §5.2 has none for a server that can't answer now.
    TemporarilyUnavailable,
    ServerError,
}

impl OAuthCode {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
            Self::InvalidRedirectUri => "invalid_redirect_uri",
            Self::InvalidClientMetadata => "invalid_client_metadata",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
            Self::ServerError => "server_error",
        }
    }
}

/// A refusal: a code from the RFC, a text for the caller (never an echo of input), and what we log.
pub(crate) struct OAuthError {
    code: OAuthCode,
    status: StatusCode,
    told: Cow<'static, str>,
    logged: Option<Cow<'static, str>>,
    fault: Option<Fault>,
    retry_after: Option<u32>,
    challenge: bool,
}

impl OAuthError {
    /// A refusal with the status that RFC 6749 §5.2 gives the code.
    pub(crate) fn new(code: OAuthCode, told: impl Into<Cow<'static, str>>) -> Self {
        let status = match code {
            OAuthCode::InvalidClient => StatusCode::UNAUTHORIZED,
            OAuthCode::TemporarilyUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            OAuthCode::ServerError => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        };
        Self {
            code,
            status,
            told: told.into(),
            logged: None,
            fault: None,
            retry_after: None,
            challenge: false,
        }
    }

    pub(crate) fn invalid_request(told: &'static str) -> Self {
        Self::new(OAuthCode::InvalidRequest, told)
    }

    /// What the operator should know beyond what the caller is told; no secret, no address.
    pub(crate) fn because(self, logged: impl Into<Cow<'static, str>>) -> Self {
        Self {
            logged: Some(logged.into()),
            ..self
        }
    }

    /// Too many failures lately: RFC 6749 has no code for it, and libraries read this one as "not with these credentials now".
    pub(crate) fn too_many(seconds: u32) -> Self {
        Self::new(
            OAuthCode::InvalidGrant,
            "Too many attempts; wait before the next.",
        )
        .status(StatusCode::TOO_MANY_REQUESTS)
        .retry_after(seconds)
    }

    /// Another status than the code's own: 413, 429.
    pub(crate) fn status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// When to come again, in seconds.
    pub(crate) fn retry_after(self, seconds: u32) -> Self {
        Self {
            retry_after: Some(seconds),
            ..self
        }
    }

    /// Adds `WWW-Authenticate: Basic`: the client used the header (RFC 6749 §5.2).
    pub(crate) fn challenge(self) -> Self {
        Self {
            challenge: true,
            ..self
        }
    }

    /// What the caller is told beside the code.
    pub(crate) fn told(self) -> Cow<'static, str> {
        self.told
    }

    pub(crate) fn code(&self) -> &'static str {
        self.code.as_str()
    }

    pub(super) fn render(self, mut response: Response) -> Response {
        if let Some(fault) = &self.fault {
            failure::log_fault(fault);
        } else {
            tracing::info!(
                error = self.code.as_str(),
                reason = self.logged.as_deref().unwrap_or(&self.told),
                "refused"
            );
        }
        if self.challenge {
            let basic = HeaderValue::from_static(r#"Basic realm="doorward", charset="UTF-8""#);
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, basic);
        }
        if let Some(seconds) = self.retry_after {
            response = failure::with_retry_after(response, seconds);
        }
        response
            .headers_mut()
            .insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
        let body = json!({ "error": self.code.as_str(), "error_description": self.told });
        failure::with_body(response, "application/json", body.to_string())
    }
}

impl From<Fault> for OAuthError {
    fn from(fault: Fault) -> Self {
        let error = match failure::status_of(&fault) {
            StatusCode::SERVICE_UNAVAILABLE => Self::new(
                OAuthCode::TemporarilyUnavailable,
                "The server can't answer now; try again.",
            )
            .retry_after(1),
            _ => Self::new(OAuthCode::ServerError, "The server failed."),
        };
        Self {
            fault: Some(fault),
            ..error
        }
    }
}

impl From<sqlx::Error> for OAuthError {
    fn from(cause: sqlx::Error) -> Self {
        Fault::from(cause).into()
    }
}

impl IntoResponse for OAuthError {
    fn into_response(self) -> Response {
        let status = self.status;
        Shape::OAuth(self).into_response(status)
    }
}
