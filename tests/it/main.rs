//! Black-box tests over HTTP against real PostgreSQL: one binary, one template database, one database a test, a clock that tests move.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_types,
    reason = "tests say what they expect"
)]

mod health;
mod limits;
mod settings;
mod support;
