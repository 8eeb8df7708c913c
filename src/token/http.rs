//! `POST /oauth2/token` (RFC 6749 §3.2).

use axum::Json;
use axum::http::header;
use axum::response::IntoResponse;
use serde::Serialize;

use super::exchange::exchange;
use super::grant::GrantRequest;
use super::issue::Issued;
use crate::client_auth::ClientForm;
use crate::http::OAuthError;
use crate::kernel::ScopeSet;

/// RFC 6749 §5.1.
#[derive(Serialize)]
struct TokenBody {
    access_token: String,
    token_type: &'static str,
    /// Seconds.
    expires_in: u32,
    scope: ScopeSet,
}

impl From<Issued> for TokenBody {
    fn from(issued: Issued) -> Self {
        Self {
            access_token: issued.access_token,
            token_type: "Bearer",
            expires_in: issued.expires_in.whole_seconds(),
            scope: issued.scope,
        }
    }
}

/// Exchanges a grant for a token.
pub(crate) async fn post(
    ClientForm { client, form, cx }: ClientForm,
) -> Result<impl IntoResponse, OAuthError> {
    let request = GrantRequest::try_from(form)?;
    let issued = exchange(request, &client, &cx).await?;
    Ok((
        [
            (header::CACHE_CONTROL, "no-store"),
            (header::PRAGMA, "no-cache"),
        ],
        Json(TokenBody::from(issued)),
    ))
}
