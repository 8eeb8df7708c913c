//! What everything else is made of: time, chance, ids, secrets, scopes. No I/O, and no word of OAuth's endpoints.

pub mod clock;
pub mod fault;
pub(crate) mod id;
pub(crate) mod json;
pub(crate) mod network;
pub(crate) mod object;
pub(crate) mod random;
pub(crate) mod redirect;
pub(crate) mod scope;
pub(crate) mod seal;
pub mod secret;
pub mod span;

pub use fault::Fault;
pub(crate) use id::{ClientId, FamilyId, FeedId, UserId};
pub(crate) use scope::ScopeSet;
pub(crate) use secret::{Secret, TokenHash};
