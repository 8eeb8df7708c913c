//! `/.well-known/jwks.json` (RFC 7517 §5).

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;

use crate::app::App;

/// The public keys, from memory.
pub(crate) async fn jwks(State(app): State<App>, headers: HeaderMap) -> Response {
    app.keyring.now().jwks.answer(
        "application/jwk-set+json",
        app.config.keys.jwks_max_age,
        &headers,
    )
}
