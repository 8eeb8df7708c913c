//! Signing in compact serialisation (RFC 7515 §7.1) with a key made ready beforehand.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;

use super::Alg;
use super::ring::RingKey;
use super::rsa::RsaKey;
use crate::kernel::Fault;

/// What a token is; each kind is verified as itself alone (RFC 8725 §3.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::enum_variant_names, reason = "the specifications call them so")]
pub(crate) enum Typ {
    /// RFC 9068 §2.1.
    AccessToken,
    /// OpenID Connect Core §2.
    IdToken,
    /// OpenID Connect Back-Channel Logout 1.0 §2.4.
    LogoutToken,
}

impl Typ {
    pub(super) const ALL: [Self; 3] = [Self::AccessToken, Self::IdToken, Self::LogoutToken];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::AccessToken => "at+jwt",
            Self::IdToken => "JWT",
            Self::LogoutToken => "logout+jwt",
        }
    }
}

/// What every sign-in here is worth (`acr`): a password of the person's own. There are no others yet.
pub(crate) const ID_TOKEN_ACR: &str = "1";

/// A private key that signs.
pub(crate) struct Signer {
    /// The encoded headers, the commonest first.
    headers: [(Typ, String); Typ::ALL.len()],
    key: Key,
}

/// Whichever library is quicker at it.
pub(super) enum Key {
    Ring(Box<RingKey>),
    OpenSsl(RsaKey),
}

impl Signer {
    pub(super) fn new(alg: Alg, kid: &str, key: Key) -> Self {
        let headers = Typ::ALL.map(|typ| (typ, header(alg, kid, typ)));
        Self { headers, key }
    }

    /// Signs `claims` as a JWT of kind `typ`.
    pub(crate) fn sign(&self, typ: Typ, claims: &impl Serialize) -> Result<String, Fault> {
        let fault =
            |e: Box<dyn std::error::Error + Send + Sync>| Fault::internal("signing a token", e);
        let claims = serde_json::to_vec(claims).map_err(|e| fault(e.into()))?;
        let mut token = String::with_capacity(claims.len() * 2 + 512);
        let header = self.headers.iter().find(|(of, _)| *of == typ);
        token.push_str(header.map_or("", |(_, header)| header));
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(&claims, &mut token);
        let message = token.as_bytes();
        let signature = match &self.key {
            Key::Ring(key) => {
                let signature = key.sign(message).map_err(|e| fault(e.into()))?;
                URL_SAFE_NO_PAD.encode(signature)
            }
            Key::OpenSsl(key) => {
                let signature = key.sign(message).map_err(|e| fault(e.into()))?;
                URL_SAFE_NO_PAD.encode(signature)
            }
        };
        token.push('.');
        token.push_str(&signature);
        Ok(token)
    }
}

fn header(alg: Alg, kid: &str, typ: Typ) -> String {
    URL_SAFE_NO_PAD.encode(
        serde_json::json!({ "alg": alg.as_str(), "typ": typ.as_str(), "kid": kid }).to_string(),
    )
}
