//! ID tokens (OpenID Connect Core §2): who signed in, how and when, for the one client that asked.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256, Sha512};

use super::issue::{AMR, SignOn};
use crate::clients::Client;
use crate::cx::Cx;
use crate::jose::{Alg, ID_TOKEN_ACR, Typ};
use crate::kernel::Fault;

/// The claims of its own, for discovery.
pub(crate) const ID_TOKEN_CLAIMS: [&str; 11] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "iat",
    "auth_time",
    "nonce",
    "acr",
    "amr",
    "at_hash",
    "sid",
];

/// Times in seconds since 1970. One audience, so no `azp`.
#[derive(Serialize)]
struct IdTokenClaims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    exp: i64,
    iat: i64,
    auth_time: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<&'a str>,
    acr: &'a str,
    amr: [&'a str; 1],
    at_hash: String,
    sid: String,
    /// Of a closed list ([`crate::users::is_claim`]), so that none can pass for one of those above (checklist 50).
    #[serde(flatten)]
    further: &'a Map<String, Value>,
}

/// The ID token that comes with an access token.
pub(super) fn id_token(
    client: &Client,
    sub: &str,
    access_token: &str,
    sign_on: &SignOn,
    cx: &Cx,
) -> Result<String, Fault> {
    let registered = &client.registration.sign_on;
    let life = registered.id_token_lifetime;
    let life = life.unwrap_or(cx.app.config.tokens.id_token_lifetime);
    let alg = registered.id_token_signed_response_alg;
    let now = cx.now.unix_timestamp();
    let claims = IdTokenClaims {
        iss: cx.app.config.issuer.as_str(),
        sub,
        aud: client.id.as_str(),
        exp: now + i64::from(life.whole_seconds()),
        iat: now,
        auth_time: sign_on.auth_time.unix_timestamp(),
        nonce: sign_on.nonce.as_deref(),
        acr: ID_TOKEN_ACR,
        amr: AMR,
        at_hash: at_hash(alg, access_token),
        sid: sign_on.session_id.to_string(),
        further: &sign_on.further,
    };
    cx.app
        .keyring
        .now()
        .signer(alg)?
        .sign(Typ::IdToken, &claims)
}

/// Core §3.1.3.6: the left half of the hash that the signature's algorithm uses; Ed25519 uses SHA-512.
fn at_hash(alg: Alg, access_token: &str) -> String {
    match alg {
        Alg::EdDsa => URL_SAFE_NO_PAD.encode(&Sha512::digest(access_token)[..32]),
        Alg::Es256 | Alg::Rs256 | Alg::Ps256 => {
            URL_SAFE_NO_PAD.encode(&Sha256::digest(access_token)[..16])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_hash_is_the_specifications() {
        // OpenID Connect Core, appendix A.3.
        let token = "jHkWEdUXMU1BwAsC4vtUsZwnvJp7E_QL2m_JTHMoL3A";
        assert_eq!(
            at_hash(Alg::Rs256, "jHkWEdUXMU1BwAsC4vtUsZwnvTxZxUC_T7C9Vj8-xRk").len(),
            22
        );
        assert_eq!(at_hash(Alg::EdDsa, token).len(), 43);
    }
}
