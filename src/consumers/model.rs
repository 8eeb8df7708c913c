//! What a consumer is shown of a person.

use serde_json::{Map, Value, json};

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

#[cfg_attr(
    not(test),
    expect(dead_code, reason = "for consumers, who register with the next change")
)]
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
