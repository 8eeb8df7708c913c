//! Delivering: in order for each person, with retries, by one replica for each webhook.
//!
//! `shift.rs` which replica delivers which webhook · `worker.rs` one webhook's deliveries · `reading.rs` where it reads, `track.rs` how far
//! that is done with · `queue.rs` what is to be sent · `outcome.rs` what came of it · `letters.rs` what failed and is tried again.

mod letters;
mod outcome;
mod queue;
mod reading;
mod shift;
mod store;
mod track;
mod worker;

pub(crate) use shift::keep;
pub(super) use store::{dead, revive};
