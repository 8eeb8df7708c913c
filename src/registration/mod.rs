//! Clients that register themselves (RFC 7591) and manage what they registered (RFC 7592): behind an initial access token, or open where
//! the settings say so.
//!
//! A registration of this kind is worth little: it never holds one of Doorward's own scopes, the password grant, an audience or the mark
//! of a first-party client, whatever it asks for. What an operator adds to it later puts it out of its own reach (clients/rank.rs).
//!
//! `operations.rs` registering oneself and managing that · `metadata.rs` what a client may say of itself · `initial_tokens.rs` what lets
//! somebody in · `sweep.rs` what is over.

pub(crate) mod http;
mod initial_tokens;
mod metadata;
mod model;
mod operations;
mod shapes;
mod store;
mod sweep;

pub(crate) use initial_tokens::{InitialTokenError, create_token};
pub(crate) use model::{Allowance, InitialToken};
pub(crate) use sweep::sweep;
