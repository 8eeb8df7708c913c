//! Attributes: what a deployment keeps of people beside OpenID Connect's claims, declared by a JSON Schema (2020-12) of its own.
//!
//! A schema is judged once, when it is declared: it refers to nothing, so nothing is ever fetched and judging a person costs no more than the
//! two documents are long; its patterns run in linear time (checklist 178).

pub(crate) mod http;
mod operations;
mod store;

use std::sync::{Arc, Mutex};

use jsonschema::{Draft, PatternOptions, ValidationError, Validator};
use serde_json::{Map, Value};
use sqlx::PgConnection;
use time::OffsetDateTime;

use super::document::Wrong;
use crate::kernel::Fault;

pub(super) use operations::judge_attributes;

/// Characters of a value, and bytes of a name, that can be filtered by.
const VALUE: usize = 200;
const NAME: usize = 64;
/// Bytes of a schema, and of one pattern when it is compiled.
const SCHEMA: usize = 64 * 1024;
const PATTERN: usize = 1024 * 1024;
const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";
/// What would make a schema refer to another, or to itself.
const REFERENCES: [&str; 6] = [
    "$ref",
    "$dynamicRef",
    "$recursiveRef",
    "$id",
    "$anchor",
    "$dynamicAnchor",
];
/// Marks an attribute that lists are filtered by.
const FILTER: &str = "x-filter";
/// Errors that a person is told at once.
const TOLD: usize = 50;

/// The schema that holds at present, ready to judge by. It is looked for by its version at each use, so that all replicas agree.
#[derive(Default)]
pub(crate) struct Attributes(Mutex<Option<Arc<Declared>>>);

/// A schema that was declared.
pub(crate) struct Declared {
    pub(super) version: i64,
    pub(super) schema: Value,
    pub(super) created_at: OffsetDateTime,
    validator: Validator,
}

impl Attributes {
    /// `None` where none has been declared yet.
    pub(super) async fn present(
        &self,
        db: &mut PgConnection,
    ) -> Result<Option<Arc<Declared>>, Fault> {
        let Some(version) = store::newest_version(db).await? else {
            return Ok(None);
        };
        let known = self.0.lock().ok().and_then(|known| known.clone());
        if let Some(known) = known.filter(|known| known.version == version) {
            return Ok(Some(known));
        }
        let Some((version, schema, created_at)) = store::newest(db).await? else {
            return Ok(None);
        };
        let declared = Declared::new(version, schema, created_at)
            .map_err(|_| Fault::internal("reading a schema of attributes", version.to_string()))?;
        let declared = Arc::new(declared);
        if let Ok(mut known) = self.0.lock() {
            *known = Some(declared.clone());
        }
        Ok(Some(declared))
    }
}

/// What an error says, as our own say it, without the value.
fn sentence(error: &ValidationError<'_>) -> String {
    let text = error.masked().to_string();
    let mut letters = text.trim_end_matches('.').chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string());
    format!("{}{}.", first.unwrap_or_default(), letters.as_str())
}

impl Declared {
    /// Takes a schema that can be judged by in bounded time; else tells what is wrong with it, by pointers into it.
    pub(super) fn new(
        version: i64,
        schema: Value,
        created_at: OffsetDateTime,
    ) -> Result<Self, Vec<Wrong>> {
        let wrong = |pointer: &str, detail: &str| Wrong {
            pointer: pointer.to_owned(),
            detail: detail.to_owned(),
        };
        if schema.to_string().len() > SCHEMA {
            return Err(vec![wrong("", "Expected at most 64 KiB.")]);
        }
        let mut found = Vec::new();
        let Some(root) = schema.as_object() else {
            return Err(vec![wrong("", "Expected an object.")]);
        };
        if root.get("type") != Some(&Value::from("object")) {
            found.push(wrong("/type", "Expected \"object\"."));
        }
        if root.get("$schema").is_some_and(|is| is != DRAFT) {
            found.push(wrong("/$schema", "Expected draft 2020-12, or nothing."));
        }
        references(&schema, "", &mut found);
        for (name, declaration) in properties(root) {
            let plain = declaration.get("type").and_then(Value::as_str);
            let plain =
                plain.is_some_and(|t| ["string", "number", "integer", "boolean"].contains(&t));
            if let Some(mark) = declaration.get(FILTER)
                && (!mark.is_boolean() || (!plain || name.len() > NAME))
            {
                found.push(Wrong::new(name, "Expected x-filter true or false, on a string, number, integer or boolean with a name of at most 64 bytes.").within("properties"));
            }
        }
        if !found.is_empty() {
            return Err(found);
        }
        let validator = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .with_pattern_options(
                PatternOptions::regex()
                    .size_limit(PATTERN)
                    .dfa_size_limit(PATTERN),
            )
            .build(&schema)
            .map_err(|e| vec![wrong(e.instance_path().as_str(), &sentence(&e))])?;
        Ok(Self {
            version,
            schema,
            created_at,
            validator,
        })
    }

    /// What is wrong with a person's attributes.
    pub(super) fn judge(&self, attributes: &Map<String, Value>) -> Vec<Wrong> {
        let document = Value::Object(attributes.clone());
        let errors = self.validator.iter_errors(&document).take(TOLD);
        errors
            .map(|error| Wrong {
                pointer: format!("/attributes{}", error.instance_path().as_str()),
                detail: sentence(&error),
            })
            .collect()
    }

