//! The clients' public keys, made ready for verifying: those registered by value, and those that a client publishes (`jwks_uri`).
//!
//! What is published is fetched by the one outbound client, by one request at a time for each client, seldom, and kept in memory with
//! bounds; where fetching fails, what is known stays for a while (E28).

use std::sync::{Arc, RwLock};

use moka::sync::Cache;
use time::{Duration, OffsetDateTime};
use tokio::sync::{Mutex, OwnedMutexGuard, oneshot};
use tracing::Instrument;

use crate::clients::{Client, KeySource};
use crate::cx::Cx;
use crate::fetch::{Destination, Document, Purpose};
use crate::jose::{Alg, KeySet, Verifier};
use crate::kernel::{ClientId, json};

/// Clients whose keys are in memory.
const MOST: u64 = 10_000;
/// How long what was fetched is taken as it is.
const FRESH: Duration = Duration::minutes(10);
/// How long it is kept where it can't be fetched anew.
const STALE: Duration = Duration::hours(24);
/// Between two tries for one client, whatever strangers send in its name.
const PAUSE: Duration = Duration::seconds(30);
/// What is fetched.
const DOCUMENT: Document = Document {
    purpose: Purpose::Keys,
    types: &["application/json", "application/jwk-set+json"],
    limit: 64 * 1024,
};

/// A client's keys for the algorithm of its assertions, each with its `kid` where it has one.
#[derive(Default)]
pub(crate) struct Keys(Vec<(Option<String>, Verifier)>);

impl Keys {
    fn of(set: &KeySet, alg: Alg) -> Self {
        Self(set.verifiers(alg))
    }

    /// The keys that may have signed what names `kid`: those of that name; where none is named, all.
    pub(super) fn fitting<'k>(&'k self, kid: Option<&str>) -> impl Iterator<Item = &'k Verifier> {
        let named = move |(of, _): &&(Option<String>, Verifier)| match kid {
            Some(kid) => of.as_deref() == Some(kid),
            None => true,
        };
        self.0.iter().filter(named).map(|(_, verifier)| verifier)
    }
}

/// All clients' keys.
pub(crate) struct ClientKeys(Cache<ClientId, Arc<Entry>>);

/// One client's.
struct Entry {
    /// The registration that it is of.
    version: i64,
    known: RwLock<Known>,
    /// Held by whoever fetches.
    fetching: Arc<Mutex<()>>,
}

#[derive(Clone, Default)]
struct Known {
    keys: Arc<Keys>,
    /// When they were fetched; `None`: never, or they are registered by value.
    fetched_at: Option<OffsetDateTime>,
    tried_at: Option<OffsetDateTime>,
}

impl ClientKeys {
    pub(crate) fn new() -> Self {
        Self(Cache::new(MOST))
    }

    /// The client's keys: as they are known where that is not long ago, else fetched.
    pub(super) async fn of(&self, client: &Client, cx: &Cx) -> Arc<Keys> {
        let entry = self.entry(client);
        let known = entry.known();
        let age = known.fetched_at.map(|at| cx.now - at);
        let by_value = matches!(client.registration.keys, Some(KeySource::ByValue(_)));
        if by_value || age.is_some_and(|age| age < FRESH) {
            return known.keys;
        }
        // Somebody else fetches already: what is known will do, if anything is.
        if age.is_some_and(|age| age < STALE)
            && let Err(_) = entry.fetching.try_lock()
        {
            return known.keys;
        }
        let known = entry.renew(client, cx).await;
        match known.fetched_at {
            Some(at) if cx.now - at < STALE => known.keys,
            _ => Arc::default(),
        }
    }

    /// The keys fetched anew, because none of those known fits; `None` where it is too soon, or they are registered by value.
    pub(super) async fn renewed(&self, client: &Client, cx: &Cx) -> Option<Arc<Keys>> {
        let entry = self.entry(client);
        let before = entry.known().fetched_at;
        let known = entry.renew(client, cx).await;
        (known.fetched_at != before).then_some(known.keys)
    }

    fn entry(&self, client: &Client) -> Arc<Entry> {
        let found = self.0.get(&client.id);
        if let Some(entry) = found.filter(|entry| entry.version == client.version) {
            return entry;
        }
        let keys = match (&client.registration.keys, client.registration.assertion_alg) {
            (Some(KeySource::ByValue(set)), Some(alg)) => Keys::of(set, alg),
            _ => Keys::default(),
        };
        let entry = Arc::new(Entry {
            version: client.version,
            known: RwLock::new(Known {
                keys: Arc::new(keys),
                ..Known::default()
            }),
            fetching: Arc::default(),
        });
        self.0.insert(client.id.clone(), entry.clone());
        entry
    }
}

impl Entry {
    fn known(&self) -> Known {
        self.known
            .read()
            .map(|known| known.clone())
            .unwrap_or_default()
    }

    fn learn(&self, change: impl FnOnce(&mut Known)) {
        if let Ok(mut known) = self.known.write() {
            change(&mut known);
        }
    }

    /// Fetches unless somebody did so just now, and gives what is known then.
    ///
    /// The fetch is a task of its own: whoever asks for it and hangs up would end it otherwise, and with it the one try that the client has
    /// for a while.
    async fn renew(self: &Arc<Self>, client: &Client, cx: &Cx) -> Known {
        let registration = &client.registration;
        let (Some(KeySource::ByUri(uri)), Some(alg)) =
            (&registration.keys, registration.assertion_alg)
        else {
            return self.known();
        };
        let held = self.fetching.clone().lock_owned().await;
        let known = self.known();
        if known.tried_at.is_some_and(|at| cx.now - at < PAUSE) {
            return known;
        }
        let (done, fetched) = oneshot::channel::<()>();
        let (entry, uri, id, its) = (self.clone(), uri.clone(), client.id.clone(), cx.clone());
        let task = async move {
            entry.fetch(&uri, alg, &id, held, &its).await;
            drop(done);
        };
        cx.app.tasks.spawn(task.in_current_span());
        // Nothing is ever sent: it ends when the fetch does.
        let _ = fetched.await;
        self.known()
    }

    async fn fetch(
        &self,
        uri: &str,
        alg: Alg,
        client: &ClientId,
        _held: OwnedMutexGuard<()>,
        cx: &Cx,
    ) {
        self.learn(|known| known.tried_at = Some(cx.now));
        match fetch(uri, cx).await {
            Ok(set) => self.learn(|known| {
                known.keys = Arc::new(Keys::of(&set, alg));
                known.fetched_at = Some(cx.now);
            }),
            Err(cause) => {
                tracing::warn!(client.id = %client, %cause, "a client's keys could not be fetched");
            }
        }
    }
}

async fn fetch(uri: &str, cx: &Cx) -> Result<KeySet, String> {
    let destination: Destination = uri.parse().map_err(|e| format!("{e}"))?;
    let fetched = cx.app.fetcher.get(&destination, &DOCUMENT).await;
    let set = json::parse(&fetched.map_err(|e| e.to_string())?)?;
    KeySet::read(set).map_err(|expected| format!("expected {expected}"))
}
