//! How the program is doing: health, logs, and the documents that its answers point to.

pub(crate) mod docs;
pub(crate) mod health;
pub(crate) mod metrics;
pub(crate) mod telemetry;
pub(crate) mod watch;
