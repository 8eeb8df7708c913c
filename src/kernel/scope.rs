//! Scope sets (RFC 6749 §3.3): case-sensitive names in the order they were given, each once.

use std::collections::HashSet;
use std::fmt;

use serde::{Serialize, Serializer};

/// The scopes of Doorward's own API.
pub(crate) const USERS_READ: &str = "users:read";
pub(crate) const USERS_WRITE: &str = "users:write";
pub(crate) const CLIENTS_READ: &str = "clients:read";
pub(crate) const CLIENTS_WRITE: &str = "clients:write";
pub(crate) const OWN: [&str; 4] = [USERS_READ, USERS_WRITE, CLIENTS_READ, CLIENTS_WRITE];

/// The scopes of people's data (OpenID Connect Core §5.4, §11).
pub(crate) const OPENID: &str = "openid";
pub(crate) const OFFLINE_ACCESS: &str = "offline_access";
pub(crate) const PERSONAL: [&str; 6] = [
    OPENID,
    "profile",
    "email",
    "phone",
    "address",
    OFFLINE_ACCESS,
];

/// Bytes of a scope string that are read at most, and names in it (checklist 174).
const MAX_BYTES: usize = 4096;
const MAX_NAMES: usize = 100;

/// A set of scope names; `Display` and JSON give them space-separated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ScopeSet(Vec<String>);

/// The string is no scope: too long, too many names, or a character that RFC 6749 §3.3 does not allow.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct MalformedScope;

impl ScopeSet {
    /// Reads a space-separated list. Doubles are dropped; the empty string is the empty set.
    pub(crate) fn parse(text: &str) -> Result<Self, MalformedScope> {
        if text.len() > MAX_BYTES {
            return Err(MalformedScope);
        }
        let mut seen = HashSet::new();
        let mut names = Vec::new();
        for name in text.split(' ').filter(|name| !name.is_empty()) {
            if !name.bytes().all(is_scope_char) {
                return Err(MalformedScope);
            }
            if seen.insert(name) {
                names.push(name.to_owned());
            }
        }
        if names.len() > MAX_NAMES {
            Err(MalformedScope)
        } else {
            Ok(Self(names))
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.iter().any(|have| have == name)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn is_subset_of(&self, other: &Self) -> bool {
        self.iter().all(|name| other.contains(name))
    }

    /// Those names for which `keep` holds.
    pub(crate) fn filter(&self, keep: impl Fn(&str) -> bool) -> Self {
        Self(
            self.iter()
                .filter(|name| keep(name))
                .map(str::to_owned)
                .collect(),
        )
    }
}

/// RFC 6749 §3.3: `scope-token = 1*( %x21 / %x23-5B / %x5D-7E )`.
fn is_scope_char(b: u8) -> bool {
    matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e)
}

impl fmt::Display for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

impl Serialize for ScopeSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_rfc_allows_and_nothing_else() {
        // S-174
        assert_eq!(
            ScopeSet::parse("a b a  c").map(|s| s.to_string()),
            Ok("a b c".to_owned())
        );
        assert!(ScopeSet::parse("").is_ok_and(|s| s.is_empty()));
        for bad in ["a\tb", "a\"b", "a\\b", "é", "a\u{0}"] {
            assert_eq!(ScopeSet::parse(bad), Err(MalformedScope), "{bad:?}");
        }
        let many = |n: usize| (0..n).map(|i| i.to_string()).collect::<Vec<_>>().join(" ");
        assert!(ScopeSet::parse(&many(100)).is_ok());
        assert_eq!(ScopeSet::parse(&many(101)), Err(MalformedScope));
        assert_eq!(ScopeSet::parse(&"a".repeat(4097)), Err(MalformedScope));
    }
}
