//! `private_key_jwt`: a client proves itself with a short-lived JWT that it signs itself (RFC 7523 §3, OpenID Connect Core §9).

use serde_json::{Map, Value};
use time::{Duration, OffsetDateTime};

use super::keys::Keys;
use crate::clients::Client;
use crate::cx::Cx;
use crate::db::spend::{self, Foreign};
use crate::http::OAuthError;
use crate::jose::{ForeignJwt, Invalid};
use crate::kernel::TokenHash;

/// `client_assertion_type` (RFC 7523 §2.2).
pub(super) const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// How far ahead an assertion may end: longer ones would have to be remembered longer (checklist 37).
const LONGEST: Duration = Duration::minutes(5);
/// How far another clock may be off.
const LEEWAY: Duration = Duration::seconds(10);
/// Bytes of a `jti`.
const LONGEST_ID: usize = 512;

/// Why an assertion does not prove the client: a reason for the log alone, or our own fault.
pub(super) enum Unproven {
    Wrong(&'static str),
    Fault(OAuthError),
}

impl From<Invalid> for Unproven {
    fn from(Invalid(reason): Invalid) -> Self {
        Self::Wrong(reason)
    }
}

/// The client that an assertion speaks for, as it says itself: nothing is proven by that.
pub(super) fn subject(assertion: &str) -> Option<String> {
    let jwt = ForeignJwt::parse(assertion).ok()?;
    Some(jwt.claims().get("sub")?.as_str()?.to_owned())
}

/// Checks an assertion of this client and spends its `jti`. What is signed by somebody else, or wrong, spends nothing.
pub(super) async fn check(assertion: &str, client: &Client, cx: &Cx) -> Result<(), Unproven> {
    let alg = client.registration.assertion_alg;
    let alg = alg.ok_or(Unproven::Wrong("no algorithm is registered"))?;
    let jwt = ForeignJwt::parse(assertion)?;
    // The registered algorithm and no other (checklist 38).
    if !jwt.is_of(alg) {
        return Err(Unproven::Wrong("not the registered algorithm"));
    }
    if jwt.typ().is_some_and(|typ| !TYPES.contains(&typ.as_str())) {
        return Err(Unproven::Wrong("another typ"));
    }
    let issuer = cx.app.config.issuer.as_str();
    let claims = check_claims(jwt.claims(), client.id.as_str(), issuer, cx.now)?;
    let signed = |keys: &Keys| keys.fitting(jwt.kid()).any(|key| jwt.is_signed_by(key));
    let keys = cx.app.client_keys.of(client, cx).await;
    if !signed(&keys) {
        // Perhaps by a key that was published since; one that we know by this name will not get better.
        let known = jwt.kid().is_some() && keys.fitting(jwt.kid()).next().is_some();
        let newer = match known {
            true => None,
            false => cx.app.client_keys.renewed(client, cx).await,
        };
        if !newer.is_some_and(|keys| signed(&keys)) {
            return Err(Unproven::Wrong("no key of the client signed it"));
        }
    }
    let fault = |fault: crate::kernel::Fault| Unproven::Fault(fault.into());
    let id = TokenHash::of(&format!("{} {}", client.id, claims.id));
    let mut connection = cx.connection().await.map_err(fault)?;
    let first = spend::first(
        Foreign::AssertionId,
        &id,
        claims.expires_at + LEEWAY,
        cx.now,
        &mut connection,
    );
    if first.await.map_err(fault)? {
        Ok(())
    } else {
        Err(Unproven::Wrong("its jti was used before"))
    }
}

/// Kinds that an assertion may say that it is; most say nothing.
const TYPES: [&str; 2] = ["jwt", "client-authentication+jwt"];

struct Claims<'c> {
    id: &'c str,
    expires_at: OffsetDateTime,
}

