//! A person as JSON, flat: written for answers, and read strictly from requests.
//!
//! A member that is not set is absent from answers. In requests an absent member and `null` mean the same: not set.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::model::{Address, Claims, Fields, Status, User};
use crate::kernel::clock::rfc3339;
use crate::kernel::object::pointer;
use crate::kernel::{Fault, UserId};

/// Members that the server owns: accepted where they are unchanged, refused by name where they are changed, and on create always.
pub(crate) const OWNED: [&str; 5] = [
    "id",
    "version",
    "password_change_required",
    "created_at",
    "updated_at",
];

/// A member that is wrong: a JSON pointer and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) pointer: String,
    pub(crate) detail: String,
}

impl Wrong {
    pub(super) fn new(name: &str, detail: impl Into<String>) -> Self {
        Self {
            pointer: pointer(name),
            detail: detail.into(),
        }
    }

    /// The same, of a member of the member `outer`.
    pub(super) fn within(self, outer: &str) -> Self {
        Self {
            pointer: format!("/{outer}{}", self.pointer),
            ..self
        }
    }
}

/// The person as the API shows them, in the order in which [`User::to_json`] has the members, without making any of them.
#[derive(Serialize)]
struct Written<'a> {
    id: UserId,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phone_number: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    email_verified: bool,
    phone_number_verified: bool,
    status: Status,
    admin: bool,
    #[serde(flatten)]
    claims: &'a Claims,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    external_ids: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    attributes: &'a Map<String, Value>,
    password_change_required: bool,
    version: i64,
    created_at: String,
    updated_at: String,
}

impl User {
    /// Writes the person as the API shows them.
    pub(crate) fn write(&self, out: &mut Vec<u8>) -> Result<(), Fault> {
        let f = &self.fields;
        let written = Written {
            id: self.id,
            email: f.email.as_deref(),
            username: f.username.as_deref(),
            phone_number: f.phone_number.as_deref(),
            name: f.name.as_deref(),
            email_verified: f.email_verified,
            phone_number_verified: f.phone_number_verified,
            status: f.status,
            admin: f.admin,
            claims: &f.claims,
            external_ids: &f.external_ids,
            attributes: &f.attributes,
            password_change_required: self.password_change_required,
            version: self.version,
            created_at: rfc3339(self.created_at),
            updated_at: rfc3339(self.updated_at),
        };
        serde_json::to_writer(out, &written).map_err(|e| Fault::internal("writing a person", e))
    }

    /// The person as the API shows them.
    pub(crate) fn to_json(&self) -> Map<String, Value> {
        let mut members = Map::new();
        members.insert("id".to_owned(), json!(self.id));
        members.extend(self.fields.to_json());
        members.insert(
            "password_change_required".to_owned(),
            json!(self.password_change_required),
        );
        members.insert("version".to_owned(), json!(self.version));
        members.insert("created_at".to_owned(), json!(rfc3339(self.created_at)));
        members.insert("updated_at".to_owned(), json!(rfc3339(self.updated_at)));
        members
    }
}

impl Fields {
    /// The writable members, those that are set.
    pub(super) fn to_json(&self) -> Map<String, Value> {
        let mut members = Map::new();
        let mut text = |name: &str, value: &Option<String>| {
            if let Some(value) = value {
                members.insert(name.to_owned(), json!(value));
            }
        };
        text("email", &self.email);
        text("username", &self.username);
        text("phone_number", &self.phone_number);
        text("name", &self.name);
        members.insert("email_verified".to_owned(), json!(self.email_verified));
        members.insert(
            "phone_number_verified".to_owned(),
            json!(self.phone_number_verified),
        );
        members.insert("status".to_owned(), json!(self.status));
        members.insert("admin".to_owned(), json!(self.admin));
        if let Ok(Value::Object(claims)) = serde_json::to_value(&self.claims) {
            members.extend(claims);
        }
        if !self.external_ids.is_empty() {
            members.insert("external_ids".to_owned(), json!(self.external_ids));
        }
        if !self.attributes.is_empty() {
            members.insert("attributes".to_owned(), json!(self.attributes));
        }
        members
    }

