//! A person taken back through their changes, from the present on.

use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use crate::audit::Changed;
use crate::kernel::clock::rfc3339;

/// The person as the API shows them, at some version.
pub(super) struct Rewind {
    members: Map<String, Value>,
    version: i64,
}

/// What one more change, older than those before it, says.
#[derive(Debug, PartialEq)]
pub(super) enum Then {
    /// It is younger than that time: it was taken back, and an older one decides.
    Earlier,
    /// They were so.
    So(Map<String, Value>),
    /// They were deleted.
    Deleted,
    /// A change is missing, or can't be opened: what was before it is not known.
    Lost,
}

impl Rewind {
    /// Begins with the person as they are now, or as they were deleted.
    pub(super) fn new(members: Map<String, Value>, version: i64) -> Self {
        Self { members, version }
    }

    /// Whether the change that made them was taken back: before it there was nobody.
    pub(super) fn is_nobody(&self) -> bool {
        self.version == 0
    }

    /// Goes on with the next older change. The person at a time is what the newest change up to it made of them: versions decide what
    /// followed what, so clocks that are a little apart mix nothing up.
    pub(super) fn step(&mut self, change: &Changed, at: OffsetDateTime) -> Then {
        if change.version != self.version {
            return Then::Lost;
        }
        if change.occurred_at <= at {
            if change.action == "user.deleted" {
                return Then::Deleted;
            }
            let mut then = std::mem::take(&mut self.members);
            then.insert("version".to_owned(), json!(change.version));
            then.insert("updated_at".to_owned(), json!(rfc3339(change.occurred_at)));
            return Then::So(then);
        }
        let Some(told) = &change.told else {
            return Then::Lost;
        };
        for name in told.after.keys() {
            self.members.remove(name);
        }
        for (name, value) in &told.before {
            self.members.insert(name.clone(), value.clone());
        }
        self.version -= 1;
        Then::Earlier
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::audit::Told;
    use crate::kernel::object;

    fn change(version: i64, before: &Map<String, Value>, after: &Map<String, Value>) -> Changed {
        let (before, after) = object::differing(before, after);
        Changed {
            occurred_at: OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(version),
            action: if version == 1 {
                "user.created"
            } else {
                "user.updated"
            }
            .to_owned(),
            version,
            actor_kind: "client".to_owned(),
            actor_id: None,
            client_id: None,
            via: None,
            request_id: None,
            told: Some(Told {
                before,
                after,
                reason: None,
            }),
        }
    }

    fn members() -> impl Strategy<Value = Map<String, Value>> {
        let value = prop_oneof![
            any::<bool>().prop_map(Value::from),
            "[a-c]{0,2}".prop_map(Value::from),
            Just(json!({ "locality": "x" })),
        ];
        prop::collection::hash_map("[a-e]", value, 0..5).prop_map(|m| m.into_iter().collect())
    }

    proptest! {
        /// Whatever was done, the person at each time is the person at the version of that time.
        #[test]
        fn who_they_were_is_who_they_were(lives in prop::collection::vec(members(), 1..8), at in 0..10_i64) {
            let nobody = Map::new();
            let before = std::iter::once(&nobody).chain(&lives);
            let changes: Vec<Changed> = before.zip(&lives).zip(1..).map(|((b, a), v)| change(v, b, a)).collect();
            let now = i64::try_from(lives.len()).unwrap();
            let mut rewind = Rewind::new(lives.last().unwrap().clone(), now);
            let time = OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(at);
            let mut then = Then::Earlier;
            for change in changes.iter().rev() {
                then = rewind.step(change, time);
                if then != Then::Earlier { break; }
            }
            if at == 0 {
                prop_assert_eq!(then, Then::Earlier);
                prop_assert!(rewind.is_nobody());
            } else {
                let version = at.min(now);
                let mut expected = lives[usize::try_from(version - 1).unwrap()].clone();
                expected.insert("version".to_owned(), json!(version));
                expected.insert("updated_at".to_owned(), json!(rfc3339(OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(version))));
                prop_assert_eq!(then, Then::So(expected));
            }
        }

        /// A gap is never stepped over, and neither is what can't be opened.
        #[test]
        fn what_is_missing_is_said(lives in prop::collection::vec(members(), 3..8), gone in any::<prop::sample::Index>(), sealed in any::<bool>()) {
            let nobody = Map::new();
            let before = std::iter::once(&nobody).chain(&lives);
            let mut changes: Vec<Changed> = before.zip(&lives).zip(1..).map(|((b, a), v)| change(v, b, a)).collect();
            let gone = 1 + gone.index(changes.len() - 2);
            if sealed { changes[gone].told = None; } else { changes.remove(gone); }
            let mut rewind = Rewind::new(lives.last().unwrap().clone(), i64::try_from(lives.len()).unwrap());
            let time = OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(1);
            let then = changes.iter().rev().map(|change| rewind.step(change, time)).find(|then| *then != Then::Earlier);
            prop_assert_eq!(then, Some(Then::Lost));
        }
    }
}
