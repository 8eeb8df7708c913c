//! `/.well-known/openid-configuration` and `/.well-known/oauth-authorization-server`.

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::Response;

use super::metadata::Metadata;
use crate::app::App;
use crate::config::Config;
use crate::http::shapes::OAuthErrorShape;
use crate::http::{Document, cors};
use crate::kernel::Fault;

/// The metadata by OpenID Connect Discovery's name, also while the database is away.
#[utoipa::path(get, path = "/.well-known/openid-configuration", tag = "tokens", responses((status = 200, description = "What this server can do (RFC 8414)", body = Metadata), (status = 304, description = "It has not changed"), (status = 405, description = "GET only", body = OAuthErrorShape)))]
pub(crate) async fn openid_configuration(State(app): State<App>, request: Request) -> Response {
    metadata(&app, request.headers()).await
}

/// The same by RFC 8414's name.
#[utoipa::path(get, path = "/.well-known/oauth-authorization-server", tag = "tokens", responses((status = 200, description = "What this server can do (RFC 8414)", body = Metadata), (status = 304, description = "It has not changed"), (status = 405, description = "GET only", body = OAuthErrorShape)))]
pub(crate) async fn oauth_authorization_server(
    State(app): State<App>,
    request: Request,
) -> Response {
    metadata(&app, request.headers()).await
}

async fn metadata(app: &App, headers: &HeaderMap) -> Response {
    let password = app.clients.any_password_grant(app).await;
    let documents = &app.metadata;
    let document = if password {
        &documents.with_password
    } else {
        &documents.without_password
    };
    cors::for_everybody(document.answer(headers))
}

/// The metadata, made beforehand for either answer to the one question that is asked each time.
pub(crate) struct Documents {
    with_password: Document,
    without_password: Document,
}

impl Documents {
    pub(crate) fn new(config: &Config) -> Result<Self, Fault> {
        let document = |password| -> Result<Document, Fault> {
            let metadata = Metadata::new(config, password);
            let bytes = serde_json::to_vec(&metadata)
                .map_err(|e| Fault::internal("writing the metadata", e))?;
            let max_age = config.keys.jwks_max_age;
            Ok(Document::new(bytes.into(), "application/json", max_age))
        };
        Ok(Self {
            with_password: document(true)?,
            without_password: document(false)?,
        })
    }
}
