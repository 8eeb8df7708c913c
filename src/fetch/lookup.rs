//! Looking names up: one look-up of a name at a time, so many names at once, and nobody waits for another purpose's.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::spawn_blocking;

/// Names that are looked up at once. The system's look-up can't be called off, so each keeps its place until it ends by itself; as many as there
/// may be webhooks, so that a name whose servers are silent keeps no other waiting.
const LOOKUPS: usize = 64;

/// Gives a name's addresses, in its own time: the system's resolver, or a test's.
pub(super) type Resolver = Arc<dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync>;

type Answer = watch::Receiver<Option<Result<Vec<IpAddr>, io::ErrorKind>>>;

/// The look-ups of one purpose.
#[derive(Clone)]
pub(super) struct Lookups(Arc<Parts>);

struct Parts {
    resolver: Resolver,
    places: Arc<Semaphore>,
    under_way: Mutex<HashMap<String, Answer>>,
}

impl Lookups {
    pub(super) fn over(resolver: Resolver) -> Self {
        Self(Arc::new(Parts {
            resolver,
            places: Arc::new(Semaphore::new(LOOKUPS)),
            under_way: Mutex::new(HashMap::new()),
        }))
    }

    /// With the same resolver, for another purpose.
    pub(super) fn apart(&self) -> Self {
        Self::over(self.0.resolver.clone())
    }

    /// A name's addresses. Whoever asks while somebody else does gets the same answer.
    pub(super) async fn find(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let under_way = self.under_way().get(name).filter(|a| is_coming(a)).cloned();
        let mut answer = match under_way {
            Some(answer) => answer,
            None => {
                let place = self.0.places.clone().acquire_owned().await;
                self.begin(name, place.map_err(io::Error::other)?)
            }
        };
        let answer = answer.wait_for(Option::is_some).await;
        match answer.map_err(io::Error::other)?.as_ref() {
            Some(Ok(found)) => Ok(found.clone()),
            Some(Err(kind)) => Err((*kind).into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn begin(&self, name: &str, place: OwnedSemaphorePermit) -> Answer {
        let mut under_way = self.under_way();
        // Somebody may have begun while we waited for a place.
        if let Some(answer) = under_way.get(name).filter(|a| is_coming(a)) {
            return answer.clone();
        }
        let (sender, answer) = watch::channel(None);
        under_way.insert(name.to_owned(), answer.clone());
        let (lookups, name) = (self.clone(), name.to_owned());
        spawn_blocking(move || {
            let _place = place;
            let found = (lookups.0.resolver)(&name);
            lookups.under_way().remove(&name);
            sender.send_replace(Some(found.map_err(|e| e.kind())));
        });
        answer
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<String, Answer>> {
        let under_way = self.0.under_way.lock();
        under_way.unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether somebody is left who will send the answer.
fn is_coming(answer: &Answer) -> bool {
    answer.has_changed().is_ok()
}

pub(super) fn system() -> Resolver {
    Arc::new(|name| {
        let found = (name, 0).to_socket_addrs()?;
        Ok(found.map(|address| address.ip()).collect())
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::{Sender, channel};
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    /// Answers for names that begin with `hung` when the sender is dropped; and counts what it was asked.
    fn hanging() -> (Resolver, Sender<()>, Arc<AtomicUsize>) {
        let (end, ended) = channel::<()>();
        let (ended, asked) = (Mutex::new(ended), Arc::new(AtomicUsize::new(0)));
        let count = asked.clone();
        let resolver: Resolver = Arc::new(move |name| {
            count.fetch_add(1, Ordering::SeqCst);
            if name.starts_with("hung") {
                let _ = ended.lock().unwrap().recv();
            }
            Ok(vec!["192.0.2.1".parse().unwrap()])
        });
        (resolver, end, asked)
    }

    #[tokio::test]
    async fn a_name_that_hangs_takes_one_place_and_keeps_no_other_waiting() {
        let (resolver, end, asked) = hanging();
        let lookups = Lookups::over(resolver);
        let brief = Duration::from_millis(5);
        for _ in 0..2 * LOOKUPS {
            assert!(timeout(brief, lookups.find("hung.example")).await.is_err());
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        lookups.find("live.example").await.unwrap();
        drop(end);
        lookups.find("hung.example").await.unwrap();
    }

    #[tokio::test]
    async fn each_purpose_has_places_of_its_own() {
        let (resolver, end, _) = hanging();
        let webhooks = Lookups::over(resolver);
        let keys = webhooks.apart();
        let brief = Duration::from_millis(5);
        for n in 0..LOOKUPS {
            let name = format!("hung-{n}.example");
            assert!(timeout(brief, webhooks.find(&name)).await.is_err());
        }
        assert!(timeout(brief, webhooks.find("live.example")).await.is_err());
        keys.find("live.example").await.unwrap();
        drop(end);
        webhooks.find("live.example").await.unwrap();
    }
}
