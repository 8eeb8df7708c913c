//! The labels, as types: what is not here can't be one.

use std::fmt::{self, Write};

use axum::http::Method;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};

/// How the values of a label are spelled.
macro_rules! spelled {
    ($label:ident: $($value:ident $word:literal),+) => {
        impl EncodeLabelValue for $label {
            fn encode(&self, encoder: &mut LabelValueEncoder) -> fmt::Result {
                encoder.write_str(match self {
                    $(Self::$value => $word),+
                })
            }
        }
    };
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct Request {
    /// The route as the table has it; `none` where there is none.
    pub(super) route: String,
    pub(super) method: &'static str,
    pub(super) status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct Route {
    pub(super) route: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct Token {
    pub(super) grant: &'static str,
    /// A registered client's id.
    pub(super) client: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct TokenError {
    pub(super) error: &'static str,
}

/// `code`, or an error of the specifications.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct Authorization {
    pub(super) answer: &'static str,
}

/// Where a password is tried.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(crate) enum Door {
    Page,
    Grant,
}
spelled!(Door: Page "page", Grant "grant");

/// What came of a password that was tried and refused.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Wrong, unknown, disabled: one and the same.
    Wrong,
    /// The throttle's.
    TooMany,
}
spelled!(Refusal: Wrong "wrong", TooMany "too_many");

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct Refused {
    pub(super) door: Door,
    pub(super) reason: Refusal,
}

/// What a cache had to say.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(crate) enum CacheAnswer {
    Hit,
    Miss,
    /// Nothing was heard from the notifier, so the database was asked.
    Doubted,
}
spelled!(CacheAnswer: Hit "hit", Miss "miss", Doubted "doubted");

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct Cache {
    pub(super) answer: CacheAnswer,
}

/// Why Doorward turned to another server.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A client's published keys.
    Keys,
    /// Telling a client that a person has signed out.
    Logout,
    Webhook,
}
spelled!(Purpose: Keys "keys", Logout "logout", Webhook "webhook");

/// What came of it.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(crate) enum FetchOutcome {
    Done,
    /// The settings forbid the address.
    Refused,
    /// The name leads nowhere.
    Name,
    Connect,
    Tls,
    Timeout,
    /// No place was free in time.
    Busy,
    /// Another status than the one hoped for, redirects included.
    Status,
    /// Too long, compressed, or of another type.
    Content,
    Broken,
}
spelled!(FetchOutcome: Done "done", Refused "refused", Name "name", Connect "connect", Tls "tls", Timeout "timeout", Busy "busy", Status "status", Content "content", Broken "broken");

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct Fetched {
    pub(super) purpose: Purpose,
    pub(super) outcome: FetchOutcome,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct FetchedFor {
    pub(super) purpose: Purpose,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct Webhook {
    /// A registered webhook's id; there are at most 64.
    pub(super) webhook: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct Delivery {
    pub(super) webhook: String,
    /// `received` or `failed`.
    pub(super) outcome: &'static str,
}

/// What came of telling an application that a session ended.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(crate) enum NoticeOutcome {
    Delivered,
    /// It is tried again.
    Failed,
    GivenUp,
}
spelled!(NoticeOutcome: Delivered "delivered", Failed "failed", GivenUp "given_up");

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct Notice {
    pub(super) outcome: NoticeOutcome,
}

/// A method's name; extension methods are all `other`.
pub(crate) fn method(method: &Method) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
    let known = KNOWN.into_iter().find(|name| *name == method.as_str());
    known.unwrap_or("other")
}
