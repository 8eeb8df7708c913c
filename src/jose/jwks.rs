//! Other people's public keys as a JWK Set (RFC 7517 §5), read with suspicion.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::Alg;
use super::jwk::verifier;
use super::verify::Verifier;

/// Keys in a set.
const MOST_KEYS: usize = 20;
/// Bytes of a set as JSON.
const LARGEST: usize = 16 * 1024;
/// Members that only the owner of a key may know (RFC 7518 §6.2.2, §6.3.2, §6.4.1).
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// A client's public keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeySet(Map<String, Value>);

impl KeySet {
    /// Reads a set. Fails with what is expected: too large, too many keys, a private key, RSA under 2048 bits, a key that can't be read.
    ///
    /// Keys of kinds that Doorward does not verify with are kept and never used (RFC 7517 §5).
    pub(crate) fn read(set: Value) -> Result<Self, &'static str> {
        let Value::Object(set) = set else {
            return Err("a JWK Set: an object with keys");
        };
        if serde_json::to_vec(&set).map_or(true, |bytes| bytes.len() > LARGEST) {
            return Err("a JWK Set of at most 16 KiB");
        }
        let keys = set.get("keys").and_then(Value::as_array);
        let keys = keys.ok_or("a JWK Set: an object with keys")?;
        if !(1..=MOST_KEYS).contains(&keys.len()) {
            return Err("1 to 20 keys");
        }
        for key in keys {
            let key = key.as_object().ok_or("keys that are objects")?;
            if PRIVATE.iter().any(|name| key.contains_key(*name)) {
                return Err("public keys only; a private one was sent and must be replaced");
            }
            for alg in Alg::ALL {
                if fits(alg, key) && load(alg, key).is_none() {
                    return Err(
                        "keys that can be read: RSA of 2048 to 4096 bits, P-256 or Ed25519",
                    );
                }
            }
        }
        Ok(Self(set))
    }

    /// Whether any key verifies this algorithm.
    pub(crate) fn has(&self, alg: Alg) -> bool {
        self.keys().any(|key| fits(alg, key))
    }

    /// The set as it is stored and shown.
    pub(crate) fn to_json(&self) -> Value {
        Value::Object(self.0.clone())
    }

    /// What verifies this algorithm, with the `kid` where the key has one. Parsing a key is dear: keep what is given.
    pub(crate) fn verifiers(&self, alg: Alg) -> Vec<(Option<String>, Verifier)> {
        let fitting = self.keys().filter(|key| fits(alg, key));
        let loaded = fitting.filter_map(|key| Some((kid(key), load(alg, key)?)));
        loaded.collect()
    }

    fn keys(&self) -> impl Iterator<Item = &Map<String, Value>> {
        let keys = self.0.get("keys").and_then(Value::as_array);
        keys.into_iter().flatten().filter_map(Value::as_object)
    }
}

fn kid(key: &Map<String, Value>) -> Option<String> {
    Some(key.get("kid")?.as_str()?.to_owned())
}

/// Whether a key is meant for this algorithm: by its kind, and by `use`, `key_ops` and `alg` where it says (RFC 7517 §4).
fn fits(alg: Alg, key: &Map<String, Value>) -> bool {
    let text = |name: &str| key.get(name).and_then(Value::as_str);
    let kind = match alg {
        Alg::Es256 => text("kty") == Some("EC") && text("crv") == Some("P-256"),
        Alg::EdDsa => text("kty") == Some("OKP") && text("crv") == Some("Ed25519"),
        Alg::Rs256 | Alg::Ps256 => text("kty") == Some("RSA"),
    };
    let signs = text("use").is_none_or(|purpose| purpose == "sig");
    let verifies = key.get("key_ops").is_none_or(|ops| {
        ops.as_array()
            .is_some_and(|ops| ops.iter().any(|op| op == "verify"))
    });
    kind && signs && verifies && text("alg").is_none_or(|named| named == alg.as_str())
}

