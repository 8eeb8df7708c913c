//! How the program is doing: health, and logs.

pub(crate) mod health;
pub(crate) mod telemetry;
