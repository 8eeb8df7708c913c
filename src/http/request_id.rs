//! Names for requests in answers, logs and audit rows.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::kernel::random;

/// 64 random bits of this process and a number: unique among all replicas, and no secret.
pub(crate) struct RequestIds {
    process: u64,
    next: AtomicU64,
}

impl RequestIds {
    pub(crate) fn new() -> Self {
        Self {
            process: u64::from_be_bytes(random::bytes::<8>()),
            next: AtomicU64::new(1),
        }
    }

    /// Hexadecimal digits, 16 of the process and at least 8 of the number.
    pub(super) fn next(&self) -> String {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        format!("{:016x}{number:08x}", self.process)
    }
}
