//! The outbox: what happened to people, appended inside the change.

mod model;
mod outbox;

pub(crate) use model::EventKind;
pub(crate) use outbox::append;
