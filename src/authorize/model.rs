//! An authorization request that has passed the checks: what is stored, and what a person approves.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::Claims;
use crate::http::OAuthError;
use crate::kernel::{ClientId, UserId};

/// What the client wants of the person beyond a look at their session (Core §3.1.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Prompt {
    None,
    Login,
    Consent,
    SelectAccount,
}

impl Prompt {
    pub(crate) const ALL: [Self; 4] = [Self::None, Self::Login, Self::Consent, Self::SelectAccount];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Login => "login",
            Self::Consent => "consent",
            Self::SelectAccount => "select_account",
        }
    }
}

/// How an answer travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    Query,
    FormPost,
}

/// Where answers go, proven to be the client's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Back {
    pub(crate) redirect_uri: String,
    pub(crate) mode: Mode,
    pub(crate) state: Option<String>,
}

/// The request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) client_id: ClientId,
    pub(crate) back: Back,
    /// `None`: all that the client, and the person, may have.
    pub(crate) scope: Option<String>,
    /// RFC 8707.
    pub(crate) resources: Vec<String>,
    pub(crate) nonce: Option<String>,
    pub(crate) code_challenge: Option<String>,
    pub(crate) prompt: Vec<Prompt>,
    /// The person must have proven themselves then or later (`prompt=login`, `max_age`).
    #[serde(with = "time::serde::rfc3339::option")]
    pub(crate) proven_since: Option<OffsetDateTime>,
    /// Nobody else will do (`id_token_hint`, `claims`).
    pub(crate) subject: Option<UserId>,
    /// Stored apart from the rest, sealed: it may be somebody's address.
    #[serde(skip)]
    pub(crate) login_hint: Option<String>,
    pub(crate) claims: Claims,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) asked_at: OffsetDateTime,
}

impl Request {
    pub(crate) fn wants(&self, prompt: Prompt) -> bool {
        self.prompt.contains(&prompt)
    }
}

/// Why a client is sent away (RFC 6749 §4.1.2.1, Core §3.1.2.6): a code of the specifications and a fixed text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) error: &'static str,
    pub(crate) told: Cow<'static, str>,
}

impl Refused {
    pub(crate) const fn new(error: &'static str, told: &'static str) -> Self {
        let told = Cow::Borrowed(told);
        Self { error, told }
    }

    pub(crate) const fn invalid_request(told: &'static str) -> Self {
        Self::new("invalid_request", told)
    }
}

impl From<OAuthError> for Refused {
    fn from(error: OAuthError) -> Self {
        Self {
            error: error.code(),
            told: error.told(),
        }
    }
}
