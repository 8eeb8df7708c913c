//! Sweeping: rows that nobody needs any more are deleted a few at a time, so that nobody waits for them.

/// Rows that go at once.
pub(crate) const SWEEP_BATCH: i64 = 1000;
