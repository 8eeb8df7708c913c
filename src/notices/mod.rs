//! Notices: which applications are to be told that a session ended, kept until they were told (OpenID Connect Back-Channel Logout 1.0).

mod model;
mod store;

pub(crate) use model::{Notice, next_try};
pub(crate) use store::{append, claim, delete, postpone};
