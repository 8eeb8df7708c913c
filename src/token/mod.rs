//! Tokens: the token endpoint and its grants, the one mint, and the guard that turns a token into an actor.

mod audience;
mod bearer;
mod claims;
mod exchange;
mod grant;
pub(crate) mod http;
mod issue;
mod seen;

pub(crate) use bearer::guard;
pub(crate) use seen::SeenTokens;
