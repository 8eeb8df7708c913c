//! Webhooks: signed, in order for each person, tried again, never in each other's way, never inside the network.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::process::{Home, signal};
use crate::support::webhook_sink::{Message, Reply, Sink};
use crate::support::{Answer, Described, Server, eventually};

const PATH: &str = "/api/v1/webhooks";
/// For what happens within a second or two.
const SOON: Duration = Duration::from_secs(20);

/// A server that may reach this machine.
async fn server() -> Server {
    Server::with(|config| config.fetch.allowed_networks = vec!["127.0.0.0/8".parse().unwrap()])
        .await
}

/// A webhook to `url`, as the API answered its making.
async fn webhook(server: &Server, url: &str) -> Value {
    webhook_with(server, json!({ "url": url })).await
}

async fn webhook_with(server: &Server, body: Value) -> Value {
    let token = server.admin_token().await;
    let answer = server.call(Method::POST, PATH, &token, Some(body)).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    answer.json()
}

fn path(webhook: &Value, rest: &str) -> String {
    format!("{PATH}/{}{rest}", webhook["id"].as_str().unwrap())
}

async fn call(server: &Server, method: Method, path: &str, body: Option<Value>) -> Answer {
    server
        .call(method, path, &server.admin_token().await, body)
        .await
}

async fn look(server: &Server, webhook: &Value) -> Value {
    let answer = call(server, Method::GET, &path(webhook, ""), None).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}

/// Waits until its status says so.
async fn until(server: &Server, webhook: &Value, what: &str, holds: impl Fn(&Value) -> bool) {
    eventually(SOON, what, async || {
        holds(&look(server, webhook).await["status"])
    })
    .await;
}

