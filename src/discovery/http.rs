//! `/.well-known/openid-configuration` and `/.well-known/oauth-authorization-server`.

use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::response::Response;

use super::metadata::Metadata;
use crate::cx::Cx;
use crate::http::{Document, OAuthError};
use crate::kernel::Fault;

/// The metadata, also while the database is away.
pub(crate) async fn metadata(cx: Cx, headers: HeaderMap) -> Result<Response, OAuthError> {
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
