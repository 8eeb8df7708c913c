//! Verifying our own tokens, by the letter of RFC 8725: the algorithm is the key's, never the header's; what could be read in two
//! ways is refused; a token is taken as one kind, from one issuer, for one audience.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use josekit::jws::JwsVerifier;
use serde_json::{Map, Value};
use time::{Duration, OffsetDateTime};

use super::{Alg, Typ};
use crate::kernel::json;

/// Characters of a token that are looked at.
pub(super) const MAX_CHARS: usize = 16 * 1024;
/// How far another clock may be off (checklist 47).
pub(crate) const LEEWAY: Duration = Duration::seconds(10);
/// Header parameters that would make somebody else's key or rules count; none of our tokens has them.
pub(super) const FOREIGN: [&str; 9] = [
    "crit", "b64", "zip", "enc", "jwk", "jku", "x5u", "x5c", "x5t",
];

/// A public key that verifies signatures of one algorithm.
pub(crate) struct Verifier {
    alg: Alg,
    inner: Box<dyn JwsVerifier>,
}

impl Verifier {
    pub(super) fn new(alg: Alg, inner: Box<dyn JwsVerifier>) -> Self {
        Self { alg, inner }
    }

    pub(super) fn alg(&self) -> Alg {
        self.alg
    }

    /// Whether `signature` is this key's.
    pub(super) fn proves(&self, signed: &[u8], signature: &[u8]) -> bool {
        self.inner.verify(signed, signature).is_ok()
    }
}

/// What a token must be.
pub(crate) struct Expected<'a> {
    pub(crate) typ: Typ,
    pub(crate) issuer: &'a str,
    /// `None`: whichever it has; then the caller decides.
    pub(crate) audience: Option<&'a str>,
    pub(crate) now: OffsetDateTime,
}

/// The token is refused. The text is for the log; the caller never learns which check failed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Invalid(pub(crate) &'static str);

/// Checks form, kind, signature, issuer, audience and times, and gives the claims. `key` finds one of our keys by its `kid`.
pub(crate) fn verify<'k>(
    token: &str,
    expected: &Expected<'_>,
    key: impl FnOnce(&str) -> Option<&'k Verifier>,
) -> Result<Map<String, Value>, Invalid> {
    let claims = read(token, expected.typ, key)?;
    check_claims(&claims, expected)?;
    Ok(claims)
}

/// The claims of a token that is a hint of a person (`id_token_hint`): ours by form, kind, signature and issuer; it may have expired.
pub(crate) fn read_hint<'k>(
    token: &str,
    typ: Typ,
    issuer: &str,
    key: impl FnOnce(&str) -> Option<&'k Verifier>,
) -> Result<Map<String, Value>, Invalid> {
    let claims = read(token, typ, key)?;
    if claims.get("iss").and_then(Value::as_str) == Some(issuer) {
        Ok(claims)
    } else {
        Err(Invalid("another issuer"))
    }
}

/// Checks form, kind and signature.
fn read<'k>(
    token: &str,
    expected: Typ,
    key: impl FnOnce(&str) -> Option<&'k Verifier>,
) -> Result<Map<String, Value>, Invalid> {
    if token.len() > MAX_CHARS {
        return Err(Invalid("too long"));
    }
    let mut parts = token.split('.');
    let (Some(header), Some(payload), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Invalid("not three parts"));
    };
    let signed = &token[..header.len() + 1 + payload.len()];

    let header = object(header)?;
    if FOREIGN.iter().any(|name| header.contains_key(*name)) {
        return Err(Invalid("a header parameter that our tokens never have"));
    }
    // RFC 7515 §4.1.9: without a slash, `application/` is meant; media types know no case.
    let typ = header
        .get("typ")
        .and_then(Value::as_str)
        .unwrap_or("")
        .to_ascii_lowercase();
    if typ.strip_prefix("application/").unwrap_or(&typ) != expected.as_str().to_ascii_lowercase() {
        return Err(Invalid("another typ"));
    }
    let kid = header
        .get("kid")
        .and_then(Value::as_str)
        .ok_or(Invalid("no kid"))?;
    let key = key(kid).ok_or(Invalid("no key of ours"))?;
    if header.get("alg").and_then(Value::as_str) != Some(key.alg.as_str()) {
        return Err(Invalid("not the key's algorithm"));
    }
    let signature = URL_SAFE_NO_PAD
        .decode(signature)
        .map_err(|_| Invalid("malformed signature"))?;
    key.inner
        .verify(signed.as_bytes(), &signature)
        .map_err(|_| Invalid("wrong signature"))?;

    object(payload)
}