async fn patch(server: &Server, person: &Value, body: Value) -> Value {
    let path = format!("/api/v1/users/{}", person["id"].as_str().unwrap());
    let answer = call(server, Method::PATCH, &path, Some(body)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}

async fn change(server: &Server, webhook: &Value, body: Value) -> Answer {
    let token = server.admin_token().await;
    let request = server
        .request(Method::PATCH, &path(webhook, ""))
        .bearer_auth(token)
        .header("content-type", "application/merge-patch+json")
        .body(body.to_string());
    Answer::of(request).await
}

#[tokio::test]
async fn a_webhook_is_told_of_each_change_signed() {
    // S-E29
    let server = server().await;
    let before = server.user(json!({ "username": "before" })).await;
    let sink = Sink::start().await;
    eventually(SOON, "a place in the feed", async || {
        let feed = call(&server, Method::GET, "/api/v1/changes", None).await;
        !feed.json()["items"].as_array().unwrap().is_empty()
    })
    .await;
    let made = webhook(&server, &sink.url).await;
    let secret = made["secret"].as_str().unwrap();
    assert!(secret.starts_with("whsec_"));
    let ada = server
        .user(json!({ "email": "ada@example.com", "name": "Ada" }))
        .await;
    sink.knows(&ada, 1).await;
    let ada = patch(&server, &ada, json!({ "name": "Ada Lovelace" })).await;
    sink.knows(&ada, 2).await;
    let gone = format!("/api/v1/users/{}", ada["id"].as_str().unwrap());
    let answer = call(&server, Method::DELETE, &gone, None).await;
    assert_eq!(answer.status, 204);
    sink.knows(&ada, 3).await;

    let told = sink.of(&ada);
    let kinds: Vec<&str> = told.iter().map(Message::kind).collect();
    assert_eq!(kinds, ["user.created", "user.updated", "user.deleted"]);
    assert_eq!(
        told[1].body["data"]["user"], ada,
        "the person as the API shows them"
    );
    assert_eq!(told[2].body["data"]["user"], Value::Null);
    let mut ids = Vec::new();
    for message in &told {
        assert!(message.is_signed_with(secret), "{message:?}");
        let another = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        assert!(!message.is_signed_with(another));
        let late = time::OffsetDateTime::now_utc().unix_timestamp() - message.timestamp;
        assert!((0..30).contains(&late), "{late}");
        assert_eq!(message.headers["content-type"], "application/json");
        assert_eq!(
            message.body["timestamp"],
            message.body["data"]["occurred_at"]
        );
        for name in ["authorization", "cookie"] {
            assert!(!message.headers.contains_key(name));
        }
        ids.push(message.id.clone());
    }
    ids.dedup();
    assert_eq!(ids.len(), 3);
    assert!(sink.of(&before).is_empty(), "it begins with what comes");
    // Another begins with what there is.
    let from = json!({ "url": sink.url, "from": "beginning" });
    let other = webhook_with(&server, from).await;
    sink.knows(&before, 1).await;
    until(&server, &other, "up to date", |s| {
        s["behind_since"].is_null()
    })
    .await;
}

#[tokio::test]
async fn secrets_are_told_once_and_rotate_with_an_overlap() {
    // S-150, S-E29, E27
    let server = server().await;
    let sink = Sink::start().await;
    let made = webhook(&server, &sink.url).await;
    let first = made["secret"].as_str().unwrap().to_owned();
    let rotate = path(&made, "/rotate-secret");
    let token = server.admin_token().await;
    for (method, path) in [
        (Method::POST, rotate.clone()),
        (Method::PATCH, path(&made, "")),
        (Method::DELETE, path(&made, "")),
    ] {
        let request = server.request(method, &path).bearer_auth(&token);
        let request = request.header("if-match", "\"7\"").json(&json!({}));
        let answer = Answer::of(request).await;
        answer.problem(412, "precondition-failed");
    }
    let body = json!({ "overlap_seconds": 3600 });
    let rotated = call(&server, Method::POST, &rotate, Some(body))
        .await
        .json();
    let second = rotated["secret"].as_str().unwrap().to_owned();
    assert_ne!(first, second);
    for answer in [
        call(&server, Method::GET, PATH, None).await,
        call(&server, Method::GET, &path(&made, ""), None).await,
    ] {
        assert_eq!(answer.status, 200);
        for secret in [&first, &second] {
            assert!(!answer.text.contains(secret.as_str()), "{}", answer.text);
        }
        assert!(!answer.text.contains("whsec_"));
    }
    let mut person = server.user(json!({ "username": "ada" })).await;
    eventually(SOON, "signed with both", async || {
        person = patch(&server, &person, json!({ "name": random_name() })).await;
        sink.knows(&person, person["version"].as_i64().unwrap())
            .await;
        let last = sink.of(&person).pop().unwrap();
        last.is_signed_with(&first) && last.is_signed_with(&second)
    })
    .await;
    server.clock.advance(time::Duration::seconds(3601));
    let person = patch(&server, &person, json!({ "name": "Later" })).await;
    sink.knows(&person, person["version"].as_i64().unwrap())
        .await;
    let last = sink.of(&person).pop().unwrap();
    assert!(last.is_signed_with(&second) && !last.is_signed_with(&first));
    // Nothing is stored readable.
    let mut db = server.tables().await;
    let row = sqlx::query_scalar::<_, String>("select to_jsonb(w)::text from webhook w")
        .fetch_one(&mut db)
        .await
        .unwrap();
    use base64::Engine;
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(second.strip_prefix("whsec_").unwrap())
        .unwrap();
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    assert!(!row.contains(&second) && !row.contains(&hex));
}

fn random_name() -> String {
    uuid::Uuid::new_v4().to_string()
}

#[tokio::test]
async fn another_origin_gets_another_secret() {
    // S-151
    let server = server().await;
    let (sink, other) = (Sink::start().await, Sink::start().await);
    let made = webhook(&server, &sink.url).await;
    let first = made["secret"].as_str().unwrap();
    // A secret is never taken, masked or not.
    for secret in ["********", first] {
        let body = json!({ "url": other.url, "secret": secret });
        let problem = change(&server, &made, body).await.problem(422, "invalid");
        assert_eq!(problem["errors"][0]["pointer"], "/secret");
    }
    // The same origin keeps it.
    let elsewhere = sink.url.replace("/in", "/elsewhere");
    let changed = change(&server, &made, json!({ "url": elsewhere })).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    assert!(changed.json().get("secret").is_none());
    // Another one gets its own, and nothing is signed with the old one any more, not even beside it.
    let changed = change(&server, &made, json!({ "url": other.url }))
        .await
        .json();
    let second = changed["secret"].as_str().unwrap();
    assert_ne!(first, second);
    assert!(changed["previous_secret_until"].is_null());
    let ada = server.user(json!({ "username": "ada" })).await;
    other.knows(&ada, 1).await;
    let told = other.of(&ada).pop().unwrap();
    assert!(told.is_signed_with(second) && !told.is_signed_with(first));
    assert!(sink.of(&ada).is_empty());
}

#[tokio::test]
async fn a_key_makes_one_webhook_for_whoever_may_still_make_it() {
    // S-157
    let server = server().await;
    let sink = Sink::start().await;
    let make = async |token: &str, url: &str| {
        let request = server
            .request(Method::POST, PATH)
            .bearer_auth(token)
            .header("idempotency-key", "one")
            .json(&json!({ "url": url }));
        Answer::of(request).await
    };
    let token = server.admin_token().await;
    let first = make(&token, &sink.url).await;
    let again = make(&token, &sink.url).await;
    assert_eq!((first.status, again.status), (201, 201));
    assert_eq!(first.text, again.text);
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(again.header("location"), first.header("location"));
    assert_eq!(make(&token, &format!("{}2", sink.url)).await.status, 422);
    let less = server.token("clients:write").await;
    assert_eq!(make(&less, &sink.url).await.status, 403);
    let list = call(&server, Method::GET, PATH, None).await.json();
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn only_holders_of_all_scopes_make_and_change_webhooks() {
    // S-147, S-149
    let server = server().await;
    let sink = Sink::start().await;
    let made = webhook(&server, &sink.url).await;
    let url = json!({ "url": sink.url });
    for scope in [
        "clients:write",
        "clients:read clients:write",
        "users:read users:write clients:write",
    ] {
        let token = server.token(scope).await;
        for (method, path, body) in [
            (Method::POST, PATH.to_owned(), Some(url.clone())),
            (
                Method::PATCH,
                path(&made, ""),
                Some(json!({ "paused": true })),
            ),
            (Method::DELETE, path(&made, ""), None),
            (Method::POST, path(&made, "/rotate-secret"), Some(json!({}))),
            (Method::POST, path(&made, "/test"), None),
            (
                Method::POST,
                path(&made, "/replay"),
                Some(json!({ "dead": true })),
            ),
        ] {
            let answer = server.call(method.clone(), &path, &token, body).await;
            assert_eq!(
                answer.status, 403,
                "{method} {path} with {scope}: {}",
                answer.text
            );
        }
    }
    let reader = server.token("clients:read").await;
    for path in [PATH.to_owned(), path(&made, ""), path(&made, "/dead")] {
        let answer = server.call(Method::GET, &path, &reader, None).await;
        assert_eq!(answer.status, 200, "{path}");
    }
    assert_eq!(look(&server, &made).await["paused"], false);
}

#[tokio::test]
async fn there_are_sixty_four_at_most() {
    let server = server().await;
    let sink = Sink::start().await;
    for _ in 0..64 {
        webhook_with(&server, json!({ "url": sink.url, "paused": true })).await;
    }
    let body = json!({ "url": sink.url });
    call(&server, Method::POST, PATH, Some(body))
        .await
        .problem(409, "conflict");
}

#[tokio::test]
async fn addresses_inside_are_refused_when_they_are_registered() {
    // S-159, S-162
    let server = Server::start().await;
    let token = server.admin_token().await;
    for url in [
        "https://127.0.0.1/",
        "https://localhost/",
        "http://localhost:8080/",
        "https://10.0.0.1/",
        "https://[::1]/",
        "https://169.254.169.254/latest/meta-data",
        "https://100.64.0.1/",
        "https://[fd00::1]/",
        "https://[::ffff:7f00:1]/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://127.1/",
        "https://localhost./",
        "https://user:x@hooks.example/",
        "https://[64:ff9b::7f00:1]/",
        "https://[2002:7f00:1::]/",
        "https://0.0.0.0/",
        "https://192.168.0.1/",
        "https://224.0.0.1/",
        "http://93.184.215.14/",
        "https://93.184.215.14:22/",
        "https://93.184.215.14:5432/",
        "ftp://93.184.215.14/",
        "file:///etc/passwd",
        "https://{host}/",
        "https://hooks.example/#x",
        "/in",
        "",
    ] {
        let body = json!({ "url": url });
        let answer = server.call(Method::POST, PATH, &token, Some(body)).await;
        let problem = answer.problem(422, "invalid");
        assert_eq!(problem["errors"][0]["pointer"], "/url", "{url}");
    }
    let list = call(&server, Method::GET, PATH, None).await.json();
    assert_eq!(list["items"], json!([]));
}

#[tokio::test]
async fn an_address_inside_is_refused_at_the_connection_too() {
    // S-159, S-161: registered while it was permitted, it is not knocked at once it isn't.
    let open = server().await;
    let sink = Sink::start().await;
    let made = webhook(&open, &sink.url).await;
    let (database, clock) = (open.database.clone(), open.clock.clone());
    open.stop().await;
    let closed = Server::on(database, clock, None, None, |_| {}).await;
    closed.user(json!({ "username": "ada" })).await;
    until(&closed, &made, "a refusal", |status| {
        status["last_error"]
            .as_str()
            .is_some_and(|e| e.contains("fetch.allowed_networks"))
    })
    .await;
    let tried = call(&closed, Method::POST, &path(&made, "/test"), None)
        .await
        .json();
    assert_eq!(tried["delivered"], false, "{tried}");
    assert!(sink.sent().is_empty());
}

#[tokio::test]
async fn redirects_are_not_followed() {
    // S-160
    let server = server().await;
    let sink = Sink::start().await;
    sink.replies(|_| Reply::Elsewhere);
    let made = webhook(&server, &sink.url).await;
    server.user(json!({ "username": "ada" })).await;
    until(&server, &made, "a failure", |s| s["waiting"] == 1).await;
    assert_eq!(sink.sent().len(), 1);
    let error = look(&server, &made).await["status"]["last_error"].clone();
    assert!(error.as_str().unwrap().contains("redirects"), "{error}");
}

#[tokio::test]
async fn one_persons_failure_keeps_nobody_else_waiting() {
    let server = server().await;
    let sink = Sink::start().await;
    let made = webhook(&server, &sink.url).await;
    let ada = server.user(json!({ "username": "ada" })).await;
    sink.knows(&ada, 1).await;
    let broken = Arc::new(AtomicBool::new(true));
    let (still, id) = (broken.clone(), ada["id"].clone());
    sink.replies(move |message| {
        let refused = message.body["data"]["user_id"] == id && still.load(Ordering::SeqCst);
        Reply::Status(if refused { 422 } else { 204 })
    });
    patch(&server, &ada, json!({ "name": "Ada 2" })).await;
    until(&server, &made, "a letter", |s| s["waiting"] == 1).await;
    // Others go on; what is newer of her waits for the letter's time and goes with it.
    let bob = server.user(json!({ "username": "bob" })).await;
    patch(&server, &ada, json!({ "name": "Ada 3" })).await;
    sink.knows(&bob, 1).await;
    until(&server, &made, "nothing but the letter", |s| {
        s["behind_since"].is_null()
    })
    .await;
    assert_eq!(look(&server, &made).await["status"]["state"], "delivering");
    let attempts = |sink: &Sink| {
        let all = sink.sent();
        let of_ada = all.iter().filter(|m| m.user() == ada["id"]);
        of_ada.map(Message::version).collect::<Vec<_>>()
    };
    assert_eq!(attempts(&sink), [1, 2]);
    broken.store(false, Ordering::SeqCst);
    server.clock.advance(time::Duration::seconds(10));
    sink.knows(&ada, 3).await;
    assert_eq!(attempts(&sink), [1, 2, 3], "the newest alone is told");
    until(&server, &made, "no letter", |s| s["waiting"] == 0).await;
}

#[tokio::test]
async fn any_number_of_refused_people_keeps_nobody_else_waiting() {
    let server = server().await;
    let sink = Sink::start().await;
    let made = webhook_with(&server, json!({ "url": sink.url, "paused": true })).await;
    // Two of three, so that the receiver never counts as down.
    let count = 1_560;
    let names: Vec<String> = (0..count)
        .map(|n| {
            let refused = if n % 3 == 0 { "taken" } else { "refused" };
            format!("{refused}-{n}")
        })
        .collect();
    server.crowd(&names).await;
    let broken = Arc::new(AtomicBool::new(true));
    let still = broken.clone();
    sink.replies(move |message| {
        let name = message.body["data"]["user"]["username"].as_str();
        let refused = name.is_some_and(|name| name.starts_with("refused"));
        Reply::Status(if refused && still.load(Ordering::SeqCst) {
            422
        } else {
            204
        })
    });
    change(&server, &made, json!({ "paused": false })).await;
    let refused = count * 2 / 3;
    eventually(Duration::from_secs(120), "all are refused", async || {
        look(&server, &made).await["status"]["waiting"] == refused
    })
    .await;
    let last = server.user(json!({ "username": "last" })).await;
    sink.knows(&last, 1).await;
    until(&server, &made, "up to date", |s| {
        s["behind_since"].is_null() && s["state"] == "delivering"
    })
    .await;
    // When their time comes they are told, a few at a time.
    broken.store(false, Ordering::SeqCst);
    server.clock.advance(time::Duration::seconds(10));
    eventually(Duration::from_secs(120), "no letters", async || {
        look(&server, &made).await["status"]["waiting"] == 0
    })
    .await;
    let taken = sink.taken();
    let told: HashSet<&str> = taken.iter().map(Message::user).collect();
    assert_eq!(told.len(), count + 1);
}

#[tokio::test]
async fn what_is_never_taken_is_given_up_and_can_be_replayed() {
    let server = server().await;
    let sink = Sink::start().await;
    let made = webhook(&server, &sink.url).await;
    let ada = server.user(json!({ "username": "ada" })).await;
    let bob = server.user(json!({ "username": "bob" })).await;
    sink.takes(2).await;
    let id = ada["id"].clone();
    let broken = Arc::new(AtomicBool::new(true));
    let still = broken.clone();
    sink.replies(move |message| {
        let refused = message.body["data"]["user_id"] == id && still.load(Ordering::SeqCst);
        Reply::Status(if refused { 400 } else { 204 })
    });
    patch(&server, &ada, json!({ "name": "Ada 2" })).await;
    until(&server, &made, "a letter", |s| s["waiting"] == 1).await;
    eventually(Duration::from_secs(60), "given up", async || {
        server.clock.advance(time::Duration::hours(10));
        look(&server, &made).await["status"]["dead"] == 1
    })
    .await;
    let all = sink.sent();
    assert_eq!(all.iter().filter(|m| m.user() == ada["id"]).count(), 12);
    let dead = call(&server, Method::GET, &path(&made, "/dead"), None)
        .await
        .json();
    let described = Described::by(&server).await;
    described.holds("WebhookDeadList", &dead);
    described.holds("WebhookDead", &dead["items"][0]);
    assert_eq!(dead["items"][0]["user_id"], ada["id"]);
    assert_eq!(dead["items"][0]["attempts"], 11);
    assert_eq!(dead["items"][0]["error"], "status 400");
    assert_eq!(dead["next"], Value::Null);
    // S-E29: each try is signed anew, with its own time.
    let tries: Vec<&Message> = all.iter().filter(|m| m.version() == 2).collect();
    let secret = made["secret"].as_str().unwrap();
    for pair in tries.windows(2) {
        assert!(pair[0].timestamp < pair[1].timestamp);
        assert!(pair[1].is_signed_with(secret));
    }
    let mut ids: Vec<String> = sink
        .sent()
        .iter()
        .filter(|m| m.version() == 2)
        .map(|m| m.id.clone())
        .collect();
    ids.dedup();
    assert_eq!(
        ids.len(),
        1,
        "a message keeps its id however often it is sent"
    );
    patch(&server, &bob, json!({ "name": "Bob" })).await;
    sink.knows(&bob, 2).await;

    broken.store(false, Ordering::SeqCst);
    let body = json!({ "dead": true });
    let replayed = call(&server, Method::POST, &path(&made, "/replay"), Some(body)).await;
    assert_eq!(
        (replayed.status, replayed.json()),
        (202, json!({ "people": 1 }))
    );
    sink.knows(&ada, 2).await;
    until(&server, &made, "none given up", |s| s["dead"] == 0).await;
}

#[tokio::test]
async fn a_receiver_that_was_down_is_told_everything_when_it_is_back() {
    let server = server().await;
    let sink = Sink::start().await;
    sink.replies(|_| Reply::Status(503));
    let made = webhook(&server, &sink.url).await;
    let mut people = Vec::new();
    for n in 0..30 {
        people.push(server.user(json!({ "username": format!("p{n}") })).await);
    }
    until(&server, &made, "down", |s| s["state"] == "down").await;
    for person in &people {
        patch(&server, person, json!({ "name": "Changed" })).await;
    }
    let tried = sink.sent().len();
    assert!(tried <= 25, "{tried}");
    // For days it is tried now and then, with one message at a time, and nothing is given up.
    for _ in 0..6 {
        let before = look(&server, &made).await["status"]["failures"].as_i64();
        server.clock.advance(time::Duration::hours(14));
        until(&server, &made, "another try", |s| {
            s["failures"].as_i64() > before
        })
        .await;
    }
    let status = look(&server, &made).await["status"].clone();
    assert_eq!(
        (&status["state"], &status["dead"]),
        (&json!("down"), &json!(0))
    );
    assert!(status["next_attempt_at"].is_string() && status["behind_since"].is_string());
    assert!(sink.sent().len() < tried + 30);
    sink.replies(|_| Reply::Status(204));
    server.clock.advance(time::Duration::hours(1));
    for person in &people {
        sink.knows(person, 2).await;
    }
    until(&server, &made, "up to date", |s| {
        s["state"] == "delivering" && s["waiting"] == 0 && s["behind_since"].is_null()
    })
    .await;
}

#[tokio::test]
async fn many_failures_at_once_are_one_reason_to_wait() {
    let server = server().await;
    let sink = Sink::start().await;
    sink.replies(|_| Reply::Hang);
    let made = webhook(&server, &sink.url).await;
    for n in 0..16 {
        server.user(json!({ "username": format!("p{n}") })).await;
    }
    eventually(SOON, "sixteen under way", async || sink.sent().len() == 16).await;
    until(&server, &made, "none under way", |s| s["waiting"] == 16).await;
    // It was down for five seconds, so it is tried within one or so, not in a quarter of an hour as after sixteen tries in a row.
    sink.replies(|_| Reply::Status(204));
    server.clock.advance(time::Duration::seconds(2));
    sink.takes(16).await;
    until(&server, &made, "up to date", |s| {
        s["state"] == "delivering" && s["waiting"] == 0
    })
    .await;
}

#[tokio::test]
async fn a_receiver_that_hangs_delays_no_other() {
    let server = server().await;
    let (hung, live) = (Sink::start().await, Sink::start().await);
    hung.replies(|_| Reply::Hang);
    webhook(&server, &hung.url).await;
    webhook(&server, &live.url).await;
    let began = Instant::now();
    let first = server.user(json!({ "username": "first" })).await;
    live.knows(&first, 1).await;
    for n in 0..40 {
        let started = Instant::now();
        let person = server.user(json!({ "username": format!("p{n}") })).await;
        live.knows(&person, 1).await;
        assert!(
            started.elapsed() < Duration::from_secs(2),
            "{:?}",
            started.elapsed()
        );
    }
    // And it holds no more than its own places; once they have failed after five seconds, one at a time.
    let most = 16 + began.elapsed().as_secs() as usize / 5;
    assert!(hung.sent().len() <= most, "{}", hung.sent().len());
}

#[tokio::test]
async fn whoever_asks_to_be_left_alone_is() {
    let server = server().await;
    let sink = Sink::start().await;
    sink.replies(|_| Reply::ComeAgain(7200));
    let made = webhook(&server, &sink.url).await;
    let ada = server.user(json!({ "username": "ada" })).await;
    until(&server, &made, "a letter", |s| s["waiting"] == 1).await;
    server.clock.advance(time::Duration::seconds(7000));
    let bob = server.user(json!({ "username": "bob" })).await;
    until(&server, &made, "two letters", |s| s["waiting"] == 2).await;
    assert_eq!(sink.sent().len(), 2);
    sink.replies(|_| Reply::Status(200));
    server.clock.advance(time::Duration::seconds(300));
    sink.knows(&ada, 1).await;
    server.clock.advance(time::Duration::seconds(7200));
    sink.knows(&bob, 1).await;
    // 410: it is gone for good, until an admin says otherwise.
    sink.replies(|_| Reply::Status(410));
    patch(&server, &ada, json!({ "name": "A" })).await;
    until(&server, &made, "paused", |s| s["state"] == "paused").await;
    sink.replies(|_| Reply::Status(200));
    change(&server, &made, json!({ "paused": false })).await;
    server.clock.advance(time::Duration::seconds(10));
    sink.knows(&ada, 2).await;
}

#[tokio::test]
async fn a_paused_webhook_is_told_when_it_goes_on() {
    let server = server().await;
    let sink = Sink::start().await;
    let made = webhook_with(&server, json!({ "url": sink.url, "paused": true })).await;
    let ada = server.user(json!({ "username": "ada" })).await;
    patch(&server, &ada, json!({ "name": "Ada" })).await;
    until(&server, &made, "behind", |s| s["behind_since"].is_string()).await;
    let list = call(&server, Method::GET, PATH, None).await.json();
    assert_eq!(list["items"][0]["status"]["state"], "paused");
    assert!(sink.sent().is_empty());
    let stale = server
        .request(Method::PATCH, &path(&made, ""))
        .bearer_auth(server.admin_token().await)
        .header("if-match", "\"7\"")
        .json(&json!({ "paused": false }));
    Answer::of(stale).await.problem(412, "precondition-failed");
    let changed = change(
        &server,
        &made,
        json!({ "paused": false, "description": "Billing" }),
    )
    .await;
    assert_eq!(changed.header("etag"), "\"2\"");
    sink.knows(&ada, 2).await;
    assert_eq!(sink.of(&ada).len(), 1, "her newest state, once");
    let answer = call(&server, Method::DELETE, &path(&made, ""), None).await;
    assert_eq!(answer.status, 204);
    call(&server, Method::GET, &path(&made, ""), None)
        .await
        .problem(404, "not-found");
}

#[tokio::test]
async fn a_range_is_replayed_by_places_or_times() {
    let server = server().await;
    let sink = Sink::start().await;
    let made = webhook(&server, &sink.url).await;
    let mut people = Vec::new();
    for n in 0..6 {
        people.push(server.user(json!({ "username": format!("p{n}") })).await);
        server.clock.advance(time::Duration::seconds(10));
    }
    let told = sink.takes(6).await;
    until(&server, &made, "up to date", |s| {
        s["behind_since"].is_null()
    })
    .await;
    let place = |n: usize| told[n].body["data"]["position"].as_i64().unwrap();
    let replay =
        async |body: Value| call(&server, Method::POST, &path(&made, "/replay"), Some(body)).await;
    let answer = replay(json!({ "after": place(0), "until": place(3) })).await;
    assert_eq!(
        (answer.status, answer.json()),
        (202, json!({ "people": 3 }))
    );
    let again = sink.takes(9).await;
    let users: Vec<&str> = again[6..].iter().map(Message::user).collect();
    assert_eq!(users, [told[1].user(), told[2].user(), told[3].user()]);
    assert_ne!(
        again[6].id, told[1].id,
        "whoever remembers ids takes it again"
    );
    until(&server, &made, "replayed", |s| s["replay"].is_null()).await;
    let since = told[4].body["data"]["occurred_at"].clone();
    let answer = replay(json!({ "since": since })).await;
    assert_eq!(answer.json(), json!({ "people": 2 }));
    sink.takes(11).await;
    // A feed may be as large as the directory: times have an index too, one that costs a change next to nothing.
    let sql = "select count(*) from pg_indexes where tablename = 'change' and indexdef like '%USING brin (occurred_at)'";
    let indexes: i64 = sqlx::query_scalar(sql)
        .fetch_one(&mut server.tables().await)
        .await
        .unwrap();
    assert_eq!(indexes, 1);
    // Whoever changed since lies elsewhere: they were told of the newer already.
    for body in [
        json!({}),
        json!({ "after": 0, "dead": true }),
        json!({ "after": -1 }),
        json!({ "after": 1_000_000 }),
        json!({ "since": "2999-01-01T00:00:00Z" }),
        json!({ "since": "yesterday" }),
        json!({ "unknown": 1 }),
    ] {
        replay(body).await.problem(422, "invalid");
    }
}

#[tokio::test]
async fn a_test_says_what_came_of_it() {
    let server = server().await;
    let sink = Sink::start().await;
    let made = webhook_with(&server, json!({ "url": sink.url, "paused": true })).await;
    let test = async || {
        call(&server, Method::POST, &path(&made, "/test"), None)
            .await
            .json()
    };
    let tried = test().await;
    assert_eq!(
        (&tried["delivered"], &tried["status"]),
        (&json!(true), &json!(204))
    );
    let message = sink.sent().pop().unwrap();
    assert_eq!(message.kind(), "webhook.test");
    assert!(message.is_signed_with(made["secret"].as_str().unwrap()));
    sink.replies(|_| Reply::Status(500));
    let tried = test().await;
    assert_eq!(
        (&tried["delivered"], &tried["status"], &tried["error"]),
        (&json!(false), &json!(500), &json!("status 500"))
    );
}

#[tokio::test]
async fn nobody_is_met_at_an_older_version_after_a_newer_one() {
    let server = server().await;
    let sink = Sink::start().await;
    // Every third message fails, of each kind of failure.
    let count = Mutex::new(0_u32);
    sink.replies(move |_| {
        let mut count = count.lock().unwrap();
        *count += 1;
        Reply::Status(if count.is_multiple_of(3) { 500 } else { 204 })
    });
    let made = webhook(&server, &sink.url).await;
    let mut people = Vec::new();
    for n in 0..12 {
        people.push(server.user(json!({ "username": format!("p{n}") })).await);
    }
    for round in 0..8 {
        let writes = people.iter().map(|person| {
            let server = &server;
            async move { patch(server, person, json!({ "name": format!("Round {round}") })).await }
        });
        for write in writes {
            write.await;
        }
        server.clock.advance(time::Duration::seconds(7));
    }
    eventually(SOON, "everybody at the newest", async || {
        server.clock.advance(time::Duration::seconds(60));
        people
            .iter()
            .all(|p| sink.of(p).iter().any(|m| m.version() == 9))
    })
    .await;
    let mut newest: HashMap<String, i64> = HashMap::new();
    for message in sink.taken() {
        let before = newest.insert(message.user().to_owned(), message.version());
        assert!(before <= Some(message.version()), "{before:?} {message:?}");
    }
    until(&server, &made, "no letters", |s| {
        s["waiting"] == 0 && s["dead"] == 0
    })
    .await;
}

/// What was read of a person while the receiver was slow is not sent after their letter, which was newer.
#[tokio::test]
async fn what_waits_behind_a_slow_receiver_is_overtaken_by_a_letter() {
    let server = server().await;
    let sink = Sink::start().await;
    let made = webhook(&server, &sink.url).await;
    sink.replies(|_| Reply::Status(422));
    let ada = server.user(json!({ "username": "ada" })).await;
    until(&server, &made, "a letter", |s| s["waiting"] == 1).await;
    // She is read behind more people than may be under way, all of whom the receiver lets wait.
    change(&server, &made, json!({ "paused": true })).await;
    let mut before = Vec::new();
    for n in 0..20 {
        before.push(server.user(json!({ "username": format!("p{n}") })).await);
    }
    let id = ada["id"].clone();
    sink.replies(move |message| {
        if message.body["data"]["user_id"] == id {
            Reply::Status(204)
        } else {
            Reply::Later
        }
    });
    patch(&server, &ada, json!({ "name": "Ada 2" })).await;
    let numbered = async |version: i64| {
        let feed = call(&server, Method::GET, "/api/v1/changes", None).await;
        let feed = feed.json();
        let items = feed["items"].as_array().unwrap();
        let hers = items.iter().find(|c| c["user_id"] == ada["id"]).cloned();
        hers.is_some_and(|change| change["version"] == version)
    };
    eventually(SOON, "her change has its place", async || numbered(2).await).await;
    change(&server, &made, json!({ "paused": false })).await;
    eventually(SOON, "the receiver is busy", async || {
        sink.sent().len() >= 17
    })
    .await;
    patch(&server, &ada, json!({ "name": "Ada 3" })).await;
    eventually(SOON, "the newer one too", async || numbered(3).await).await;
    server.clock.advance(time::Duration::seconds(10));
    sink.knows(&ada, 3).await;
    sink.answers();
    for person in &before {
        sink.knows(person, 1).await;
    }
    until(&server, &made, "up to date", |s| {
        s["behind_since"].is_null() && s["waiting"] == 0
    })
    .await;
    let hers: Vec<i64> = sink.of(&ada).iter().map(Message::version).collect();
    assert!(hers.is_sorted(), "{hers:?}");
}

#[tokio::test]
async fn replicas_share_webhooks_and_take_over() {
    let one = server().await;
    let open = |config: &mut doorward::config::Config| {
        config.fetch.allowed_networks = vec!["127.0.0.0/8".parse().unwrap()];
    };
    let url = one.url.clone();
    let other = Server::on(
        one.database.clone(),
        one.clock.clone(),
        Some(&url),
        None,
        open,
    )
    .await;
    let sinks = [
        Sink::start().await,
        Sink::start().await,
        Sink::start().await,
    ];
    for sink in &sinks {
        webhook(&one, &sink.url).await;
    }
    let mut people = Vec::new();
    for n in 0..20 {
        people.push(one.user(json!({ "username": format!("p{n}") })).await);
    }
    for sink in &sinks {
        sink.takes(20).await;
    }
    // Each was told once: one replica at a time delivers.
    for sink in &sinks {
        assert_eq!(sink.sent().len(), 20);
    }
    one.stop().await;
    let last = other.user(json!({ "username": "last" })).await;
    for sink in &sinks {
        sink.knows(&last, 1).await;
    }
}

#[tokio::test]
async fn deliveries_are_counted_and_changes_audited() {
    // S-154, S-168
    let server = server().await;
    let sink = Sink::start().await;
    let made = webhook(&server, &sink.url).await;
    server.user(json!({ "username": "ada" })).await;
    sink.takes(1).await;
    let id = made["id"].as_str().unwrap();
    eventually(SOON, "the metrics", async || {
        let text = server.get("/metrics").await.text;
        [
            format!("doorward_webhook_deliveries_total{{webhook=\"{id}\",outcome=\"received\"}} 1"),
            format!("doorward_webhook_lag_seconds{{webhook=\"{id}\"}} 0"),
            format!("doorward_webhook_dead{{webhook=\"{id}\"}} 0"),
        ]
        .iter()
        .all(|line| text.contains(line.as_str()))
    })
    .await;
    until(&server, &made, "up to date", |s| {
        s["behind_since"].is_null()
    })
    .await;
    call(
        &server,
        Method::POST,
        &path(&made, "/rotate-secret"),
        Some(json!({})),
    )
    .await;
    change(&server, &made, json!({ "description": "x" })).await;
    call(
        &server,
        Method::POST,
        &path(&made, "/replay"),
        Some(json!({ "after": 0 })),
    )
    .await;
    call(&server, Method::DELETE, &path(&made, ""), None).await;
    let mut db = server.tables().await;
    let rows: Vec<(String, Option<String>)> = sqlx::query_as(
        "select action, coalesce(before, '{}')::text || coalesce(after, '{}')::text from audit where target_kind = 'webhook' and target_id = $1 order by id",
    )
    .bind(id)
    .fetch_all(&mut db)
    .await
    .unwrap();
    let actions: Vec<&str> = rows.iter().map(|row| row.0.as_str()).collect();
    assert_eq!(
        actions,
        [
            "webhook.created",
            "webhook.secret_rotated",
            "webhook.updated",
            "webhook.replayed",
            "webhook.deleted"
        ]
    );
    assert!(
        rows.iter()
            .all(|row| !row.1.as_ref().unwrap().contains("whsec_"))
    );
}

#[tokio::test]
async fn a_consumers_webhook_shows_its_view_and_nothing_else() {
    let server = server().await;
    let client = server
        .client()
        .grant("client_credentials")
        .scope("users:read")
        .register()
        .await;
    let register = async |fields: Value| {
        let body = json!({ "client_id": client.id, "fields": fields });
        let answer = call(
            &server,
            Method::PUT,
            "/api/v1/consumers/billing",
            Some(body),
        )
        .await;
        assert!(answer.status < 300, "{}", answer.text);
    };
    register(json!({ "mail": "email" })).await;
    let sink = Sink::start().await;
    let token = server.admin_token().await;
    let unknown = json!({ "url": sink.url, "consumer": "sales" });
    let answer = server.call(Method::POST, PATH, &token, Some(unknown)).await;
    assert_eq!(
        answer.problem(422, "invalid")["errors"][0]["pointer"],
        "/consumer"
    );
    let wanted = json!({ "url": sink.url, "consumer": "billing", "from": "beginning" });
    let made = webhook_with(&server, wanted).await;
    let ada = server
        .user(json!({ "email": "ada@example.com", "name": "Ada" }))
        .await;
    sink.knows(&ada, 1).await;
    let told = sink.of(&ada).pop().unwrap();
    let shown = json!({ "id": ada["id"], "mail": "ada@example.com" });
    assert_eq!(told.body["data"]["user"], shown);
    // Outside the view is no change; the next one within it is told.
    patch(&server, &ada, json!({ "name": "Ada Lovelace" })).await;
    patch(&server, &ada, json!({ "email": "lovelace@example.com" })).await;
    sink.knows(&ada, 3).await;
    let versions: Vec<i64> = sink.of(&ada).iter().map(Message::version).collect();
    assert_eq!(versions, [1, 3]);
    // Another view: everything anew, in that view.
    register(json!({ "name": "name" })).await;
    let renamed = json!({ "id": ada["id"], "name": "Ada Lovelace" });
    eventually(SOON, "the new view", async || {
        sink.of(&ada).pop().unwrap().body["data"]["user"] == renamed
    })
    .await;
    assert_eq!(kept(&sink)[ada["id"].as_str().unwrap()], renamed);
    // Without the consumer there is no webhook.
    call(&server, Method::DELETE, "/api/v1/consumers/billing", None).await;
    call(&server, Method::GET, &path(&made, ""), None)
        .await
        .problem(404, "not-found");
}

/// A receiver's copy by the rules of docs/propagation.md: a message once, by its id, and nothing older over what is newer.
fn kept(sink: &Sink) -> HashMap<String, Value> {
    let (mut ids, mut copy) = (HashSet::new(), HashMap::new());
    for message in sink.taken() {
        let known = copy.get(message.user());
        let newer = known.is_some_and(|(version, _)| *version > message.version());
        if ids.insert(message.id.clone()) && !newer {
            let user = message.body["data"]["user"].clone();
            copy.insert(message.user().to_owned(), (message.version(), user));
        }
    }
    let people = copy.into_iter().map(|(id, (_, user))| (id, user));
    people.collect()
}

/// Four writers, the server killed in their midst, then server and database together: what the receiver has is the directory, and nobody
/// was met at an older version after a newer one.
#[tokio::test]
async fn killed_in_the_midst_it_tells_everything_in_order() {
    let home = Home::new("webhook-kill");
    let args = [
        "client",
        "create",
        "--name",
        "admin",
        "--grant",
        "client_credentials",
        "--scope",
    ];
    let scopes = [
        "users:read users:write clients:read clients:write",
        "--json",
    ];
    let made = home
        .command(&[&args[..], &scopes].concat())
        .output()
        .await
        .unwrap();
    let client: Value = serde_json::from_slice(&made.stdout).unwrap();
    let serve = async || {
        let mut command = home.command(&["serve"]);
        command.env("DOORWARD_FETCH__ALLOWED_NETWORKS", "127.0.0.0/8");
        home.serve_as(command).await
    };
    let sink = Sink::start().await;
    let mut server = serve().await;
    let caller = Caller::of(&server.url, &client).await;
    let webhook = json!({ "url": sink.url, "from": "beginning" });
    assert_eq!(
        caller
            .call(Method::POST, PATH, Some(webhook))
            .await
            .unwrap()
            .0,
        201
    );
    for round in 0..2 {
        let caller = Caller::of(&server.url, &client).await;
        let over = Arc::new(AtomicBool::new(false));
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let (caller, over) = (caller.clone(), over.clone());
                tokio::spawn(async move { caller.write(round, writer, &over).await })
            })
            .collect();
        let before = sink.taken().len();
        sink.takes(before + 40).await;
        server.signal(Signal::KILL);
        if round == 1 {
            signal(Signal::KILL, home.postmaster().unwrap());
        }
        over.store(true, Ordering::SeqCst);
        for writer in writers {
            writer.await.unwrap();
        }
        server.ended(SOON).await;
        server = serve().await;
    }
    let directory = Caller::of(&server.url, &client).await.directory().await;
    let newest = |sink: &Sink| {
        let mut newest: HashMap<String, i64> = HashMap::new();
        for message in sink.taken() {
            let before = newest.insert(message.user().to_owned(), message.version());
            assert!(before <= Some(message.version()), "{before:?} {message:?}");
        }
        newest
    };
    eventually(Duration::from_secs(60), "everybody's newest", async || {
        newest(&sink) == directory
    })
    .await;
    server.signal(Signal::TERM);
    assert!(server.ended(Duration::from_secs(30)).await.success());
}

