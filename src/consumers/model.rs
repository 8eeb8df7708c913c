//! What a consumer is shown of a person.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use crate::kernel::{ClientId, FeedId};

const UNDIGESTED: [&str; 3] = ["version", "created_at", "updated_at"];

/// A view of a person: which members, each under a name of the consumer's own, in the order of those names. `id` is always shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct View(Vec<Shown>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Shown {
    name: String,
    /// A member, or `object.member`.
    source: String,
}

impl View {
    /// The view that shows each of `sources` under the name beside it.
    pub(crate) fn new(shown: impl IntoIterator<Item = (String, String)>) -> Self {
        let shown = shown
            .into_iter()
            .map(|(name, source)| Shown { name, source });
        let mut shown: Vec<Shown> = shown.collect();
        shown.sort_by(|a, b| a.name.cmp(&b.name));
        Self(shown)
    }

    /// The person, given as the API shows them, as the consumer sees them.
    pub(crate) fn show(&self, person: &Map<String, Value>) -> Map<String, Value> {
        let mut members = Map::new();
        members.insert(
            "id".to_owned(),
            person.get("id").cloned().unwrap_or(json!(null)),
        );
        for Shown { name, source } in &self.0 {
            if let Some(value) = find(person, source) {
                members.insert(name.clone(), value.clone());
            }
        }
        members
    }

    /// Whether all that `member` says of a person is shown.
    pub(crate) fn shows(&self, member: &str) -> bool {
        let whole = member.split_once('.').map_or(member, |(whole, _)| whole);
        self.0
            .iter()
            .any(|shown| shown.source == member || shown.source == whole)
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.0.iter().map(|shown| shown.name.clone()).collect()
    }

    pub(crate) fn sources(&self) -> Vec<String> {
        self.0.iter().map(|shown| shown.source.clone()).collect()
    }

    /// The members that a digest is made of, in its order.
    pub(crate) fn digested(&self) -> Vec<String> {
        let mut sources = self.sources();
        sources.retain(|source| !UNDIGESTED.contains(&source.as_str()));
        sources
    }
}

/// Fields of a view, at most.
const MOST_FIELDS: usize = 100;
/// The members that a view may name; those of an object also one by one, as `object.member`.
const MEMBERS: [&str; 27] = [
    "address",
    "admin",
    "attributes",
    "birthdate",
    "created_at",
    "email",
    "email_verified",
    "external_ids",
    "family_name",
    "gender",
    "given_name",
    "locale",
    "middle_name",
    "name",
    "nickname",
    "password_change_required",
    "phone_number",
    "phone_number_verified",
    "picture",
    "preferred_username",
    "profile",
    "status",
    "updated_at",
    "username",
    "version",
    "website",
    "zoneinfo",
];
const OBJECTS: [&str; 3] = ["address", "attributes", "external_ids"];

/// A system that keeps a copy of people.
#[derive(Clone, Debug)]
pub(crate) struct Consumer {
    pub(crate) name: String,
    pub(crate) client_id: ClientId,
    pub(crate) feed: FeedId,
    pub(crate) view: Arc<View>,
    pub(crate) version: i64,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) updated_at: OffsetDateTime,
}

/// How far a consumer is behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lag {
    /// Changes that it has not acknowledged, as far as they are counted ([`Lag::MOST`]).
    pub(crate) changes: i64,
    /// Since the oldest of them.
    pub(crate) seconds: i64,
}

impl Lag {
    /// Counted up to here.
    pub(crate) const MOST: i64 = 100_000;
}

/// Whether a text names a consumer: a small letter, then small letters, digits and hyphens, 40 in all.
pub(crate) fn is_name(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.len() <= 40
        && text.bytes().all(plain)
}

/// What is wrong with a view: the name concerned, where it is one, and what is expected.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadView {
    pub(crate) name: Option<String>,
    pub(crate) expected: &'static str,
}

