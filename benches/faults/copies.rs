//! Systems that keep a copy by the feed alone while everything breaks. In the end each copy must have the directory's own digests, and nobody
//! may have been met at an older version after a newer one.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::load::Load;

/// What a consumer's view calls its fields, in order, and what they show.
const FIELDS: [(&str, &str); 2] = [("mail", "email"), ("nick", "nickname")];
const BUCKETS: usize = 64;
/// How long a copy may take to be the directory once nothing breaks any more.
const SETTLING: Duration = Duration::from_secs(60);

/// A copy and whoever keeps it.
pub(crate) struct Copy {
    pub(crate) name: &'static str,
    client: (String, String),
    /// It is down every other second, and forgets then what it had not stored.
    half_the_time: bool,
    people: HashMap<String, Value>,
    versions: HashMap<String, i64>,
    next: Option<String>,
    token: Option<String>,
    pub(crate) read: u64,
    /// Changes that came after a newer one of the same person.
    pub(crate) older: u64,
    /// Buckets whose digest was not the directory's in the end.
    pub(crate) differing: usize,
}

impl Copy {
    /// Registers the client as a consumer.
    pub(crate) async fn register(
        name: &'static str,
        client: (String, String),
        half_the_time: bool,
        at: SocketAddr,
        load: &Load,
    ) -> Self {
        let admin = load.token(at).await.expect("a token");
        let fields: HashMap<_, _> = FIELDS.into_iter().collect();
        let request = load
            .http
            .put(format!("http://{at}/api/v1/consumers/{name}"));
        let body = json!({ "client_id": client.0, "fields": fields });
        let made = request.bearer_auth(admin).json(&body).send().await;
        assert_eq!(made.expect("an answer").status(), 201);
        Self {
            name,
            client,
            half_the_time,
            people: HashMap::new(),
            versions: HashMap::new(),
            next: None,
            token: None,
            read: 0,
            older: 0,
            differing: BUCKETS,
        }
    }

    /// Keeps the copy until the load stops, then brings it to the end and compares it.
    pub(crate) async fn keep(mut self, load: Arc<Load>) -> Self {
        let began = Instant::now();
        while !load.stop.load(Ordering::Relaxed) {
            if self.half_the_time && began.elapsed().as_secs() % 2 == 1 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            } else if self.page(&load).await.is_none() {
                self.token = None;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        let began = Instant::now();
        while self.differing > 0 && began.elapsed() < SETTLING {
            while self.page(&load).await.is_some_and(|changes| changes > 0) {}
            if let Some(differing) = self.compare(&load).await {
                self.differing = differing;
            }
        }
        self
    }

    /// Reads a page, stores it with its place, says so; gives how many changes it had.
    async fn page(&mut self, load: &Load) -> Option<usize> {
        let at = load.replica()?;
        let after = self.next.as_ref().map(|next| ("after", next.clone()));
        let feed = load
            .http
            .get(format!("http://{at}/api/v1/changes?limit=200&wait=1"));
        let page = self.ask(feed.query(&after.as_slice()), at, load).await?;
        let changes = page["items"].as_array()?;
        for change in changes {
            let id = change["user_id"].as_str()?.to_owned();
            let version = change["version"].as_i64()?;
            if self.versions.insert(id.clone(), version) > Some(version) {
                self.older += 1;
            }
            match &change["user"] {
                Value::Null => self.people.remove(&id),
                person => self.people.insert(id, person.clone()),
            };
        }
        self.read += changes.len() as u64;
        self.next = Some(page["next"].as_str()?.to_owned());
        let position = load
            .http
            .put(format!("http://{at}/api/v1/changes/position"));
        let position = position.json(&json!({ "next": page["next"] }));
        self.ask(position, at, load).await;
        Some(changes.len())
    }

    async fn ask(
        &mut self,
        request: reqwest::RequestBuilder,
        at: SocketAddr,
        load: &Load,
    ) -> Option<Value> {
        if self.token.is_none() {
            let token = load.http.post(format!("http://{at}/oauth2/token"));
            let form = [("grant_type", "client_credentials")];
            let token = token
                .basic_auth(&self.client.0, Some(&self.client.1))
                .form(&form);
            let token: Value = token.send().await.ok()?.json().await.ok()?;
            self.token = token["access_token"].as_str().map(str::to_owned);
        }
        let answer = request
            .bearer_auth(self.token.as_ref()?)
            .send()
            .await
            .ok()?;
        match answer.status().as_u16() {
            200 => answer.json().await.ok(),
            _ => None,
        }
    }

    /// How many buckets of the copy have another digest than the directory's, by the recipe of docs/propagation.md.
    async fn compare(&mut self, load: &Load) -> Option<usize> {
        let at = load.replica()?;
        let digest = load
            .http
            .get(format!("http://{at}/api/v1/users/digest?buckets={BUCKETS}"));
        let theirs = self.ask(digest, at, load).await?;
        let mut ours = [(0_i64, 0_u64); BUCKETS];
        for (id, person) in &self.people {
            let mut text = id.clone();
            for (name, _) in FIELDS {
                match person[name].as_str() {
                    Some(value) => text.push_str(&format!("{}:{value}", value.len())),
                    None => text.push('-'),
                }
            }
            let hash = Sha256::digest(text.as_bytes());
            let first: [u8; 8] = hash[..8].try_into().ok()?;
            let bucket = usize::from_str_radix(&id[id.len() - 3..], 16).ok()? % BUCKETS;
            ours[bucket].0 += 1;
            ours[bucket].1 ^= u64::from_be_bytes(first);
        }
        let same = |(at, ours): (usize, &(i64, u64))| {
            let theirs = &theirs["items"][at];
            theirs["people"] == ours.0 && theirs["digest"] == format!("{:016x}", ours.1)
        };
        Some(
            BUCKETS
                - ours
                    .iter()
                    .enumerate()
                    .filter(|bucket| same(*bucket))
                    .count(),
        )
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
