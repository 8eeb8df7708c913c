//! RS256 and PS256 by OpenSSL, with as little around the exponentiation as there can be: josekit's signer looks up digest and padding anew
//! for each signature, which costs a fifth of it.

use josekit::jwk::Jwk;
use josekit::jwk::KeyPair;
use josekit::jwk::alg::rsa::RsaKeyPair;
use openssl::error::ErrorStack;
use openssl::md::Md;
use openssl::pkey::{PKey, Private};
use openssl::pkey_ctx::PkeyCtx;
use openssl::rsa::Padding;
use openssl::sign::RsaPssSaltlen;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::kernel::Fault;

/// A private RSA key, ready to sign.
pub(super) struct RsaKey {
    key: PKey<Private>,
    padding: Padding,
}

impl RsaKey {
    /// For a private JWK; `padding` PKCS #1 v1.5 (RS256, RFC 7518 §3.3) or PSS (PS256, §3.5).
    pub(super) fn new(jwk: &Jwk, padding: Padding) -> Result<Self, Fault> {
        let pair = RsaKeyPair::from_jwk(jwk);
        let pair = pair.map_err(|e| Fault::internal("loading a signing key", e))?;
        let der = Zeroizing::new(pair.to_der_private_key());
        let key = PKey::private_key_from_der(&der);
        let key = key.map_err(|e| Fault::internal("loading a signing key", e))?;
        Ok(Self { key, padding })
    }

    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, ErrorStack> {
        let digest = Sha256::digest(message);
        let mut context = PkeyCtx::new(&self.key)?;
        context.sign_init()?;
        context.set_rsa_padding(self.padding)?;
        context.set_signature_md(Md::sha256())?;
        if self.padding == Padding::PKCS1_PSS {
            context.set_rsa_pss_saltlen(RsaPssSaltlen::DIGEST_LENGTH)?;
            context.set_rsa_mgf1_md(Md::sha256())?;
        }
        let mut signature = Vec::with_capacity(self.key.size());
        context.sign_to_vec(&digest, &mut signature)?;
        Ok(signature)
    }
}
