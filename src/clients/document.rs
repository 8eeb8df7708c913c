//! A client as JSON, flat: the names of the specifications where they have them, Doorward's own for the rest. Written for answers, and
//! read strictly from requests: in these an absent member and `null` mean the same, its default.

use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{
    About, ApplicationType, AuthMethod, Client, Grant, KeySource, Registration, RegistrationError,
    ResponseMode, SignOn, StoredSecret, likely_alg,
};
use crate::jose::{Alg, KeySet};
use crate::kernel::ScopeSet;
use crate::kernel::clock::rfc3339;
use crate::kernel::span::Span;

/// Members that the server owns: accepted where they are unchanged, refused by name where they are changed, and on create always.
pub(super) const OWNED: [&str; 4] = ["client_id", "version", "created_at", "updated_at"];

impl Client {
    /// The client as callers see it. Never a secret.
    pub(crate) fn view(&self) -> Value {
        Value::Object(self.to_json())
    }

    pub(super) fn to_json(&self) -> Map<String, Value> {
        let mut members = Map::new();
        members.insert("client_id".to_owned(), json!(self.id));
        members.extend(self.registration.to_json());
        members.insert("version".to_owned(), json!(self.version));
        members.insert("created_at".to_owned(), json!(rfc3339(self.created_at)));
        members.insert("updated_at".to_owned(), json!(rfc3339(self.updated_at)));
        members
    }
}

impl StoredSecret {
    /// What is told of a secret: all but the secret.
    pub(crate) fn view(&self) -> Value {
        json!({
            "id": self.id,
            "created_at": rfc3339(self.created_at),
            "expires_at": self.expires_at.map(rfc3339),
            "last_used_at": self.last_used_at.map(rfc3339),
        })
    }
}

impl Registration {
    /// The writable members; those that are not set are null.
    pub(crate) fn to_json(&self) -> Map<String, Value> {
        let (jwks, jwks_uri) = match &self.keys {
            Some(KeySource::ByValue(set)) => (Some(set.to_json()), None),
            Some(KeySource::ByUri(uri)) => (None, Some(uri)),
            None => (None, None),
        };
        let mut members = Map::new();
        let mut put = |name: &str, value: Value| members.insert(name.to_owned(), value);
        put("client_name", json!(self.name));
        put(
            "token_endpoint_auth_method",
            json!(self.auth_method.as_str()),
        );
        put("token_endpoint_auth_signing_alg", json!(self.assertion_alg));
        put("jwks", json!(jwks));
        put("jwks_uri", json!(jwks_uri));
        let grants: Vec<_> = self.grants.iter().map(|grant| grant.as_str()).collect();
        put("grant_types", json!(grants));
        let code = self.may(Grant::AuthorizationCode).then_some("code");
        put("response_types", json!(Vec::from_iter(code)));
        put("scope", json!(self.scopes));
        put("audiences", json!(self.audiences));
        put("serves", json!(self.serves));
        put("access_token_signing_alg", json!(self.signing_alg));
        let lifetime = self.access_token_lifetime.map(Span::whole_seconds);
        put("access_token_lifetime", json!(lifetime));
        put(
            "password_grant_until",
            json!(self.password_grant_until.map(rfc3339)),
        );
        for part in [
            serde_json::to_value(&self.sign_on),
            serde_json::to_value(&self.about),
        ] {
            if let Ok(Value::Object(part)) = part {
                members.extend(part);
            }
        }
        members
    }

    /// Reads a whole registration from a document without the server's own members. All that is wrong is told at once; what the
    /// members may hold together is [`Registration::check`]'s.
    pub(super) fn from_json(document: Map<String, Value>) -> Result<Self, Vec<RegistrationError>> {
        let mut reader = Reader::of(document);
        let registration = reader.registration();
        let unknown: Vec<String> = reader.members.keys().cloned().collect();
        for name in unknown {
            reader.refuse(name, "There is no such member.");
        }
        reader.end(registration)
    }

