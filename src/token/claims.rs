//! The claims of an access token (RFC 9068 §2.2).

use serde::Serialize;

use crate::kernel::ScopeSet;

/// Times in seconds since 1970.
#[derive(Serialize)]
pub(super) struct AccessTokenClaims<'a> {
    pub(super) iss: &'a str,
    pub(super) sub: &'a str,
    pub(super) aud: &'a str,
    pub(super) exp: i64,
    pub(super) iat: i64,
    pub(super) jti: &'a str,
    pub(super) client_id: &'a str,
    #[serde(skip_serializing_if = "ScopeSet::is_empty")]
    pub(super) scope: &'a ScopeSet,
    /// When the person proved themselves; a client's token has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) auth_time: Option<i64>,
    /// Which of the person's epochs it belongs to; ours alone to check ([`crate::users::epoch`]).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) epoch: Option<&'a str>,
}
