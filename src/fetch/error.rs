//! Why an exchange failed. For logs and for whoever owns the address; a stranger learns nothing of it.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::meters::FetchOutcome;

/// Why there is no answer, or none that counts.
#[derive(Clone, Debug)]
pub(crate) enum FetchError {
    /// The URL is none that we go to; what is expected of it.
    Url(&'static str),
    /// The address is inside the network, or of no network at all.
    Address,
    Port(u16),
    /// http, to somewhere that is not this machine.
    Insecure,
    /// The name leads nowhere.
    Name,
    Connect(String),
    Tls(String),
    /// Connecting or the whole took too long.
    Timeout,
    /// As many exchanges as there may be are under way.
    Busy,
    /// Not followed: the address would be another than the one registered.
    Redirect(u16),
    /// Another status than the one hoped for, and how long the other side asks us to stay away.
    Status {
        status: u16,
        retry_after: Option<Duration>,
    },
    ContentType,
    /// Compressed, which nobody asked for.
    Encoding,
    TooLarge,
    /// What came was no HTTP, or it broke off.
    Broken(String),
}

impl FetchError {
    /// The status that was answered, where that is what is wrong.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Redirect(status) | Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// How long the other side asks us to stay away.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether the other side says that it is gone for good (410).
    pub(crate) fn is_gone(&self) -> bool {
        self.status() == Some(410)
    }

    pub(super) fn outcome(&self) -> FetchOutcome {
        match self {
            Self::Url(_) | Self::Address | Self::Port(_) | Self::Insecure => FetchOutcome::Refused,
            Self::Name => FetchOutcome::Name,
            Self::Connect(_) => FetchOutcome::Connect,
            Self::Tls(_) => FetchOutcome::Tls,
            Self::Timeout => FetchOutcome::Timeout,
            Self::Busy => FetchOutcome::Busy,
            Self::Redirect(_) | Self::Status { .. } => FetchOutcome::Status,
            Self::ContentType | Self::Encoding | Self::TooLarge => FetchOutcome::Content,
            Self::Broken(_) => FetchOutcome::Broken,
        }
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(expected) => write!(f, "expected {expected}"),
            Self::Address => f.write_str(
                "its address is not one that the settings allow (fetch.allowed_networks)",
            ),
            Self::Port(port) => {
                write!(
                    f,
                    "port {port} is not one that the settings allow (fetch.allowed_ports)"
                )
            }
            Self::Insecure => f.write_str("expected an https URL"),
            Self::Name => f.write_str("its name leads to no address"),
            Self::Connect(cause) => write!(f, "no connection: {cause}"),
            Self::Tls(cause) => write!(f, "no TLS: {cause}"),
            Self::Timeout => f.write_str("no answer in time"),
            Self::Busy => f.write_str("too many exchanges are under way"),
            Self::Redirect(status) => write!(f, "status {status}: redirects are not followed"),
            Self::Status { status, .. } => write!(f, "status {status}"),
            Self::ContentType => f.write_str("another content type than expected"),
            Self::Encoding => f.write_str("a content encoding that was not asked for"),
            Self::TooLarge => f.write_str("a longer answer than is read"),
            Self::Broken(cause) => write!(f, "a broken answer: {cause}"),
        }
    }
}

impl Error for FetchError {}
