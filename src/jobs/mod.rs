//! What runs beside the requests: tasks that a stop can wait for, and the standing jobs.

mod standing;
mod tasks;

pub(crate) use standing::{start, sweep};
pub(crate) use tasks::Tasks;