    /// The same from the metadata that a client sends of itself (RFC 7591 §2): what Doorward does not know is ignored, and of the
    /// members that only an operator may set nothing is read at all (checklist 156).
    pub(crate) fn from_metadata(
        document: Map<String, Value>,
    ) -> Result<Self, Vec<RegistrationError>> {
        let mut reader = Reader::of(document);
        for name in [
            "first_party",
            "serves",
            "audiences",
            "password_grant_until",
            "access_token_lifetime",
            "access_token_signing_alg",
            "id_token_lifetime",
            "refresh_token_lifetime",
            "refresh_token_idle_lifetime",
            "require_pkce",
        ] {
            reader.members.remove(name);
        }
        if reader.text("subject_type").is_some_and(|t| t != "public") {
            reader.refuse(
                "subject_type",
                "Expected public: there are no pairwise subjects.",
            );
        }
        for name in [
            "id_token_encrypted_response_alg",
            "userinfo_signed_response_alg",
            "userinfo_encrypted_response_alg",
            "request_object_signing_alg",
            "request_object_encryption_alg",
            "software_statement",
            "sector_identifier_uri",
        ] {
            if reader.take(name).is_some() {
                reader.refuse(name, "Doorward does not support this.");
            }
        }
        let registration = reader.registration();
        reader.end(registration)
    }
}

/// Takes members out of a document; what is left at the end is unknown.
struct Reader {
    members: Map<String, Value>,
    wrong: Vec<RegistrationError>,
}

impl Reader {
    fn of(members: Map<String, Value>) -> Self {
        Self {
            members,
            wrong: Vec::new(),
        }
    }

    fn end(self, registration: Registration) -> Result<Registration, Vec<RegistrationError>> {
        if self.wrong.is_empty() {
            Ok(registration)
        } else {
            Err(self.wrong)
        }
    }

    fn registration(&mut self) -> Registration {
        let plain = Registration::new("");
        let auth_method = self
            .named("token_endpoint_auth_method")
            .unwrap_or(plain.auth_method);
        let asserts = auth_method == AuthMethod::PrivateKeyJwt;
        let assertion_alg = self.named("token_endpoint_auth_signing_alg");
        let keys = self.keys();
        let grants: Vec<Grant> = self.all_named("grant_types").unwrap_or_default();
        // There is one response type, and the grant says whether it counts.
        let types: Vec<CodeOnly> = self.all_named("response_types").unwrap_or_default();
        drop(types);
        let sign_on = self.sign_on();
        Registration {
            name: self.text("client_name").unwrap_or_default(),
            auth_method,
            assertion_alg: assertion_alg.or_else(|| asserts.then(|| likely_alg(keys.as_ref()))),
            keys,
            grants: Grant::ALL
                .into_iter()
                .filter(|g| grants.contains(g))
                .collect(),
            scopes: self.scopes(),
            audiences: self.texts("audiences"),
            serves: self.text("serves"),
            signing_alg: self
                .named("access_token_signing_alg")
                .unwrap_or(plain.signing_alg),
            access_token_lifetime: self.span("access_token_lifetime"),
            password_grant_until: self.time("password_grant_until"),
            sign_on,
            about: About {
                client_uri: self.text("client_uri"),
                logo_uri: self.text("logo_uri"),
                policy_uri: self.text("policy_uri"),
                tos_uri: self.text("tos_uri"),
                contacts: self.texts("contacts"),
            },
        }
    }

    fn sign_on(&mut self) -> SignOn {
        let plain = SignOn::default();
        let modes: Option<Vec<ResponseMode>> = self.all_named("response_modes");
        SignOn {
            redirect_uris: self.texts("redirect_uris"),
            cors_origins: self.texts("cors_origins"),
            response_modes: modes.map_or(plain.response_modes, |modes| {
                let all = ResponseMode::ALL.into_iter();
                all.filter(|mode| modes.contains(mode)).collect()
            }),
            application_type: self
                .named::<ApplicationType>("application_type")
                .unwrap_or_default(),
            require_pkce: self.boolean("require_pkce").unwrap_or(plain.require_pkce),
            first_party: self.boolean("first_party").unwrap_or_default(),
            default_max_age: self.seconds("default_max_age"),
            require_auth_time: self.boolean("require_auth_time").unwrap_or_default(),
            initiate_login_uri: self.text("initiate_login_uri"),
            post_logout_redirect_uris: self.texts("post_logout_redirect_uris"),
            backchannel_logout_uri: self.text("backchannel_logout_uri"),
            backchannel_logout_session_required: self
                .boolean("backchannel_logout_session_required")
                .unwrap_or_default(),
            id_token_signed_response_alg: self
                .named::<Alg>("id_token_signed_response_alg")
                .unwrap_or(plain.id_token_signed_response_alg),
            id_token_lifetime: self.span("id_token_lifetime"),
            refresh_token_idle_lifetime: self.span("refresh_token_idle_lifetime"),
            refresh_token_lifetime: self.span("refresh_token_lifetime"),
        }
    }

