//! Passwords of people: set by others, chosen by themselves.

mod operations;
mod own;
mod store;

pub(crate) use operations::{SetPassword, set_password};
pub(super) use operations::{hash, require_password_change};
pub(crate) use own::{ChoiceError, choose_password};
pub(crate) use store::renew_password_hash;