    /// Reads a whole person from a document without the server's own members. All that is wrong is told at once.
    pub(super) fn from_json(document: Map<String, Value>) -> Result<Self, Vec<Wrong>> {
        let mut reader = Reader {
            members: document,
            wrong: Vec::new(),
        };
        let fields = Self {
            email: reader.text("email"),
            email_verified: reader.boolean("email_verified"),
            username: reader.text("username"),
            phone_number: reader.text("phone_number"),
            phone_number_verified: reader.boolean("phone_number_verified"),
            name: reader.text("name"),
            status: reader.status(),
            admin: reader.boolean("admin"),
            claims: Claims {
                given_name: reader.text("given_name"),
                family_name: reader.text("family_name"),
                middle_name: reader.text("middle_name"),
                nickname: reader.text("nickname"),
                preferred_username: reader.text("preferred_username"),
                profile: reader.text("profile"),
                picture: reader.text("picture"),
                website: reader.text("website"),
                gender: reader.text("gender"),
                birthdate: reader.text("birthdate"),
                zoneinfo: reader.text("zoneinfo"),
                locale: reader.text("locale"),
                address: reader.address(),
            },
            external_ids: reader.external_ids(),
            attributes: reader.attributes(),
        };
        let unknown: Vec<String> = reader.members.keys().cloned().collect();
        for name in unknown {
            reader
                .wrong
                .push(Wrong::new(&name, "There is no such field."));
        }
        if reader.wrong.is_empty() {
            Ok(fields)
        } else {
            Err(reader.wrong)
        }
    }
}

/// Takes members out of a document; what is left at the end is unknown.
struct Reader {
    members: Map<String, Value>,
    wrong: Vec<Wrong>,
}

impl Reader {
    fn take(&mut self, name: &str) -> Option<Value> {
        self.members.remove(name).filter(|value| !value.is_null())
    }

    fn text(&mut self, name: &str) -> Option<String> {
        match self.take(name)? {
            Value::String(text) => Some(text),
            _ => {
                self.wrong.push(Wrong::new(name, "Expected a string."));
                None
            }
        }
    }

    fn boolean(&mut self, name: &str) -> bool {
        match self.take(name) {
            None => false,
            Some(Value::Bool(value)) => value,
            Some(_) => {
                self.wrong.push(Wrong::new(name, "Expected true or false."));
                false
            }
        }
    }

    fn status(&mut self) -> Status {
        let Some(value) = self.take("status") else {
            return Status::default();
        };
        value.as_str().and_then(Status::parse).unwrap_or_else(|| {
            self.wrong
                .push(Wrong::new("status", "Expected \"active\" or \"disabled\"."));
            Status::default()
        })
    }

    fn object(&mut self, name: &str) -> Option<Map<String, Value>> {
        match self.take(name)? {
            Value::Object(members) => Some(members),
            _ => {
                self.wrong.push(Wrong::new(name, "Expected an object."));
                None
            }
        }
    }

    fn external_ids(&mut self) -> BTreeMap<String, String> {
        let members = self.object("external_ids").unwrap_or_default();
        let mut ids = BTreeMap::new();
        for (system, id) in members {
            match id {
                Value::String(id) => {
                    ids.insert(system, id);
                }
                Value::Null => {}
                _ => self
                    .wrong
                    .push(Wrong::new(&system, "Expected a string.").within("external_ids")),
            }
        }
        ids
    }

    /// Numbers are kept as the database gives them back: a whole one is whole, however it was written.
    fn attributes(&mut self) -> Map<String, Value> {
        let members = self.object("attributes").unwrap_or_default();
        let set = members.into_iter().filter(|(_, value)| !value.is_null());
        set.map(|(name, value)| (name, whole_numbers(value)))
            .collect()
    }

    fn address(&mut self) -> Option<Address> {
        let members = self.object("address")?;
        let mut reader = Self {
            members,
            wrong: Vec::new(),
        };
        let address = Address {
            formatted: reader.text("formatted"),
            street_address: reader.text("street_address"),
            locality: reader.text("locality"),
            region: reader.text("region"),
            postal_code: reader.text("postal_code"),
            country: reader.text("country"),
        };
        let unknown: Vec<String> = reader.members.keys().cloned().collect();
        let unknown = unknown
            .iter()
            .map(|name| Wrong::new(name, "There is no such field."));
        let wrong = reader.wrong.into_iter().chain(unknown);
        self.wrong.extend(wrong.map(|w| w.within("address")));
        (address != Address::default()).then_some(address)
    }
}

/// A whole number is written whole.
pub(super) fn whole_numbers(value: Value) -> Value {
    match value {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "whole, and within 2^53 (kernel::json)"
        )]
        Value::Number(number) => match number.as_f64() {
            Some(n) if number.is_f64() && n.fract() == 0.0 => json!(n as i64),
            _ => Value::Number(number),
        },
        Value::Array(items) => items.into_iter().map(whole_numbers).collect(),
        Value::Object(members) => members
            .into_iter()
            .map(|(name, value)| (name, whole_numbers(value)))
            .collect(),
        other => other,
    }
}