    fn refuse(
        &mut self,
        name: impl Into<std::borrow::Cow<'static, str>>,
        detail: impl Into<String>,
    ) {
        self.wrong.push(RegistrationError {
            part: name.into(),
            detail: detail.into(),
        });
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        self.members.remove(name).filter(|value| !value.is_null())
    }

    /// What `read` makes of a member; refused where it makes nothing of it.
    fn read<T>(
        &mut self,
        name: &'static str,
        expected: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Option<T> {
        let value = self.take(name)?;
        let read = read(&value);
        if read.is_none() {
            self.refuse(name, format!("Expected {expected}."));
        }
        read
    }

    fn text(&mut self, name: &'static str) -> Option<String> {
        self.read(name, "a string", |value| value.as_str().map(str::to_owned))
    }

    fn texts(&mut self, name: &'static str) -> Vec<String> {
        let texts = self.read(name, "a list of strings, each once", |value| {
            let texts: Option<Vec<&str>> = value.as_array()?.iter().map(Value::as_str).collect();
            let texts = texts?;
            let each_once = (1..texts.len()).all(|i| !texts[..i].contains(&texts[i]));
            (texts.len() <= 100 && each_once)
                .then(|| texts.into_iter().map(str::to_owned).collect())
        });
        texts.unwrap_or_default()
    }

    fn boolean(&mut self, name: &'static str) -> Option<bool> {
        self.read(name, "true or false", Value::as_bool)
    }

    fn seconds(&mut self, name: &'static str) -> Option<u32> {
        self.read(name, "a number of seconds", |value| {
            value.as_u64().and_then(|n| u32::try_from(n).ok())
        })
    }

    fn span(&mut self, name: &'static str) -> Option<Span> {
        self.seconds(name).map(Span::seconds)
    }

    fn time(&mut self, name: &'static str) -> Option<OffsetDateTime> {
        self.read(name, "a time such as 2027-06-30T00:00:00Z", |value| {
            OffsetDateTime::parse(value.as_str()?, &Rfc3339).ok()
        })
    }

    /// One of a choice of names.
    fn named<T: std::str::FromStr<Err: std::fmt::Display>>(
        &mut self,
        name: &'static str,
    ) -> Option<T> {
        match self.text(name)?.parse() {
            Ok(known) => Some(known),
            Err(expected) => {
                self.refuse(name, sentence(&format!("{expected}")));
                None
            }
        }
    }

    fn all_named<T: std::str::FromStr<Err: std::fmt::Display>>(
        &mut self,
        name: &'static str,
    ) -> Option<Vec<T>> {
        self.members.get(name).filter(|value| !value.is_null())?;
        let mut known = Vec::new();
        for text in self.texts(name) {
            match text.parse::<T>() {
                Ok(one) => known.push(one),
                Err(expected) => {
                    self.refuse(name, sentence(&expected.to_string()));
                    return None;
                }
            }
        }
        Some(known)
    }

    fn scopes(&mut self) -> ScopeSet {
        let scopes = self.read("scope", "names separated by spaces, 100 at most", |value| {
            ScopeSet::parse(value.as_str()?).ok()
        });
        scopes.unwrap_or_default()
    }

    fn keys(&mut self) -> Option<KeySource> {
        let set = self.take("jwks");
        let uri = self.text("jwks_uri");
        if set.is_some() && uri.is_some() {
            self.refuse("jwks_uri", "Expected jwks or jwks_uri, not both.");
            return None;
        }
        match set.map(KeySet::read) {
            Some(Ok(set)) => Some(KeySource::ByValue(set)),
            Some(Err(expected)) => {
                self.refuse("jwks", format!("Expected {expected}."));
                None
            }
            None => uri.map(KeySource::ByUri),
        }
    }
}

/// `expected …` as a sentence.
fn sentence(expected: &str) -> String {
    let mut letters = expected.chars();
    let first = letters.next().map(|c| c.to_ascii_uppercase());
    let text: String = first.into_iter().chain(letters).collect();
    format!("{text}.")
}

/// The one response type (RFC 6749 §3.1.1).
struct CodeOnly;

impl std::str::FromStr for CodeOnly {
    type Err = &'static str;

