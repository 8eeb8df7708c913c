//! Black-box tests over HTTP against real PostgreSQL: one binary, one template database, one database a test, a clock that tests move.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::field_reassign_with_default,
    reason = "tests say what they expect, and run by the real clock"
)]

mod access;
mod applications;
mod assertion;
mod authorize;
mod bearer;
mod browsers;
mod canary;
mod change;
mod changes;
mod cli;
mod client_auth;
mod clients;
mod consumers;
mod cors;
mod discovery;
mod examples;
mod find;
mod health;
mod hygiene;
mod introspection;
mod keys;
mod kill;
mod life;
mod limits;
mod login;
mod logout;
mod metrics;
mod openapi;
mod registration;
mod replicas;
mod revocation;
mod rotation;
mod sessions;
mod settings;
mod sign_on;
mod stock_clients;
mod structure;
mod support;
mod throttle;
mod tls;
mod tokens;
mod traces;
mod userinfo;
mod users;
mod webhooks;
