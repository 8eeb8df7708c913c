//! A change of a person, and its arrival at three systems that each keep a copy: marketing asks and waits (long poll), billing listens
//! (event stream), support is told (webhook). Each has a view of its own. `make demo` runs it.
//!
//!     ISSUER=… ADMIN=id:secret MARKETING=id:secret BILLING=id:secret SUPPORT=id:secret cargo run --example three_consumers
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "an example on a terminal, set up by its environment"
)]

use std::env::var;
use std::error::Error;
use std::sync::Arc;
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
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

type Failure = Box<dyn Error + Send + Sync>;

/// What a consumer calls which member.
type View = &'static [(&'static str, &'static str)];

/// Who keeps a copy, how the changes come, and what it sees.
const CONSUMERS: [(&str, &str, View); 3] = [
    (
        "marketing",
        "long poll",
        &[
            ("mail", "email"),
            ("first_name", "given_name"),
            ("language", "locale"),
        ],
    ),
    (
        "billing",
        "event stream",
        &[
            ("name", "name"),
            ("mail", "email"),
            ("country", "address.country"),
        ],
    ),
    (
        "support",
        "webhook",
        &[("name", "name"), ("email", "email"), ("state", "status")],
    ),
];
/// How long a change is waited for at those whom it should not concern.
const PATIENCE: Duration = Duration::from_millis(700);

/// A change, where and when it arrived.
struct Arrival {
    consumer: usize,
    at: Instant,
    change: Value,
}

type Arrivals = UnboundedSender<Arrival>;

/// A client of Doorward with its token; the demo is over before that expires.
#[derive(Clone)]
struct Caller {
    http: reqwest::Client,
    issuer: String,
    client_id: String,
    token: String,
}

impl Caller {
    async fn named(name: &str) -> Result<Self, Failure> {
        let issuer = var("ISSUER")?;
        let both = var(name)?;
        let (id, secret) = both.split_once(':').ok_or("expected id:secret")?;
        let http = reqwest::Client::builder().no_proxy().build()?;
        let asked = http.post(format!("{issuer}/oauth2/token"));
        let asked = asked.basic_auth(id, Some(secret));
        let form = [("grant_type", "client_credentials")];
        let answer = asked.form(&form).send().await?.error_for_status()?;
        let answer: Value = answer.json().await?;
        let token = answer["access_token"]
            .as_str()
            .ok_or("no token")?
            .to_owned();
        let client_id = id.to_owned();
        Ok(Self {
            http,
            issuer,
            client_id,
            token,
        })
    }

    fn ask(&self, method: &str, path: &str) -> Result<reqwest::RequestBuilder, Failure> {
        let url = format!("{}{path}", self.issuer);
        let request = self.http.request(method.parse()?, url);
        Ok(request.bearer_auth(&self.token))
    }

    async fn send(&self, method: &str, path: &str, body: &Value) -> Result<Value, Failure> {
        let answer = self.ask(method, path)?.json(body).send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        if !status.is_success() {
            return Err(format!("{method} {path}: {status} {text}").into());
        }
        Ok(serde_json::from_str(&text).unwrap_or_default())
    }
}

/// Marketing: a page, and the next page, which waits for news.
async fn poll(caller: Caller, arrivals: Arrivals) -> Result<(), Failure> {
    let mut path = "/api/v1/changes?wait=30".to_owned();
    loop {
        let page: Value = caller.ask("GET", &path)?.send().await?.json().await?;
        for change in page["items"].as_array().ok_or("no page")? {
            tell(&arrivals, 0, change.clone());
        }
        let next = page["next"].as_str().ok_or("no next")?;
        path = format!("/api/v1/changes?wait=30&after={next}");
    }
}

/// Billing: one answer without an end, in lines of which those with `data:` hold changes.
async fn listen(caller: Caller, arrivals: Arrivals) -> Result<(), Failure> {
    let request = caller.ask("GET", "/api/v1/changes")?;
    let mut stream = request.header("accept", "text/event-stream").send().await?;
    let mut read = Vec::new();
    while let Some(chunk) = stream.chunk().await? {
        read.extend_from_slice(&chunk);
        while let Some(end) = read.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = read.drain(..=end).collect();
            if let Some(data) = line.strip_prefix(b"data: ") {
                tell(&arrivals, 1, serde_json::from_slice(data)?);
            }
        }
    }
    Ok(())
}

/// Support: an address that is told, registered by the admin.
async fn receive(admin: &Caller, arrivals: Arrivals) -> Result<(), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/in", listener.local_addr()?);
    let body = json!({ "url": url, "consumer": "support", "from": "beginning" });
    let made = admin.send("POST", "/api/v1/webhooks", &body).await?;
    let secret = made["secret"].as_str().ok_or("no secret")?;
    let key = STANDARD.decode(secret.trim_start_matches("whsec_"))?;
    let router = Router::new()
        .route("/in", post(take))
        .with_state(Arc::new((key, arrivals)));
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(())
}

