//! What a session says.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::kernel::UserId;

/// How far a sign-in has come. Only the server moves it on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stage {
    /// The password was right, and a new one is demanded: nobody is signed in yet.
    NewPassword,
    SignedIn,
}

/// The session's one entry.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SessionData {
    pub(crate) user_id: UserId,
    pub(crate) public_id: Uuid,
    pub(crate) stage: Stage,
    /// Sessions of admins live shorter.
    pub(crate) admin: bool,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) began_at: OffsetDateTime,
    /// The person's `tokens_valid_from` as it was when their password was looked at: while it is the same, the session counts. No
    /// clock decides, so a sign-in that was under way when the password was changed comes to nothing.
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) valid_from: OffsetDateTime,
    pub(crate) ip: Option<String>,
    pub(crate) user_agent: Option<String>,
}

impl SessionData {
    /// Its name in the session.
    pub(super) const KEY: &'static str = "sign_in";
}
