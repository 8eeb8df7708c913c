//! Strong ETags made of versions, and `If-Match` (RFC 9110 §8.8.3, §13.1.1).

use std::fmt;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};

use super::{Problem, ProblemKind};

/// `"<version>"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ETag(pub(crate) i64);

impl fmt::Display for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0)
    }
}

impl From<ETag> for HeaderValue {
    fn from(etag: ETag) -> Self {
        #[expect(clippy::expect_used, reason = "digits and quotes are a header value")]
        HeaderValue::try_from(etag.to_string()).expect("digits and quotes")
    }
}

/// Whether `If-None-Match` names this tag; it compares weakly (RFC 9110 §13.1.2).
pub(crate) fn is_known(etag: &HeaderValue, sent: &HeaderMap) -> bool {
    sent.get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .map(str::trim)
        .any(|tag| tag == "*" || tag.trim_start_matches("W/").as_bytes() == etag.as_bytes())
}

/// What the caller demands of the present version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum IfMatch {
    /// No `If-Match`, or `*`.
    Any,
    /// One of these versions. A tag that is none of ours, or weak, stands for no version: nothing matches it.
    OneOf(Vec<i64>),
}

impl IfMatch {
    pub(crate) fn allows(&self, version: i64) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(versions) => versions.contains(&version),
        }
    }

    /// The versions that are allowed; `None` for any.
    pub(crate) fn versions(&self) -> Option<&[i64]> {
        match self {
            Self::Any => None,
            Self::OneOf(versions) => Some(versions),
        }
    }

    /// The header's value.
    pub(crate) fn parse(text: &str) -> Self {
        if text.trim() == "*" {
            return Self::Any;
        }
        let versions = text.split(',').filter_map(|tag| {
            let digits = tag.trim().strip_prefix('"')?.strip_suffix('"')?;
            digits
                .parse()
                .ok()
                .filter(|version: &i64| version.to_string() == digits)
        });
        Self::OneOf(versions.collect())
    }
}

impl<S: Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut sent = parts.headers.get_all(header::IF_MATCH).iter();
        match (sent.next(), sent.next()) {
            (None, _) => Ok(Self::Any),
            (Some(value), None) => value.to_str().map(Self::parse).map_err(|_| malformed()),
            (Some(_), Some(_)) => Err(malformed()),
        }
    }
}

fn malformed() -> Problem {
    Problem::new(ProblemKind::MalformedRequest).detail("If-Match could not be read.")
}

/// For the fuzzer.
#[cfg(test)]
pub(super) fn fuzzed(headers: &HeaderMap) {
    is_known(&HeaderValue::from(ETag(1)), headers);
    for text in headers
        .get_all(header::IF_MATCH)
        .iter()
        .filter_map(|v| v.to_str().ok())
    {
        IfMatch::parse(text).allows(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_lists_of_strong_tags() {
        assert_eq!(IfMatch::parse("*"), IfMatch::Any);
        assert_eq!(IfMatch::parse("\"3\", \"4\""), IfMatch::OneOf(vec![3, 4]));
        for none in ["W/\"3\"", "3", "\"03\"", "\"x\"", "", "\"3"] {
            assert_eq!(IfMatch::parse(none), IfMatch::OneOf(vec![]), "{none}");
        }
    }
}
