//! What is done to JSON objects: merging, comparing, pointing into them.

use serde_json::{Map, Value};

/// Applies a JSON merge patch (RFC 7396): `null` removes a member, objects are merged, everything else replaces.
pub(crate) fn merge(target: &mut Map<String, Value>, patch: Map<String, Value>) {
    for (name, value) in patch {
        match value {
            Value::Null => {
                target.remove(&name);
            }
            Value::Object(inner) => {
                // RFC 7396 §2: what is no object becomes an empty one first.
                if !target.get(&name).is_some_and(Value::is_object) {
                    target.insert(name.clone(), Value::Object(Map::new()));
                }
                if let Some(Value::Object(existing)) = target.get_mut(&name) {
                    merge(existing, inner);
                }
            }
            other => {
                target.insert(name, other);
            }
        }
    }
}

/// The members that differ: as they were, and as they are.
pub(crate) fn differing(
    before: &Map<String, Value>,
    after: &Map<String, Value>,
) -> (Map<String, Value>, Map<String, Value>) {
    let but = |of: &Map<String, Value>, other: &Map<String, Value>| {
        let differing = of
            .iter()
            .filter(|(name, value)| other.get(*name) != Some(value));
        differing.map(|(n, v)| (n.clone(), v.clone())).collect()
    };
    (but(before, after), but(after, before))
}

/// The object without the members of these names.
pub(crate) fn without(object: &Map<String, Value>, names: &[&str]) -> Map<String, Value> {
    let members = object.iter();
    members
        .filter(|(name, _)| !names.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// The JSON pointer to a member (RFC 6901).
pub(crate) fn pointer(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn merged(target: Value, patch: Value) -> Value {
        let (Value::Object(mut target), Value::Object(patch)) = (target, patch) else {
            panic!("objects")
        };
        merge(&mut target, patch);
        Value::Object(target)
    }

    #[test]
    fn the_rfcs_examples() {
        // RFC 7396, appendix A, those whose target and patch are objects.
        for (target, patch, result) in [
            (json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"b"}), json!({"b":"c"}), json!({"a":"b","b":"c"})),
            (json!({"a":"b"}), json!({"a":null}), json!({})),
            (
                json!({"a":"b","b":"c"}),
                json!({"a":null}),
                json!({"b":"c"}),
            ),
            (json!({"a":["b"]}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"c"}), json!({"a":["b"]}), json!({"a":["b"]})),
            (
                json!({"a":{"b":"c"}}),
                json!({"a":{"b":"d","c":null}}),
                json!({"a":{"b":"d"}}),
            ),
            (json!({"a":[{"b":"c"}]}), json!({"a":[1]}), json!({"a":[1]})),
            (json!({"e":null}), json!({"a":1}), json!({"e":null,"a":1})),
            (
                json!({}),
                json!({"a":{"bb":{"ccc":null}}}),
                json!({"a":{"bb":{}}}),
            ),
        ] {
            assert_eq!(
                merged(target.clone(), patch.clone()),
                result,
                "{target} {patch}"
            );
        }
    }

    #[test]
    fn a_pointer_leads_to_its_member() {
        let object = json!({ "a/b~1": 1 });
        assert_eq!(object.pointer(&pointer("a/b~1")), Some(&json!(1)));
    }

    /// Any object, of few names, so that two have some in common.
    pub(crate) fn object() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            "[a-c]{0,2}".prop_map(Value::from)
        ];
        let value = leaf.prop_recursive(3, 16, 3, |inner| {
            prop::collection::hash_map("[a-c]", inner, 0..3).prop_map(|m| m.into_iter().collect())
        });
        prop::collection::hash_map("[a-c]", value, 0..4).prop_map(|m| m.into_iter().collect())
    }

    proptest! {
        #[test]
        fn a_patch_applied_twice_is_a_patch_applied_once(target in object(), patch in object()) {
            let once = merged(target, patch.clone());
            prop_assert_eq!(merged(once.clone(), patch), once);
        }

        #[test]
        fn only_what_the_patch_names_changes(target in object(), patch in object()) {
            let result = merged(target.clone(), patch.clone());
            for (name, value) in target.as_object().unwrap() {
                if patch.get(name).is_none() {
                    prop_assert_eq!(result.get(name), Some(value));
                }
            }
            for (name, value) in patch.as_object().unwrap() {
                prop_assert_eq!(result.get(name).is_none(), value.is_null());
            }
        }

        #[test]
        fn what_differs_leads_from_one_to_the_other(from in object(), to in object()) {
            let (Value::Object(from), Value::Object(to)) = (from, to) else { panic!("objects") };
            let (was, is) = differing(&from, &to);
            let names: Vec<&str> = was.keys().map(String::as_str).collect();
            let mut there = without(&from, &names);
            there.extend(is);
            prop_assert_eq!(there, to);
        }
    }
}