impl View {
    /// A view that may be registered: known members, under names that fit a column. All that is wrong is told at once.
    pub(crate) fn parse(fields: &Map<String, Value>) -> Result<Self, Vec<BadView>> {
        let mut wrong = Vec::new();
        let mut shown = Vec::new();
        for (name, source) in fields {
            let mut bad = |expected| {
                wrong.push(BadView {
                    name: Some(name.clone()),
                    expected,
                });
            };
            if !is_field_name(name) {
                bad("Expected a name of 1 to 64 letters, digits and underscores that is not id.");
                continue;
            }
            match source.as_str() {
                Some(source) if is_source(source) => shown.push((name.clone(), source.to_owned())),
                _ => bad(
                    "Expected a member of a person, or one within address, attributes or external_ids such as address.country.",
                ),
            }
        }
        let view = Self::new(shown);
        if fields.len() > MOST_FIELDS {
            wrong.push(BadView {
                name: None,
                expected: "Expected at most 100 fields.",
            });
        }
        if wrong.is_empty() && view.digested().is_empty() {
            wrong.push(BadView {
                name: None,
                expected: "Expected at least one field beside version and times.",
            });
        }
        if wrong.is_empty() {
            Ok(view)
        } else {
            Err(wrong)
        }
    }

    /// The view as it was registered.
    pub(crate) fn fields(&self) -> Map<String, Value> {
        let fields = self
            .0
            .iter()
            .map(|shown| (shown.name.clone(), json!(shown.source)));
        fields.collect()
    }
}

fn is_field_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    (1..=64).contains(&name.len())
        && name.bytes().all(plain)
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name != "id"
}

fn is_source(source: &str) -> bool {
    match source.split_once('.') {
        None => MEMBERS.contains(&source),
        Some((object, member)) => {
            OBJECTS.contains(&object)
                && (1..=64).contains(&member.chars().count())
                && !member.chars().any(char::is_control)
        }
    }
}

fn find<'a>(person: &'a Map<String, Value>, source: &str) -> Option<&'a Value> {
    match source.split_once('.') {
        None => person.get(source),
        Some((object, member)) => person.get(object)?.get(member),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_names_known_members() {
        let wrong = |fields: Value| {
            let wrong = View::parse(fields.as_object().unwrap())
                .err()
                .unwrap_or_default();
            wrong
                .into_iter()
                .map(|w| w.name.unwrap_or_default())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            wrong(json!({"mail": "email", "customer": "external_ids.billing"})),
            [""; 0]
        );
        for source in [
            json!("password_hash"),
            json!("id"),
            json!("email.x"),
            json!("address."),
            json!(1),
            json!(null),
        ] {
            assert_eq!(wrong(json!({"x": source, "mail": "email"})), ["x"]);
        }
        for name in ["", "id", "1a", "a b", "é", "a.b", &"a".repeat(65)] {
            assert_eq!(wrong(json!({name: "email"})), [name]);
        }
        assert_eq!(
            wrong(json!({"v": "version"})),
            [""],
            "nothing to compare copies by"
        );
        assert_eq!(wrong(json!({})), [""]);
        let fields = json!({"b": "name", "a": "email"});
        let view = View::parse(fields.as_object().unwrap()).unwrap();
        assert_eq!(Value::Object(view.fields()), fields);
    }

    #[test]
    fn a_consumer_has_a_plain_name() {
        assert!(is_name("billing") && is_name("a-1"));
        for bad in ["", "Billing", "1a", "-a", "a_b", "a b", &"a".repeat(41)] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn a_view_shows_what_it_names_and_nothing_else() {
        let pair = |name: &str, source: &str| (name.to_owned(), source.to_owned());
        let view = View::new([
            pair("mail", "email"),
            pair("country", "address.country"),
            pair("nick", "nickname"),
        ]);
        let person = json!({"id": "x", "email": "a@b", "name": "A", "version": 3, "address": {"country": "DE", "region": "B"}});
        let shown = Value::Object(view.show(person.as_object().unwrap()));
        assert_eq!(
            shown.to_string(),
            r#"{"id":"x","country":"DE","mail":"a@b"}"#
        );
        assert!(view.shows("email") && view.shows("address.country"));
        assert!(!view.shows("address") && !view.shows("address.region") && !view.shows("name"));
        let whole = View::new([pair("address", "address"), pair("v", "version")]);
        assert!(whole.shows("address.region"));
        assert_eq!(whole.digested(), ["address"]);
        assert_eq!(whole.names(), ["address", "v"]);
    }
}
