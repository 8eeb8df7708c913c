//! Errors of what a bearer token guards: `WWW-Authenticate` (RFC 6750 §3), and under `/api` a problem document as well.

use axum::response::{IntoResponse, Response};

use super::{Problem, ProblemKind};
use crate::kernel::Fault;

pub(crate) enum BearerError {
    /// No token was sent: no error code, only the challenge (RFC 6750 §3.1).
    MissingToken,
    /// Expired, not ours, for another audience, or of somebody who is no longer let in; which of them is not told.
    InvalidToken,
    /// The token is good but lacks this scope.
    InsufficientScope(&'static str),
    /// The token was sent in more than one way, or not in one that we take.
    InvalidRequest,
    Fault(Fault),
}

impl From<Fault> for BearerError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<BearerError> for Problem {
    fn from(error: BearerError) -> Self {
        const REALM: &str = r#"Bearer realm="doorward""#;
        match error {
            BearerError::MissingToken => Self::new(ProblemKind::Unauthorized).www_authenticate(REALM.to_owned()),
            BearerError::InvalidToken => Self::new(ProblemKind::Unauthorized)
                .www_authenticate(format!(r#"{REALM}, error="invalid_token", error_description="The access token is not valid here""#)),
            BearerError::InsufficientScope(scope) => Self::new(ProblemKind::Forbidden)
                .detail(format!("The scope {scope} is needed."))
                .www_authenticate(format!(r#"{REALM}, error="insufficient_scope", scope="{scope}""#)),
            BearerError::InvalidRequest => Self::new(ProblemKind::MalformedRequest)
                .detail("Send one access token, in the Authorization header.")
                .www_authenticate(format!(r#"{REALM}, error="invalid_request""#)),
            BearerError::Fault(fault) => fault.into(),
        }
    }
}

impl IntoResponse for BearerError {
    fn into_response(self) -> Response {
        Problem::from(self).into_response()
    }
}
