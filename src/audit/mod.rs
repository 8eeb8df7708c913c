//! Who did what to whom: append only, written in the change's own transaction; and a person's history, which is told from it.

mod history;
mod model;
mod record;
mod store;

pub(crate) use history::{Changed, Told, blank, list as list_history};
pub(crate) use model::{Action, Change, Target};
pub(crate) use record::{Seals, entry, record, record_start, record_under};
pub(crate) use store::Entry;
