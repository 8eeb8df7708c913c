//! The only mint.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::claims::AccessTokenClaims;
use crate::clients::Client;
use crate::cx::Cx;
use crate::http::OAuthError;
use crate::jose::Typ;
use crate::kernel::span::Span;
use crate::kernel::{ScopeSet, UserId, random};

/// What a grant decided.
pub(super) struct Granted<'a> {
    pub(super) client: &'a Client,
    pub(super) subject: Subject,
    pub(super) scope: ScopeSet,
    pub(super) audience: String,
}

/// Whom the token speaks for. The two kinds of id can't be taken for each other (RFC 9068 §5).
pub(super) enum Subject {
    Client,
    Person {
        id: UserId,
        /// [`crate::users::epoch`], as it was when their password was looked at.
        epoch: String,
    },
}

/// A token on its way to the client.
pub(super) struct Issued {
    pub(super) access_token: String,
    pub(super) expires_in: Span,
    pub(super) scope: ScopeSet,
}

/// Mints an access token. There is no refresh token for these grants.
pub(super) fn issue(granted: Granted<'_>, cx: &Cx) -> Result<Issued, OAuthError> {
    let registration = &granted.client.registration;
    let expires_in = registration
        .access_token_lifetime
        .unwrap_or(cx.app.config.tokens.access_token_lifetime);
    let now = cx.now.unix_timestamp();
    let (sub, epoch) = match granted.subject {
        Subject::Client => (granted.client.id.to_string(), None),
        Subject::Person { id, epoch } => (id.to_string(), Some(epoch)),
    };
    let claims = AccessTokenClaims {
        iss: cx.app.config.issuer.as_str(),
        sub: &sub,
        aud: &granted.audience,
        exp: now + i64::from(expires_in.whole_seconds()),
        iat: now,
        jti: &URL_SAFE_NO_PAD.encode(random::bytes::<16>()),
        client_id: granted.client.id.as_str(),
        scope: &granted.scope,
        auth_time: epoch.as_ref().map(|_| now),
        epoch: epoch.as_deref(),
    };
    let access_token = cx
        .app
        .keyring
        .now()
        .signer(registration.signing_alg)?
        .sign(Typ::AccessToken, &claims)?;
    Ok(Issued {
        access_token,
        expires_in,
        scope: granted.scope,
    })
}
