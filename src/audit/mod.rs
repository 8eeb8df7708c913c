//! Who did what to whom: append only, written in the change's own transaction.

mod model;
mod store;

pub(crate) use model::{Action, Target};
pub(crate) use store::{Change, record, record_start};
