//! Query strings of the REST API: known parameters, each once.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::form::Form;
use super::{Problem, ProblemKind};

/// Items in a page of a list, at most and unless asked for otherwise.
const MAX_LIMIT: usize = 200;
const DEFAULT_LIMIT: usize = 50;

/// The parameters of a query string.
pub(crate) struct Query(Form);

impl Query {
    /// Takes a parameter out.
    pub(crate) fn take(&mut self, name: &str) -> Option<String> {
        self.0.take_text(name)
    }

    /// Takes out the first parameter whose name begins so: what follows in its name, and its value.
    pub(crate) fn take_beginning(&mut self, beginning: &str) -> Option<(String, String)> {
        let name = self
            .0
            .names()
            .find(|name| name.starts_with(beginning))?
            .to_owned();
        let value = self.0.take_text(&name)?;
        Some((name[beginning.len()..].to_owned(), value))
    }

    /// Takes out how many items a page of a list is to have.
    pub(crate) fn take_limit(&mut self) -> Result<usize, Problem> {
        let Some(sent) = self.take("limit") else {
            return Ok(DEFAULT_LIMIT);
        };
        let digits = sent.bytes().all(|b| b.is_ascii_digit());
        let limit = sent.parse().ok();
        limit
            .filter(|limit| digits && (1..=MAX_LIMIT).contains(limit))
            .ok_or_else(|| Problem::invalid_query("limit", "Expected a number from 1 to 200."))
    }

    /// Refuses by name what was not taken.
    pub(crate) fn finish(self) -> Result<(), Problem> {
        match self.0.names().next() {
            None => Ok(()),
            Some(name) => {
                let name: String = name.chars().take(64).collect();
                Err(Problem::invalid_query(
                    name,
                    "There is no such parameter here.",
                ))
            }
        }
    }
}

/// Reads a parameter that is a time.
pub(crate) fn time_in(parameter: &str, text: &str) -> Result<OffsetDateTime, Problem> {
    OffsetDateTime::parse(text, &Rfc3339).map_err(|_| {
        Problem::invalid_query(
            parameter,
            "Expected an RFC 3339 time such as 2026-01-31T12:00:00Z.",
        )
    })
}

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let raw = parts.uri.query().unwrap_or("");
        Form::parse_keeping_empty(raw.as_bytes(), &[])
            .map(Self)
            .map_err(|e| {
                Problem::new(ProblemKind::InvalidQuery).detail(match e {
                    super::form::FormError::Repeated => "A parameter is given more than once.",
                    _ => "The query could not be read.",
                })
            })
    }
}
