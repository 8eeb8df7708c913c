//! `/.well-known/openid-configuration` and `/.well-known/oauth-authorization-server`.

use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::response::Response;

use super::metadata::Metadata;
use crate::cx::Cx;
use crate::http::shapes::OAuthErrorShape;
use crate::http::{Document, OAuthError};
use crate::kernel::Fault;

/// The metadata by OpenID Connect Discovery's name, also while the database is away.
#[utoipa::path(get, path = "/.well-known/openid-configuration", tag = "tokens", responses((status = 200, description = "What this server can do (RFC 8414)", body = Metadata), (status = 304, description = "It has not changed"), (status = 405, description = "GET only", body = OAuthErrorShape), (status = 500, description = "Our fault", body = OAuthErrorShape)))]
pub(crate) async fn openid_configuration(
    cx: Cx,
    headers: HeaderMap,
) -> Result<Response, OAuthError> {
    metadata(cx, headers).await
}

/// The same by RFC 8414's name.
#[utoipa::path(get, path = "/.well-known/oauth-authorization-server", tag = "tokens", responses((status = 200, description = "What this server can do (RFC 8414)", body = Metadata), (status = 304, description = "It has not changed"), (status = 405, description = "GET only", body = OAuthErrorShape), (status = 500, description = "Our fault", body = OAuthErrorShape)))]
pub(crate) async fn oauth_authorization_server(
    cx: Cx,
    headers: HeaderMap,
) -> Result<Response, OAuthError> {
    metadata(cx, headers).await
}

async fn metadata(cx: Cx, headers: HeaderMap) -> Result<Response, OAuthError> {
    let config = &cx.app.config;
    let password = cx.app.clients.any_password_grant(&cx).await;
    let metadata = Metadata::new(&config.issuer, password);
    let bytes =
        serde_json::to_vec(&metadata).map_err(|e| Fault::internal("writing the metadata", e))?;
    Ok(Document::new(Bytes::from(bytes)).answer(
        "application/json",
        config.keys.jwks_max_age,
        &headers,
    ))
}
