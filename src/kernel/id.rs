//! Ids. People are UUIDv7, clients `c_…`, so neither can ever be taken for the other.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::{NoContext, Timestamp, Uuid};

use super::random;

/// A person's id, a UUIDv7 (RFC 9562 §5.7) whose time is the clock's.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, sqlx::Type,
)]
#[serde(transparent)]
#[sqlx(transparent)]
pub(crate) struct UserId(pub(crate) Uuid);

impl UserId {
    pub(crate) fn new(now: OffsetDateTime) -> Self {
        Self(uuid_v7(now))
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for UserId {
    type Err = uuid::Error;

    /// Takes the hyphenated lower-case form alone: one person, one spelling of the id.
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let id = Uuid::parse_str(s)?;
        if id.hyphenated().to_string() == s {
            Ok(Self(id))
        } else {
            Uuid::parse_str("").map(Self)
        }
    }
}

/// A UUIDv7 made of `now` and chance, for ids of rows that are listed in the order of their making.
pub(crate) fn uuid_v7(now: OffsetDateTime) -> Uuid {
    let seconds = u64::try_from(now.unix_timestamp()).unwrap_or(0);
    Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, now.nanosecond()))
}

/// Names all that a client got by one sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, sqlx::Type)]
#[serde(transparent)]
#[sqlx(transparent)]
pub(crate) struct FamilyId(pub(crate) Uuid);

impl FamilyId {
    pub(crate) fn new(now: OffsetDateTime) -> Self {
        Self(uuid_v7(now))
    }
}

/// A client's id: `c_` and 128 random bits in base64url. Its alphabet needs no form-encoding in a Basic header.
#[derive(
    Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, sqlx::Type,
)]
#[serde(transparent)]
#[sqlx(transparent)]
pub(crate) struct ClientId(String);

impl ClientId {
    pub(crate) fn new() -> Self {
        Self(format!(
            "c_{}",
            URL_SAFE_NO_PAD.encode(random::bytes::<16>())
        ))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What was presented can't be a client's id.
#[derive(Debug)]
pub(crate) struct NotAClientId;

impl FromStr for ClientId {
    type Err = NotAClientId;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let rest = s.strip_prefix("c_").ok_or(NotAClientId)?;
        let plain = rest
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if plain && (1..=64).contains(&rest.len()) {
            Ok(Self(s.to_owned()))
        } else {
            Err(NotAClientId)
        }
    }
}

/// One of the feeds: everybody's, or a consumer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct FeedId(pub(crate) i32);

impl FeedId {
    /// The feed of those who are no registered consumer: all changes, with all there is of a person.
    pub(crate) const EVERYBODYS: Self = Self(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_never_taken_for_a_person() {
        // S-28
        let client = ClientId::new();
        assert!(client.as_str().parse::<UserId>().is_err());
        assert!(
            UserId::new(OffsetDateTime::UNIX_EPOCH)
                .to_string()
                .parse::<ClientId>()
                .is_err()
        );
    }

    #[test]
    fn a_person_has_one_spelling() {
        let id = UserId::new(OffsetDateTime::UNIX_EPOCH);
        assert_eq!(id.to_string().parse::<UserId>().ok(), Some(id));
        assert!(id.to_string().to_uppercase().parse::<UserId>().is_err());
        assert!(id.0.simple().to_string().parse::<UserId>().is_err());
    }
}
