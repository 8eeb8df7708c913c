//! Counters that rooms hold and `ops` shows. Every label is from a closed set: routes of the table, methods, statuses, grants, registered
//! clients; what a stranger sends never becomes one (checklist 168).

mod instruments;
mod labels;

pub(crate) use instruments::Meters;
pub(crate) use labels::{CacheAnswer, Door, FetchOutcome, NoticeOutcome, Purpose, Refusal, method};
