//! What a notice is, and how long an application that does not answer is tried.

use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::kernel::{ClientId, UserId};

/// From the first try to the second; then twice as long each time.
const FIRST_WAIT: Duration = Duration::seconds(5);
const LONGEST_WAIT: Duration = Duration::minutes(10);
/// From the end of the session to the last try.
const PATIENCE: Duration = Duration::hours(24);

/// An application that is to be told that somebody's session ended.
pub(crate) struct Notice {
    pub(crate) id: Uuid,
    pub(crate) client_id: ClientId,
    pub(crate) user_id: UserId,
    /// The session's public id: `sid`.
    pub(crate) session_id: Uuid,
    pub(crate) created_at: OffsetDateTime,
    /// Tries, the one that is under way included.
    pub(crate) attempts: i32,
}

/// When to try again what failed for the `attempts`-th time; `None` when that has gone on for a day.
pub(crate) fn next_try(notice: &Notice, now: OffsetDateTime) -> Option<OffsetDateTime> {
    let doublings = notice.attempts.clamp(1, 16).unsigned_abs() - 1;
    let wait = (FIRST_WAIT * 2_i32.pow(doublings)).min(LONGEST_WAIT);
    (now - notice.created_at < PATIENCE).then_some(now + wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_grow_rarer_and_end() {
        let began = OffsetDateTime::UNIX_EPOCH;
        let mut notice = Notice {
            id: Uuid::nil(),
            client_id: "c_AAAAAAAAAAAAAAAAAAAAAA".parse().unwrap(),
            user_id: UserId(Uuid::nil()),
            session_id: Uuid::nil(),
            created_at: began,
            attempts: 0,
        };
        let (mut now, mut waits) = (began, Vec::new());
        while let Some(next) = {
            notice.attempts += 1;
            next_try(&notice, now)
        } {
            waits.push((next - now).whole_seconds());
            now = next;
        }
        assert_eq!(waits[..9], [5, 10, 20, 40, 80, 160, 320, 600, 600]);
        assert!(now - began >= PATIENCE && now - began < PATIENCE + LONGEST_WAIT);
    }
}
