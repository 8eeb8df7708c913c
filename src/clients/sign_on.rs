//! What a client registers so that people can sign in to it (OpenID Connect Dynamic Client Registration §2 and the logout
//! specifications §3.1 each). The members have the specifications' names, in the table's column too.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::model::{UnknownName, one_of};
use crate::jose::Alg;
use crate::kernel::span::Span;

/// How an answer of the authorization endpoint travels (OAuth 2.0 Multiple Response Type Encoding §2.1, Form Post Response Mode).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ResponseMode {
    Query,
    FormPost,
}

impl ResponseMode {
    pub(crate) const ALL: [Self; 2] = [Self::Query, Self::FormPost];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::FormPost => "form_post",
        }
    }
}

impl FromStr for ResponseMode {
    type Err = UnknownName;

    fn from_str(given: &str) -> Result<Self, UnknownName> {
        one_of(&Self::ALL, Self::as_str, given)
    }
}

/// Where an application runs: it decides what its redirect URIs may be (RFC 8252).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ApplicationType {
    #[default]
    Web,
    Native,
}

impl ApplicationType {
    pub(crate) const ALL: [Self; 2] = [Self::Web, Self::Native];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Native => "native",
        }
    }
}

impl FromStr for ApplicationType {
    type Err = UnknownName;

    fn from_str(given: &str) -> Result<Self, UnknownName> {
        one_of(&Self::ALL, Self::as_str, given)
    }
}

/// How people sign in to a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct SignOn {
    /// Where answers may go, each compared byte by byte.
    pub(crate) redirect_uris: Vec<String>,
    /// Origins of its own pages, which may read what the server answers to it (checklist 87); of public clients alone.
    pub(crate) cors_origins: Vec<String>,
    /// How they may travel.
    pub(crate) response_modes: Vec<ResponseMode>,
    pub(crate) application_type: ApplicationType,
    /// Whether each request must come with a code challenge; only a confidential client may do without.
    pub(crate) require_pkce: bool,
    /// The operator's own application: nobody is asked for consent.
    pub(crate) first_party: bool,
    /// Seconds after which people sign in anew, where the request does not say.
    pub(crate) default_max_age: Option<u32>,
    /// Whether each ID token has `auth_time`.
    pub(crate) require_auth_time: bool,
    /// Where somebody else may begin a login (Core §4).
    pub(crate) initiate_login_uri: Option<String>,
    /// Where a browser may be sent after a logout (RP-Initiated Logout §3.1).
    pub(crate) post_logout_redirect_uris: Vec<String>,
    /// Where logout tokens are posted to (Back-Channel Logout §2.2).
    pub(crate) backchannel_logout_uri: Option<String>,
    /// Whether these tokens must name the session.
    pub(crate) backchannel_logout_session_required: bool,
    pub(crate) id_token_signed_response_alg: Alg,
    /// `None`: as the settings say.
    #[serde(with = "whole_seconds")]
    pub(crate) id_token_lifetime: Option<Span>,
    /// How long a refresh token may lie unused; `None`: as the settings say.
    #[serde(with = "whole_seconds")]
    pub(crate) refresh_token_idle_lifetime: Option<Span>,
    /// How long refreshing may go on after the login; `None`: as the settings say.
    #[serde(with = "whole_seconds")]
    pub(crate) refresh_token_lifetime: Option<Span>,
}

impl Default for SignOn {
    fn default() -> Self {
        Self {
            redirect_uris: Vec::new(),
            cors_origins: Vec::new(),
            response_modes: ResponseMode::ALL.to_vec(),
            application_type: ApplicationType::Web,
            require_pkce: true,
            first_party: false,
            default_max_age: None,
            require_auth_time: false,
            initiate_login_uri: None,
            post_logout_redirect_uris: Vec::new(),
            backchannel_logout_uri: None,
            backchannel_logout_session_required: false,
            // Core §2: every client understands it.
            id_token_signed_response_alg: Alg::Rs256,
            id_token_lifetime: None,
            refresh_token_idle_lifetime: None,
            refresh_token_lifetime: None,
        }
    }
}

/// What people are told of a client. None of these addresses is ever fetched by the server (checklist 163).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct About {
    pub(crate) client_uri: Option<String>,
    pub(crate) logo_uri: Option<String>,
    pub(crate) policy_uri: Option<String>,
    pub(crate) tos_uri: Option<String>,
    /// Addresses of the people who answer for it.
    pub(crate) contacts: Vec<String>,
}

/// A length of time as a number, as RFC 7591's neighbours write it.
mod whole_seconds {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::kernel::span::Span;

    #[expect(clippy::ref_option, reason = "serde's shape")]
    pub(super) fn serialize<S: Serializer>(
        span: &Option<Span>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        span.map(Span::whole_seconds).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Span>, D::Error> {
        Ok(Option::<u32>::deserialize(deserializer)?.map(Span::seconds))
    }
}
