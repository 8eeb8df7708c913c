//! A client as JSON, flat: the names of the specifications where they have them, Doorward's own for the rest.

use serde_json::{Map, Value, json};

use super::{Client, KeySource, Registration};
use crate::kernel::clock::rfc3339;
use crate::kernel::span::Span;

impl Client {
    /// The client as callers see it. Never a secret.
    pub(crate) fn view(&self) -> Value {
        let mut members = Map::new();
        members.insert("client_id".to_owned(), json!(self.id));
        members.extend(self.registration.to_json());
        members.insert("version".to_owned(), json!(self.version));
        members.insert("created_at".to_owned(), json!(rfc3339(self.created_at)));
        members.insert("updated_at".to_owned(), json!(rfc3339(self.updated_at)));
        Value::Object(members)
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
}