/// A client of a server that may be killed at any time.
#[derive(Clone)]
struct Caller {
    http: reqwest::Client,
    url: String,
    token: String,
}

impl Caller {
    async fn of(url: &str, client: &Value) -> Self {
        let text = |name: &str| client[name].as_str().unwrap().to_owned();
        let http = reqwest::Client::new();
        let request = http
            .post(format!("{url}/oauth2/token"))
            .basic_auth(text("client_id"), Some(text("client_secret")))
            .form(&[("grant_type", "client_credentials")]);
        let answer = Answer::of(request).await.json();
        Self {
            http,
            url: url.to_owned(),
            token: answer["access_token"].as_str().unwrap().to_owned(),
        }
    }

    /// The status and the body; `None` where the server is gone.
    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Option<(u16, Value)> {
        let mut request = self.http.request(method, format!("{}{path}", self.url));
        request = request.bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.ok()?;
        Some((answer.status().as_u16(), answer.json().await.ok()?))
    }

    /// Makes people and changes them until it is told to stop or the server is gone.
    async fn write(&self, round: u32, writer: u32, over: &AtomicBool) {
        for n in 0.. {
            let person = json!({ "username": format!("w-{round}-{writer}-{n}") });
            let made = self.call(Method::POST, "/api/v1/users", Some(person)).await;
            let Some((201, made)) = made else { return };
            let path = format!("/api/v1/users/{}", made["id"].as_str().unwrap());
            for change in 0..3 {
                let body = json!({ "name": format!("Change {change}") });
                let changed = self.call(Method::PATCH, &path, Some(body)).await;
                if changed.is_none() || over.load(Ordering::SeqCst) {
                    return;
                }
            }
        }
    }

    /// Everybody's version.
    async fn directory(&self) -> HashMap<String, i64> {
        let mut all = HashMap::new();
        let mut next = Some("/api/v1/users?limit=200".to_owned());
        while let Some(path) = next {
            let (_, page) = self.call(Method::GET, &path, None).await.unwrap();
            for person in page["items"].as_array().unwrap() {
                let id = person["id"].as_str().unwrap().to_owned();
                all.insert(id, person["version"].as_i64().unwrap());
            }
            let after = page["next"].as_str();
            next = after.map(|after| format!("/api/v1/users?limit=200&after={after}"));
        }
        all
    }
}
