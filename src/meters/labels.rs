//! The labels, as types: what is not here can't be one.

use axum::http::Method;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};

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
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, EncodeLabelValue)]
pub(crate) enum Door {
    Page,
    Grant,
}

/// What came of a password that was tried and refused.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, EncodeLabelValue)]
pub(crate) enum Refusal {
    /// Wrong, unknown, disabled: one and the same.
    Wrong,
    /// The throttle's.
    TooMany,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct Refused {
    pub(super) door: Door,
    pub(super) reason: Refusal,
}

/// What a cache had to say.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, EncodeLabelValue)]
pub(crate) enum CacheAnswer {
    Hit,
    Miss,
    /// Nothing was heard from the notifier, so the database was asked.
    Doubted,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct Cache {
    pub(super) answer: CacheAnswer,
}

/// Why Doorward turned to another server.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, EncodeLabelValue)]
pub(crate) enum Purpose {
    /// A client's published keys.
    Keys,
    /// Telling a client that a person has signed out.
    Logout,
    Webhook,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, EncodeLabelValue)]
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
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, EncodeLabelValue)]
pub(crate) enum NoticeOutcome {
    Delivered,
    /// It is tried again.
    Failed,
    GivenUp,
}

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
