//! What can happen to a person, and what becomes of it on the way into a feed.

use std::collections::HashMap;

use serde_json::{Map, Value};
use time::OffsetDateTime;

use crate::kernel::UserId;

/// The `type` of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EventKind {
    Created,
    Updated,
    Deleted,
    Restored,
    Erased,
}

impl EventKind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Created => "user.created",
            Self::Updated => "user.updated",
            Self::Deleted => "user.deleted",
            Self::Restored => "user.restored",
            Self::Erased => "user.erased",
        }
    }
}

/// What happened to a person, as it was appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) kind: String,
    pub(super) user: UserId,
    pub(super) version: i64,
    pub(super) occurred_at: OffsetDateTime,
    /// The members that changed; `None`: any may have.
    pub(super) fields: Option<Vec<String>>,
}

/// The newest of each person's events, with all that changed; `events` and the answer are in the order of appending.
///
/// A person who was made and changed in one go counts as made.
pub(super) fn newest(events: Vec<Event>) -> Vec<Event> {
    let mut kept: Vec<Option<Event>> = Vec::with_capacity(events.len());
    let mut of: HashMap<UserId, usize> = HashMap::with_capacity(events.len());
    for mut event in events {
        if let Some(before) = of
            .insert(event.user, kept.len())
            .and_then(|at| kept.get_mut(at))
            .and_then(Option::take)
        {
            let made = before.kind == EventKind::Created.as_str();
            if made && event.kind == EventKind::Updated.as_str() {
                event.kind = before.kind;
            }
            event.fields = match (before.fields, event.fields) {
                (Some(mut fields), Some(more)) => {
                    fields.extend(more);
                    Some(fields)
                }
                _ => None,
            };
        }
        kept.push(Some(event));
    }
    kept.into_iter().flatten().collect()
}

/// Whether a change of `fields` is one to whoever is shown `sources` (`None`: everything). Versions and times change with each change.
pub(super) fn concerns(sources: Option<&[String]>, fields: Option<&[String]>) -> bool {
    let (Some(sources), Some(fields)) = (sources, fields) else {
        return true;
    };
    let moving = ["version", "updated_at"];
    sources
        .iter()
        .any(|source| moving.contains(&source.as_str()) || fields.contains(source))
}

/// The members that differ, and those within an object as `object.member`: what an event tells beside the fact.
pub(crate) fn changed_members(
    before: &Map<String, Value>,
    after: &Map<String, Value>,
) -> Vec<String> {
    let names = |a: &Map<String, Value>, b: &Map<String, Value>| -> Vec<String> {
        let added = b.keys().filter(|name| !a.contains_key(*name));
        a.keys()
            .chain(added)
            .filter(|name| a.get(*name) != b.get(*name))
            .cloned()
            .collect()
    };
    let nothing = Map::new();
    let mut changed = names(before, after);
    for name in changed.clone() {
        let (was, is) = (before.get(&name), after.get(&name));
        if [was, is].into_iter().flatten().any(Value::is_object) {
            let inner = |value: Option<&'_ Value>| value.and_then(Value::as_object).cloned();
            let within = names(
                inner(was).as_ref().unwrap_or(&nothing),
                inner(is).as_ref().unwrap_or(&nothing),
            );
            changed.extend(within.into_iter().map(|member| format!("{name}.{member}")));
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn event(kind: EventKind, user: u128, version: i64, fields: Option<&[&str]>) -> Event {
        Event {
            kind: kind.as_str().to_owned(),
            user: UserId(uuid::Uuid::from_u128(user)),
            version,
            occurred_at: OffsetDateTime::UNIX_EPOCH,
            fields: fields.map(|f| f.iter().map(|name| (*name).to_owned()).collect()),
        }
    }

    #[test]
    fn of_several_changes_the_newest_stands_for_all() {
        let taken = vec![
            event(EventKind::Created, 1, 1, None),
            event(EventKind::Updated, 2, 7, Some(&["email"])),
            event(EventKind::Updated, 1, 2, Some(&["name"])),
            event(EventKind::Updated, 2, 8, Some(&["name"])),
            event(EventKind::Deleted, 2, 9, None),
        ];
        let made = event(EventKind::Created, 1, 2, None);
        let gone = event(EventKind::Deleted, 2, 9, None);
        assert_eq!(newest(taken.clone()), [made, gone]);
        let both = newest(taken[1..4].to_vec());
        assert_eq!(
            both[1],
            event(EventKind::Updated, 2, 8, Some(&["email", "name"]))
        );
    }

    #[test]
    fn a_change_outside_a_view_does_not_concern_it() {
        let of = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let (view, all) = (of(&["email", "address.country"]), None);
        for (fields, concerned) in [
            (Some(of(&["name"])), false),
            (Some(of(&[])), false),
            (Some(of(&["name", "email"])), true),
            (Some(of(&["address", "address.locality"])), false),
            (Some(of(&["address", "address.country"])), true),
            (None, true),
        ] {
            let fields = fields.as_deref();
            assert_eq!(concerns(Some(&view), fields), concerned, "{fields:?}");
            assert!(concerns(all, fields));
            assert!(concerns(Some(&of(&["version"])), fields));
        }
    }

    #[test]
    fn members_within_objects_are_named_too() {
        let object = |value: Value| value.as_object().cloned().unwrap();
        let before = object(
            json!({"name": "a", "email": "x", "address": {"country": "DE", "locality": "Berlin"}}),
        );
        let after = object(
            json!({"name": "a", "username": "u", "address": {"country": "DE", "region": "B"}}),
        );
        let mut names = changed_members(&before, &after);
        names.sort();
        assert_eq!(
            names,
            [
                "address",
                "address.locality",
                "address.region",
                "email",
                "username"
            ]
        );
    }

    proptest! {
        #[test]
        fn the_newest_of_each_person_is_kept_in_order(people in prop::collection::vec(0..5_u128, 0..40)) {
            let mut versions = HashMap::new();
            let taken: Vec<Event> = people.iter().map(|user| {
                let version = versions.entry(*user).or_insert(0_i64);
                *version += 1;
                event(EventKind::Updated, *user, *version, Some(&["name"]))
            }).collect();
            let kept = newest(taken.clone());
            prop_assert_eq!(kept.len(), versions.len());
            for event in &kept {
                prop_assert_eq!(event.version, versions[&event.user.0.as_u128()]);
            }
            let at = |e: &Event| taken.iter().position(|t| t.user == e.user && t.version == e.version);
            prop_assert!(kept.is_sorted_by_key(at));
        }
    }
}
