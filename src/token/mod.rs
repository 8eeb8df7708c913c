//! Tokens: the token endpoint and its grants, the one mint, what a token is worth and how it ends, and the guard that turns one into an actor.

mod audience;
mod bearer;
mod claims;
mod exchange;
mod grant;
mod hint;
pub(crate) mod http;
mod id_token;
mod introspect;
mod issue;
pub(crate) mod preflight;
mod presented;
mod revoke;
mod seen;
mod store;
mod unrevoked;

pub(crate) use audience::{audience, outside_registration, scope};
pub(crate) use bearer::{bearer, guard};
pub(crate) use hint::{IdTokenHint, id_token_hint};
pub(crate) use id_token::ID_TOKEN_CLAIMS;
pub(crate) use presented::{AsOf, Holder, Presented};
pub(crate) use seen::SeenTokens;
pub(crate) use store::sweep;
pub(crate) use unrevoked::Unrevoked;