    /// The value that a filter by this attribute looks for; `None`: there is no such attribute to filter by, or no such value of it.
    pub(super) fn filter(&self, name: &str, text: &str) -> Option<String> {
        let root = self.schema.as_object()?;
        let (_, declaration) = properties(root).find(|(known, _)| *known == name)?;
        declaration.get(FILTER)?.as_bool()?.then_some(())?;
        let value = match declaration.get("type")?.as_str()? {
            "string" => Value::from(text),
            "boolean" => Value::from(text.parse::<bool>().ok()?),
            _ => super::document::whole_numbers(text.parse::<serde_json::Number>().ok()?.into()),
        };
        filtered(name, &value)
    }
}

fn properties(root: &Map<String, Value>) -> impl Iterator<Item = (&str, &Value)> {
    let properties = root.get("properties").and_then(Value::as_object);
    properties
        .into_iter()
        .flatten()
        .map(|(name, declaration)| (name.as_str(), declaration))
}

fn references(schema: &Value, at: &str, found: &mut Vec<Wrong>) {
    match schema {
        Value::Object(members) => {
            for (name, value) in members {
                let pointer = format!("{at}{}", Wrong::new(name, "").pointer);
                if REFERENCES.contains(&name.as_str()) {
                    found.push(Wrong {
                        pointer,
                        detail: "A schema refers to nothing, not even to itself.".to_owned(),
                    });
                } else {
                    references(value, &pointer, found);
                }
            }
        }
        Value::Array(items) => {
            for (n, item) in items.iter().enumerate() {
                references(item, &format!("{at}/{n}"), found);
            }
        }
        _ => {}
    }
}

/// An attribute's value as filters name it; `None` for what none does (lists, objects, long texts).
pub(super) fn filtered(name: &str, value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    };
    (name.len() <= NAME && text.chars().count() <= VALUE).then_some(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn declare(schema: Value) -> Result<Declared, Vec<String>> {
        Declared::new(1, schema, OffsetDateTime::UNIX_EPOCH)
            .map_err(|wrong| wrong.into_iter().map(|w| w.pointer).collect())
    }

    #[test]
    fn a_schema_refers_to_nothing_and_its_patterns_are_linear() {
        // S-178
        let property =
            |declaration: Value| json!({"type": "object", "properties": {"a": declaration}});
        for (schema, pointer) in [
            (json!([]), ""),
            (json!({"type": "string"}), "/type"),
            (
                json!({"type": "object", "$schema": "http://json-schema.org/draft-07/schema#"}),
                "/$schema",
            ),
            (
                property(json!({"$ref": "https://evil.example/x"})),
                "/properties/a/$ref",
            ),
            (
                property(json!({"allOf": [{"$ref": "#"}]})),
                "/properties/a/allOf/0/$ref",
            ),
            (
                property(json!({"type": "array", "x-filter": true})),
                "/properties/a",
            ),
            (property(json!({"type": 7})), "/properties/a/type"),
            (
                property(json!({"type": "string", "pattern": "(a)\\1"})),
                "/properties/a/pattern",
            ),
            (
                property(json!({"type": "string", "pattern": "(?=a)b"})),
                "/properties/a/pattern",
            ),
            (
                property(json!({"type": "string", "pattern": "((a{1000}){1000}){1000}"})),
                "/properties/a/pattern",
            ),
        ] {
            let wrong = declare(schema.clone()).map(|_| ()).unwrap_err();
            assert!(wrong[0].starts_with(pointer), "{schema}: {wrong:?}");
        }
        let long = property(json!({"description": "x".repeat(SCHEMA)}));
        assert!(declare(long).is_err());
    }

    #[test]
    fn errors_name_the_path_and_no_value() {
        let schema = json!({"type": "object", "additionalProperties": false, "properties": {
            "plan": {"enum": ["free", "paid"], "type": "string", "x-filter": true},
            "seats": {"type": "integer", "x-filter": true},
            "sites": {"type": "array", "items": {"type": "object", "required": ["city"]}},
        }});
        let declared = declare(schema).unwrap();
        let wrong = |attributes: Value| {
            let wrong = declared.judge(attributes.as_object().unwrap());
            assert!(
                wrong.iter().all(|w| !w.detail.contains("secret")),
                "{wrong:?}"
            );
            let begins = |c: char| c.is_uppercase() || c == '"';
            let plain = |w: &Wrong| w.detail.starts_with(begins) && w.detail.ends_with('.');
            assert!(wrong.iter().all(plain), "{wrong:?}");
            wrong.into_iter().map(|w| w.pointer).collect::<Vec<_>>()
        };
        assert_eq!(
            wrong(json!({"plan": "free", "seats": 3, "sites": [{"city": "x"}]})),
            [""; 0]
        );
        assert_eq!(wrong(json!({"plan": "secret"})), ["/attributes/plan"]);
        assert_eq!(
            wrong(json!({"sites": [{"city": 1}, {}, "secret"]})),
            ["/attributes/sites/1", "/attributes/sites/2"]
        );
        assert_eq!(declared.filter("seats", "3.0").as_deref(), Some("3"));
        assert_eq!(declared.filter("plan", "paid").as_deref(), Some("paid"));
        assert_eq!(declared.filter("seats", "many"), None);
        assert_eq!(declared.filter("sites", "x"), None);
    }
}
