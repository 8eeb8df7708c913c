//! What a path names. What is no name of such a thing names nothing, and nothing is there.

use std::str::FromStr;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;

use super::{Problem, ProblemKind};

/// The one thing that the path names.
pub(crate) struct At<T>(pub(crate) T);

/// One thing within another.
pub(crate) struct Within<A, B>(pub(crate) A, pub(crate) B);

impl<T: FromStr, S: Send + Sync> FromRequestParts<S> for At<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<String>::from_request_parts(parts, state).await.ok();
        let named = path.and_then(|Path(text)| text.parse().ok());
        named.map(Self).ok_or_else(not_there)
    }
}

impl<A: FromStr, B: FromStr, S: Send + Sync> FromRequestParts<S> for Within<A, B> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<(String, String)>::from_request_parts(parts, state);
        let Path((outer, inner)) = path.await.map_err(|_| not_there())?;
        match (outer.parse(), inner.parse()) {
            (Ok(outer), Ok(inner)) => Ok(Self(outer, inner)),
            _ => Err(not_there()),
        }
    }
}

fn not_there() -> Problem {
    Problem::new(ProblemKind::NotFound)
}
