//! Accepts until the program stops, then lets what is under way finish.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};

use super::connection;
use crate::app::App;

/// After `accept` failed for want of file descriptors, say.
const BREATH: Duration = Duration::from_millis(50);

/// Serves `router` on `listener` until the program stops; then waits for requests under way, at most `http.shutdown_timeout`.
pub(crate) async fn run(app: App, router: Router, listener: TcpListener) {
    let graceful = GracefulShutdown::new();
    let crowd = Crowd::default();
    let stopped = app.tasks.stopped();
    tokio::pin!(stopped);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => admit(&app, &router, &crowd, &graceful, stream, peer),
                Err(cause) => {
                    tracing::warn!(%cause, "a connection could not be accepted");
                    tokio::time::sleep(BREATH).await;
                }
            },
            () = &mut stopped => break,
        }
    }
    drop(listener);
    let patience = app.config.http.shutdown_timeout.std();
    if tokio::time::timeout(patience, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("requests were still under way when the time to stop had passed");
    }
}

fn admit(
    app: &App,
    router: &Router,
    crowd: &Crowd,
    graceful: &GracefulShutdown,
    stream: TcpStream,
    peer: SocketAddr,
) {
    let http = &app.config.http;
    let ip = peer.ip().to_canonical();
    let exempt = http.trusted_proxies.iter().any(|net| net.contains(&ip));
    let Some(place) = crowd.enter(
        ip,
        if exempt {
            u32::MAX
        } else {
            http.max_connections_per_address
        },
    ) else {
        tracing::debug!(client.address = %ip, "an address holds all the connections that it may");
        return;
    };
    let watcher = graceful.watcher();
    let connection = connection::serve(stream, peer, router.clone(), http.clone(), watcher);
    app.tasks.spawn(async move {
        let _place = place;
        connection.await;
    });
}

/// How many connections each address holds.
#[derive(Clone, Default)]
struct Crowd(Arc<Mutex<HashMap<IpAddr, u32>>>);

impl Crowd {
    /// A place among the `most` of this address, given back when it is dropped.
    fn enter(&self, ip: IpAddr, most: u32) -> Option<Place> {
        let mut held = self.0.lock().ok()?;
        let count = held.entry(ip).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Place {
            crowd: self.clone(),
            ip,
        })
    }
}

struct Place {
    crowd: Crowd,
    ip: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Ok(mut held) = self.crowd.0.lock()
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
    fn an_address_has_so_many_places_and_gets_them_back() {
        // S-177
        let crowd = Crowd::default();
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
            crowd.0.lock().unwrap().is_empty(),
            "addresses that left are forgotten"
        );
    }
}
