//! Systems that keep a copy while everything breaks: by the feed alone, or by webhook alone, one of each down half the time; and beside them
//! a reader and a receiver that hang. In the end each copy must have the directory's own digests, and nobody may have been met at an older
//! version after a newer one.

mod feed;
mod webhook;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

pub(crate) use feed::{Copy, hang};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
pub(crate) use webhook::{Manner, Receiver};

use crate::load::Load;

/// What a consumer's view calls its fields, in order, and what they show.
const FIELDS: [(&str, &str); 2] = [("mail", "email"), ("nick", "nickname")];
const BUCKETS: usize = 64;
/// How many people are in a bucket, and their digest.
type Bucket = (i64, u64);
/// How long a copy may take to be the directory once nothing breaks any more. What a receiver did not take three times in a row is tried
/// again only after two minutes; whatever else is late comes within a minute.
const SETTLING: Duration = Duration::from_secs(600);

/// What came of a copy.
pub(crate) struct Kept {
    pub(crate) name: &'static str,
    /// Changes that it was told of.
    pub(crate) told: u64,
    /// Changes that came after a newer one of the same person.
    pub(crate) older: u64,
    /// Messages whose signature was wrong.
    pub(crate) forged: u64,
    /// Buckets whose digest was not the directory's in the end.
    pub(crate) differing: usize,
    /// Seconds from the end of the load until it was the directory.
    pub(crate) settled: f64,
    /// Seconds from a change to the receipt of its message, in order of size.
    pub(crate) delays: Vec<f64>,
}

impl Kept {
    pub(crate) fn is_right(&self) -> bool {
        self.told > 0 && self.older == 0 && self.forged == 0 && self.differing == 0
    }
}

/// Says what came of the copies, and how many requests the receiver that hangs took.
pub(crate) fn tell(copies: &[Kept], hung: u64) {
    println!("| requests that the receiver that hangs took | {hung} |\n");
    println!(
        "| copy | told of changes | older after newer | signed wrongly | buckets that differ in the end | the directory's after | change to receipt, median | p99 |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- |"
    );
    for copy in copies {
        let delay = |q: f64| {
            let at = (copy.delays.len().saturating_sub(1) as f64 * q) as usize;
            let delay = copy.delays.get(at);
            delay.map_or(String::new(), |s| format!("{s:.3} s"))
        };
        println!(
            "| `{}` | {} | {} | {} | {} | {:.1} s | {} | {} |",
            copy.name,
            copy.told,
            copy.older,
            copy.forged,
            copy.differing,
            copy.settled,
            delay(0.5),
            delay(0.99)
        );
    }
}

/// The people of a copy.
#[derive(Default)]
struct People {
    people: HashMap<String, Value>,
    versions: HashMap<String, i64>,
    told: u64,
    older: u64,
}

impl People {
    /// Stores a change, or removes whom it removes, unless somebody newer is there; `None` where it is no change.
    fn apply(&mut self, change: &Value) -> Option<()> {
        let id = change["user_id"].as_str()?.to_owned();
        let version = change["version"].as_i64()?;
        self.told += 1;
        let newest = self.versions.entry(id.clone()).or_default();
        if version < *newest {
            self.older += 1;
            return Some(());
        }
        *newest = version;
        match &change["user"] {
            Value::Null => self.people.remove(&id),
            person => self.people.insert(id, person.clone()),
        };
        Some(())
    }

    /// Each bucket's people and digest, by the recipe of docs/propagation.md.
    fn digests(&self) -> [Bucket; BUCKETS] {
        let mut buckets = [(0, 0); BUCKETS];
        for (id, person) in &self.people {
            let mut text = id.clone();
            for (name, _) in FIELDS {
                match person[name].as_str() {
                    Some(value) => text.push_str(&format!("{}:{value}", value.len())),
                    None => text.push('-'),
                }
            }
            let hash = Sha256::digest(text.as_bytes());
            let first: [u8; 8] = hash[..8].try_into().expect("eight bytes");
            let digits = &id[id.len() - 3..];
            let bucket = usize::from_str_radix(digits, 16).expect("an id") % BUCKETS;
            buckets[bucket].0 += 1;
            buckets[bucket].1 ^= u64::from_be_bytes(first);
        }
        buckets
    }
}

/// A client with a view, by which Doorward can be asked.
struct Consumer {
    name: &'static str,
    client: (String, String),
    token: Option<String>,
    /// The status of the last answer.
    status: u16,
}

impl Consumer {
    /// Registers the client as a consumer.
    async fn register(
        name: &'static str,
        client: (String, String),
        at: SocketAddr,
        load: &Load,
    ) -> Self {
        let fields: HashMap<_, _> = FIELDS.into_iter().collect();
        let request = load
            .http
            .put(format!("http://{at}/api/v1/consumers/{name}"));
        let body = json!({ "client_id": client.0, "fields": fields });
        made(request.json(&body), at, load).await;
        Self {
            name,
            client,
            token: None,
            status: 0,
        }
    }

    /// The answer, where it is 200.
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
        let bearer = self.token.as_ref()?;
        let answer = request.bearer_auth(bearer).send().await.ok()?;
        self.status = answer.status().as_u16();
        match self.status {
            200 => answer.json().await.ok(),
            _ => None,
        }
    }

    /// How many buckets of the copy have another digest than the directory's.
    async fn compare(&mut self, ours: &[Bucket; BUCKETS], load: &Load) -> Option<usize> {
        let at = load.replica()?;
        let digest = load
            .http
            .get(format!("http://{at}/api/v1/users/digest?buckets={BUCKETS}"));
        let theirs = self.ask(digest, at, load).await?;
        let differs = |(at, (people, digest)): &(usize, &Bucket)| {
            let theirs = &theirs["items"][*at];
            theirs["people"] != *people || theirs["digest"] != format!("{digest:016x}")
        };
        Some(ours.iter().enumerate().filter(differs).count())
    }
}

/// Makes something as the admin; what was made.
async fn made(request: reqwest::RequestBuilder, at: SocketAddr, load: &Load) -> Value {
    let admin = load.token(at).await.expect("a token");
    let made = request.bearer_auth(admin).send().await.expect("an answer");
    assert_eq!(made.status(), 201);
    made.json().await.expect("JSON")
}
