//! Copies kept by webhook: receivers as docs/propagation.md tells their authors to write them.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::net::TcpListener;
use tokio::time::sleep;

use super::{BUCKETS, Consumer, Kept, People, SETTLING, made};
use crate::load::Load;

/// How long a receiver is down, and how long it is not, in seconds.
const OUTAGE: u64 = 2;
/// Of the four parts of a round, the one in which it answers 500, and the one in which nobody listens.
const ILL: u64 = 1;
const GONE: u64 = 3;
/// Between two looks at what time it is.
const STEP: Duration = Duration::from_millis(20);
/// How far a message's time may be off.
const LEEWAY: i64 = 300;

/// What a receiver does with its messages.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    TakesThem,
    /// Down half the time: in turns it answers 500, or nobody listens.
    DownHalfTheTime,
    /// Takes requests and never answers.
    Hangs,
}

/// What a receiver knows, kept over its outages as in a database.
struct Inner {
    manner: Manner,
    load: Arc<Load>,
    began: Instant,
    key: Vec<u8>,
    people: Mutex<People>,
    forged: AtomicU64,
    /// Requests taken that will never be answered.
    hung: AtomicU64,
    delays: Mutex<Vec<f64>>,
}

impl Inner {
    /// Where it is in its round of being up, ill, up and gone. Once the load is over it is up.
    fn phase(&self) -> u64 {
        if self.manner != Manner::DownHalfTheTime || self.load.stop.load(Ordering::Relaxed) {
            return 0;
        }
        self.began.elapsed().as_secs() / OUTAGE % 4
    }

    /// Whether the message is Doorward's: the recipe of Standard Webhooks, over the bytes as they came.
    fn is_ours(&self, headers: &HeaderMap, body: &[u8]) -> Option<()> {
        let text = |name: &str| headers.get(name)?.to_str().ok();
        let (id, at) = (text("webhook-id")?, text("webhook-timestamp")?);
        let late = OffsetDateTime::now_utc().unix_timestamp() - at.parse::<i64>().ok()?;
        if late.abs() > LEEWAY {
            return None;
        }
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).ok()?;
        mac.update(format!("{id}.{at}.").as_bytes());
        mac.update(body);
        let is_right = |one: &str| {
            let sent = one.strip_prefix("v1,").map(|sent| STANDARD.decode(sent));
            sent.is_some_and(|s| s.is_ok_and(|s| mac.clone().verify_slice(&s).is_ok()))
        };
        let mut signatures = text("webhook-signature")?.split(' ');
        signatures.any(is_right).then_some(())
    }

    fn store(&self, body: &[u8]) -> Option<()> {
        let message: Value = serde_json::from_slice(body).ok()?;
        let at = OffsetDateTime::parse(message["data"]["occurred_at"].as_str()?, &Rfc3339).ok()?;
        let delay = (OffsetDateTime::now_utc() - at).as_seconds_f64();
        self.delays.lock().expect("whole").push(delay);
        self.people.lock().expect("whole").apply(&message["data"])
    }
}

async fn take(State(inner): State<Arc<Inner>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    if inner.manner == Manner::Hangs {
        inner.hung.fetch_add(1, Ordering::Relaxed);
        return std::future::pending().await;
    }
    if inner.is_ours(&headers, &body).is_none() {
        inner.forged.fetch_add(1, Ordering::Relaxed);
        return StatusCode::BAD_REQUEST;
    }
    if inner.phase() == ILL {
        return StatusCode::INTERNAL_SERVER_ERROR;
    }
    match inner.store(&body) {
        Some(()) => StatusCode::NO_CONTENT,
        None => StatusCode::BAD_REQUEST,
    }
}

/// Listens whenever it is not time to be gone.
async fn listen(mut listener: TcpListener, inner: Arc<Inner>) {
    let address = listener.local_addr().expect("bound");
    loop {
        let router = Router::new().route("/in", post(take));
        let router = router.with_state(inner.clone());
        let served = axum::serve(listener, router);
        let watched = inner.clone();
        let gone = async move {
            while watched.phase() != GONE {
                sleep(STEP).await;
            }
        };
        let _ = served.with_graceful_shutdown(gone).await;
        while inner.phase() == GONE {
            sleep(STEP).await;
        }
        // Somebody's connection may have been given the port meanwhile.
        listener = loop {
            match TcpListener::bind(address).await {
                Ok(listener) => break listener,
                Err(_) => sleep(STEP).await,
            }
        };
    }
}

/// A receiver of a consumer's webhook.
pub(crate) struct Receiver {
    consumer: Consumer,
    inner: Arc<Inner>,
}

impl Receiver {
    /// Registers the client as a consumer, and a webhook that tells it of everything from the beginning.
    pub(crate) async fn register(
        name: &'static str,
        client: (String, String),
        manner: Manner,
        at: SocketAddr,
        load: &Arc<Load>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/in", listener.local_addr().expect("bound"));
        let consumer = Consumer::register(name, client, at, load).await;
        let request = load.http.post(format!("http://{at}/api/v1/webhooks"));
        let body = json!({ "url": url, "consumer": name, "from": "beginning" });
        let webhook = made(request.json(&body), at, load).await;
        let secret = webhook["secret"].as_str().expect("a secret");
        let key = secret
            .strip_prefix("whsec_")
            .map(|key| STANDARD.decode(key));
        let inner = Arc::new(Inner {
            manner,
            load: load.clone(),
            began: Instant::now(),
            key: key.expect("whsec_").expect("base64"),
            people: Mutex::default(),
            forged: AtomicU64::new(0),
            hung: AtomicU64::new(0),
            delays: Mutex::default(),
        });
        // Whoever connected before finds it listening.
        tokio::spawn(listen(listener, inner.clone()));
        Self { consumer, inner }
    }

    /// Lets the copy be kept until the load stops, then waits until it is the directory.
    pub(crate) async fn keep(mut self, load: Arc<Load>) -> Kept {
        while !load.stop.load(Ordering::Relaxed) {
            sleep(STEP).await;
        }
        let (ended, mut differing) = (Instant::now(), BUCKETS);
        while differing > 0 && ended.elapsed() < SETTLING {
            sleep(STEP).await;
            let ours = self.inner.people.lock().expect("whole").digests();
            let now = self.consumer.compare(&ours, &load).await;
            if now.is_none() {
                self.consumer.token = None;
            }
            differing = now.unwrap_or(differing);
        }
        let people = self.inner.people.lock().expect("whole");
        let mut delays = self.inner.delays.lock().expect("whole").clone();
        delays.sort_by(f64::total_cmp);
        Kept {
            name: self.consumer.name,
            told: people.told,
            older: people.older,
            forged: self.inner.forged.load(Ordering::Relaxed),
            differing,
            settled: ended.elapsed().as_secs_f64(),
            delays,
        }
    }

    /// How many requests it took and did not answer.
    pub(crate) fn hung(&self) -> u64 {
        self.inner.hung.load(Ordering::Relaxed)
    }
}
