//! `POST /oauth2/token` (RFC 6749 §3.2), `/oauth2/introspect` (RFC 7662) and `/oauth2/revoke` (RFC 7009).

use axum::Json;
use axum::http::header;
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;

use super::exchange::exchange;
use super::grant::GrantRequest;
use super::introspect::{self, Introspection};
use super::issue::Issued;
use super::revoke;
use crate::client_auth::ClientForm;
use crate::clients::AuthMethod;
use crate::http::shapes::OAuthErrorShape;
use crate::http::{Form, OAuthCode, OAuthError};
use crate::kernel::{ScopeSet, Secret};

/// RFC 6749 §5.1.
#[derive(Serialize, ToSchema)]
#[schema(as = Token)]
struct TokenBody {
    /// A JWT (RFC 9068).
    access_token: String,
    /// `Bearer`.
    token_type: &'static str,
    /// Seconds.
    expires_in: u32,
    /// Separated by spaces.
    #[schema(value_type = String)]
    #[serde(skip_serializing_if = "ScopeSet::is_empty")]
    scope: ScopeSet,
    /// Who signed in (OpenID Connect Core §2), where `openid` was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token: Option<String>,
    /// Good for one use; its answer brings the next.
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
}

/// What is asked for (RFC 6749 §4.1.3, §4.3.2, §4.4.2, §6).
#[derive(ToSchema)]
#[schema(as = TokenRequest)]
#[expect(dead_code, reason = "a description; GrantRequest reads the form")]
struct TokenForm {
    /// `authorization_code`, `refresh_token`, `client_credentials` or `password`.
    grant_type: String,
    /// For `authorization_code`.
    #[schema(format = Password)]
    code: Option<String>,
    /// For `authorization_code`: the one that the code was asked for with.
    redirect_uri: Option<String>,
    /// For `authorization_code` (RFC 7636).
    #[schema(format = Password)]
    code_verifier: Option<String>,
    /// For `refresh_token`.
    #[schema(format = Password)]
    refresh_token: Option<String>,
    /// Names separated by spaces; absent: all that the client may have.
    scope: Option<String>,
    /// The audience (RFC 8707), where the client may ask for several.
    resource: Option<String>,
    /// For `password`: an e-mail address or a username.
    username: Option<String>,
    /// For `password`.
    #[schema(format = Password)]
    password: Option<String>,
    /// Where the client does not use HTTP Basic.
    client_id: Option<String>,
    #[schema(format = Password)]
    client_secret: Option<String>,
}

impl From<Issued> for TokenBody {
    fn from(issued: Issued) -> Self {
        Self {
            access_token: issued.access_token,
            token_type: "Bearer",
            expires_in: issued.expires_in.whole_seconds(),
            scope: issued.scope,
            id_token: issued.id_token,
            refresh_token: issued
                .refresh_token
                .map(|token| token.secret().expose().clone()),
        }
    }
}

/// Exchanges a grant for a token.
#[utoipa::path(post, path = "/oauth2/token", tag = "tokens", request_body(content = TokenForm, content_type = "application/x-www-form-urlencoded"), responses((status = 200, description = "A token", body = TokenBody), (status = 400, description = "The request is refused", body = OAuthErrorShape), (status = 401, description = "The client did not prove itself", body = OAuthErrorShape), (status = 405, description = "POST only", body = OAuthErrorShape), (status = 408, description = "The body did not arrive in time", body = OAuthErrorShape), (status = 413, description = "The body is too large", body = OAuthErrorShape), (status = 429, description = "Too many failures; Retry-After says when to come again", body = OAuthErrorShape), (status = 503, description = "The database is away, or there is too much to do", body = OAuthErrorShape)), security(("client" = []), ()))]
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

/// What is asked of a token (RFC 7662 §2.1, RFC 7009 §2.1).
#[derive(ToSchema)]
#[schema(as = TokenQuestion)]
#[expect(dead_code, reason = "a description; the handlers read the form")]
struct TokenQuestionForm {
    #[schema(format = Password)]
    token: String,
    /// `access_token` or `refresh_token`; a wrong one does no harm.
    token_type_hint: Option<String>,
    /// Where the client does not use HTTP Basic.
    client_id: Option<String>,
    #[schema(format = Password)]
    client_secret: Option<String>,
}

/// Says what a token is worth now (RFC 7662), to the client that it was issued to and to the client that is its audience.
#[utoipa::path(post, path = "/oauth2/introspect", tag = "tokens", request_body(content = TokenQuestionForm, content_type = "application/x-www-form-urlencoded"), responses((status = 200, description = "What the token is worth", body = Introspection), (status = 400, description = "The request is refused", body = OAuthErrorShape), (status = 401, description = "The client did not prove itself", body = OAuthErrorShape), (status = 405, description = "POST only", body = OAuthErrorShape), (status = 408, description = "The body did not arrive in time", body = OAuthErrorShape), (status = 413, description = "The body is too large", body = OAuthErrorShape), (status = 429, description = "Too many failures; Retry-After says when to come again", body = OAuthErrorShape), (status = 503, description = "The database is away, or there is too much to do", body = OAuthErrorShape)), security(("client" = [])))]
pub(crate) async fn introspect(
    ClientForm { client, form, cx }: ClientForm,
) -> Result<impl IntoResponse, OAuthError> {
    // RFC 7662 §2.1: whoever asks must have proven who they are, so that nobody tries tokens out.
    if client.registration.auth_method == AuthMethod::None {
        return Err(OAuthError::new(
            OAuthCode::InvalidClient,
            "A public client can't ask what tokens are worth.",
        ));
    }
    let token = token_of(form)?;
    let introspection = introspect::introspect(token, &client, &cx).await?;
    Ok((
        [
            (header::CACHE_CONTROL, "no-store"),
            (header::PRAGMA, "no-cache"),
        ],
        Json(introspection),
    ))
}

/// Ends a token before its time (RFC 7009). Also 200 where there was nothing to end.
#[utoipa::path(post, path = "/oauth2/revoke", tag = "tokens", request_body(content = TokenQuestionForm, content_type = "application/x-www-form-urlencoded"), responses((status = 200, description = "The token is good for nothing now"), (status = 400, description = "The request is refused", body = OAuthErrorShape), (status = 401, description = "The client did not prove itself", body = OAuthErrorShape), (status = 405, description = "POST only", body = OAuthErrorShape), (status = 408, description = "The body did not arrive in time", body = OAuthErrorShape), (status = 413, description = "The body is too large", body = OAuthErrorShape), (status = 429, description = "Too many failures; Retry-After says when to come again", body = OAuthErrorShape), (status = 503, description = "The database is away, or there is too much to do; the token may be good still", body = OAuthErrorShape)), security(("client" = []), ()))]
pub(crate) async fn revoke(
    ClientForm { client, form, cx }: ClientForm,
) -> Result<impl IntoResponse, OAuthError> {
    let token = token_of(form)?;
    revoke::revoke(token, &client, &cx).await?;
    Ok([(header::CACHE_CONTROL, "no-store")])
}

/// The token in question. What kind it is, it says itself, so the hint is not needed.
fn token_of(mut form: Form) -> Result<Secret<String>, OAuthError> {
    form.take("token")
        .ok_or_else(|| OAuthError::invalid_request("token is missing."))
}
