//! "Our fault": anything that goes wrong and is not the caller's doing, with its cause.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

/// Something that is our fault. It is logged once, at the edge, under the request id (too much to do once a second for each cause); the caller learns only its kind.
pub struct Fault {
    pub(crate) kind: FaultKind,
    pub(crate) doing: &'static str,
    cause: Option<Box<dyn Error + Send + Sync>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FaultKind {
    /// A bug or a broken store: 500.
    Internal,
    /// The database can't be reached or won't answer now: 503 with `Retry-After`.
    Unavailable,
    /// More work than can be done now, a full hash queue say: 503 with `Retry-After`.
    Overloaded,
}

impl Fault {
    /// A bug, or data that can't be: `doing` says what was tried.
    pub(crate) fn internal(
        doing: &'static str,
        cause: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self {
            kind: FaultKind::Internal,
            doing,
            cause: Some(cause.into()),
        }
    }

    /// Something that we depend on is away.
    pub(crate) fn unavailable(
        doing: &'static str,
        cause: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self {
            kind: FaultKind::Unavailable,
            doing,
            cause: Some(cause.into()),
        }
    }

    /// More asked for than can be done now.
    pub(crate) fn overloaded(doing: &'static str) -> Self {
        Self {
            kind: FaultKind::Overloaded,
            doing,
            cause: None,
        }
    }

    /// Whether two transactions waited for each other and this one was given up: nothing of it has happened.
    pub(crate) fn is_deadlock(&self) -> bool {
        let cause = self.cause.as_deref();
        let cause = cause.and_then(|cause| cause.downcast_ref::<sqlx::Error>());
        cause.is_some_and(|cause| sqlstate(cause).as_deref() == Some(DEADLOCK))
    }
}

/// PostgreSQL's codes (its manual, appendix A): two waited for each other; the wait for a lock took too long.
pub(crate) const DEADLOCK: &str = "40P01";
pub(crate) const LOCK_NOT_AVAILABLE: &str = "55P03";

/// What PostgreSQL answered with, where it was PostgreSQL that did.
pub(crate) fn sqlstate(cause: &sqlx::Error) -> Option<Cow<'_, str>> {
    cause.as_database_error()?.code()
}

impl From<sqlx::Error> for Fault {
    fn from(cause: sqlx::Error) -> Self {
        let kind = match &cause {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            // What a connection says that is cut off in the middle of a word.
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => FaultKind::Unavailable,
            other if sqlstate(other).is_some_and(|code| is_passing(&code)) => {
                FaultKind::Unavailable
            }
            _ => FaultKind::Internal,
        };
        Self {
            kind,
            doing: "asking the database",
            cause: Some(Box::new(cause)),
        }
    }
}

/// Whether an SQLSTATE speaks of a state that passes: no connection, a password that is being changed, no room, a shutdown, a deadlock, a timeout.
fn is_passing(code: &str) -> bool {
    code.starts_with("08")
        || code.starts_with("28")
        || code.starts_with("53")
        || code.starts_with("57")
        || matches!(code, "40001" | DEADLOCK | LOCK_NOT_AVAILABLE | "25006")
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.doing)?;
        let mut next: Option<&dyn Error> = self.cause.as_ref().map(|c| c.as_ref() as &dyn Error);
        while let Some(cause) = next {
            write!(f, ": {cause}")?;
            next = cause.source();
        }
        Ok(())
    }
}

impl Error for Fault {}
