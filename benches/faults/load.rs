//! What goes on all the while: people are made and changed, tokens are taken and checked; and it is remembered what was promised.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
use serde_json::{Value, json};

/// What was seen.
#[derive(Default)]
pub(crate) struct Seen {
    /// The last version of each person that was acknowledged, and the nickname in it.
    acknowledged: Mutex<HashMap<String, (i64, Value)>>,
    pub(crate) writes: AtomicU64,
    pub(crate) tokens: AtomicU64,
    pub(crate) wrong_tokens: AtomicU64,
    /// 503 with `Retry-After`: honest.
    pub(crate) refused: AtomicU64,
    /// A connection that broke, or was not taken.
    pub(crate) unreachable: AtomicU64,
    /// Tokens refused, of keys that were revoked in an emergency.
    pub(crate) revoked: AtomicU64,
    /// Anything else that is no answer to what was asked: 500s above all.
    pub(crate) failed: AtomicU64,
    pub(crate) last_failure: Mutex<String>,
}

pub(crate) struct Load {
    pub(crate) replicas: Mutex<Vec<SocketAddr>>,
    pub(crate) http: reqwest::Client,
    pub(crate) client: (String, String),
    pub(crate) issuer: String,
    pub(crate) seen: Seen,
    pub(crate) stop: AtomicBool,
    keys: Mutex<HashMap<String, DecodingKey>>,
    turn: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Load {
    pub(crate) fn new(client: (String, String), issuer: String) -> Arc<Self> {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(15));
        Arc::new(Self {
            replicas: Mutex::default(),
            http: http.build().expect("a client"),
            client,
            issuer,
            seen: Seen::default(),
            stop: AtomicBool::new(false),
            keys: Mutex::default(),
            turn: AtomicU64::new(0),
        })
    }

