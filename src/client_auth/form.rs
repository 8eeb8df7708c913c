//! Reads the request once: what proves the client, and the rest of the form.

use std::sync::Arc;

use axum::extract::{FromRequest, Request};
use axum::http::{HeaderValue, StatusCode, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{assertion, secret};
use crate::app::App;
use crate::clients::Client;
use crate::cx::Cx;
use crate::http::cors::Readers;
use crate::http::{Form, OAuthCode, OAuthError, decode_form};
use crate::kernel::Secret;

/// A form from a client that has proven itself.
pub(crate) struct ClientForm {
    pub(crate) client: Arc<Client>,
    pub(crate) form: Form,
    pub(crate) cx: Cx,
}

/// What a client says of itself in one request.
pub(super) struct Claim {
    pub(super) client_id: String,
    pub(super) proof: Proof,
}

pub(super) enum Proof {
    Basic(Secret<String>),
    Post(Secret<String>),
    /// A JWT that the client signed (RFC 7523 §2.2).
    Assertion(Secret<String>),
    /// Only the id.
    Nothing,
}

impl FromRequest<App> for ClientForm {
    type Rejection = OAuthError;

    async fn from_request(request: Request, app: &App) -> Result<Self, OAuthError> {
        // Credentials in a URL end in logs; nothing of this endpoint's belongs there (RFC 6749 §2.3.1).
        if request.uri().query().is_some() {
            return Err(OAuthError::invalid_request(
                "Send all parameters in the body, none in the URL.",
            ));
        }
        let (mut parts, body) = request.into_parts();
        let Ok(cx) =
            <Cx as axum::extract::FromRequestParts<App>>::from_request_parts(&mut parts, app).await;
        let mut authorization = parts.headers.get_all(header::AUTHORIZATION).iter();
        let authorization = [authorization.next().cloned(), authorization.next().cloned()];
        let readers = parts.extensions.get::<Readers>().cloned();
        let mut form = Form::from_request(Request::from_parts(parts, body), app)
            .await
            .map_err(|e| OAuthError::invalid_request(e.told()).status(e.status()))?;
        let claim = claim(authorization, &mut form)?;
        let client = secret::verify(claim, &cx).await?;
        if let Some(readers) = readers {
            readers.are(&client.registration.sign_on.cors_origins);
        }
        Ok(Self { client, form, cx })
    }
}

/// Exactly one way of proving (RFC 6749 §2.3); a `client_id` in the body beside Basic is fine when it is the same.
fn claim([first, second]: [Option<HeaderValue>; 2], form: &mut Form) -> Result<Claim, OAuthError> {
    let in_body = form.take_text("client_id");
    let post = form.take("client_secret");
    let assertion = assertion(form)?;
    if second.is_some() {
        return Err(OAuthError::invalid_request(
            "Authorization is given more than once.",
        ));
    }
    let several = || OAuthError::invalid_request("The client authenticates in more than one way.");
    let Some(value) = first else {
        if post.is_some() && assertion.is_some() {
            return Err(several());
        }
        if let Some(assertion) = assertion {
            let client_id = in_body.or_else(|| assertion::subject(assertion.expose()));
            return Ok(Claim {
                client_id: client_id.ok_or_else(|| invalid_client("malformed assertion"))?,
                proof: Proof::Assertion(assertion),
            });
        }
        let client_id = in_body.ok_or_else(|| invalid_client("no client credentials"))?;
        return Ok(Claim {
            client_id,
            proof: post.map_or(Proof::Nothing, Proof::Post),
        });
    };
    let (client_id, secret) = value
        .to_str()
        .ok()
        .and_then(basic)
        .ok_or_else(|| invalid_client("malformed Authorization").challenge())?;
    if post.is_some() || assertion.is_some() {
        return Err(several());
    }
    if in_body.is_some_and(|in_body| in_body != client_id) {
        return Err(OAuthError::invalid_request(
            "The body's client_id is not the one of the Authorization header.",
        ));
    }
    Ok(Claim {
        client_id,
        proof: Proof::Basic(secret),
    })
}

/// The assertion, where one was sent: both parameters, and of the one type that is known.
fn assertion(form: &mut Form) -> Result<Option<Secret<String>>, OAuthError> {
    let kind = form.take_text("client_assertion_type");
    match (form.take("client_assertion"), kind) {
        (None, None) => Ok(None),
        (Some(assertion), Some(kind)) if kind == assertion::TYPE => Ok(Some(assertion)),
        _ => Err(OAuthError::invalid_request(
            "Send client_assertion together with client_assertion_type urn:ietf:params:oauth:client-assertion-type:jwt-bearer.",
        )),
    }
}

/// Reads `Basic …`: base64 of id and secret, each form-encoded (RFC 6749 §2.3.1, RFC 7617 §2).
fn basic(value: &str) -> Option<(String, Secret<String>)> {
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = Secret::new(STANDARD.decode(encoded.trim()).ok()?);
    let colon = pair.expose().iter().position(|b| *b == b':')?;
    let (id, secret) = (&pair.expose()[..colon], &pair.expose()[colon + 1..]);
    Some((
        decode_form(id).ok()?,
        Secret::new(decode_form(secret).ok()?),
    ))
}

/// One refusal for whatever is wrong with the credentials (checklist 39): only the log knows.
pub(super) fn invalid_client(reason: &'static str) -> OAuthError {
    OAuthError::new(OAuthCode::InvalidClient, "Client authentication failed.")
        .status(StatusCode::UNAUTHORIZED)
        .because(reason)
}

/// For the fuzzer.
#[cfg(test)]
pub(crate) fn fuzzed_basic(value: &str) -> bool {
    basic(value).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_is_form_decoded() {
        // RFC 6749 §2.3.1's example, then escapes in both halves.
        let read = |value: &str| basic(value).map(|(id, secret)| (id, secret.expose().clone()));
        assert_eq!(
            read("Basic czZCaGRSa3F0Mzo3RmpmcDBaQnIxS3REUmJuZlZkbUl3"),
            Some(("s6BhdRkqt3".into(), "7Fjfp0ZBr1KtDRbnfVdmIw".into()))
        );
        let encoded = STANDARD.encode("a%3Ab+c:d%25:e");
        assert_eq!(
            read(&format!("bAsIc {encoded}")),
            Some(("a:b c".into(), "d%:e".into()))
        );
        for bad in [
            "Basic",
            "Basic ",
            "Basic %%%",
            "Bearer czZC",
            &format!("Basic {}", STANDARD.encode("no colon")),
            &format!("Basic {}", STANDARD.encode("a:%zz")),
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
