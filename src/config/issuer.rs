//! The issuer: the one name of this server.

use std::str::FromStr;

use serde::de::Error;
use serde::{Deserialize, Deserializer};
use url::Url;

/// The issuer identifier, exactly as it stands in `iss` (RFC 8414 §2; checklist 130).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer(String);

impl Issuer {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether browsers reach us over TLS: cookies are `Secure` and `__Host-` exactly then.
    pub fn is_https(&self) -> bool {
        self.0.starts_with("https:")
    }

    /// `path` below the issuer; `path` begins with a slash.
    pub fn join(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }

    /// Scheme, host and port, as browsers send it in `Origin`.
    pub fn origin(&self) -> String {
        Url::parse(&self.0)
            .map_or_else(|_| self.0.clone(), |url| url.origin().ascii_serialization())
    }
}

impl Default for Issuer {
    fn default() -> Self {
        Self("http://localhost:8080".to_owned())
    }
}

impl FromStr for Issuer {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected an https URL (http for loopback hosts only) in its plainest spelling, without path, query, fragment or user";
        let url = Url::parse(text).map_err(|_| EXPECTED)?;
        let loopback = match url.host() {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
            None => false,
        };
        let scheme = url.scheme() == "https" || (url.scheme() == "http" && loopback);
        // With a path, RFC 8414 §3.1 puts the metadata where a proxy that maps the path to Doorward would not look.
        let bare = url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        // Another spelling of the same URL would not equal itself in a client that compares strings.
        let plain = url.as_str().trim_end_matches('/') == text;
        if scheme && bare && plain {
            Ok(Self(text.to_owned()))
        } else {
            Err(EXPECTED)
        }
    }
}

impl<'de> Deserialize<'de> for Issuer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}
