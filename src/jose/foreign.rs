//! A JWT that somebody else signed, read before it is known whether to believe it (RFC 7523 §3, RFC 8725).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::verify::{FOREIGN, MAX_CHARS, object};
use super::{Alg, Invalid, Verifier};

/// Its parts. Nothing of it counts until [`ForeignJwt::is_signed_by`] holds.
pub(crate) struct ForeignJwt<'t> {
    header: Map<String, Value>,
    claims: Map<String, Value>,
    signed: &'t str,
    signature: Vec<u8>,
}

impl<'t> ForeignJwt<'t> {
    /// Reads the compact serialisation strictly: three parts, no key twice, no header parameter that would bring its own key or rules.
    pub(crate) fn parse(token: &'t str) -> Result<Self, Invalid> {
        if token.len() > MAX_CHARS {
            return Err(Invalid("too long"));
        }
        let mut parts = token.split('.');
        let (Some(header), Some(claims), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Invalid("not three parts"));
        };
        let signed = &token[..header.len() + 1 + claims.len()];
        let header = object(header)?;
        if FOREIGN.iter().any(|name| header.contains_key(*name)) {
            return Err(Invalid("a header parameter that is not taken"));
        }
        Ok(Self {
            header,
            claims: object(claims)?,
            signed,
            signature: URL_SAFE_NO_PAD
                .decode(signature)
                .map_err(|_| Invalid("malformed signature"))?,
        })
    }

    /// Which key it names.
    pub(crate) fn kid(&self) -> Option<&str> {
        self.header.get("kid").and_then(Value::as_str)
    }

    /// What kind it says that it is, lower-case and without `application/` (RFC 7515 §4.1.9).
    pub(crate) fn typ(&self) -> Option<String> {
        let typ = self.header.get("typ")?.as_str().unwrap_or("");
        let typ = typ.to_ascii_lowercase();
        Some(typ.strip_prefix("application/").unwrap_or(&typ).to_owned())
    }

    pub(crate) fn is_of(&self, alg: Alg) -> bool {
        self.header.get("alg").and_then(Value::as_str) == Some(alg.as_str())
    }

    /// Whether this key signed it, by its own algorithm: the header has no say.
    pub(crate) fn is_signed_by(&self, key: &Verifier) -> bool {
        self.is_of(key.alg()) && key.proves(self.signed.as_bytes(), &self.signature)
    }

    pub(crate) fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }
}
