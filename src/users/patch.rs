//! JSON patch (RFC 6902).

use json_patch::{PatchErrorKind, PatchOperation};
use serde_json::Value;

use crate::kernel::json;

/// Operations of a JSON patch, and bytes of what it may make on its way (`copy` doubles, in breadth or in depth).
const OPERATIONS: usize = 200;
const BYTES: usize = 256 * 1024;

/// Why a JSON patch is refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PatchError {
    /// It is no JSON patch, or too long a one.
    Malformed(&'static str),
    /// The operation of this number does not fit what it is to change.
    Unfit(usize, &'static str),
}

/// The operations of a JSON patch.
#[derive(Clone)]
pub(crate) struct JsonPatch(Vec<PatchOperation>);

impl JsonPatch {
    pub(super) fn parse(document: Value) -> Result<Self, PatchError> {
        let operations: Vec<PatchOperation> = serde_json::from_value(document).map_err(|_| {
            PatchError::Malformed(
                "Expected a list of operations, each with op, path, and value or from.",
            )
        })?;
        if operations.len() > OPERATIONS {
            return Err(PatchError::Malformed("Expected at most 200 operations."));
        }
        Ok(Self(operations))
    }

    /// Applies the operations one after the other.
    pub(super) fn apply(&self, target: &mut Value) -> Result<(), PatchError> {
        for (n, operation) in self.0.iter().enumerate() {
            json_patch::patch(target, std::slice::from_ref(operation)).map_err(|e| {
                PatchError::Unfit(
                    n,
                    match e.kind {
                        PatchErrorKind::TestFailed => "There is another value.",
                        PatchErrorKind::InvalidFromPointer => "There is nothing at `from`.",
                        PatchErrorKind::InvalidPointer => "There is nothing at `path`.",
                        PatchErrorKind::CannotMoveInsideItself => "It can't be moved into itself.",
                        _ => "It does not fit.",
                    },
                )
            })?;
            if matches!(
                operation,
                PatchOperation::Test(_) | PatchOperation::Remove(_)
            ) {
                continue;
            }
            if !json::is_within(json::MAX_DEPTH, target) {
                return Err(PatchError::Unfit(n, "What it makes is too deep."));
            }
            if serde_json::to_vec(target).is_ok_and(|bytes| bytes.len() > BYTES) {
                return Err(PatchError::Unfit(n, "What it makes is too large."));
            }
        }
        Ok(())
    }

    /// Whether an operation says what this top-level member is to be.
    pub(super) fn sets(&self, member: &str) -> bool {
        self.0.iter().any(|operation| {
            !matches!(operation, PatchOperation::Test(_))
                && operation.path().as_str().strip_prefix('/') == Some(member)
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::kernel::object::tests::object;

    fn patched(mut target: Value, patch: Value) -> Result<Value, PatchError> {
        JsonPatch::parse(patch)?.apply(&mut target)?;
        Ok(target)
    }

    #[test]
    fn the_rfcs_examples() {
        // RFC 6902, appendix A.
        for (target, patch, result) in [
            (
                json!({"foo":"bar"}),
                json!([{"op":"add","path":"/baz","value":"qux"}]),
                json!({"baz":"qux","foo":"bar"}),
            ),
            (
                json!({"foo":["bar","baz"]}),
                json!([{"op":"add","path":"/foo/1","value":"qux"}]),
                json!({"foo":["bar","qux","baz"]}),
            ),
            (
                json!({"baz":"qux","foo":"bar"}),
                json!([{"op":"remove","path":"/baz"}]),
                json!({"foo":"bar"}),
            ),
            (
                json!({"foo":["bar","qux","baz"]}),
                json!([{"op":"remove","path":"/foo/1"}]),
                json!({"foo":["bar","baz"]}),
            ),
            (
                json!({"baz":"qux","foo":"bar"}),
                json!([{"op":"replace","path":"/baz","value":"boo"}]),
                json!({"baz":"boo","foo":"bar"}),
            ),
            (
                json!({"foo":{"bar":"baz","waldo":"fred"},"qux":{"corge":"grault"}}),
                json!([{"op":"move","from":"/foo/waldo","path":"/qux/thud"}]),
                json!({"foo":{"bar":"baz"},"qux":{"corge":"grault","thud":"fred"}}),
            ),
            (
                json!({"baz":"qux","foo":["a",2,"c"]}),
                json!([{"op":"test","path":"/baz","value":"qux"},{"op":"test","path":"/foo/1","value":2}]),
                json!({"baz":"qux","foo":["a",2,"c"]}),
            ),
            (
                json!({"foo":"bar"}),
                json!([{"op":"add","path":"/child","value":{"grandchild":{}}}]),
                json!({"foo":"bar","child":{"grandchild":{}}}),
            ),
            (
                json!({"foo":"bar"}),
                json!([{"op":"add","path":"/baz","value":"qux","xyz":123}]),
                json!({"foo":"bar","baz":"qux"}),
            ),
            (
                json!({"/":9,"~1":10}),
                json!([{"op":"test","path":"/~01","value":10}]),
                json!({"/":9,"~1":10}),
            ),
            (
                json!({"foo":["bar"]}),
                json!([{"op":"add","path":"/foo/-","value":["abc","def"]}]),
                json!({"foo":["bar",["abc","def"]]}),
            ),
        ] {
            assert_eq!(patched(target, patch.clone()), Ok(result), "{patch}");
        }
        for (target, patch) in [
            (
                json!({"baz":"qux"}),
                json!([{"op":"test","path":"/baz","value":"bar"}]),
            ),
            (
                json!({"foo":"bar"}),
                json!([{"op":"add","path":"/baz/bat","value":"qux"}]),
            ),
            (
                json!({"/":9,"~1":10}),
                json!([{"op":"test","path":"/~01","value":"10"}]),
            ),
            (json!({}), json!([{"op":"remove","path":"/a"}])),
        ] {
            assert!(
                matches!(patched(target, patch.clone()), Err(PatchError::Unfit(0, _))),
                "{patch}"
            );
        }
        let wrong = json!([{"op":"add","path":"a","value":1}]);
        for malformed in [json!({}), json!([{"op":"merge","path":"/a"}]), wrong] {
            assert!(matches!(
                JsonPatch::parse(malformed),
                Err(PatchError::Malformed(_))
            ));
        }
    }

    #[test]
    fn a_patch_makes_nothing_too_large() {
        let copy = json!({"op":"copy","from":"/a","path":"/a/-"});
        let patch = Value::Array(vec![copy; 200]);
        let grown = patched(json!({"a": ["x"]}), patch);
        assert!(matches!(
            grown,
            Err(PatchError::Unfit(_, "What it makes is too large."))
        ));
    }

    #[test]
    fn a_patch_makes_nothing_too_deep() {
        // S-173
        let one = json!({"op":"copy","from":"/a","path":"/a/a"});
        let at = |depth: usize| format!("/a{}", "/a".repeat(depth));
        let doubling = (0..6).map(|n| json!({"op":"copy","from":"/a","path":at(1 << n)}));
        let nested = |n: usize| (0..n).fold(json!(1), |inner, _| json!({ "a": inner }));
        let adding = (1..9).map(|n| json!({"op":"add","path":at(n * 4),"value":nested(4)}));
        for operations in [vec![one; 150], doubling.collect(), adding.collect()] {
            let grown = patched(json!({"a": {"a": nested(4)}}), Value::Array(operations));
            assert!(
                matches!(
                    grown,
                    Err(PatchError::Unfit(_, "What it makes is too deep."))
                ),
                "{grown:?}"
            );
        }
    }

    proptest! {
        /// Whatever lies between two documents, a patch made of their members leads from one to the other, and `test` guards each step.
        #[test]
        fn operations_lead_from_one_document_to_another(from in object(), to in object()) {
            let mut operations = Vec::new();
            for (name, value) in from.as_object().unwrap() {
                operations.push(json!({"op": "test", "path": format!("/{name}"), "value": value}));
                operations.push(json!({"op": "remove", "path": format!("/{name}")}));
            }
            for (name, value) in to.as_object().unwrap() {
                operations.push(json!({"op": "add", "path": format!("/{name}"), "value": value}));
            }
            prop_assert_eq!(patched(from, Value::Array(operations)), Ok(to));
        }
    }
}
