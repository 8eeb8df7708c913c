//! What a browser asks before a page of another origin may send a request to the token endpoint and its like (Fetch §4.8). It does not say
//! for which client: any that registered the origin will do, and the answer to the request itself is that client's alone to read.

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;

use crate::cx::Cx;
use crate::http::OAuthError;
use crate::http::cors::{may_not_send, may_send};
use crate::http::shapes::OAuthErrorShape;

/// Whether a page may ask for tokens.
#[utoipa::path(options, path = "/oauth2/token", tag = "tokens", responses((status = 204, description = "Where a client registered the origin, leave to call; otherwise nothing"), (status = 503, description = "The database is away, or there is too much to do", body = OAuthErrorShape)))]
pub(crate) async fn token(cx: Cx, headers: HeaderMap) -> Result<Response, OAuthError> {
    answer(&headers, &cx).await
}

/// Whether a page may revoke tokens.
#[utoipa::path(options, path = "/oauth2/revoke", tag = "tokens", responses((status = 204, description = "Where a client registered the origin, leave to call; otherwise nothing"), (status = 503, description = "The database is away, or there is too much to do", body = OAuthErrorShape)))]
pub(crate) async fn revoke(cx: Cx, headers: HeaderMap) -> Result<Response, OAuthError> {
    answer(&headers, &cx).await
}

/// Whether a page may ask who signed in.
#[utoipa::path(options, path = "/oauth2/userinfo", tag = "tokens", responses((status = 204, description = "Where a client registered the origin, leave to call; otherwise nothing"), (status = 503, description = "The database is away, or there is too much to do", body = OAuthErrorShape)))]
pub(crate) async fn userinfo(cx: Cx, headers: HeaderMap) -> Result<Response, OAuthError> {
    answer(&headers, &cx).await
}

async fn answer(headers: &HeaderMap, cx: &Cx) -> Result<Response, OAuthError> {
    let origin = headers.get(header::ORIGIN);
    let text = origin.and_then(|origin| origin.to_str().ok());
    match (origin, text) {
        (Some(origin), Some(text)) if cx.app.clients.any_from(text, cx).await? => {
            Ok(may_send(HeaderValue::clone(origin)))
        }
        _ => Ok(may_not_send()),
    }
}
