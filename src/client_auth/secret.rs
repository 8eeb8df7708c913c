//! Checks a claim against the registration: the registered method and no other, the secret in constant time, the assertion as
//! `assertion.rs` says.

use std::sync::Arc;

use axum::http::StatusCode;

use super::assertion::{self, Unproven};
use super::failures::MINUTE;
use super::form::{Claim, Proof, invalid_client};
use crate::clients::{AuthMethod, Client};
use crate::cx::Cx;
use crate::http::OAuthError;
use crate::kernel::{ClientId, Secret, TokenHash};

/// The client that the claim proves. An unknown client costs the same work and gets the same answer as a wrong secret.
pub(super) async fn verify(claim: Claim, cx: &Cx) -> Result<Arc<Client>, OAuthError> {
    let id = claim.client_id.parse::<ClientId>().ok();
    let client = match &id {
        Some(id) => cx.app.clients.find(id, cx).await?,
        None => None,
    };
    let proven = match &claim.proof {
        Proof::Basic(secret) => check(client, AuthMethod::ClientSecretBasic, Some(secret), cx),
        Proof::Post(secret) => check(client, AuthMethod::ClientSecretPost, Some(secret), cx),
        Proof::Nothing => check(client, AuthMethod::None, None, cx),
        // Boxed: what is seldom done would otherwise make the future of every token large.
        Proof::Assertion(jwt) => Box::pin(check_assertion(client, jwt, cx)).await?,
    };
    proven.map_err(|reason| {
        let error = if cx.app.failures.count(cx.origin.ip, id.as_ref()) {
            invalid_client("too many failures")
                .status(StatusCode::TOO_MANY_REQUESTS)
                .retry_after(MINUTE)
        } else {
            invalid_client(reason)
        };
        // RFC 6749 §5.2: the challenge answers the header.
        match claim.proof {
            Proof::Basic(_) => error.challenge(),
            Proof::Post(_) | Proof::Assertion(_) | Proof::Nothing => error,
        }
    })
}

/// Fails with the reason, for the log alone.
fn check(
    client: Option<Arc<Client>>,
    method: AuthMethod,
    presented: Option<&Secret<String>>,
    cx: &Cx,
) -> Result<Arc<Client>, &'static str> {
    let secrets = client.iter().flat_map(|c| &c.secrets);
    let live = secrets.filter(|s| s.is_live(cx.now));
    let right = presented.map(|secret| {
        let presented = TokenHash::of(secret.expose());
        // Every secret is compared, and one where there is none.
        let none = TokenHash::of("").matches(&presented);
        let mut found = None;
        for secret in live {
            if secret.hash.matches(&presented) {
                found = Some(secret);
            }
        }
        found.filter(|_| !none)
    });
    let Some(known) = &client else {
        return Err("unknown client");
    };
    if known.registration.auth_method != method {
        return Err("not the client's registered method");
    }
    match right {
        Some(None) => return Err("wrong secret"),
        Some(Some(secret)) => cx.app.clients.note_use(secret, cx.now),
        None => {}
    }
    client.ok_or("unknown client")
}

/// The same for an assertion; the outer failure is our own fault.
async fn check_assertion(
    client: Option<Arc<Client>>,
    jwt: &Secret<String>,
    cx: &Cx,
) -> Result<Result<Arc<Client>, &'static str>, OAuthError> {
    let Some(client) = client else {
        return Ok(Err("unknown client"));
    };
    if client.registration.auth_method != AuthMethod::PrivateKeyJwt {
        return Ok(Err("not the client's registered method"));
    }
    match assertion::check(jwt.expose(), &client, cx).await {
        Ok(()) => Ok(Ok(client)),
        Err(Unproven::Wrong(reason)) => Ok(Err(reason)),
        Err(Unproven::Fault(error)) => Err(error),
    }
}
