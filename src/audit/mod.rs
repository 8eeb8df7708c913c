//! Who did what to whom: append only, written in the change's own transaction.

mod model;
mod record;
mod store;

pub(crate) use model::{Action, Change, Target};
pub(crate) use record::{record, record_start};
