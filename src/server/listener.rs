//! Accepts until the program stops, then lets what is under way finish.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use axum::Router;
use hyper_util::server::graceful::GracefulShutdown;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::connection;
use super::tls::Doorkeeper;
use crate::app::App;
use crate::kernel::network::household;

/// From the last connection that is taken to the closing of those that are idle.
const LAST_CALL: Duration = Duration::from_millis(250);

/// After `accept` failed for want of file descriptors, say.
const BREATH: Duration = Duration::from_millis(50);

/// Serves `router` on `listener` until the program stops: then goes on for `http.drain_timeout`, in which load balancers hear from
/// `/readyz` that it stops, and waits for requests under way, at most `http.shutdown_timeout`.
pub(crate) async fn run(
    app: App,
    router: Router,
    listener: TcpListener,
    doorkeeper: Option<Arc<Doorkeeper>>,
) {
    let graceful = GracefulShutdown::new();
    let crowd = Crowd::new(&app);
    let house = House {
        app: &app,
        router,
        crowd,
        doorkeeper,
    };
    let drain = app.config.http.drain_timeout.std();
    let stopped = app.tasks.stopped();
    let stopped = async {
        stopped.await;
        tokio::time::sleep(drain).await;
    };
    tokio::pin!(stopped);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => house.admit(&graceful, stream, peer),
                Err(cause) => {
                    tracing::warn!(%cause, "a connection could not be accepted");
                    tokio::time::sleep(BREATH).await;
                }
            },
            () = &mut stopped => break,
        }
    }
    // Whoever is connected already is not turned away.
    while let Some((stream, peer)) = connected_already(&listener) {
        house.admit(&graceful, stream, peer);
    }
    drop(listener);
    if !drain.is_zero() {
        // Whoever connected last has perhaps not been heard yet; what is answered now closes by itself.
        tokio::time::sleep(LAST_CALL).await;
    }
    let patience = app.config.http.shutdown_timeout.std();
    if tokio::time::timeout(patience, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("requests were still under way when the time to stop had passed");
    }
}

fn connected_already(listener: &TcpListener) -> Option<(TcpStream, SocketAddr)> {
    match listener.poll_accept(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(accepted)) => Some(accepted),
        Poll::Ready(Err(_)) | Poll::Pending => None,
    }
}

/// What every connection needs.
struct House<'a> {
    app: &'a App,
    router: Router,
    crowd: Crowd,
    doorkeeper: Option<Arc<Doorkeeper>>,
}

impl House<'_> {
    fn admit(&self, graceful: &GracefulShutdown, stream: TcpStream, peer: SocketAddr) {
        let http = &self.app.config.http;
        let ip = peer.ip().to_canonical();
        let exempt = http.trusted_proxies.iter().any(|net| net.contains(&ip));
        let most = if exempt {
            u32::MAX
        } else {
            http.max_connections_per_address
        };
        let Some(place) = self.crowd.enter(ip, most) else {
            tracing::debug!(client.address = %ip, "an address, or everybody, holds all the connections that may be");
            return;
        };
        // Answers are small: waiting to fill a packet only adds latency.
        let _ = stream.set_nodelay(true);
        let (router, limits, watcher) = (self.router.clone(), http.clone(), graceful.watcher());
        let doorkeeper = self.doorkeeper.clone();
        self.app.tasks.spawn(async move {
            let _place = place;
            let Some(doorkeeper) = doorkeeper else {
                return connection::serve(stream, peer, router, limits, watcher).await;
            };
            match doorkeeper.greet(stream, limits.header_timeout.std()).await {
                Ok(stream) => connection::serve(stream, peer, router, limits, watcher).await,
                Err(cause) => tracing::debug!(%cause, "a TLS handshake failed"),
            }
        });
    }
}

/// How many connections each address holds, and all together. Of IPv6 the /64 counts, which is what one household or machine has.
#[derive(Clone)]
struct Crowd {
    held: Arc<Mutex<HashMap<IpAddr, u32>>>,
    all: Arc<Semaphore>,
}

impl Crowd {
    fn new(app: &App) -> Self {
        let most = app.config.http.max_connections.min(descriptors() / 4 * 3);
        Self::of(most)
    }

    fn of(most: u32) -> Self {
        Self {
            held: Arc::default(),
            all: Arc::new(Semaphore::new(most as usize)),
        }
    }

    /// A place among the `most` of this address, given back when it is dropped.
    fn enter(&self, ip: IpAddr, most: u32) -> Option<Place> {
        let ip = household(ip);
        let among_all = self.all.clone().try_acquire_owned().ok()?;
        let mut held = self.held.lock().ok()?;
        let count = held.entry(ip).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Place {
            crowd: self.clone(),
            ip,
            _among_all: among_all,
        })
    }
}

/// How many descriptors this process may have: as many as the system lets it raise its limit to. The database's connections, and what
/// is read beside, need some too.
fn descriptors() -> u32 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let now = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    u32::try_from(now.unwrap_or(u64::MAX)).unwrap_or(u32::MAX)
}

struct Place {
    crowd: Crowd,
    ip: IpAddr,
    _among_all: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Ok(mut held) = self.crowd.held.lock()
            && let Some(count) = held.get_mut(&self.ip)
        {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.ip);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_household_is_one_address_and_all_together_are_bounded() {
        // S-177
        let crowd = Crowd::of(3);
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let first = crowd.enter(ip("2001:db8:1:2::1"), 1);
        assert!(first.is_some());
        assert!(
            crowd.enter(ip("2001:db8:1:2:ffff::9"), 1).is_none(),
            "the same /64"
        );
        let others = [ip("2001:db8:1:3::1"), ip("192.0.2.1")].map(|ip| crowd.enter(ip, 1));
        assert!(others.iter().all(Option::is_some));
        assert!(
            crowd.enter(ip("192.0.2.2"), 1).is_none(),
            "everybody together"
        );
        drop(others);
        assert!(crowd.enter(ip("192.0.2.2"), 1).is_some());
    }

    #[test]
    fn an_address_has_so_many_places_and_gets_them_back() {
        // S-177
        let crowd = Crowd::of(4);
        let (a, b) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let first = crowd.enter(a, 2);
        let second = crowd.enter(a, 2);
        assert!(first.is_some() && second.is_some());
        assert!(crowd.enter(a, 2).is_none());
        assert!(
            crowd.enter(b, 2).is_some(),
            "another address is not held to account"
        );
        drop(first);
        assert!(crowd.enter(a, 2).is_some());
        drop(second);
        assert!(
            crowd.held.lock().unwrap().is_empty(),
            "addresses that left are forgotten"
        );
    }
}