/// RFC 7523 §3, as narrow as FAPI 2.0 §5.3.2.1 has it.
fn check_claims<'c>(
    claims: &'c Map<String, Value>,
    client: &str,
    issuer: &str,
    now: OffsetDateTime,
) -> Result<Claims<'c>, Invalid> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    if text("iss") != Some(client) || text("sub") != Some(client) {
        return Err(Invalid("iss or sub is not the client"));
    }
    // A string and the issuer alone: what is meant for several is good at the others too.
    if text("aud") != Some(issuer) {
        return Err(Invalid("aud is not the issuer"));
    }
    let time = |name: &str| {
        claims.get(name).map(|value| {
            let seconds = value.as_f64().filter(|s| s.is_finite() && s.abs() < 1e11);
            let seconds = seconds.ok_or(Invalid("malformed time"))?;
            #[expect(
                clippy::cast_possible_truncation,
                reason = "whole seconds of a bounded number"
            )]
            let whole = seconds.floor() as i64;
            OffsetDateTime::from_unix_timestamp(whole).map_err(|_| Invalid("malformed time"))
        })
    };
    let expires_at = time("exp").ok_or(Invalid("no exp"))??;
    if expires_at + LEEWAY <= now {
        return Err(Invalid("expired"));
    }
    if expires_at > now + LONGEST {
        return Err(Invalid("exp is more than 5 minutes ahead"));
    }
    for name in ["iat", "nbf"] {
        if let Some(from) = time(name).transpose()?
            && from > now + LEEWAY
        {
            return Err(Invalid("not valid yet"));
        }
    }
    let id = text("jti").filter(|id| (1..=LONGEST_ID).contains(&id.len()));
    Ok(Claims {
        id: id.ok_or(Invalid("no jti"))?,
        expires_at,
    })
}

/// For the fuzzer.
#[cfg(test)]
pub(crate) fn fuzzed_assertion(assertion: &str, now: OffsetDateTime) -> bool {
    subject(assertion).is_some_and(|client| {
        ForeignJwt::parse(assertion)
            .is_ok_and(|jwt| check_claims(jwt.claims(), &client, "https://i", now).is_ok())
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn refused(name: &str, value: Value) -> Option<&'static str> {
        let mut claims = json!({
            "iss": "c_a", "sub": "c_a", "aud": "https://i", "exp": NOW + 60, "iat": NOW, "jti": "1"
        });
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value,
        }
        let now = OffsetDateTime::from_unix_timestamp(NOW).unwrap();
        let checked = check_claims(claims.as_object().unwrap(), "c_a", "https://i", now);
        checked.err().map(|Invalid(reason)| reason)
    }

    #[test]
    fn claims_are_as_narrow_as_they_can_be() {
        // S-36
        for (name, value) in [
            ("exp", json!(NOW + 300)),
            ("exp", json!(NOW - 9)),
            ("exp", json!(NOW as f64 + 60.5)),
            ("iat", json!(NOW + 10)),
            ("nbf", json!(NOW + 10)),
            ("iat", Value::Null),
            ("htu", json!("anything")),
        ] {
            assert_eq!(refused(name, value.clone()), None, "{name} {value}");
        }
        for (name, value, why) in [
            ("iss", Value::Null, "iss or sub is not the client"),
            ("iss", json!("c_b"), "iss or sub is not the client"),
            ("sub", json!("c_b"), "iss or sub is not the client"),
            ("sub", json!(["c_a"]), "iss or sub is not the client"),
            ("aud", Value::Null, "aud is not the issuer"),
            ("aud", json!("https://i/"), "aud is not the issuer"),
            (
                "aud",
                json!("https://i/oauth2/token"),
                "aud is not the issuer",
            ),
            ("aud", json!(["https://i"]), "aud is not the issuer"),
            ("exp", Value::Null, "no exp"),
            ("exp", json!("soon"), "malformed time"),
            ("exp", json!(1e300), "malformed time"),
            ("exp", json!(NOW - 10), "expired"),
            // S-37
            ("exp", json!(NOW + 301), "exp is more than 5 minutes ahead"),
            ("iat", json!(NOW + 11), "not valid yet"),
            ("nbf", json!(NOW + 61), "not valid yet"),
            ("jti", Value::Null, "no jti"),
            ("jti", json!(""), "no jti"),
            ("jti", json!(7), "no jti"),
            ("jti", json!("a".repeat(LONGEST_ID + 1)), "no jti"),
        ] {
            assert_eq!(refused(name, value.clone()), Some(why), "{name} {value}");
        }
    }
}
