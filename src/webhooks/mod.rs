//! Webhooks: addresses that are told of each change, signed after the Standard Webhooks specification.
//!
//! A webhook has a place in its feed rather than a queue: whatever lies after it is read when it is told, so a receiver that was down for
//! a week is told of everybody's newest state and of nobody's older ones, and nothing of a person lies about meanwhile.
//!
//! `operations.rs` what admins do · `shift.rs` which replica delivers which webhook · `worker.rs` delivering: in order for each person,
//! with retries · `track.rs` how far it is · `message.rs` what is sent · `signature.rs` how it is signed ·
//! `secrets.rs` with what, as it is kept.

pub(crate) mod http;
mod message;
mod model;
mod operations;
mod secrets;
mod shapes;
mod shift;
mod signature;
mod store;
mod track;
mod worker;

pub(crate) use secrets::{abandon as abandon_secrets, check as check_secrets, reseal};
pub(crate) use shift::keep as keep_delivering;
