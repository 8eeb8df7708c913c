//! What a client is, and the names that its registration chooses from.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicI64, Ordering};

use time::OffsetDateTime;
use uuid::Uuid;

use super::Registration;
use crate::kernel::id::uuid_v7;
use crate::kernel::{ClientId, TokenHash};

/// How a client proves itself (RFC 7591 §2, `token_endpoint_auth_method`). Each client has exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AuthMethod {
    ClientSecretBasic,
    ClientSecretPost,
    /// An assertion that it signs with its own key (RFC 7523 §2.2).
    PrivateKeyJwt,
    /// A public client: it names itself and proves nothing.
    None,
}

impl AuthMethod {
    pub(crate) const ALL: [Self; 4] = [
        Self::ClientSecretBasic,
        Self::ClientSecretPost,
        Self::PrivateKeyJwt,
        Self::None,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::ClientSecretBasic => "client_secret_basic",
            Self::ClientSecretPost => "client_secret_post",
            Self::PrivateKeyJwt => "private_key_jwt",
            Self::None => "none",
        }
    }

    /// Whether it proves itself at all: a confidential client (RFC 6749 §2.1).
    pub(crate) fn proves(self) -> bool {
        self != Self::None
    }

    /// Whether it proves itself with a secret of ours.
    pub(crate) fn has_secret(self) -> bool {
        matches!(self, Self::ClientSecretBasic | Self::ClientSecretPost)
    }
}

/// A grant that a client may be registered for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grant {
    AuthorizationCode,
    RefreshToken,
    ClientCredentials,
    Password,
}

impl Grant {
    pub(crate) const ALL: [Self; 4] = [
        Self::AuthorizationCode,
        Self::RefreshToken,
        Self::ClientCredentials,
        Self::Password,
    ];

    /// The `grant_type` (RFC 6749 §4.1.3, §4.3.2, §4.4.2, §6).
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::AuthorizationCode => "authorization_code",
            Self::RefreshToken => "refresh_token",
            Self::ClientCredentials => "client_credentials",
            Self::Password => "password",
        }
    }
}

/// What was given is none of the known names, which the text lists.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UnknownName(String);

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected one of {}", self.0)
    }
}

impl std::error::Error for UnknownName {}

pub(super) fn one_of<T: Copy>(
    all: &[T],
    name: impl Fn(T) -> &'static str,
    given: &str,
) -> Result<T, UnknownName> {
    let unknown = || {
        UnknownName(
            all.iter()
                .map(|known| name(*known))
                .collect::<Vec<_>>()
                .join(", "),
        )
    };
    all.iter()
        .copied()
        .find(|known| name(*known) == given)
        .ok_or_else(unknown)
}

impl FromStr for AuthMethod {
    type Err = UnknownName;

    fn from_str(given: &str) -> Result<Self, UnknownName> {
        one_of(&Self::ALL, Self::as_str, given)
    }
}

impl FromStr for Grant {
    type Err = UnknownName;

    fn from_str(given: &str) -> Result<Self, UnknownName> {
        one_of(&Self::ALL, Self::as_str, given)
    }
}

/// A registered client.
pub(crate) struct Client {
    pub(crate) id: ClientId,
    /// Counts the changes of the registration and of the secrets.
    pub(crate) version: i64,
    pub(crate) registration: Registration,
    pub(crate) secrets: Vec<StoredSecret>,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) updated_at: OffsetDateTime,
}

/// A secret's hash, and when it ends.
pub(crate) struct StoredSecret {
    pub(crate) id: Uuid,
    pub(crate) hash: TokenHash,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) expires_at: Option<OffsetDateTime>,
    /// As a job last wrote it.
    pub(crate) last_used_at: Option<OffsetDateTime>,
    /// The minute of Unix time in which this replica last saw it used.
    used_in: AtomicI64,
}

impl StoredSecret {
    /// A new one that ends when somebody ends it.
    pub(crate) fn new(hash: TokenHash, now: OffsetDateTime) -> Self {
        Self::stored(uuid_v7(now), hash, now, None, None)
    }

    pub(crate) fn stored(
        id: Uuid,
        hash: TokenHash,
        created_at: OffsetDateTime,
        expires_at: Option<OffsetDateTime>,
        last_used_at: Option<OffsetDateTime>,
    ) -> Self {
        Self {
            id,
            hash,
            created_at,
            expires_at,
            last_used_at,
            used_in: AtomicI64::new(i64::MIN),
        }
    }

    pub(crate) fn is_live(&self, now: OffsetDateTime) -> bool {
        self.expires_at.is_none_or(|at| at > now)
    }

    /// Marks it as used; whether that is the first time in this minute, so that it is worth writing down.
    pub(crate) fn mark_used(&self, now: OffsetDateTime) -> bool {
        let minute = now.unix_timestamp().div_euclid(60);
        self.used_in.load(Ordering::Relaxed) != minute
            && self.used_in.swap(minute, Ordering::Relaxed) != minute
    }
}
