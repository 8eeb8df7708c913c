//! Clients in memory: the hot path asks no database. Believed only while this replica hears from the notifier (db::invalidation).

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use moka::sync::Cache;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Client, StoredSecret, store};
use crate::app::App;
use crate::cx::Cx;
use crate::kernel::{ClientId, Fault};
use crate::meters::CacheAnswer;

/// Entries, unknown ids included: strangers can't grow it further.
const MOST: u64 = 10_000;
/// Secrets whose use waits to be written down.
const MOST_USES: usize = 10_000;

/// The clients that were asked for lately.
pub(crate) struct Clients {
    /// `None`: there is no such client.
    by_id: Cache<String, Option<Arc<Client>>>,
    /// Counts what was forgotten: a row read before and kept after would be stale for good.
    forgotten: AtomicU64,
    /// Until when some client has the password grant, in seconds of Unix time.
    password_grant_until: AtomicI64,
    password_grant_known_at: AtomicU64,
    /// Origins of the pages of some client, and what had been forgotten when they were asked for.
    origins: Mutex<Option<(u64, Arc<HashSet<String>>)>>,
    /// Uses of secrets that nobody has written down yet, the last of each.
    uses: Mutex<HashMap<Uuid, OffsetDateTime>>,
}

impl Clients {
    pub(crate) fn new() -> Self {
        Self {
            by_id: Cache::new(MOST),
            forgotten: AtomicU64::new(1),
            password_grant_until: AtomicI64::new(i64::MIN),
            password_grant_known_at: AtomicU64::new(0),
            origins: Mutex::default(),
            uses: Mutex::default(),
        }
    }

    /// A client by its id: from memory where that may be believed, else from the database.
    pub(crate) async fn find(&self, id: &ClientId, cx: &Cx) -> Result<Option<Arc<Client>>, Fault> {
        let trusted = cx.app.trust.holds();
        if trusted && let Some(found) = self.by_id.get(id.as_str()) {
            cx.app.meters.cache(CacheAnswer::Hit);
            return Ok(found);
        }
        // Boxed: what is seldom done would otherwise make the future of every token large.
        Box::pin(self.ask(id, trusted, cx)).await
    }

    async fn ask(
        &self,
        id: &ClientId,
        trusted: bool,
        cx: &Cx,
    ) -> Result<Option<Arc<Client>>, Fault> {
        cx.app.meters.cache(if trusted {
            CacheAnswer::Miss
        } else {
            CacheAnswer::Doubted
        });
        let before = self.forgotten.load(Ordering::SeqCst);
        let found = store::find(id, &mut *cx.connection().await?)
            .await?
            .map(Arc::new);
        if trusted {
            self.remember(id.as_str(), found.clone());
            // Something was forgotten while we read: what we read may be from before.
            if self.forgotten.load(Ordering::SeqCst) != before {
                self.by_id.invalidate(id.as_str());
            }
        }
        Ok(found)
    }

    /// How many are in memory.
    pub(crate) fn entries(&self) -> u64 {
        self.by_id.entry_count()
    }

    fn remember(&self, id: &str, found: Option<Arc<Client>>) {
        self.by_id.insert(id.to_owned(), found);
    }

    /// Whether any client has the password grant: as the database says, or as it last said where it does not answer.
    pub(crate) async fn any_password_grant(&self, app: &App) -> bool {
        let before = self.forgotten.load(Ordering::SeqCst);
        let known =
            app.trust.holds() && self.password_grant_known_at.load(Ordering::SeqCst) == before;
        if !known {
            let asked = async {
                let mut connection = app.pool.acquire().await?;
                store::password_grant_until(&mut connection).await
            };
            if let Ok(until) = Box::pin(asked).await {
                let until = until.unwrap_or(i64::MIN);
                self.password_grant_until.store(until, Ordering::SeqCst);
                self.password_grant_known_at.store(before, Ordering::SeqCst);
            }
        }
        self.password_grant_until.load(Ordering::SeqCst) > app.clock.now().unix_timestamp()
    }

    /// Whether some client registered this origin: from memory where that may be believed, else from the database.
    pub(crate) async fn any_from(&self, origin: &str, cx: &Cx) -> Result<bool, Fault> {
        let before = self.forgotten.load(Ordering::SeqCst);
        let trusted = cx.app.trust.holds();
        let known = self.origins.lock().ok().and_then(|known| known.clone());
        if let Some((_, origins)) = known.filter(|(at, _)| trusted && *at == before) {
            return Ok(origins.contains(origin));
        }
        let asked = store::list_origins(&mut *cx.connection().await?).await?;
        let origins = Arc::new(HashSet::from_iter(asked));
        if trusted && let Ok(mut known) = self.origins.lock() {
            *known = Some((before, origins.clone()));
        }
        Ok(origins.contains(origin))
    }

    /// Notes that a secret was used: in memory, at most once a minute for each, for a job to write down.
    pub(crate) fn note_use(&self, secret: &StoredSecret, now: OffsetDateTime) {
        if secret.mark_used(now)
            && let Ok(mut uses) = self.uses.lock()
            && uses.len() < MOST_USES
        {
            uses.insert(secret.id, now);
        }
    }

    /// Writes down what was noted. What can't be written now is noted again.
    pub(crate) async fn write_uses(&self, app: &App) -> Result<(), Fault> {
        let noted: Vec<_> = match self.uses.lock() {
            Ok(mut uses) => uses.drain().collect(),
            Err(_) => return Ok(()),
        };
        if noted.is_empty() {
            return Ok(());
        }
        let (ids, times): (Vec<_>, Vec<_>) = noted.iter().copied().unzip();
        let written = async {
            let mut connection = app.pool.acquire().await?;
            store::write_uses(&ids, &times, &mut connection).await
        };
        let written = written.await;
        if written.is_err()
            && let Ok(mut uses) = self.uses.lock()
        {
            for (id, at) in noted {
                uses.entry(id).or_insert(at);
            }
        }
        written
    }

    /// Forgets one client.
    pub(crate) fn forget(&self, id: &str) {
        self.forgotten.fetch_add(1, Ordering::SeqCst);
        self.by_id.invalidate(id);
    }

    /// Forgets everything: words may have been missed.
    pub(crate) fn forget_all(&self) {
        self.forgotten.fetch_add(1, Ordering::SeqCst);
        self.by_id.invalidate_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_cannot_grow_it() {
        // S-175
        let clients = Clients::new();
        for made_up in 0..3 * MOST {
            clients.remember(&format!("c_{made_up}"), None);
        }
        clients.by_id.run_pending_tasks();
        assert!(
            (1..=MOST).contains(&clients.by_id.entry_count()),
            "{}",
            clients.by_id.entry_count()
        );
    }
}
