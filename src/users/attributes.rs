//! Attributes: what a deployment keeps of people beside OpenID Connect's claims.

use serde_json::Value;

/// Characters of a value, and bytes of a name, that can be filtered by.
const VALUE: usize = 200;
const NAME: usize = 64;

/// An attribute's value as filters name it; `None` for what none does (lists, objects, long texts).
pub(super) fn filtered(name: &str, value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    };
    (name.len() <= NAME && text.chars().count() <= VALUE).then_some(text)
}
