//! Delivering: in order for each person, with retries, by one replica for each webhook.
//!
//! `shift.rs` which replica delivers which webhook · `worker.rs` one webhook's deliveries · `track.rs` how far it is.

mod shift;
mod store;
mod track;
mod worker;

pub(crate) use shift::keep;
pub(super) use store::{dead, revive};
