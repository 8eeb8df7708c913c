//! A person: OpenID Connect's standard claims (Core §5.1) and Doorward's own fields.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::kernel::{Secret, UserId};

/// Whether a person is let in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    #[default]
    Active,
    Disabled,
}

impl Status {
    pub(crate) const ALL: [Self; 2] = [Self::Active, Self::Disabled];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

/// What callers may write of a person. A member that is absent or null is not set.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Fields {
    pub(crate) email: Option<String>,
    pub(crate) email_verified: bool,
    pub(crate) username: Option<String>,
    pub(crate) phone_number: Option<String>,
    pub(crate) phone_number_verified: bool,
    pub(crate) name: Option<String>,
    pub(crate) status: Status,
    pub(crate) admin: bool,
    pub(crate) claims: Claims,
    /// The person's key in every other system, by the system's name.
    pub(crate) external_ids: BTreeMap<String, String>,
    /// As the deployment declares them ([`super::attributes`]).
    pub(crate) attributes: Map<String, Value>,
}

/// The standard claims that nothing is searched by.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Claims {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) given_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) family_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) middle_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) nickname: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) preferred_username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) profile: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) picture: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) website: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) gender: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) birthdate: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) zoneinfo: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) locale: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) address: Option<Address>,
}

/// The `address` claim (Core §5.1.1).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub(crate) struct Address {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) formatted: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) street_address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) locality: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) region: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) postal_code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) country: Option<String>,
}

/// A person as stored.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct User {
    pub(crate) id: UserId,
    pub(crate) version: i64,
    pub(crate) fields: Fields,
    pub(crate) password_change_required: bool,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) updated_at: OffsetDateTime,
}

/// What a sign-in needs to know of a person.
#[derive(Clone)]
pub(crate) struct SignIn {
    pub(crate) id: UserId,
    pub(crate) status: Status,
    pub(crate) admin: bool,
    pub(crate) email: Option<String>,
    pub(crate) username: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) password_hash: Option<Secret<String>>,
    pub(crate) password_change_required: bool,
    pub(crate) tokens_valid_from: OffsetDateTime,
}

impl SignIn {
    /// What they sign in with, for a password manager: their address, else their username.
    pub(crate) fn identifier(&self) -> &str {
        let either = self.email.as_deref().or(self.username.as_deref());
        either.unwrap_or("")
    }
}

/// Whether a person who was let in before still is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    pub(crate) active: bool,
    pub(crate) admin: bool,
    pub(crate) tokens_valid_from: OffsetDateTime,
}

impl Standing {
    /// What tokens say they were given out under.
    pub(crate) fn epoch(&self, id: UserId) -> String {
        epoch(id, self.tokens_valid_from)
    }
}

/// Names the time between two events that end what a person was given (disabled, a new password, another rank), without telling
/// when they were. A token carries it and is good while it is the present one: no clock decides, so a sign-in that was under way when
/// the password was changed gives nothing that lives on.
pub(crate) fn epoch(id: UserId, tokens_valid_from: OffsetDateTime) -> String {
    let mut hash = Sha256::new();
    hash.update(b"epoch");
    hash.update(id.0.as_bytes());
    hash.update(tokens_valid_from.unix_timestamp_nanos().to_be_bytes());
    URL_SAFE_NO_PAD.encode(&hash.finalize()[..9])
}
