//! A webhook, how far it is, and when it is tried again.

use std::time::Duration;

use time::OffsetDateTime;
use uuid::Uuid;

use crate::fetch::Destination;
use crate::kernel::UserId;

/// Webhooks that there may be.
pub(super) const MOST: i64 = 64;
/// Failures in a row, of changes that were not tried before, after which the receiver counts as down.
pub(super) const DOWN: i32 = 5;
/// The longest between two tries of a receiver that is down.
const LONGEST: Duration = Duration::from_secs(15 * 60);
/// How long after each failure a person's change is tried again: three days in all.
const RETRIES: [u64; 10] = [
    5, 30, 120, 600, 1_800, 7_200, 21_600, 43_200, 86_400, 86_400,
];
/// The longest that a receiver may ask us to stay away.
const LONGEST_ASKED: Duration = Duration::from_secs(24 * 3_600);

/// A webhook as its admins see it.
pub(crate) struct Webhook {
    pub(super) id: Uuid,
    pub(super) version: i64,
    pub(super) url: Destination,
    pub(super) description: Option<String>,
    pub(super) consumer: Option<String>,
    pub(super) paused: bool,
    pub(super) previous_until: Option<OffsetDateTime>,
    pub(super) created_at: OffsetDateTime,
    pub(super) updated_at: OffsetDateTime,
    pub(super) standing: Standing,
}

/// How its deliveries stand.
pub(super) struct Standing {
    pub(super) position: i64,
    /// When the oldest change happened that it has not been sent.
    pub(super) behind_since: Option<OffsetDateTime>,
    pub(super) replay: Option<(i64, i64)>,
    pub(super) failures: i32,
    pub(super) next_attempt_at: Option<OffsetDateTime>,
    pub(super) last_error: Option<String>,
    pub(super) last_error_at: Option<OffsetDateTime>,
    pub(super) last_delivered_at: Option<OffsetDateTime>,
    /// People whose change is tried again, and people whose change was given up.
    pub(super) waiting: i64,
    pub(super) dead: i64,
}

impl Webhook {
    pub(super) fn state(&self) -> &'static str {
        if self.paused {
            "paused"
        } else if self.standing.failures >= DOWN {
            "down"
        } else {
            "delivering"
        }
    }
}

/// A person whose newest change was not taken.
pub(super) struct Letter {
    pub(super) user: UserId,
    /// Those that failed while the receiver took other people's changes.
    pub(super) attempts: i32,
    pub(super) failed_at: OffsetDateTime,
    pub(super) next_attempt_at: OffsetDateTime,
    pub(super) dead_at: Option<OffsetDateTime>,
    pub(super) error: String,
}

/// When a person's change is tried again after so many attempts; `None`: it is given up. `chance` spreads the tries by a fifth.
pub(super) fn retry_after(attempts: i32, asked: Option<Duration>, chance: u8) -> Option<Duration> {
    let done = usize::try_from(attempts).unwrap_or(0).max(1);
    let wait = Duration::from_secs(*RETRIES.get(done - 1)?);
    Some(spread(wait, chance).max(asked.unwrap_or_default().min(LONGEST_ASKED)))
}

/// When a receiver that is down is tried again, after so many failures in a row.
pub(super) fn probe_after(failures: i32, asked: Option<Duration>, chance: u8) -> Duration {
    let doublings = u32::try_from(failures - DOWN).unwrap_or(0).min(16);
    let wait = Duration::from_secs(1 << doublings).min(LONGEST);
    spread(wait, chance).max(asked.unwrap_or_default().min(LONGEST_ASKED))
}

/// Between four fifths and six fifths of it.
fn spread(wait: Duration, chance: u8) -> Duration {
    wait * (204 + u32::from(chance) * 102 / 255) / 255
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_end() {
        let seconds = |d: Duration| d.as_secs_f64();
        let waits: Vec<f64> = (1..=10)
            .map(|n| seconds(retry_after(n, None, 128).unwrap()))
            .collect();
        assert!(
            waits.is_sorted() && waits[0] > 4.9 && waits[0] < 5.1,
            "{waits:?}"
        );
        let days = waits.iter().sum::<f64>() / 86_400.0;
        assert!((2.5..3.5).contains(&days), "{days}");
        assert_eq!(retry_after(11, None, 128), None);

        let probes: Vec<f64> = (5..30)
            .map(|n| seconds(probe_after(n, None, 128)))
            .collect();
        assert!(probes.is_sorted() && probes[0] < 1.1, "{probes:?}");
        assert!(probes.iter().all(|p| *p <= 910.0));

        let hour = Some(Duration::from_secs(3_600));
        assert_eq!(seconds(probe_after(5, hour, 0)), 3_600.0);
        assert_eq!(seconds(retry_after(1, hour, 0).unwrap()), 3_600.0);
        let forever = Some(Duration::from_secs(u64::MAX / 2));
        assert_eq!(probe_after(5, forever, 0), LONGEST_ASKED);
    }

    #[test]
    fn tries_are_spread() {
        let wait = Duration::from_secs(100);
        assert_eq!(spread(wait, 0).as_secs(), 80);
        assert_eq!(spread(wait, 255).as_secs(), 120);
    }
}