/// Checks issuer, audience and times against now.
pub(crate) fn check_claims(
    claims: &Map<String, Value>,
    expected: &Expected<'_>,
) -> Result<(), Invalid> {
    if claims.get("iss").and_then(Value::as_str) != Some(expected.issuer) {
        return Err(Invalid("another issuer"));
    }
    let audience = match (expected.audience, claims.get("aud")) {
        (None, _) => true,
        (Some(expected), Some(Value::String(one))) => one == expected,
        (Some(expected), Some(Value::Array(several))) => several.iter().any(|one| one == expected),
        _ => false,
    };
    if !audience {
        return Err(Invalid("another audience"));
    }
    let time = |name: &str| {
        claims.get(name).map(|v| {
            v.as_i64()
                .and_then(|s| OffsetDateTime::from_unix_timestamp(s).ok())
                .ok_or(Invalid("malformed time"))
        })
    };
    let expires = time("exp").ok_or(Invalid("no exp"))??;
    if expires + LEEWAY <= expected.now {
        return Err(Invalid("expired"));
    }
    for name in ["nbf", "iat"] {
        if let Some(from) = time(name).transpose()?
            && from - LEEWAY > expected.now
        {
            return Err(Invalid("not valid yet"));
        }
    }
    Ok(())
}

/// A part as a JSON object: strict base64url (no padding, line breaks or trailing bits), strict JSON (no key twice).
pub(super) fn object(part: &str) -> Result<Map<String, Value>, Invalid> {
    let bytes = URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| Invalid("malformed base64url"))?;
    match json::parse(&bytes) {
        Ok(Value::Object(object)) => Ok(object),
        _ => Err(Invalid("malformed JSON")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::jose::{PrivateKey, Signer};

    const NOW: i64 = 1_800_000_000;

    struct Keys(Vec<(String, Signer, Verifier, PrivateKey)>);

    impl Keys {
        fn make() -> Self {
            let keys = Alg::ALL.into_iter().map(|alg| {
                let key = PrivateKey::generate(alg, 2048).unwrap();
                let public = key.public();
                let kid = public["kid"].as_str().unwrap().to_owned();
                (
                    kid.clone(),
                    key.signer(&kid).unwrap(),
                    Verifier::from_public(alg, &public).unwrap(),
                    key,
                )
            });
            Self(keys.collect())
        }

        fn verify(&self, token: &str) -> Result<Map<String, Value>, Invalid> {
            let now = OffsetDateTime::from_unix_timestamp(NOW).unwrap();
            let expected = Expected {
                typ: Typ::AccessToken,
                issuer: "https://i",
                audience: Some("https://a"),
                now,
            };
            verify(token, &expected, |kid| {
                self.0.iter().find(|k| k.0 == kid).map(|k| &k.2)
            })
        }
    }

    fn claims() -> Value {
        json!({ "iss": "https://i", "aud": "https://a", "exp": NOW + 60, "iat": NOW })
    }

    fn part(bytes: impl AsRef<[u8]>) -> String {
        URL_SAFE_NO_PAD.encode(bytes)
    }

    #[test]
    fn takes_what_it_signed() {
        let keys = Keys::make();
        for (_, signer, ..) in &keys.0 {
            let token = signer.sign(Typ::AccessToken, &claims()).unwrap();
            assert_eq!(
                keys.verify(&token),
                Ok(claims().as_object().unwrap().clone())
            );
        }
    }

    #[test]
    fn claims_are_enforced() {
        // S-46, S-47
        let keys = Keys::make();
        for (name, value, why) in [
            ("exp", json!(NOW - 10), "expired"),
            ("exp", Value::Null, "malformed time"),
            ("exp", json!("soon"), "malformed time"),
            ("exp", json!(1.5), "malformed time"),
            ("nbf", json!(NOW + 11), "not valid yet"),
            ("iat", json!(NOW + 11), "not valid yet"),
            ("iss", json!("https://i/"), "another issuer"),
            ("aud", json!("https://b"), "another audience"),
            ("aud", json!([]), "another audience"),
        ] {
            let mut changed = claims();
            changed[name] = value;
            let token = keys.0[0].1.sign(Typ::AccessToken, &changed).unwrap();
            assert_eq!(keys.verify(&token), Err(Invalid(why)), "{name}");
        }
        let mut without = claims();
        without.as_object_mut().unwrap().remove("exp");
        let token = keys.0[0].1.sign(Typ::AccessToken, &without).unwrap();
        assert_eq!(keys.verify(&token), Err(Invalid("no exp")));
    }

    #[test]
    fn the_header_decides_nothing() {
        // S-44, S-45, E7: algorithms that the key does not have, keys that the header brings along.
        let keys = Keys::make();
        let token = keys.0[0].1.sign(Typ::AccessToken, &claims()).unwrap();
        let [_, payload, signature] = token.split('.').collect::<Vec<_>>()[..] else {
            panic!()
        };
        let kid = &keys.0[0].0;
        for alg in ["none", "None", "nOnE", "", "HS256", "RS256", "ES384"] {
            let header = part(json!({ "alg": alg, "typ": "at+jwt", "kid": kid }).to_string());
            for signature in [signature, ""] {
                let result = keys.verify(&format!("{header}.{payload}.{signature}"));
                assert_eq!(result, Err(Invalid("not the key's algorithm")), "{alg}");
            }
        }
        for name in FOREIGN {
            let header =
                part(json!({ "alg": "ES256", "typ": "at+jwt", "kid": kid, name: "x" }).to_string());
            assert!(
                keys.verify(&format!("{header}.{payload}.{signature}"))
                    .is_err(),
                "{name}"
            );
        }
    }

    #[test]
    fn other_kinds_are_refused() {
        // S-42
        let keys = Keys::make();
        let (kid, signer, ..) = &keys.0[0];
        for typ in ["JWT", "jwt", "logout+jwt", "dpop+jwt", ""] {
            let header = part(json!({ "alg": "ES256", "typ": typ, "kid": kid }).to_string());
            let signed = signer.sign(Typ::AccessToken, &claims()).unwrap();
            let rest = signed.split_once('.').unwrap().1;
            assert_eq!(
                keys.verify(&format!("{header}.{rest}")),
                Err(Invalid("another typ")),
                "{typ}"
            );
        }
    }

    #[test]
    fn malformed_tokens_are_refused() {
        // S-51
        let keys = Keys::make();
        let token = keys.0[0].1.sign(Typ::AccessToken, &claims()).unwrap();
        let [header, payload, signature] = token.split('.').collect::<Vec<_>>()[..] else {
            panic!()
        };
        let twice = part(r#"{"alg":"ES256","alg":"ES256","typ":"at+jwt"}"#);
        for bad in [
            String::new(),
            "..".to_owned(),
            format!("{token}."),
            format!("{header}.{payload}"),
            format!("{header}=.{payload}.{signature}"),
            format!("{header}.{payload}.{signature}\n"),
            format!("{twice}.{payload}.{signature}"),
            format!("{header}.{payload}.{}", part(b"short")),
            format!("{}.{payload}.{signature}", part(b"[]")),
            format!("{}.{payload}.{signature}", part(b"\xff")),
            "a".repeat(MAX_CHARS + 1),
        ] {
            assert!(keys.verify(&bad).is_err(), "{bad}");
        }
        let mut flipped = token.into_bytes();
        for at in 0..flipped.len() {
            flipped[at] ^= 1;
            assert!(
                keys.verify(&String::from_utf8_lossy(&flipped)).is_err(),
                "byte {at}"
            );
            flipped[at] ^= 1;
        }
    }
}
