//! Keys as JWKs (RFC 7517): private ones to be sealed, public ones to be published.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use josekit::jwk::alg::ec::{EcCurve, EcKeyPair};
use josekit::jwk::alg::ed::{EdCurve, EdKeyPair};
use josekit::jwk::alg::rsa::RsaKeyPair;
use josekit::jwk::{Jwk, KeyPair};
use josekit::jws::{ES256, EdDSA, PS256, RS256};
use openssl::rsa::Padding;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::ring::RingKey;
use super::rsa::RsaKey;
use super::sign::{Key, Signer};
use super::{Alg, Verifier};
use crate::kernel::{Fault, Secret};

/// A private signing key.
pub(crate) struct PrivateKey {
    alg: Alg,
    jwk: Jwk,
}

impl PrivateKey {
    /// Makes a key; `rsa_bits` counts for RSA alone.
    pub(crate) fn generate(alg: Alg, rsa_bits: u32) -> Result<Self, Fault> {
        let fault = |e| Fault::internal("making a signing key", e);
        let jwk = match alg {
            Alg::Es256 => ES256.generate_key_pair().map_err(fault)?.to_jwk_key_pair(),
            Alg::Rs256 => RS256
                .generate_key_pair(rsa_bits)
                .map_err(fault)?
                .to_jwk_key_pair(),
            Alg::Ps256 => PS256
                .generate_key_pair(rsa_bits)
                .map_err(fault)?
                .to_jwk_key_pair(),
            Alg::EdDsa => EdDSA
                .generate_key_pair(EdCurve::Ed25519)
                .map_err(fault)?
                .to_jwk_key_pair(),
        };
        Ok(Self { alg, jwk })
    }

    /// A key that was made elsewhere, in PEM: PKCS#8, or the older SEC1 and PKCS#1. Fails with what is expected.
    pub(crate) fn from_pem(alg: Alg, pem: &[u8]) -> Result<Self, &'static str> {
        let jwk = match alg {
            Alg::Es256 => EcKeyPair::from_pem(pem, Some(EcCurve::P256))
                .map_err(|_| "a private key on P-256 in PEM")?
                .to_jwk_key_pair(),
            Alg::EdDsa => EdKeyPair::from_pem(pem)
                .ok()
                .filter(|key| key.curve() == EdCurve::Ed25519)
                .ok_or("a private Ed25519 key in PEM")?
                .to_jwk_key_pair(),
            Alg::Rs256 | Alg::Ps256 => {
                const EXPECTED: &str = "a private RSA key of 2048 to 4096 bits in PEM";
                let key = RsaKeyPair::from_pem(pem).map_err(|_| EXPECTED)?;
                if !(2048 / 8..=4096 / 8).contains(&key.key_len()) {
                    return Err(EXPECTED);
                }
                key.to_jwk_key_pair()
            }
        };
        Ok(Self { alg, jwk })
    }

    /// The key as JSON, to be sealed.
    pub(crate) fn to_json(&self) -> Secret<String> {
        Secret::new(self.jwk.to_string())
    }

    /// A key as [`PrivateKey::to_json`] gave it.
    pub(crate) fn from_json(alg: Alg, json: &[u8]) -> Result<Self, Fault> {
        let jwk = Jwk::from_bytes(json).map_err(|e| Fault::internal("reading a signing key", e))?;
        Ok(Self { alg, jwk })
    }

    /// The public half for JWKS: public members only, `kid` (the thumbprint), `use` and `alg` (checklist 54).
    pub(crate) fn public(&self) -> Map<String, Value> {
        let members: &[&str] = match self.alg {
            Alg::Es256 => &["kty", "crv", "x", "y"],
            Alg::EdDsa => &["kty", "crv", "x"],
            Alg::Rs256 | Alg::Ps256 => &["kty", "n", "e"],
        };
        let all: &Map<String, Value> = self.jwk.as_ref();
        let mut public: Map<String, Value> = members
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), all.get(*name)?.clone())))
            .collect();
        let kid = thumbprint(&public);
        public.insert("kid".to_owned(), kid.into());
        public.insert("use".to_owned(), "sig".into());
        public.insert("alg".to_owned(), self.alg.as_str().into());
        public
    }

    /// What signs with this key. Parsing costs as much as 16 signatures: make it once.
    pub(crate) fn signer(&self, kid: &str) -> Result<Signer, Fault> {
        let key = match self.alg {
            Alg::Es256 => Key::Ring(Box::new(RingKey::es256(&self.jwk)?)),
            Alg::EdDsa => Key::Ring(Box::new(RingKey::ed25519(&self.jwk)?)),
            Alg::Rs256 => Key::OpenSsl(RsaKey::new(&self.jwk, Padding::PKCS1)?),
            Alg::Ps256 => Key::OpenSsl(RsaKey::new(&self.jwk, Padding::PKCS1_PSS)?),
        };
        Ok(Signer::new(self.alg, kid, key))
    }
}

/// What verifies with this public key and this algorithm alone.
pub(super) fn verifier(
    alg: Alg,
    public: &Map<String, Value>,
) -> Result<Box<dyn josekit::jws::JwsVerifier>, Fault> {
    let fault = |e| Fault::internal("loading a public key", e);
    let jwk = Jwk::from_map(public.clone()).map_err(fault)?;
    Ok(match alg {
        Alg::Es256 => Box::new(ES256.verifier_from_jwk(&jwk).map_err(fault)?),
        Alg::Rs256 => Box::new(RS256.verifier_from_jwk(&jwk).map_err(fault)?),
        Alg::Ps256 => Box::new(PS256.verifier_from_jwk(&jwk).map_err(fault)?),
        Alg::EdDsa => Box::new(EdDSA.verifier_from_jwk(&jwk).map_err(fault)?),
    })
}

impl Verifier {
    /// For a public JWK as [`PrivateKey::public`] gave it.
    pub(crate) fn from_public(alg: Alg, public: &Map<String, Value>) -> Result<Self, Fault> {
        Ok(Self::new(alg, verifier(alg, public)?))
    }
}

/// The SHA-256 thumbprint of a public key (RFC 7638 §3): the hash of its required members in lexicographic order.
fn thumbprint(public: &Map<String, Value>) -> String {
    let required = match public.get("kty").and_then(Value::as_str) {
        Some("EC") => &["crv", "kty", "x", "y"][..],
        Some("OKP") => &["crv", "kty", "x"],
        _ => &["e", "kty", "n"],
    };
    let members: Vec<String> = required
        .iter()
        .map(|name| format!("\"{name}\":{}", public.get(*name).unwrap_or(&Value::Null)))
        .collect();
    URL_SAFE_NO_PAD.encode(Sha256::digest(format!("{{{}}}", members.join(","))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thumbprint_of_the_rfc() {
        // RFC 7638 §3.1
        let key = serde_json::json!({
            "kty": "RSA",
            "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
            "e": "AQAB",
            "alg": "RS256",
            "kid": "2011-04-29"
        });
        assert_eq!(
            thumbprint(key.as_object().unwrap()),
            "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
        );
    }

    #[test]
    fn a_public_key_has_public_members_alone() {
        // S-54
        for alg in Alg::ALL {
            let public = PrivateKey::generate(alg, 2048).unwrap().public();
            for secret in ["d", "p", "q", "dp", "dq", "qi", "k", "oth"] {
                assert!(!public.contains_key(secret), "{secret} in {public:?}");
            }
            assert_eq!(public["alg"], alg.as_str());
            assert_eq!(public["use"], "sig");
            assert!(public["kid"].as_str().is_some_and(|kid| kid.len() == 43));
        }
    }
}
