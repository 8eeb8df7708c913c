//! What a family is, and why it ends.

use time::OffsetDateTime;
use uuid::Uuid;

use crate::kernel::{ClientId, FamilyId, ScopeSet, UserId};

/// Families that one person has at one client, so that logins without end leave no rows without end: the one used longest ago ends when
/// one more begins.
pub(super) const MOST: i64 = 100;

/// What one sign-in gave to one client.
#[derive(Clone, Debug)]
pub(crate) struct Family {
    pub(crate) id: FamilyId,
    pub(crate) client_id: ClientId,
    pub(crate) user_id: UserId,
    /// The session's public id: `sid`.
    pub(crate) session_id: Uuid,
    pub(crate) scope: ScopeSet,
    pub(crate) audience: String,
    /// Claims that userinfo gives beyond those of the scopes (OpenID Connect Core §5.5).
    pub(crate) claims: Vec<String>,
    /// Whether it outlives a logout.
    pub(crate) offline: bool,
    /// When the person proved themselves.
    pub(crate) auth_time: OffsetDateTime,
    /// The person's `tokens_valid_from` then: while it is the same, the family counts.
    pub(crate) valid_from: OffsetDateTime,
    pub(crate) expires_at: OffsetDateTime,
}

/// A family, and whether what it gave counts now.
pub(crate) struct Standing {
    pub(crate) family: Family,
    /// It has not ended or expired, and the person is active and in the epoch that it began in.
    pub(crate) live: bool,
    /// Whether the person may hold Doorward's own scopes.
    pub(crate) admin: bool,
}

/// A family as its person sees it among their applications.
pub(crate) struct FamilyRow {
    pub(crate) id: FamilyId,
    pub(crate) client_id: ClientId,
    pub(crate) session_id: Uuid,
    pub(crate) offline: bool,
    pub(crate) began_at: OffsetDateTime,
    pub(crate) last_used_at: OffsetDateTime,
}

/// Why a family ended before its time. A person who is disabled, deleted, of another rank or with a new password ends theirs by another
/// epoch, without a word here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndReason {
    /// A code was used twice.
    CodeReplayed,
    /// A refresh token was used twice, or by another client.
    RefreshTokenReplayed,
    /// The session it belongs to was ended.
    SignedOut,
    /// Its client gave it back (RFC 7009), or its person ended it.
    Revoked,
    ConsentWithdrawn,
    /// It made room for another: see [`MOST`].
    TooMany,
}

impl EndReason {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::CodeReplayed => "code_replayed",
            Self::RefreshTokenReplayed => "refresh_token_replayed",
            Self::SignedOut => "signed_out",
            Self::Revoked => "revoked",
            Self::ConsentWithdrawn => "consent_withdrawn",
            Self::TooMany => "too_many",
        }
    }
}
