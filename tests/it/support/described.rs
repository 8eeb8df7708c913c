//! What `/openapi.json` says of the documents that the API takes and gives.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Server;

pub(crate) struct Described(Value);

impl Described {
    pub(crate) async fn by(server: &Server) -> Self {
        let mut api = server.get("/openapi.json").await.json();
        Self(api["components"]["schemas"].take())
    }

    /// The members that a schema describes, those of its parts included.
    pub(crate) fn members(&self, name: &str) -> BTreeSet<String> {
        let schema = &self.0[name];
        assert!(schema.is_object(), "there is no schema {name}");
        self.members_of(schema)
    }

    fn members_of(&self, schema: &Value) -> BTreeSet<String> {
        let own = schema["properties"].as_object().into_iter().flatten();
        let mut all: BTreeSet<String> = own.map(|(name, _)| name.clone()).collect();
        for part in schema["allOf"].as_array().into_iter().flatten() {
            all.extend(match part["$ref"].as_str() {
                Some(name) => self.members(name.rsplit('/').next().unwrap()),
                None => self.members_of(part),
            });
        }
        all
    }

    /// Asserts that a document has the members that the schema describes, and no others.
    #[track_caller]
    pub(crate) fn holds(&self, name: &str, document: &Value) {
        assert_eq!(self.members(name), members(document), "{name}: {document}");
    }
}

pub(crate) fn members(document: &Value) -> BTreeSet<String> {
    let object = document.as_object();
    let object = object.unwrap_or_else(|| panic!("no object: {document}"));
    object.keys().cloned().collect()
}