    fn from_str(given: &str) -> Result<Self, Self::Err> {
        if given == "code" {
            Ok(Self)
        } else {
            Err("expected code")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(members) => members,
            _ => panic!("an object"),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let document = object(json!({
            "client_name": "shop", "token_endpoint_auth_method": "private_key_jwt", "token_endpoint_auth_signing_alg": "EdDSA",
            "jwks_uri": "https://shop.example/jwks", "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"],
            "scope": "openid email", "audiences": ["https://a.example"], "serves": "https://b.example",
            "access_token_signing_alg": "RS256", "access_token_lifetime": 300, "redirect_uris": ["com.example.shop:/cb"], "cors_origins": ["https://shop.example"],
            "response_modes": ["query"], "application_type": "native", "require_pkce": false, "first_party": true,
            "default_max_age": 60, "require_auth_time": true, "initiate_login_uri": "https://shop.example/begin",
            "post_logout_redirect_uris": ["https://shop.example/bye"], "backchannel_logout_uri": "https://shop.example/out",
            "backchannel_logout_session_required": true, "id_token_signed_response_alg": "ES256", "id_token_lifetime": 600,
            "refresh_token_idle_lifetime": 3600, "refresh_token_lifetime": 7200, "client_uri": "https://shop.example",
            "logo_uri": "https://shop.example/logo", "policy_uri": "https://shop.example/policy", "tos_uri": "https://shop.example/tos",
            "contacts": ["ops@shop.example"], "password_grant_until": null, "jwks": null,
        }));
        let read = Registration::from_json(document.clone()).ok().unwrap();
        let written = read.to_json();
        for (name, value) in &document {
            assert_eq!(written.get(name), Some(value), "{name}");
        }
        assert_eq!(written.len(), document.len(), "{written:?}");
        // And of what is written nothing is unknown.
        assert_eq!(
            Registration::from_json(written.clone())
                .ok()
                .unwrap()
                .to_json(),
            written
        );
    }

    #[test]
    fn what_is_wrong_is_named_all_at_once() {
        let wrong = Registration::from_json(object(json!({
            "client_name": 1, "grant_types": "password", "scope": "a\"b", "redirect_uris": ["a", "a"], "require_pkce": "yes",
            "response_types": ["token"], "default_max_age": -1, "jwks": {}, "colour": "red", "token_endpoint_auth_method": "tls_client_auth",
        })));
        let mut parts: Vec<_> = wrong.err().unwrap().into_iter().map(|w| w.part).collect();
        parts.sort_unstable();
        assert_eq!(
            parts,
            [
                "client_name",
                "colour",
                "default_max_age",
                "grant_types",
                "jwks",
                "redirect_uris",
                "require_pkce",
                "response_types",
                "scope",
                "token_endpoint_auth_method"
            ]
        );
        let both = json!({ "jwks_uri": "https://a.example", "jwks": { "keys": [] } });
        assert!(Registration::from_json(object(both)).is_err());
    }

    #[test]
    fn a_client_says_nothing_of_itself_that_is_the_operators() {
        // S-156
        let read = Registration::from_metadata(object(json!({
            "client_name": "shop", "first_party": true, "serves": "https://a.example", "audiences": ["https://a.example"],
            "access_token_lifetime": 86400, "require_pkce": false, "internal": true, "id_token_lifetime": 86400,
        })));
        let read = read.ok().unwrap();
        assert!(!read.sign_on.first_party && read.sign_on.require_pkce);
        assert!(read.serves.is_none() && read.audiences.is_empty());
        assert!(read.access_token_lifetime.is_none() && read.sign_on.id_token_lifetime.is_none());
        let pairwise = json!({ "client_name": "shop", "subject_type": "pairwise" });
        assert!(Registration::from_metadata(object(pairwise)).is_err());
    }
}
