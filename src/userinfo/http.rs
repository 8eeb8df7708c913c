//! `/oauth2/userinfo`.

use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use axum::response::IntoResponse;
use axum::{Extension, Json};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use crate::app::App;
use crate::cx::Cx;
use crate::http::cors::Readers;
use crate::http::shapes::ProblemShape;
use crate::http::{BearerError, Form};
use crate::kernel::{Secret, scope};
use crate::token::{self, AsOf, Holder, Presented};
use crate::users::{self, UserError};

/// What is known of the person and opened by the token's scope; `sub` always.
#[derive(ToSchema)]
#[schema(as = Userinfo)]
#[expect(dead_code, reason = "a description; the claims are the person's")]
struct UserinfoShape {
    sub: String,
    /// Scope `email`.
    email: Option<String>,
    email_verified: Option<bool>,
    /// Scope `profile`, with the other claims of OpenID Connect Core §5.4.
    name: Option<String>,
    /// Seconds.
    updated_at: Option<i64>,
    /// Scope `phone`.
    phone_number: Option<String>,
    phone_number_verified: Option<bool>,
    /// Scope `address`.
    address: Option<Value>,
}

/// Tells who signed in. The token comes in the `Authorization` header, whatever its audience.
#[utoipa::path(get, path = "/oauth2/userinfo", tag = "tokens", responses((status = 200, description = "The person", body = UserinfoShape), (status = 400, description = "The token was sent in more than one way", body = ProblemShape, content_type = "application/problem+json"), (status = 401, description = "No access token, or none that is valid", body = ProblemShape, content_type = "application/problem+json"), (status = 403, description = "The token has no openid", body = ProblemShape, content_type = "application/problem+json"), (status = 405, description = "GET or POST", body = ProblemShape, content_type = "application/problem+json"), (status = 503, description = "The database is away, or there is too much to do", body = ProblemShape, content_type = "application/problem+json")), security(("bearer" = [])))]
pub(crate) async fn get(
    cx: Cx,
    readers: Option<Extension<Readers>>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, BearerError> {
    answer(token::bearer(&headers)?, readers, &cx).await
}

/// The same; the token comes in the header, or in the form as `access_token`.
#[utoipa::path(post, path = "/oauth2/userinfo", tag = "tokens", responses((status = 200, description = "The person", body = UserinfoShape), (status = 400, description = "The request could not be read, or the token was sent in more than one way", body = ProblemShape, content_type = "application/problem+json"), (status = 401, description = "No access token, or none that is valid", body = ProblemShape, content_type = "application/problem+json"), (status = 403, description = "The token has no openid", body = ProblemShape, content_type = "application/problem+json"), (status = 405, description = "GET or POST", body = ProblemShape, content_type = "application/problem+json"), (status = 503, description = "The database is away, or there is too much to do", body = ProblemShape, content_type = "application/problem+json")), security(("bearer" = []), ()))]
pub(crate) async fn post(
    cx: Cx,
    readers: Option<Extension<Readers>>,
    headers: HeaderMap,
    request: Request,
) -> Result<impl IntoResponse, BearerError> {
    let in_header = token::bearer(&headers);
    let in_form = token_in_form(&headers, request, &cx.app).await?;
    match (in_header, in_form) {
        (Err(BearerError::MissingToken), Some(token)) => answer(token.expose(), readers, &cx).await,
        // RFC 6750 §2: one way, not two.
        (Ok(_), Some(_)) => Err(BearerError::InvalidRequest),
        (in_header, _) => answer(in_header?, readers, &cx).await,
    }
}

async fn token_in_form(
    headers: &HeaderMap,
    request: Request,
    app: &App,
) -> Result<Option<Secret<String>>, BearerError> {
    // RFC 6750 §2.2: no other body can hold it.
    if !Form::is_announced(headers) {
        return Ok(None);
    }
    let form = Form::from_request(request, app).await;
    let mut form = form.map_err(|_| BearerError::InvalidRequest)?;
    Ok(form.take("access_token"))
}

async fn answer(
    token: &str,
    readers: Option<Extension<Readers>>,
    cx: &Cx,
) -> Result<impl IntoResponse + use<>, BearerError> {
    let readers = readers.map(|Extension(readers)| readers);
    let claims = claims(token, readers, cx).await?;
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(claims)))
}

/// The claims of the person whom the token speaks for, if they are let in still and the token counts (checklist 146).
async fn claims(
    token: &str,
    readers: Option<Readers>,
    cx: &Cx,
) -> Result<Map<String, Value>, BearerError> {
    let presented = Presented::read(token, None, cx).map_err(|why| {
        tracing::info!(reason = why.0, "an access token was refused");
        BearerError::InvalidToken
    })?;
    let counted = presented.counted(AsOf::ASecondAgo, cx).await?;
    let counted = counted.ok_or(BearerError::InvalidToken)?;
    if let Some(readers) = readers {
        readers.are(&counted.client.registration.sign_on.cors_origins);
    }
    if !presented.scope.contains(scope::OPENID) {
        return Err(BearerError::InsufficientScope(scope::OPENID));
    }
    // A client is nobody to tell of.
    let Holder::Person { id, .. } = &presented.holder else {
        return Err(BearerError::InvalidToken);
    };
    let person = match users::get(*id, cx).await {
        Ok(person) => person,
        Err(UserError::Fault(fault)) => return Err(fault.into()),
        Err(_) => return Err(BearerError::InvalidToken),
    };
    let mut claims = Map::from_iter([("sub".to_owned(), json!(id))]);
    claims.extend(person.claims(&presented.scope, &counted.claims));
    Ok(claims)
}