/// The key's required members alone, so that nothing else of a stranger's key has a say.
fn load(alg: Alg, key: &Map<String, Value>) -> Option<Verifier> {
    let members: &[&str] = match alg {
        Alg::Es256 => &["kty", "crv", "x", "y"],
        Alg::EdDsa => &["kty", "crv", "x"],
        Alg::Rs256 | Alg::Ps256 => &["kty", "n", "e"],
    };
    let mut bare = Map::new();
    for name in members {
        bare.insert((*name).to_owned(), key.get(*name)?.clone());
    }
    if matches!(alg, Alg::Rs256 | Alg::Ps256) && !is_fit_modulus(&bare) {
        return None;
    }
    Some(Verifier::new(alg, verifier(alg, &bare).ok()?))
}

/// 2048 to 4096 bits, and an odd public exponent above 1 of at most 4 bytes: a larger one makes verifying slow.
fn is_fit_modulus(key: &Map<String, Value>) -> bool {
    let bytes = |name: &str| {
        let text = key.get(name)?.as_str()?;
        URL_SAFE_NO_PAD.decode(text).ok()
    };
    let (Some(n), Some(e)) = (bytes("n"), bytes("e")) else {
        return false;
    };
    let bare = |bytes: Vec<u8>| -> Vec<u8> { bytes.into_iter().skip_while(|b| *b == 0).collect() };
    let (n, e) = (bare(n), bare(e));
    (2048..=4096).contains(&(n.len() * 8))
        && e.len() <= 4
        && e != [1]
        && e.last().is_some_and(|b| b % 2 == 1)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::jose::PrivateKey;

    fn public(alg: Alg) -> Value {
        Value::Object(PrivateKey::generate(alg, 2048).unwrap().public())
    }

    #[test]
    fn reads_public_keys_alone() {
        let keys: Vec<Value> = Alg::ALL.into_iter().map(public).collect();
        let set = KeySet::read(json!({ "keys": keys })).unwrap();
        for alg in Alg::ALL {
            assert!(set.has(alg));
            assert_eq!(
                set.verifiers(alg).len(),
                1,
                "{alg:?}: as the key's alg says"
            );
        }
        let mut private = public(Alg::Es256);
        private["d"] = json!("AQAB");
        let mut torn = public(Alg::Es256);
        torn["x"] = json!("AQAB");
        let mut short = public(Alg::Rs256);
        short["n"] = json!("AQAB");
        let mut slow = public(Alg::Rs256);
        slow["e"] = json!("AQABAQAB");
        let symmetric = json!({ "kty": "oct", "k": "AQAB" });
        for bad in [
            json!([]),
            json!({}),
            json!({ "keys": {} }),
            json!({ "keys": [] }),
            json!({ "keys": [1] }),
            json!({ "keys": [private] }),
            json!({ "keys": [torn] }),
            json!({ "keys": [short] }),
            json!({ "keys": [slow] }),
            json!({ "keys": [symmetric] }),
            json!({ "keys": vec![public(Alg::EdDsa); 21] }),
            json!({ "keys": [public(Alg::EdDsa)], "x": "a".repeat(LARGEST) }),
        ] {
            assert!(KeySet::read(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_key_is_used_as_it_says_alone() {
        let mut key = public(Alg::Rs256);
        key.as_object_mut().unwrap().remove("alg");
        let both = KeySet::read(json!({ "keys": [key] })).unwrap();
        assert!(both.has(Alg::Rs256) && both.has(Alg::Ps256) && !both.has(Alg::Es256));
        for (name, value) in [
            ("use", json!("enc")),
            ("key_ops", json!(["encrypt"])),
            ("alg", json!("RS512")),
        ] {
            let mut other = key.clone();
            other[name] = value;
            let set = KeySet::read(json!({ "keys": [other] })).unwrap();
            assert!(!set.has(Alg::Rs256), "{name}");
            assert!(set.verifiers(Alg::Rs256).is_empty(), "{name}");
        }
        // What Doorward can't use is no mistake.
        let strange = json!({ "keys": [{ "kty": "EC", "crv": "P-521", "x": "AA", "y": "AA" }] });
        assert!(KeySet::read(strange).is_ok_and(|set| !set.has(Alg::Es256)));
    }
}
