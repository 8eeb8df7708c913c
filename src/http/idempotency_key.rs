//! The `Idempotency-Key` header: a caller's own name for one request that makes something.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;

use super::{Problem, ProblemKind};

const NAME: HeaderName = HeaderName::from_static("idempotency-key");
/// Set where the answer is that of an earlier request.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const MAX_CHARS: usize = 255;

/// Says of an answer whether it is that of an earlier request.
pub(crate) fn replayed(mut response: Response, earlier: bool) -> Response {
    if earlier {
        let headers = response.headers_mut();
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

/// The key, where one was sent. What stands in it is the caller's business, so it may be quoted or not.
#[derive(Clone, Debug)]
pub(crate) struct IdempotencyKey(pub(crate) Option<String>);

impl<S: Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut sent = parts.headers.get_all(NAME).iter();
        let (Some(value), None) = (sent.next(), sent.next()) else {
            return if parts.headers.contains_key(NAME) {
                Err(malformed())
            } else {
                Ok(Self(None))
            };
        };
        match value.to_str() {
            Ok(key) if (1..=MAX_CHARS).contains(&key.len()) => Ok(Self(Some(key.to_owned()))),
            _ => Err(malformed()),
        }
    }
}

fn malformed() -> Problem {
    Problem::new(ProblemKind::MalformedRequest)
        .detail("Idempotency-Key is sent once, with 1 to 255 characters of ASCII.")
}
