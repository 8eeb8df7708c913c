//! Requests that make something make it once: the same key and body again get the answer of the first time (checklist 157).

mod claim;
mod store;

pub(crate) use claim::{Claim, ClaimError, Made};
pub(crate) use store::sweep;
