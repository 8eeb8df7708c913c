//! What a registration says.

use std::borrow::Cow;
use std::fmt;

use time::OffsetDateTime;

use super::{About, AuthMethod, Grant, SignOn};
use crate::jose::{Alg, KeySet};
use crate::kernel::ScopeSet;
use crate::kernel::span::Span;

/// What is registered of a client.
#[derive(Clone)]
pub(crate) struct Registration {
    pub(crate) name: String,
    pub(crate) auth_method: AuthMethod,
    /// What its assertions are signed with (`token_endpoint_auth_signing_alg`); set exactly where it proves itself with assertions.
    pub(crate) assertion_alg: Option<Alg>,
    /// Its public keys.
    pub(crate) keys: Option<KeySource>,
    pub(crate) grants: Vec<Grant>,
    pub(crate) scopes: ScopeSet,
    /// Audiences that the client may ask tokens for.
    pub(crate) audiences: Vec<String>,
    /// The audience that the client is.
    pub(crate) serves: Option<String>,
    pub(crate) signing_alg: Alg,
    pub(crate) access_token_lifetime: Option<Span>,
    /// The password grant ends then.
    pub(crate) password_grant_until: Option<OffsetDateTime>,
    pub(crate) sign_on: SignOn,
    pub(crate) about: About,
}

/// Where a client's public keys come from: `jwks` or `jwks_uri`, never both (RFC 7591 §2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeySource {
    ByValue(KeySet),
    ByUri(String),
}

/// A member of a registration that is refused, and what is expected.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RegistrationError {
    /// Its name in the document.
    pub(crate) part: Cow<'static, str>,
    /// In a sentence.
    pub(crate) detail: String,
}

impl fmt::Display for RegistrationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.part, self.detail)
    }
}

impl Registration {
    /// A registration of this name that may do nothing yet; everything else has its default.
    pub(crate) fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            auth_method: AuthMethod::ClientSecretBasic,
            assertion_alg: None,
            keys: None,
            grants: Vec::new(),
            scopes: ScopeSet::default(),
            audiences: Vec::new(),
            serves: None,
            signing_alg: Alg::Es256,
            access_token_lifetime: None,
            password_grant_until: None,
            sign_on: SignOn::default(),
            about: About::default(),
        }
    }

    pub(crate) fn may(&self, grant: Grant) -> bool {
        self.grants.contains(&grant)
    }
}

/// What a client signs its assertions with where its registration does not say: the first algorithm that its set by value has a key for,
/// else ES256. One is registered, and no other is taken (checklist 38), where OpenID Connect Registration §2 would take any.
pub(crate) fn likely_alg(keys: Option<&KeySource>) -> Alg {
    let fits = |alg: &Alg| matches!(keys, Some(KeySource::ByValue(set)) if set.has(*alg));
    Alg::ALL.into_iter().find(fits).unwrap_or(Alg::Es256)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::jose::PrivateKey;

    #[test]
    fn the_likely_algorithm_is_one_that_a_key_is_for() {
        let by_value = |alg| {
            let key = Value::Object(PrivateKey::generate(alg, 2048).unwrap().public());
            let set = KeySet::read(json!({ "keys": [key] })).ok();
            likely_alg(set.map(KeySource::ByValue).as_ref())
        };
        for alg in [Alg::Es256, Alg::EdDsa, Alg::Rs256, Alg::Ps256] {
            assert_eq!(by_value(alg), alg);
        }
        let uri = KeySource::ByUri("https://shop.example/jwks.json".to_owned());
        assert_eq!(likely_alg(Some(&uri)), Alg::Es256);
    }
}
