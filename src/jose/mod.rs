//! JOSE: signing, verifying and describing keys. The only room that names josekit.

mod alg;
mod foreign;
mod jwk;
mod jwks;
mod ring;
mod rsa;
mod sign;
mod verify;

pub(crate) use alg::Alg;
pub(crate) use foreign::ForeignJwt;
pub(crate) use jwk::PrivateKey;
pub(crate) use jwks::KeySet;
pub(crate) use sign::{ID_TOKEN_ACR, Signer, Typ};
pub(crate) use verify::{Expected, Invalid, LEEWAY, Verifier, check_claims, read_hint, verify};
