//! Secrets that can't be printed, and the hashes by which we know those that come back.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// A value that has no `Debug`, `Display` or `Serialize`, so that logging it is a compile error; wiped when dropped.
#[derive(Clone)]
pub struct Secret<T: Zeroize>(T);

impl<T: Zeroize> Secret<T> {
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself. Each call is a place to ask where it goes.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> Secret<T> {
    /// To be filled in.
    pub(crate) fn expose_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<'de> serde::Deserialize<'de> for Secret<String> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

/// SHA-256 of a secret of 256 random bits: all that we keep of it. There is no `==`, only [`TokenHash::matches`].
#[derive(Clone)]
pub(crate) struct TokenHash([u8; 32]);

impl TokenHash {
    pub(crate) fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret.as_bytes()).into())
    }

    /// A hash as it was stored; `None` unless it has 32 bytes.
    pub(crate) fn from_stored(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Compares in constant time.
    pub(crate) fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // S-166: printing or serialising a secret does not compile.
    static_assertions::assert_not_impl_any!(Secret<String>: std::fmt::Debug, std::fmt::Display, serde::Serialize);
    static_assertions::assert_not_impl_any!(TokenHash: std::fmt::Debug, std::fmt::Display, serde::Serialize, PartialEq);

    #[test]
    fn a_hash_matches_its_secret_alone() {
        let hash = TokenHash::of("a");
        assert!(hash.matches(&TokenHash::of("a")));
        assert!(!hash.matches(&TokenHash::of("b")));
        assert!(TokenHash::from_stored(hash.as_bytes()).is_some_and(|h| h.matches(&hash)));
        assert!(TokenHash::from_stored(b"short").is_none());
    }
}
