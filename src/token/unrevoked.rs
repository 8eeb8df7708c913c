//! Access tokens that were found not to be revoked, in memory, so that a token costs one question and not one with each of its uses.
//! Believed only while this replica hears from the notifier (db::invalidation).

use std::sync::atomic::{AtomicU64, Ordering};

use moka::sync::Cache;

use super::presented::AsOf;
use super::store;
use crate::cx::Cx;
use crate::kernel::Fault;

/// Strangers can't grow it: only tokens that are ours come in.
const MOST: u64 = 10_000;

/// The tokens, by their `jti`.
pub(crate) struct Unrevoked {
    by_jti: Cache<String, ()>,
    /// Counts what was forgotten: an answer read before and kept after would be stale for good.
    forgotten: AtomicU64,
}

impl Unrevoked {
    pub(crate) fn new() -> Self {
        Self {
            by_jti: Cache::new(MOST),
            forgotten: AtomicU64::new(0),
        }
    }

    pub(super) async fn is_revoked(&self, jti: &str, as_of: AsOf, cx: &Cx) -> Result<bool, Fault> {
        let trusted = cx.app.trust.holds();
        if as_of == AsOf::ASecondAgo && trusted && self.by_jti.contains_key(jti) {
            return Ok(false);
        }
        // Boxed: what is seldom done would otherwise make the future of every call large.
        Box::pin(self.ask(jti, trusted, cx)).await
    }

    async fn ask(&self, jti: &str, trusted: bool, cx: &Cx) -> Result<bool, Fault> {
        let before = self.forgotten.load(Ordering::SeqCst);
        let revoked = store::is_revoked(jti, &mut *cx.connection().await?).await?;
        if trusted && !revoked {
            self.by_jti.insert(jti.to_owned(), ());
            // Something was forgotten while we read: what we read may be from before.
            if self.forgotten.load(Ordering::SeqCst) != before {
                self.by_jti.invalidate(jti);
            }
        }
        Ok(revoked)
    }

    /// Forgets one token: it was revoked.
    pub(crate) fn forget(&self, jti: &str) {
        self.forgotten.fetch_add(1, Ordering::SeqCst);
        self.by_jti.invalidate(jti);
    }

    /// Forgets everything: words may have been missed.
    pub(crate) fn forget_all(&self) {
        self.forgotten.fetch_add(1, Ordering::SeqCst);
        self.by_jti.invalidate_all();
    }
}
