//! The authorization endpoint (RFC 6749 §3.1, OpenID Connect Core §3.1.2): what an application asks of a person's browser, and the
//! answer that it gets.

mod checks;
mod claims_parameter;
mod code;
mod due;
pub(crate) mod http;
mod model;
mod progress;
mod request;
mod respond;
mod seen;
mod store;

pub(crate) use checks::{CHALLENGE_METHOD, RESPONSE_TYPE};
pub(crate) use claims_parameter::Claims;
pub(crate) use code::{Code, CodeData, void_codes};
pub(crate) use due::Due;
pub(crate) use model::{Prompt, Refused};
pub(crate) use progress::{Interaction, approve, choose, deny, find, go_on, named};
pub(crate) use seen::SeenChallenges;
pub(crate) use store::sweep;
