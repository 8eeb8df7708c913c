//! The two kinds of token, and what whoever comes with one, or with none, may have.

use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::kernel::{Secret, TokenHash, random};

/// How long what an address registered counts against it.
pub(super) const HOUR: Duration = Duration::hours(1);
/// What begins an initial access token and a registration access token: neither is ever taken for the other, or for anything else.
const INITIAL: &str = "initial_";
const REGISTRATION: &str = "registration_";

/// What a client that registers itself may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Allowance {
    /// The grants' names.
    pub(crate) grants: Vec<String>,
    pub(crate) require_pkce: bool,
}

/// An initial access token as it is told of: never the token.
pub(crate) struct InitialToken {
    pub(crate) id: Uuid,
    pub(crate) allowance: Allowance,
    pub(crate) uses_left: i32,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) expires_at: OffsetDateTime,
}

pub(super) fn new_initial_token() -> Secret<String> {
    Secret::new(format!("{INITIAL}{}", random::token().expose()))
}

pub(super) fn new_registration_token() -> Secret<String> {
    Secret::new(format!("{REGISTRATION}{}", random::token().expose()))
}

/// The hash of what is presented as an initial access token; `None` for what can't be one.
pub(super) fn initial_token(presented: &str) -> Option<TokenHash> {
    presented
        .starts_with(INITIAL)
        .then(|| TokenHash::of(presented))
}

/// The hash of what is presented as a registration access token; `None` for what can't be one.
pub(super) fn registration_token(presented: &str) -> Option<TokenHash> {
    presented
        .starts_with(REGISTRATION)
        .then(|| TokenHash::of(presented))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_kind_is_never_another() {
        let (initial, registration) = (new_initial_token(), new_registration_token());
        assert!(initial_token(initial.expose()).is_some());
        assert!(registration_token(registration.expose()).is_some());
        assert!(initial_token(registration.expose()).is_none());
        assert!(registration_token(initial.expose()).is_none());
        assert!(initial_token("").is_none() && registration_token("x").is_none());
    }
}
