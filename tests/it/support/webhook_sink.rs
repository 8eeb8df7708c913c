//! A receiver of webhooks that keeps what it was sent, and takes it or not as the test says.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::eventually;

/// What arrived, with its headers as they were sent.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub id: String,
    pub timestamp: i64,
    pub signatures: String,
    pub headers: HeaderMap,
    pub raw: String,
    pub body: Value,
    /// Whether the sink took it.
    pub taken: bool,
}

impl Message {
    /// `user.created` and so on.
    pub(crate) fn kind(&self) -> &str {
        self.body["type"].as_str().unwrap()
    }

    pub(crate) fn user(&self) -> &str {
        self.body["data"]["user_id"].as_str().unwrap()
    }

    pub(crate) fn version(&self) -> i64 {
        self.body["data"]["version"].as_i64().unwrap()
    }

    /// Whether one of its signatures is made with this `whsec_…`, as the specification's libraries look.
    pub(crate) fn is_signed_with(&self, secret: &str) -> bool {
        let key = STANDARD
            .decode(secret.strip_prefix("whsec_").unwrap())
            .unwrap();
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
        mac.update(format!("{}.{}.{}", self.id, self.timestamp, self.raw).as_bytes());
        let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        self.signatures.split(' ').any(|one| one == expected)
    }
}

/// What the sink answers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reply {
    Status(u16),
    /// 503 with this `Retry-After`.
    ComeAgain(u64),
    /// 307 to another place of the sink.
    Elsewhere,
    /// Nothing, for a minute.
    Hang,
    /// 204, when the sink is told to answer.
    Later,
}

type Behaviour = Arc<dyn Fn(&Message) -> Reply + Send + Sync>;

#[derive(Clone)]
pub(crate) struct Sink {
    pub url: String,
    inner: Arc<Inner>,
}

struct Inner {
    messages: Mutex<Vec<Message>>,
    behaviour: Mutex<Behaviour>,
    answers: watch::Sender<bool>,
}

impl Sink {
    /// One that takes everything.
    pub(crate) async fn start() -> Self {
        let inner = Arc::new(Inner {
            messages: Mutex::new(Vec::new()),
            behaviour: Mutex::new(Arc::new(|_| Reply::Status(204))),
            answers: watch::Sender::new(false),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/in", listener.local_addr().unwrap());
        let router = Router::new()
            .route("/in", post(take))
            .route("/elsewhere", post(take))
            .with_state(inner.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, inner }
    }

    /// From now on it answers so.
    pub(crate) fn replies(&self, behaviour: impl Fn(&Message) -> Reply + Send + Sync + 'static) {
        *self.inner.behaviour.lock().unwrap() = Arc::new(behaviour);
    }

    /// Answers what waits for it, from now on at once.
    pub(crate) fn answers(&self) {
        self.inner.answers.send_replace(true);
    }

    /// All that was sent to it.
    pub(crate) fn sent(&self) -> Vec<Message> {
        self.inner.messages.lock().unwrap().clone()
    }

    /// What it took.
    pub(crate) fn taken(&self) -> Vec<Message> {
        let mut messages = self.sent();
        messages.retain(|message| message.taken);
        messages
    }

    /// What it took of a person.
    pub(crate) fn of(&self, user: &Value) -> Vec<Message> {
        let mut messages = self.taken();
        messages.retain(|message| message.user() == user["id"].as_str().unwrap());
        messages
    }

    /// Waits until it has taken so many messages.
    pub(crate) async fn takes(&self, count: usize) -> Vec<Message> {
        eventually(Duration::from_secs(20), "messages", async || {
            self.taken().len() >= count
        })
        .await;
        self.taken()
    }

    /// Waits until it has taken this person at this version or a later one.
    pub(crate) async fn knows(&self, user: &Value, version: i64) {
        eventually(Duration::from_secs(20), "the version", async || {
            let newest = self.of(user).iter().map(Message::version).max();
            newest >= Some(version)
        })
        .await;
    }
}

async fn take(State(inner): State<Arc<Inner>>, headers: HeaderMap, body: Bytes) -> Response {
    let text = |name: &str| {
        let value = headers.get(name).map(|v| v.to_str().unwrap());
        value.unwrap_or_default().to_owned()
    };
    let raw = String::from_utf8(body.to_vec()).unwrap();
    let mut message = Message {
        id: text("webhook-id"),
        timestamp: text("webhook-timestamp").parse().unwrap(),
        signatures: text("webhook-signature"),
        body: serde_json::from_str(&raw).unwrap(),
        headers,
        raw,
        taken: false,
    };
    let behaviour = inner.behaviour.lock().unwrap().clone();
    let reply = behaviour(&message);
    message.taken = matches!(reply, Reply::Status(200..=299) | Reply::Later);
    inner.messages.lock().unwrap().push(message);
    match reply {
        Reply::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Reply::ComeAgain(seconds) => {
            let header = [("retry-after", seconds.to_string())];
            (StatusCode::SERVICE_UNAVAILABLE, header).into_response()
        }
        Reply::Elsewhere => {
            let header = [("location", "/elsewhere")];
            (StatusCode::TEMPORARY_REDIRECT, header).into_response()
        }
        Reply::Later => {
            let mut answers = inner.answers.subscribe();
            let _ = answers.wait_for(|answers| *answers).await;
            StatusCode::NO_CONTENT.into_response()
        }
        Reply::Hang => {
            tokio::time::sleep(Duration::from_secs(60)).await;
            StatusCode::NO_CONTENT.into_response()
        }
    }
}
