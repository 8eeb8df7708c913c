//! Tokens whose signature was checked a moment ago. A service sends the same token with each of its requests, and checking an ES256
//! signature costs more than everything else about them.

use moka::sync::Cache;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::sync::Arc;

use crate::jose::{Expected, Invalid, check_claims, verify};
use crate::keys::Keys;

/// Strangers can't grow it: only tokens that are ours come in.
const MOST: u64 = 10_000;

struct Good {
    kid: String,
    claims: Map<String, Value>,
}

/// The tokens, by their SHA-256.
pub(crate) struct SeenTokens(Cache<[u8; 32], Arc<Good>>);

impl SeenTokens {
    pub(crate) fn new() -> Self {
        Self(Cache::new(MOST))
    }

    /// The claims of a good token. Form and signature may have been checked before; that its key still counts, and what the claims
    /// say of now, is checked each time.
    pub(super) fn verify(
        &self,
        token: &str,
        expected: &Expected<'_>,
        keys: &Keys,
    ) -> Result<Map<String, Value>, Invalid> {
        let hash: [u8; 32] = Sha256::digest(token).into();
        if let Some(good) = self.0.get(&hash) {
            if keys.verifier(&good.kid).is_none() {
                self.0.invalidate(&hash);
                return Err(Invalid("no key of ours"));
            }
            check_claims(&good.claims, expected)?;
            return Ok(good.claims.clone());
        }
        let mut kid = None;
        let claims = verify(token, expected, |named| {
            kid = Some(named.to_owned());
            keys.verifier(named)
        })?;
        if let Some(kid) = kid {
            let claims = claims.clone();
            self.0.insert(hash, Arc::new(Good { kid, claims }));
        }
        Ok(claims)
    }
}
