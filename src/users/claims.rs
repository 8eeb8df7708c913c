//! A person's claims as their applications see them (OpenID Connect Core §5.1, §5.4): a closed list, so nothing that is written of a
//! person can pass for a claim of the token's own (checklist 50).

use serde_json::{Map, Value, json};

use super::User;
use crate::kernel::ScopeSet;

/// The claims that each scope opens (§5.4).
const OF_SCOPE: [(&str, &[&str]); 4] = [
    (
        "profile",
        &[
            "name",
            "given_name",
            "family_name",
            "middle_name",
            "nickname",
            "preferred_username",
            "profile",
            "picture",
            "website",
            "gender",
            "birthdate",
            "zoneinfo",
            "locale",
            "updated_at",
        ],
    ),
    ("email", &["email", "email_verified"]),
    ("phone", &["phone_number", "phone_number_verified"]),
    ("address", &["address"]),
];

/// All that can be asked for, for discovery.
pub(crate) fn claim_names() -> impl Iterator<Item = &'static str> {
    OF_SCOPE
        .into_iter()
        .flat_map(|(_, names)| names.iter().copied())
}

/// Whether it is a claim about a person that may be asked for by name.
pub(crate) fn is_claim(name: &str) -> bool {
    claim_names().any(|known| known == name)
}

/// Whether one of these scopes opens the claim.
pub(crate) fn opens(scope: &ScopeSet, name: &str) -> bool {
    OF_SCOPE
        .into_iter()
        .any(|(of, names)| scope.contains(of) && names.contains(&name))
}

impl User {
    /// The claims that `scope` opens, and those `further` ones that were asked for by name; only what is known of the person.
    pub(crate) fn claims(&self, scope: &ScopeSet, further: &[String]) -> Map<String, Value> {
        let mut known = self.known_claims();
        let mut told = Map::new();
        for (of, names) in OF_SCOPE {
            for name in names {
                if (scope.contains(of) || further.iter().any(|asked| asked == name))
                    && let Some(value) = known.remove(*name)
                {
                    told.insert((*name).to_owned(), value);
                }
            }
        }
        told
    }

    fn known_claims(&self) -> Map<String, Value> {
        let mut known = self.fields.to_json();
        // What says whether an address was verified says nothing without the address.
        for (address, verified) in [
            ("email", "email_verified"),
            ("phone_number", "phone_number_verified"),
        ] {
            if !known.contains_key(address) {
                known.remove(verified);
            }
        }
        // §5.1: a username is what a person prefers to be called by, unless they said otherwise.
        if let Some(username) = &self.fields.username {
            known
                .entry("preferred_username")
                .or_insert_with(|| json!(username));
        }
        known.insert(
            "updated_at".to_owned(),
            json!(self.updated_at.unix_timestamp()),
        );
        known
    }
}
