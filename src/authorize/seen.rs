//! Code challenges of the last hour (E1): one that comes twice from one client is a constant, and its PKCE is worth nothing. Each replica
//! knows its own, which is enough for a client that always sends the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use moka::sync::Cache;
use sha2::{Digest, Sha256};

use crate::kernel::ClientId;

/// Strangers can't grow it: only who signs in comes in, and it is bounded all the same.
const MOST: u64 = 20_000;
const HOUR: Duration = Duration::from_secs(3600);

pub(crate) struct SeenChallenges(Cache<[u8; 32], Arc<AtomicU32>>);

impl SeenChallenges {
    pub(crate) fn new() -> Self {
        Self(
            Cache::builder()
                .max_capacity(MOST)
                .time_to_live(HOUR)
                .build(),
        )
    }

    /// Whether this is the second time within the hour: true once, not for those that follow.
    pub(super) fn is_second(&self, client: &ClientId, challenge: &str) -> bool {
        let mut hash = Sha256::new();
        hash.update(client.as_str());
        hash.update([0]);
        hash.update(challenge);
        let times = self.0.get_with(hash.finalize().into(), Arc::default);
        times.fetch_add(1, Ordering::Relaxed) == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_time_is_told_once() {
        // E1
        let seen = SeenChallenges::new();
        let (one, other) = (ClientId::new(), ClientId::new());
        assert!(!seen.is_second(&one, "a"));
        assert!(!seen.is_second(&one, "b"));
        assert!(!seen.is_second(&other, "a"));
        assert!(seen.is_second(&one, "a"));
        assert!(!seen.is_second(&one, "a"));
    }
}
