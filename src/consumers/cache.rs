//! The consumers in memory: few, and asked for with each request to the API. Believed only while this replica hears from the notifier.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use super::{Consumer, Lag, store};
use crate::cx::{Actor, Cx};
use crate::kernel::{ClientId, Fault};

/// All consumers, as this replica knows them, and how far behind they were when it last looked.
pub(crate) struct Consumers {
    known: RwLock<Option<Arc<Vec<Consumer>>>>,
    /// Counts what was forgotten: what was read before and kept after would be stale for good.
    forgotten: AtomicU64,
    lags: RwLock<Vec<(String, Lag)>>,
}

impl Consumers {
    pub(crate) fn new() -> Self {
        Self {
            known: RwLock::new(None),
            forgotten: AtomicU64::new(0),
            lags: RwLock::new(Vec::new()),
        }
    }

    /// All of them, by name.
    pub(crate) async fn all(&self, cx: &Cx) -> Result<Arc<Vec<Consumer>>, Fault> {
        let trusted = cx.app.trust.holds();
        if trusted && let Some(known) = self.known.read().ok().and_then(|known| known.clone()) {
            return Ok(known);
        }
        Box::pin(self.ask(trusted, cx)).await
    }

    async fn ask(&self, trusted: bool, cx: &Cx) -> Result<Arc<Vec<Consumer>>, Fault> {
        let before = self.forgotten.load(Ordering::SeqCst);
        let all = Arc::new(store::all(&mut *cx.connection().await?).await?);
        if trusted && let Ok(mut known) = self.known.write() {
            // Under the lock that `forget` takes: nothing is kept that was forgotten while it was read.
            if self.forgotten.load(Ordering::SeqCst) == before {
                *known = Some(all.clone());
            }
        }
        Ok(all)
    }

    /// The consumer that this client is.
    pub(crate) async fn of_client(
        &self,
        client: &ClientId,
        cx: &Cx,
    ) -> Result<Option<Consumer>, Fault> {
        let all = self.all(cx).await?;
        Ok(all.iter().find(|c| c.client_id == *client).cloned())
    }

    /// The consumer that the caller is, by itself or for a person.
    pub(crate) async fn of_caller(&self, cx: &Cx) -> Result<Option<Consumer>, Fault> {
        match &cx.actor {
            Actor::Client { id, .. } => self.of_client(id, cx).await,
            Actor::Person { client_id, .. } => self.of_client(client_id, cx).await,
            Actor::Nobody | Actor::Session { .. } | Actor::Operator | Actor::System => Ok(None),
        }
    }

    pub(crate) async fn named(&self, name: &str, cx: &Cx) -> Result<Option<Consumer>, Fault> {
        let all = self.all(cx).await?;
        Ok(all.iter().find(|c| c.name == name).cloned())
    }

    /// Forgets everything: something has changed, or words may have been missed.
    pub(crate) fn forget(&self) {
        if let Ok(mut known) = self.known.write() {
            self.forgotten.fetch_add(1, Ordering::SeqCst);
            *known = None;
        }
    }

    /// How far behind each was at the last look.
    pub(crate) fn lags(&self) -> Vec<(String, Lag)> {
        self.lags
            .read()
            .map(|lags| lags.clone())
            .unwrap_or_default()
    }

    /// Looks how far behind each is.
    pub(crate) async fn look(&self, cx: &Cx) -> Result<(), Fault> {
        let mut lags = Vec::new();
        for consumer in self.all(cx).await?.iter() {
            let mut connection = cx.connection().await?;
            if let Some(standing) = store::standing(&consumer.name, cx.now, &mut connection).await?
            {
                lags.push((consumer.name.clone(), standing.lag));
            }
        }
        if let Ok(mut known) = self.lags.write() {
            *known = lags;
        }
        Ok(())
    }
}
