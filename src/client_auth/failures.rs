//! Clients that fail to prove themselves, counted by address and by client (checklist 40). Secrets are 256 random bits, so this keeps noise
//! down rather than guessers out, and it is each replica's own. A right secret is never refused: an outsider can't lock a client out.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use moka::sync::Cache;

use crate::kernel::ClientId;
use crate::kernel::network::household;

/// Failures in a minute that an address may have, and a client from all addresses together.
const OF_ADDRESS: u32 = 60;
const OF_CLIENT: u32 = 600;
/// In seconds.
pub(super) const MINUTE: u32 = 60;
/// Strangers can't grow it further.
const MOST: u64 = 10_000;

#[derive(Clone, Debug, Hash, PartialEq, Eq)]
enum Who {
    Address(IpAddr),
    Client(ClientId),
}

pub(crate) struct Failures(Cache<Who, Arc<AtomicU32>>);

impl Failures {
    pub(crate) fn new() -> Self {
        Self(
            Cache::builder()
                .max_capacity(MOST)
                .time_to_live(Duration::from_secs(MINUTE.into()))
                .build(),
        )
    }

    /// Counts a failure; whether there are too many by now. `client`: also one that does not exist, so that the answer is the same.
    pub(super) fn count(&self, address: Option<IpAddr>, client: Option<&ClientId>) -> bool {
        let by_address = address.map(|ip| (Who::Address(household(ip)), OF_ADDRESS));
        let by_client = client.map(|id| (Who::Client(id.clone()), OF_CLIENT));
        let mut too_many = false;
        for (who, most) in by_address.into_iter().chain(by_client) {
            let failures = self.0.get_with(who, Arc::default);
            too_many |= failures.fetch_add(1, Ordering::Relaxed) >= most;
        }
        too_many
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_clients_have_budgets_and_strangers_cannot_grow_it() {
        // S-40, S-175
        let failures = Failures::new();
        let ip = |n: u32| Some(IpAddr::from(n.to_be_bytes()));
        for _ in 0..OF_ADDRESS {
            assert!(!failures.count(ip(1), None));
        }
        assert!(failures.count(ip(1), None));
        assert!(
            !failures.count(ip(2), None),
            "others are not held to account"
        );
        let client: ClientId = "c_AAAAAAAAAAAAAAAAAAAAAA".parse().unwrap();
        for n in 0..OF_CLIENT {
            assert!(!failures.count(ip(100 + n), Some(&client)));
        }
        assert!(failures.count(ip(99), Some(&client)));
        for n in 0..30_000 {
            failures.count(ip(1_000_000 + n), None);
        }
        failures.0.run_pending_tasks();
        assert!(failures.0.entry_count() <= MOST);
    }
}
