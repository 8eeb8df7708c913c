//! The only source of time. Production reads the operating system's clock, tests move theirs.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

/// Tells the time, in whole microseconds: what PostgreSQL keeps, so that a stored time equals the one it was made from.
pub trait Clock: Send + Sync + 'static {
    fn now(&self) -> OffsetDateTime;
}

/// The operating system's clock.
#[derive(Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks")]
    fn now(&self) -> OffsetDateTime {
        let now = OffsetDateTime::now_utc();
        let whole = now.nanosecond() / 1_000 * 1_000;
        now.replace_nanosecond(whole).unwrap_or(now)
    }
}

/// The operating system's clock plus an offset that its holder moves.
#[derive(Debug, Default)]
pub struct MovableClock {
    offset_us: AtomicI64,
}

impl MovableClock {
    /// Moves the clock on by `by`; a negative `by` moves it back.
    pub fn advance(&self, by: Duration) {
        let us = i64::try_from(by.whole_microseconds()).unwrap_or(i64::MAX);
        self.offset_us.fetch_add(us, Ordering::SeqCst);
    }
}

impl Clock for MovableClock {
    fn now(&self) -> OffsetDateTime {
        SystemClock.now() + Duration::microseconds(self.offset_us.load(Ordering::SeqCst))
    }
}

/// As JSON shows times: RFC 3339, with `Z`.
pub(crate) fn rfc3339(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).unwrap_or_default()
}

/// A stopwatch for how long something took; no clock moves it.
#[expect(clippy::disallowed_methods, reason = "this is the one stopwatch")]
pub(crate) fn monotonic() -> Instant {
    Instant::now()
}
