//! ES256 and EdDSA by ring: a third faster than OpenSSL's (docs/adr/0006-two-crypto-libraries.md).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use josekit::jwk::Jwk;
use ring::error::Unspecified;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, Signature};

use crate::kernel::{Fault, Secret};

/// A private key on P-256 or Ed25519, ready to sign.
pub(super) enum RingKey {
    Es256(EcdsaKeyPair, SystemRandom),
    EdDsa(Ed25519KeyPair),
}

impl RingKey {
    pub(super) fn es256(jwk: &Jwk) -> Result<Self, Fault> {
        let mut public = vec![4];
        public.extend(member(jwk, "x")?.expose());
        public.extend(member(jwk, "y")?.expose());
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::from_private_key_and_public_key(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            member(jwk, "d")?.expose(),
            &public,
            &random,
        );
        let key = key.map_err(|e| Fault::internal("loading a signing key", e))?;
        Ok(Self::Es256(key, random))
    }

    pub(super) fn ed25519(jwk: &Jwk) -> Result<Self, Fault> {
        let (seed, public) = (member(jwk, "d")?, member(jwk, "x")?);
        let key = Ed25519KeyPair::from_seed_and_public_key(seed.expose(), public.expose());
        let key = key.map_err(|e| Fault::internal("loading a signing key", e))?;
        Ok(Self::EdDsa(key))
    }

    /// R and S, 32 bytes each (RFC 7518 §3.4, RFC 8032 §5.1.6).
    pub(super) fn sign(&self, message: &[u8]) -> Result<Signature, Unspecified> {
        match self {
            Self::Es256(key, random) => key.sign(random, message),
            Self::EdDsa(key) => Ok(key.sign(message)),
        }
    }
}

fn member(jwk: &Jwk, name: &str) -> Result<Secret<Vec<u8>>, Fault> {
    let text = jwk.parameter(name).and_then(|value| value.as_str());
    let bytes = text.and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
    bytes.map(Secret::new).ok_or_else(|| {
        let text = format!("its {name} can't be read");
        Fault::internal("loading a signing key", text)
    })
}
