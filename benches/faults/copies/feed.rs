//! Copies kept by the feed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{BUCKETS, Consumer, Kept, People, SETTLING};
use crate::load::Load;

/// A copy and whoever keeps it.
pub(crate) struct Copy {
    consumer: Consumer,
    /// It is down every other second, and forgets then what it had not stored.
    half_the_time: bool,
    people: People,
    next: Option<String>,
}

impl Copy {
    pub(crate) async fn register(
        name: &'static str,
        client: (String, String),
        half_the_time: bool,
        at: SocketAddr,
        load: &Load,
    ) -> Self {
        Self {
            consumer: Consumer::register(name, client, at, load).await,
            half_the_time,
            people: People::default(),
            next: None,
        }
    }

    /// Keeps the copy until the load stops, then brings it to the end and compares it.
    pub(crate) async fn keep(mut self, load: Arc<Load>) -> Kept {
        let began = Instant::now();
        while !load.stop.load(Ordering::Relaxed) {
            if self.half_the_time && began.elapsed().as_secs() % 2 == 1 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            } else if self.page(&load).await.is_none() {
                self.consumer.token = None;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        let (ended, mut differing) = (Instant::now(), BUCKETS);
        while differing > 0 && ended.elapsed() < SETTLING {
            while self.page(&load).await.is_some_and(|changes| changes > 0) {}
            let now = self.consumer.compare(&self.people.digests(), &load).await;
            differing = now.unwrap_or(differing);
        }
        Kept {
            name: self.consumer.name,
            told: self.people.told,
            older: self.people.older,
            forged: 0,
            differing,
            settled: ended.elapsed().as_secs_f64(),
            delays: Vec::new(),
        }
    }

    /// Reads a page, stores it with its place, says so; gives how many changes it had.
    async fn page(&mut self, load: &Load) -> Option<usize> {
        let at = load.replica()?;
        let after = self.next.as_ref().map(|next| ("after", next.clone()));
        let feed = load
            .http
            .get(format!("http://{at}/api/v1/changes?limit=200&wait=1"));
        let feed = feed.query(&after.as_slice());
        let Some(page) = self.consumer.ask(feed, at, load).await else {
            // A replica that had not heard of the consumer yet gave a cursor of everybody's feed: begin anew, as the answer says.
            if self.consumer.status == 400 && self.next.take().is_some() {
                self.people.people.clear();
            }
            return None;
        };
        let changes = page["items"].as_array()?;
        for change in changes {
            self.people.apply(change)?;
        }
        self.next = Some(page["next"].as_str()?.to_owned());
        let position = load
            .http
            .put(format!("http://{at}/api/v1/changes/position"));
        let position = position.json(&json!({ "next": page["next"] }));
        self.consumer.ask(position, at, load).await;
        Some(changes.len())
    }
}

/// A reader that asks for the stream of changes and then takes nothing of it: it may cost nobody else anything.
pub(crate) async fn hang(load: Arc<Load>) {
    while !load.stop.load(Ordering::Relaxed) {
        let Some(at) = load.replica() else { continue };
        let Some(token) = load.token(at).await else {
            continue;
        };
        let stream = load
            .http
            .get(format!("http://{at}/api/v1/changes?limit=1000"));
        let stream = stream
            .bearer_auth(token)
            .header("accept", "text/event-stream");
        let Ok(hanging) = stream.send().await else {
            continue;
        };
        tokio::time::sleep(Duration::from_secs(10)).await;
        drop(hanging);
    }
}
