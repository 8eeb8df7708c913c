//! `/api/v1/users/schema`: what a deployment declares people's attributes to be.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::super::operations::UserError;
use super::super::shapes::SchemaShape;
use super::{Declared, operations};
use crate::cx::Cx;
use crate::http::shapes::{ApiRefusals, BodyRefusals};
use crate::http::{ETag, IfMatch, JsonBody, Problem, ProblemKind};
use crate::kernel::clock::rfc3339;

/// `GET /api/v1/users/schema`.
#[utoipa::path(get, path = "/api/v1/users/schema", tag = "users", responses((status = 200, description = "The schema that holds, with a strong ETag", body = SchemaShape), ApiRefusals), security(("bearer" = ["users:read"])))]
pub(crate) async fn get(cx: Cx) -> Result<Response, Problem> {
    let mut connection = cx.connection().await?;
    let declared = cx.app.attributes.present(&mut connection).await?;
    let declared = declared.ok_or_else(|| Problem::new(ProblemKind::NotFound))?;
    Ok(answer(&declared))
}

/// `PUT /api/v1/users/schema`: a new version of it.
#[utoipa::path(put, path = "/api/v1/users/schema", tag = "users", params(("If-Match" = Option<String>, Header, description = "Declare only where the schema is at this version")), request_body(content = Object, description = "A JSON Schema (draft 2020-12) of type object"), responses((status = 200, description = "The schema holds from now on", body = SchemaShape), ApiRefusals, BodyRefusals), security(("bearer" = ["users:write"])))]
pub(crate) async fn put(cx: Cx, if_match: IfMatch, body: JsonBody) -> Result<Response, Problem> {
    if !["application/json", "application/schema+json"].contains(&body.media_type.as_str()) {
        return Err(Problem::new(ProblemKind::UnsupportedMediaType)
            .detail("Send application/json or application/schema+json."));
    }
    let declared = operations::declare(body.value, &if_match, &cx).await;
    let declared = declared.map_err(|error| match error {
        UserError::ScopesMissing => Problem::new(ProblemKind::Forbidden)
            .detail("Attributes are declared by callers that hold all of Doorward's scopes."),
        other => other.into(),
    })?;
    Ok(answer(&declared))
}

fn answer(declared: &Declared) -> Response {
    let body: Value = json!({
        "version": declared.version,
        "schema": declared.schema,
        "created_at": rfc3339(declared.created_at),
    });
    let headers = [
        (header::ETAG, HeaderValue::from(ETag(declared.version))),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (StatusCode::OK, headers, Json(body)).into_response()
}
