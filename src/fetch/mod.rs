//! The one outbound client: whatever Doorward fetches or posts at an address that somebody registered (key sets, logout tokens,
//! webhooks) goes through here, so that nobody makes it knock at doors inside the network (checklist 159–162).
//!
//! `destination.rs` the URL as it was typed, in its plainest spelling alone · `guard.rs` which addresses are permitted · `lookup.rs` names ·
//! `dial.rs` look up, check, connect to what was checked · `fetcher.rs` one exchange: time, size, content type, no redirects.

mod destination;
mod dial;
mod error;
mod fetcher;
mod guard;
mod lookup;
#[cfg(test)]
mod tests;
mod wire;

pub(crate) use crate::meters::Purpose;
pub(crate) use destination::Destination;
pub(crate) use error::FetchError;
pub(crate) use fetcher::{Document, Fetcher, Post};
