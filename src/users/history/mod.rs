//! What happened to a person: who changed what, when and why, and the person as they were.

mod entry;
pub(crate) mod http;
mod operations;
mod rewind;
pub(crate) mod shapes;

pub(super) use operations::as_of;
