//! Consent: what a person let a client have, asked once and taken back at any time.

mod operations;
pub(crate) mod page;
mod store;
mod words;

pub(crate) use operations::{covers, remember, withdraw};
pub(crate) use store::{ConsentRow, list};
pub(crate) use words::wishes;
