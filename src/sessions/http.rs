//! `/api/v1/sessions`.

use axum::Json;
use axum::response::Response;
use serde_json::json;

use super::everybody::{self, EverybodysError};
use super::shapes::{EndSessionsParams, EndedSessionsShape};
use crate::cx::Cx;
use crate::http::shapes::ApiRefusals;
use crate::http::{Problem, ProblemKind, Query, private, time_in};

/// `DELETE /api/v1/sessions?begun_until=…`: ends the sessions of everybody that began then or before, for callers with all four of Doorward's scopes.
#[utoipa::path(delete, path = "/api/v1/sessions", tag = "users", operation_id = "end_everybodys_sessions", params(EndSessionsParams), responses((status = 200, description = "How many were ended; where some are left, send it again", body = EndedSessionsShape), ApiRefusals), security(("bearer" = ["users:write"])))]
pub(crate) async fn end_everybodys(cx: Cx, mut query: Query) -> Result<Response, Problem> {
    let until = query.take("begun_until").unwrap_or_default();
    let until = time_in("begun_until", &until)?;
    query.finish()?;
    // Half of what a handler has, so that the answer says how far it came.
    let patience = cx.app.config.http.handler_timeout.std() / 2;
    let done = everybody::end_everybodys(until, Some(patience), &cx).await?;
    let (ended, left) = (done.ended, done.left);
    Ok(private(Json(json!({ "ended": ended, "left": left }))))
}

impl From<EverybodysError> for Problem {
    fn from(error: EverybodysError) -> Self {
        match error {
            EverybodysError::ScopesMissing => Self::new(ProblemKind::Forbidden).detail(
                "Everybody's sessions, admins' too, are ended by callers that hold all of Doorward's scopes.",
            ),
            EverybodysError::Fault(fault) => fault.into(),
        }
    }
}
