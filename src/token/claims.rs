//! The claims of an access token (RFC 9068 §2.2).

use serde::Serialize;
use uuid::Uuid;

use crate::kernel::{FamilyId, ScopeSet};

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
    /// When the person proved themselves; a client's token has none, nor what follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) auth_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) acr: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) amr: Option<[&'a str; 1]>,
    /// The session, and all that the client got by it ([`crate::families`]); only where there was a sign-in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sid: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) family: Option<FamilyId>,
    /// Which of the person's epochs it belongs to; ours alone to check ([`crate::users::epoch`]).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) epoch: Option<&'a str>,
}
