//! The only mint.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use serde_json::{Map, Value};
use time::OffsetDateTime;
use uuid::Uuid;

use super::claims::AccessTokenClaims;
use super::id_token::id_token;
use crate::clients::Client;
use crate::cx::Cx;
use crate::families::RefreshToken;
use crate::http::OAuthError;
use crate::jose::{ID_TOKEN_ACR, Typ};
use crate::kernel::span::Span;
use crate::kernel::{FamilyId, ScopeSet, UserId, random, scope};

/// What a grant decided.
pub(super) struct Granted<'a> {
    pub(super) client: &'a Client,
    pub(super) subject: Subject,
    pub(super) scope: ScopeSet,
    pub(super) audience: String,
    /// How the person signed in, where they did so at our pages.
    pub(super) sign_on: Option<SignOn>,
}

/// A sign-in that a client gets tokens by.
pub(super) struct SignOn {
    pub(super) family: FamilyId,
    /// The session's public id: `sid`.
    pub(super) session_id: Uuid,
    pub(super) auth_time: OffsetDateTime,
    pub(super) nonce: Option<String>,
    /// Claims that the ID token was asked to hold by name.
    pub(super) further: Map<String, Value>,
    pub(super) refresh_token: Option<RefreshToken>,
}

/// How people prove themselves here (RFC 8176 §2).
pub(super) const AMR: [&str; 1] = ["pwd"];

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
    pub(super) id_token: Option<String>,
    pub(super) refresh_token: Option<RefreshToken>,
}

/// Mints an access token, and an ID token where somebody signed in and `openid` was asked for.
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
        auth_time: epoch.as_ref().map(|_| {
            let proven = granted.sign_on.as_ref().map(|on| on.auth_time);
            proven.map_or(now, OffsetDateTime::unix_timestamp)
        }),
        acr: epoch.as_ref().map(|_| ID_TOKEN_ACR),
        amr: epoch.as_ref().map(|_| AMR),
        sid: granted.sign_on.as_ref().map(|on| on.session_id),
        family: granted.sign_on.as_ref().map(|on| on.family),
        epoch: epoch.as_deref(),
    };
    let access_token = cx
        .app
        .keyring
        .now()
        .signer(registration.signing_alg)?
        .sign(Typ::AccessToken, &claims)?;
    let id_token = match &granted.sign_on {
        Some(on) if granted.scope.contains(scope::OPENID) => {
            let client = granted.client;
            Some(id_token(client, &sub, &access_token, on, cx)?)
        }
        _ => None,
    };
    Ok(Issued {
        access_token,
        expires_in,
        scope: granted.scope,
        id_token,
        refresh_token: granted.sign_on.and_then(|on| on.refresh_token),
    })
}