    pub(crate) fn replica(&self) -> Option<SocketAddr> {
        let replicas = self.replicas.lock().expect("whole");
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) as usize;
        replicas.get(turn % replicas.len().max(1)).copied()
    }

    /// The answer, where it is one to what was asked.
    async fn send(&self, request: reqwest::RequestBuilder) -> Option<(u16, Value)> {
        let Ok(answer) = request.send().await else {
            count(&self.seen.unreachable);
            tokio::time::sleep(Duration::from_millis(10)).await;
            return None;
        };
        let status = answer.status().as_u16();
        let promised = answer.headers().contains_key("retry-after");
        let Ok(text) = answer.text().await else {
            count(&self.seen.unreachable);
            return None;
        };
        match status {
            200 | 201 => Some((status, serde_json::from_str(&text).unwrap_or_default())),
            503 if promised => {
                count(&self.seen.refused);
                tokio::time::sleep(Duration::from_millis(10)).await;
                None
            }
            // After an emergency rotation, what the revoked key signed is refused: the writer takes a new token.
            401 => {
                count(&self.seen.revoked);
                Some((401, Value::Null))
            }
            _ => {
                count(&self.seen.failed);
                *self.seen.last_failure.lock().expect("whole") = format!("{status} {text}");
                None
            }
        }
    }

    pub(crate) async fn token(&self, at: SocketAddr) -> Option<String> {
        let form = [("grant_type", "client_credentials")];
        let request = self
            .http
            .post(format!("http://{at}/oauth2/token"))
            .basic_auth(&self.client.0, Some(&self.client.1))
            .form(&form);
        let (_, body) = self.send(request).await?;
        let token = body["access_token"].as_str()?.to_owned();
        count(&self.seen.tokens);
        if !self.is_right(&token, at).await {
            count(&self.seen.wrong_tokens);
        }
        Some(token)
    }

    /// Signed by a key that is published, for whom and from whom it should be, at this time.
    async fn is_right(&self, token: &str, at: SocketAddr) -> bool {
        let Ok(header) = decode_header(token) else {
            return false;
        };
        let kid = header.kid.unwrap_or_default();
        let known = || self.keys.lock().expect("whole").get(&kid).cloned();
        if known().is_none() {
            let asked = self.http.get(format!("http://{at}/.well-known/jwks.json"));
            let Ok(answer) = asked.send().await else {
                // Killed between the two: nothing can be said of the token.
                return true;
            };
            let set: JwkSet = answer.json().await.unwrap_or(JwkSet { keys: Vec::new() });
            for jwk in set.keys {
                let named = jwk
                    .common
                    .key_id
                    .clone()
                    .zip(DecodingKey::from_jwk(&jwk).ok());
                if let Some((kid, key)) = named {
                    self.keys.lock().expect("whole").insert(kid, key);
                }
            }
        }
        let Some(key) = known() else { return false };
        let mut expected = Validation::new(header.alg);
        expected.leeway = 10;
        expected.set_issuer(&[&self.issuer]);
        expected.set_audience(&[format!("{}/api", self.issuer)]);
        let now = time::OffsetDateTime::now_utc().unix_timestamp();
        decode::<Value>(token, &key, &expected).is_ok_and(|t| {
            let iat = t.claims["iat"].as_i64().unwrap_or(0);
            t.claims["sub"] == self.client.0.as_str() && (iat - now).abs() < 30
        })
    }

    /// Takes tokens until it is told to stop.
    pub(crate) async fn take(self: Arc<Self>) {
        while !self.stop.load(Ordering::Relaxed) {
            if let Some(at) = self.replica() {
                self.token(at).await;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Makes and changes people until it is told to stop.
    pub(crate) async fn write(self: Arc<Self>, writer: usize) {
        let mut token = None;
        let mut n = 0_u64;
        let mut mine: Vec<String> = Vec::new();
        while !self.stop.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(4)).await;
            let Some(at) = self.replica() else { continue };
            n += 1;
            if token.is_none() || n.is_multiple_of(300) {
                token = self.token(at).await;
            }
            let Some(bearer) = &token else { continue };
            let users = format!("http://{at}/api/v1/users");
            let new = mine.len() < 500 && n.is_multiple_of(3);
            let request = if mine.is_empty() || new {
                let email = format!("w{writer}-{n}@example.com");
                self.http.post(users).json(&json!({ "email": email }))
            } else {
                let id = &mine[n as usize % mine.len()];
                let change = json!({ "nickname": format!("n{n}") });
                self.http.patch(format!("{users}/{id}")).json(&change)
            };
            if let Some((status, user)) = self.send(request.bearer_auth(bearer)).await {
                if status == 401 {
                    token = None;
                    continue;
                }
                let id = user["id"].as_str().unwrap_or_default().to_owned();
                let version = user["version"].as_i64().unwrap_or(0);
                let mut acknowledged = self.seen.acknowledged.lock().expect("whole");
                let last = acknowledged.entry(id.clone()).or_default();
                if version > last.0 {
                    *last = (version, user["nickname"].clone());
                }
                count(&self.seen.writes);
                if status == 201 {
                    mine.push(id);
                }
            }
        }
    }

    /// Of everything acknowledged, what is not there any more.
    pub(crate) async fn lost(&self, at: SocketAddr) -> u64 {
        let Some(token) = self.token(at).await else {
            return u64::MAX;
        };
        let acknowledged = self.seen.acknowledged.lock().expect("whole").clone();
        let mut there: HashMap<String, (i64, Value)> = HashMap::new();
        let mut after = String::new();
        loop {
            let url = format!("http://{at}/api/v1/users?limit=200&after={after}");
            let url = if after.is_empty() {
                url.replace("&after=", "")
            } else {
                url
            };
            let request = self.http.get(url).bearer_auth(&token);
            let Some((_, page)) = self.send(request).await else {
                continue;
            };
            for user in page["items"].as_array().into_iter().flatten() {
                let id = user["id"].as_str().unwrap_or_default().to_owned();
                let version = user["version"].as_i64().unwrap_or(0);
                there.insert(id, (version, user["nickname"].clone()));
            }
            match page["next"].as_str() {
                Some(next) => next.clone_into(&mut after),
                None => break,
            }
        }
        // What was done and not acknowledged may have come after it.
        let kept = |id: &String, (version, nickname): &(i64, Value)| {
            there
                .get(id)
                .is_some_and(|(v, n)| v > version || (v == version && n == nickname))
        };
        let lost = acknowledged.iter().filter(|(id, last)| !kept(id, last));
        lost.count() as u64
    }
}
