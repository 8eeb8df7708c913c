//! Webhooks: addresses that are told of each change, signed after the Standard Webhooks specification.
//!
//! A webhook has a place in its feed rather than a queue: whatever lies after it is read when it is told, so a receiver that was down for
//! a week is told of everybody's newest state and of nobody's older ones, and nothing of a person lies about meanwhile.
//!
//! `operations.rs` what admins do · `delivery/` in order for each person, with retries, by one replica each · `message.rs` what is sent ·
//! `signature.rs` how it is signed · `secrets.rs` with what, as it is kept.

mod delivery;
pub(crate) mod http;
mod message;
mod model;
mod operations;
mod secrets;
mod shapes;
mod signature;
mod store;

pub(crate) use delivery::keep as keep_delivering;
pub(crate) use secrets::{abandon as abandon_secrets, check as check_secrets, reseal};
