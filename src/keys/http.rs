//! `/.well-known/jwks.json` (RFC 7517 §5).

use axum::extract::{Request, State};
use axum::response::Response;

use crate::app::App;
use crate::http::cors;
use crate::http::shapes::OAuthErrorShape;

/// The public keys, from memory.
#[utoipa::path(get, path = "/.well-known/jwks.json", tag = "tokens", responses((status = 200, description = "A JWK set (RFC 7517)", content_type = "application/jwk-set+json", body = Object), (status = 304, description = "It has not changed"), (status = 405, description = "GET only", body = OAuthErrorShape)))]
pub(crate) async fn jwks(State(app): State<App>, request: Request) -> Response {
    cors::for_everybody(app.keyring.now().jwks.answer(request.headers()))
}