async fn take(
    State(sink): State<Arc<(Vec<u8>, Arrivals)>>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let (key, arrivals) = &*sink;
    if !is_signed(key, &headers, &body) {
        return StatusCode::UNAUTHORIZED;
    }
    let message: Value = serde_json::from_slice(&body).unwrap_or_default();
    tell(arrivals, 2, message["data"].clone());
    StatusCode::NO_CONTENT
}

/// Whether one of the signatures is Doorward's, and no older than five minutes.
fn is_signed(key: &[u8], headers: &HeaderMap, body: &[u8]) -> bool {
    let header = |name: &str| {
        headers
            .get(name)
            .and_then(|v| v.to_str().ok())
            .unwrap_or("")
    };
    let (id, at) = (header("webhook-id"), header("webhook-timestamp"));
    let now = std::time::UNIX_EPOCH
        .elapsed()
        .map_or(0, |since| since.as_secs());
    if !at.parse().is_ok_and(|at: u64| now.abs_diff(at) <= 300) {
        return false;
    }
    header("webhook-signature").split(' ').any(|signature| {
        let sent = signature
            .strip_prefix("v1,")
            .and_then(|s| STANDARD.decode(s).ok());
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
            return false;
        };
        mac.update(format!("{id}.{at}.").as_bytes());
        mac.update(body);
        sent.is_some_and(|sent| mac.verify_slice(&sent).is_ok())
    })
}

fn tell(arrivals: &Arrivals, consumer: usize, change: Value) {
    let at = Instant::now();
    // Once the demo has ended nobody listens.
    let _ = arrivals.send(Arrival {
        consumer,
        at,
        change,
    });
}

/// Shows a change as it arrives at each consumer, until all have it or those who lack it have been waited for.
async fn watch(
    arrivals: &mut UnboundedReceiver<Arrival>,
    id: &Value,
    version: &Value,
    since: Instant,
) {
    let mut without: Vec<usize> = (0..CONSUMERS.len()).collect();
    while let Ok(Some(arrival)) = timeout(PATIENCE, arrivals.recv()).await {
        if arrival.change["user_id"] != *id || arrival.change["version"].as_i64() < version.as_i64()
        {
            continue;
        }
        let (name, way, _) = CONSUMERS[arrival.consumer];
        let after = arrival.at.duration_since(since).as_secs_f64() * 1000.0;
        println!(
            "  {name:<10} {way:<13} +{after:>5.1} ms   {}",
            arrival.change["user"]
        );
        without.retain(|consumer| *consumer != arrival.consumer);
        if without.is_empty() {
            break;
        }
    }
    for consumer in without {
        let (name, way, _) = CONSUMERS[consumer];
        println!("  {name:<10} {way:<13}     –      not in its view");
    }
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let admin = Caller::named("ADMIN").await?;
    let (told, mut arrivals) = unbounded_channel();
    for (name, way, fields) in CONSUMERS {
        let caller = Caller::named(&name.to_uppercase()).await?;
        let fields: serde_json::Map<_, _> = fields
            .iter()
            .map(|(shown, member)| ((*shown).to_owned(), json!(member)))
            .collect();
        let body = json!({ "client_id": caller.client_id, "fields": fields });
        let path = format!("/api/v1/consumers/{name}");
        admin.send("PUT", &path, &body).await?;
        println!("{name:<10} {way:<13} sees {}", Value::Object(fields));
        match name {
            "marketing" => drop(tokio::spawn(poll(caller, told.clone()))),
            "billing" => drop(tokio::spawn(listen(caller, told.clone()))),
            _ => receive(&admin, told.clone()).await?,
        }
    }
    // They are told of everybody there is first.
    while timeout(PATIENCE, arrivals.recv()).await.is_ok() {}

    let username = format!("ada-{}", std::process::id());
    let ada = json!({
        "username": username, "email": format!("{username}@example.com"), "name": "Ada Lovelace", "given_name": "Ada",
        "locale": "en-GB", "address": { "country": "GB" },
    });
    println!("\nPOST /api/v1/users {ada}");
    let since = Instant::now();
    let made = admin.send("POST", "/api/v1/users", &ada).await?;
    let id = &made["id"];
    watch(&mut arrivals, id, &made["version"], since).await;

    let path = format!("/api/v1/users/{}", id.as_str().ok_or("no id")?);
    for change in [
        json!({ "email": format!("{username}@lovelace.example") }),
        json!({ "locale": "fr-FR" }),
        json!({ "address": { "country": "FR" } }),
        json!({ "name": "Ada King" }),
        json!({ "status": "disabled" }),
    ] {
        println!("\nPATCH {path} {change}");
        let since = Instant::now();
        let made = admin.send("PATCH", &path, &change).await?;
        watch(&mut arrivals, id, &made["version"], since).await;
    }
    println!("\nDELETE {path}");
    let since = Instant::now();
    admin
        .ask("DELETE", &path)?
        .send()
        .await?
        .error_for_status()?;
    watch(&mut arrivals, id, &json!(0), since).await;
    Ok(())
}
