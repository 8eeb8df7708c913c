//! PostgreSQL, the only store: connections, migrations, cursors, and what caches are told.

mod constraint;
mod cursor;
pub(crate) mod embedded;
mod invalidation;
pub(crate) mod locks;
mod migrations;
mod pool;
pub(crate) mod spend;
mod sweep;

pub(crate) use constraint::{OnConstraint, Rule};
pub(crate) use cursor::Cursors;
pub(crate) use invalidation::{NEWS, Topic, Trust, forget, listen, notify};
pub(crate) use migrations::{migrate, newest_migration};
pub(crate) use pool::{HandedOut, connect, connect_standing, options, standing, unhurried, within};
pub(crate) use sweep::SWEEP_BATCH;
