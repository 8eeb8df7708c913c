//! Clients that register themselves (RFC 7591) and manage what they registered (RFC 7592).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use doorward::config::RegistrationMode;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::Connection;

use crate::support::sign_on::{Application, CALLBACK, PASSWORD};
use crate::support::{Answer, Browser, Server, TestClient, all, eventually};

const REGISTER: &str = "/oauth2/register";
const TOKENS: &str = "/api/v1/initial-access-tokens";

async fn server(mode: RegistrationMode) -> Server {
    Server::with(|config| config.registration.mode = mode).await
}

async fn call(
    server: &Server,
    method: Method,
    path: &str,
    token: Option<&str>,
    body: &Value,
) -> Answer {
    let mut request = server.request(method, path);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    Answer::of(if body.is_null() {
        request
    } else {
        request.json(body)
    })
    .await
}

async fn register(server: &Server, token: Option<&str>, body: Value) -> Answer {
    call(server, Method::POST, REGISTER, token, &body).await
}

async fn initial_token(server: &Server, body: Value) -> String {
    let admin = server.admin_token().await;
    let made = server.call(Method::POST, TOKENS, &admin, Some(body)).await;
    assert_eq!(
        (made.status, made.header("cache-control")),
        (201, "no-store"),
        "{}",
        made.text
    );
    made.json()["initial_access_token"]
        .as_str()
        .unwrap()
        .to_owned()
}

fn shop() -> Value {
    json!({ "redirect_uris": ["https://shop.example/cb"] })
}

/// The path of a registration's own address.
fn own(server: &Server, client: &Value) -> String {
    let uri = client["registration_client_uri"].as_str().unwrap();
    uri.strip_prefix(&server.url).unwrap().to_owned()
}

fn key(client: &Value) -> &str {
    client["registration_access_token"].as_str().unwrap()
}

#[tokio::test]
async fn it_is_off_unless_it_is_switched_on() {
    let off = Server::start().await;
    register(&off, None, shop())
        .await
        .refused(404, "invalid_request");
    register(&off, Some("initial_x"), shop())
        .await
        .refused(404, "invalid_request");
    let path = format!("{REGISTER}/c_x");
    for method in [Method::GET, Method::DELETE] {
        call(&off, method, &path, Some("registration_x"), &Value::Null)
            .await
            .refused(404, "invalid_request");
    }
    let metadata = off.get("/.well-known/openid-configuration").await.json();
    assert!(metadata.get("registration_endpoint").is_none());
    let on = server(RegistrationMode::Token).await;
    let metadata = on.get("/.well-known/openid-configuration").await.json();
    assert_eq!(
        metadata["registration_endpoint"],
        json!(format!("{}{REGISTER}", on.url))
    );
}

#[tokio::test]
async fn a_client_registers_itself_and_manages_that() {
    let server = server(RegistrationMode::Token).await;
    let initial = initial_token(&server, json!({})).await;
    let body = json!({
        "redirect_uris": ["https://shop.example/cb"], "client_name": "Shop", "client_name#de": "Laden", "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"], "scope": "openid email", "subject_type": "public", "logo_uri": "https://shop.example/logo.png",
        "software_id": "what Doorward does not know",
    });
    let answer = register(&server, Some(&initial), body.clone()).await;
    assert_eq!(
        (answer.status, answer.header("cache-control")),
        (201, "no-store"),
        "{}",
        answer.text
    );
    let made = answer.json();
    insta::assert_json_snapshot!("registered", made, {
        ".client_id" => "[id]", ".client_secret" => "[secret]", ".client_id_issued_at" => "[time]",
        ".registration_access_token" => "[token]", ".registration_client_uri" => "[uri]",
    });
    let (path, token) = (own(&server, &made), key(&made));

    let read = call(&server, Method::GET, &path, Some(token), &Value::Null).await;
    assert_eq!(read.status, 200, "{}", read.text);
    assert!(
        read.json().get("client_secret").is_none(),
        "S-150: told once"
    );
    assert_eq!(read.json()["redirect_uris"], body["redirect_uris"]);
    // Replaced as a whole; the id must be there, and the secret may.
    let mut new = body.clone();
    new["client_id"] = made["client_id"].clone();
    new["client_secret"] = made["client_secret"].clone();
    new["client_name"] = json!("New shop");
    new.as_object_mut().unwrap().remove("logo_uri");
    let replaced = call(&server, Method::PUT, &path, Some(token), &new).await;
    assert_eq!(replaced.status, 200, "{}", replaced.text);
    assert_eq!(replaced.json()["client_name"], "New shop");
    assert!(replaced.json().get("logo_uri").is_none());
    assert_eq!(key(&replaced.json()), token);
    for (name, value) in [
        ("client_id", json!("c_other")),
        ("client_id", Value::Null),
        ("client_secret", json!("mine")),
        ("registration_access_token", json!(token)),
        ("client_id_issued_at", json!(1)),
        ("jwks_uri", json!("file:///etc/passwd")),
    ] {
        let mut bad = new.clone();
        bad[name] = value;
        call(&server, Method::PUT, &path, Some(token), &bad)
            .await
            .refused(400, "invalid_client_metadata");
    }
    // From public to confidential: a secret is made, and told once.
    new.as_object_mut().unwrap().remove("client_secret");
    new["token_endpoint_auth_method"] = json!("none");
    let public = call(&server, Method::PUT, &path, Some(token), &new)
        .await
        .json();
    assert!(public.get("client_secret").is_none());
    new["token_endpoint_auth_method"] = json!("client_secret_post");
    let again = call(&server, Method::PUT, &path, Some(token), &new)
        .await
        .json();
    assert!(again["client_secret"].is_string() && again["client_secret"] != made["client_secret"]);

    let gone = call(&server, Method::DELETE, &path, Some(token), &Value::Null).await;
    assert_eq!(gone.status, 204, "{}", gone.text);
    let after = call(&server, Method::GET, &path, Some(token), &Value::Null).await;
    assert_eq!(after.status, 401);
}

#[tokio::test]
async fn tokens_open_their_own_door_alone() {
    let server = server(RegistrationMode::Token).await;
    let initial = initial_token(&server, json!({ "uses": 2, "expires_in": 3600 })).await;
    let refused = async |method: Method, path: &str, token: Option<&str>, body: &Value| {
        let answer = call(&server, method.clone(), path, token, body).await;
        assert_eq!(answer.status, 401, "{method} {path}: {}", answer.text);
        let challenge = answer.header("www-authenticate").to_owned();
        assert_eq!(
            challenge.contains("invalid_token"),
            token.is_some(),
            "{challenge}"
        );
    };
    let admin = server.admin_token().await;
    for bad in [None, Some("x"), Some("initial_x"), Some(admin.as_str())] {
        refused(Method::POST, REGISTER, bad, &shop()).await;
    }
    // What is refused spends no use.
    register(
        &server,
        Some(&initial),
        json!({ "redirect_uris": ["javascript:x"] }),
    )
    .await
    .refused(400, "invalid_redirect_uri");
    let first = register(&server, Some(&initial), shop()).await.json();
    let second = register(&server, Some(&initial), shop()).await.json();
    refused(Method::POST, REGISTER, Some(&initial), &shop()).await;
    refused(Method::POST, REGISTER, Some(key(&first)), &shop()).await;
    let (path, other) = (own(&server, &first), own(&server, &second));
    let admin = server.admin_token().await;
    for bad in [
        None,
        Some("x"),
        Some(initial.as_str()),
        Some(key(&second)),
        Some(admin.as_str()),
    ] {
        for method in [Method::GET, Method::DELETE] {
            refused(method, &path, bad, &Value::Null).await;
        }
        refused(Method::PUT, &path, bad, &shop()).await;
    }
    assert_ne!(path, other);
    // They open nothing else.
    for token in [initial.as_str(), key(&first)] {
        let answer = server
            .call(Method::GET, "/api/v1/clients", token, None)
            .await;
        answer.problem(401, "unauthorized");
    }
    // They end by themselves, and by hand.
    let late = initial_token(&server, json!({ "expires_in": 60 })).await;
    server.clock.advance(time::Duration::seconds(60));
    refused(Method::POST, REGISTER, Some(&late), &shop()).await;
    let ended = initial_token(&server, json!({})).await;
    let admin = server.admin_token().await;
    let listed = server.call(Method::GET, TOKENS, &admin, None).await;
    assert!(!listed.text.contains(&ended), "S-150");
    let items = listed.json()["items"].as_array().unwrap().clone();
    assert_eq!(items.len(), 1, "{}", listed.text);
    // S-157
    let make = async |uses: i64| {
        let request = server.request(Method::POST, TOKENS).bearer_auth(&admin);
        let request = request.header("idempotency-key", "one");
        Answer::of(request.json(&json!({ "uses": uses }))).await
    };
    let (made, again) = (make(2).await, make(2).await);
    assert_eq!((made.status, again.status), (201, 201));
    assert_eq!(made.text, again.text);
    assert_eq!(again.header("idempotency-replayed"), "true");
    make(3).await.problem(422, "key-reused");
    let listed = server.call(Method::GET, TOKENS, &admin, None).await;
    assert_eq!(listed.json()["items"].as_array().unwrap().len(), 2);
    let one = format!("{TOKENS}/{}", items[0]["id"].as_str().unwrap());
    assert_eq!(
        server.call(Method::DELETE, &one, &admin, None).await.status,
        204
    );
    server
        .call(Method::DELETE, &one, &admin, None)
        .await
        .problem(404, "not-found");
    refused(Method::POST, REGISTER, Some(&ended), &shop()).await;
    // Not by looking into the tables either.
    let stored: i64 = sqlx::query_scalar(
        "select count(*) from registered_client where position($1 in encode(token_hash, 'escape')) > 0",
    )
    .bind(key(&first))
    .fetch_one(&mut server.tables().await)
    .await
    .unwrap();
    assert_eq!(stored, 0);
}

/// S-27, S-156: a client says nothing of itself that is the operator's.
#[tokio::test]
async fn nobody_registers_more_than_a_stranger_may_have() {
    let server = server(RegistrationMode::Open).await;
    for (name, value) in [
        ("grant_types", json!(["password"])),
        ("grant_types", json!(["client_credentials"])),
        (
            "grant_types",
            json!(["authorization_code", "client_credentials"]),
        ),
        ("grant_types", json!(["implicit"])),
        ("response_types", json!(["code id_token"])),
        ("scope", json!("openid users:read")),
        ("scope", json!("clients:write")),
        ("scope", json!("billing:admin")),
        ("subject_type", json!("pairwise")),
        (
            "sector_identifier_uri",
            json!("https://shop.example/sector"),
        ),
        ("software_statement", json!("x.y.z")),
        ("token_endpoint_auth_method", json!("tls_client_auth")),
        ("id_token_signed_response_alg", json!("none")),
        ("jwks", json!({ "keys": [{ "kty": "oct", "k": "AQAB" }] })),
        ("logo_uri", json!("data:image/png;base64,AA")),
        ("policy_uri", json!("javascript:alert(1)")),
    ] {
        let mut body = shop();
        body[name] = value.clone();
        let answer = register(&server, None, body).await;
        answer.refused(400, "invalid_client_metadata");
        let told = answer.json()["error_description"]
            .as_str()
            .unwrap()
            .to_owned();
        assert!(told.contains(name), "{name} {value}: {told}");
    }
    for uri in [
        "http://shop.example/cb",
        "https://shop.example/cb#x",
        "https://shop.example/*",
        "shop:/cb",
    ] {
        register(&server, None, json!({ "redirect_uris": [uri] }))
            .await
            .refused(400, "invalid_redirect_uri");
    }
    register(&server, None, json!({}))
        .await
        .refused(400, "invalid_redirect_uri");
    for nonsense in [json!([]), json!("x")] {
        register(&server, None, nonsense)
            .await
            .refused(400, "invalid_client_metadata");
    }
    // What would be the operator's is not read at all.
    let mut body = shop();
    for (name, value) in [
        ("first_party", json!(true)),
        ("serves", json!("https://billing.example")),
        ("audiences", json!(["https://billing.example"])),
        ("access_token_lifetime", json!(86_400)),
        ("refresh_token_lifetime", json!(34_560_000)),
        ("require_pkce", json!(false)),
        ("password_grant_until", json!("2099-01-01T00:00:00Z")),
    ] {
        body[name] = value;
    }
    let made = register(&server, None, body.clone()).await.json();
    let admin = server.admin_token().await;
    let id = made["client_id"].as_str().unwrap();
    let client = format!("/api/v1/clients/{id}");
    let registered = async || server.call(Method::GET, &client, &admin, None).await.json();
    let plain = registered().await;
    for (name, value) in [
        ("first_party", json!(false)),
        ("serves", Value::Null),
        ("audiences", json!([])),
        ("access_token_lifetime", Value::Null),
        ("refresh_token_lifetime", Value::Null),
        ("require_pkce", json!(true)),
        ("grant_types", json!(["authorization_code"])),
        (
            "scope",
            json!("openid profile email phone address offline_access"),
        ),
        ("client_name", json!("shop.example")),
    ] {
        assert_eq!(plain[name], value, "{name}");
    }
    // Nor on the way of a change; what an operator set stays.
    let operators = json!({ "audiences": ["https://a.example"], "access_token_lifetime": 60, "require_pkce": false });
    server
        .call(Method::PATCH, &client, &admin, Some(operators))
        .await;
    let (path, token) = (own(&server, &made), key(&made));
    body["client_id"] = json!(id);
    let replaced = call(&server, Method::PUT, &path, Some(token), &body).await;
    assert_eq!(replaced.status, 200, "{}", replaced.text);
    let after = registered().await;
    assert_eq!(
        (
            &after["audiences"],
            &after["access_token_lifetime"],
            &after["first_party"],
            &after["serves"],
            &after["require_pkce"]
        ),
        (
            &json!(["https://a.example"]),
            &json!(60),
            &json!(false),
            &Value::Null,
            &json!(false)
        )
    );
    // S-149: raised by an operator, it is out of its own reach: whoever has its token would act as more than a stranger.
    for raise in [
        json!({ "first_party": true }),
        json!({ "first_party": false, "scope": "openid users:read" }),
    ] {
        let raised = server
            .call(Method::PATCH, &client, &admin, Some(raise))
            .await;
        assert_eq!(raised.status, 200, "{}", raised.text);
        call(&server, Method::PUT, &path, Some(token), &body)
            .await
            .refused(403, "invalid_request");
        call(&server, Method::DELETE, &path, Some(token), &Value::Null)
            .await
            .refused(403, "invalid_request");
        assert_eq!(
            call(&server, Method::GET, &path, Some(token), &Value::Null)
                .await
                .status,
            200
        );
    }
}

/// S-156: what an operator sets while the client replaces its registration stays.
#[tokio::test]
async fn a_client_undoes_no_operator() {
    let server = server(RegistrationMode::Open).await;
    let made = register(&server, None, shop()).await.json();
    let id = made["client_id"].as_str().unwrap();
    let admin = server.admin_token().await;
    let path = format!("/api/v1/clients/{id}");
    let mut holder = server.tables().await;
    let mut held = holder.begin().await.unwrap();
    sqlx::query("select from client where id = $1 for update")
        .bind(id)
        .execute(&mut *held)
        .await
        .unwrap();
    let waiting = async |many: i64| {
        let mut tables = server.tables().await;
        let count = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        eventually(Duration::from_secs(10), "they wait", async || {
            let now: i64 = sqlx::query_scalar(count)
                .fetch_one(&mut tables)
                .await
                .unwrap();
            now == many
        })
        .await;
    };
    // The operator comes first, and the client right behind him.
    let operator = async {
        let body = json!({ "access_token_lifetime": 60, "audiences": ["https://a.example"] });
        server.call(Method::PATCH, &path, &admin, Some(body)).await
    };
    let client = async {
        waiting(1).await;
        let mut body = shop();
        body["client_id"] = json!(id);
        body["client_name"] = json!("New shop");
        call(
            &server,
            Method::PUT,
            &own(&server, &made),
            Some(key(&made)),
            &body,
        )
        .await
    };
    let release = async {
        waiting(2).await;
        held.commit().await.unwrap();
    };
    let (operator, client, ()) = tokio::join!(operator, client, release);
    assert_eq!((operator.status, client.status), (200, 200));
    let after = server.call(Method::GET, &path, &admin, None).await.json();
    assert_eq!(after["client_name"], "New shop");
    assert_eq!(
        (&after["access_token_lifetime"], &after["audiences"]),
        (&json!(60), &json!(["https://a.example"]))
    );
}

#[tokio::test]
async fn an_initial_access_token_says_what_its_clients_may_have() {
    let server = server(RegistrationMode::Token).await;
    let machine = initial_token(
        &server,
        json!({ "grant_types": ["client_credentials"], "uses": 5 }),
    )
    .await;
    let made = register(
        &server,
        Some(&machine),
        json!({ "grant_types": ["client_credentials"], "scope": "openid" }),
    )
    .await;
    assert_eq!(made.status, 201, "{}", made.text);
    register(&server, Some(&machine), shop())
        .await
        .refused(400, "invalid_client_metadata");
    // As the certification's clients are: confidential, without PKCE.
    let certified = initial_token(&server, json!({ "require_pkce": false, "uses": 5 })).await;
    let made = register(&server, Some(&certified), shop()).await.json();
    assert_eq!(made["require_pkce"], json!(false));
    let mut public = shop();
    public["token_endpoint_auth_method"] = json!("none");
    let made = register(&server, Some(&certified), public).await.json();
    assert_eq!(made["require_pkce"], json!(true));
    let admin = server.admin_token().await;
    for bad in [
        json!({ "grant_types": ["password"] }),
        json!({ "grant_types": [] }),
        json!({ "grant_types": "x" }),
        json!({ "uses": 0 }),
        json!({ "uses": 1001 }),
        json!({ "expires_in": 7_776_001 }),
        json!({ "colour": "red" }),
    ] {
        server
            .call(Method::POST, TOKENS, &admin, Some(bad))
            .await
            .problem(422, "invalid");
    }
    // The same from the command line.
    let made = server
        .cli(&[
            "client",
            "initial-token",
            "--uses",
            "2",
            "--expires-in",
            "1h",
            "--json",
        ])
        .await
        .json();
    let token = made["initial_access_token"].as_str().unwrap();
    assert_eq!(register(&server, Some(token), shop()).await.status, 201);
}

async fn rows(server: &Server, count: &'static str) -> i64 {
    sqlx::query_scalar(count)
        .fetch_one(&mut server.tables().await)
        .await
        .unwrap()
}

#[tokio::test]
async fn strangers_fill_nothing() {
    // E33
    let server = Server::with(|config| {
        config.registration.mode = RegistrationMode::Open;
        config.registration.max_per_address = 3;
        config.registration.max_clients = 5;
    })
    .await;
    for _ in 0..3 {
        assert_eq!(register(&server, None, shop()).await.status, 201);
    }
    let refused = register(&server, None, shop()).await;
    assert_eq!(
        refused
            .refused(429, "temporarily_unavailable")
            .header("retry-after"),
        "3600"
    );
    server.clock.advance(time::Duration::hours(1));
    for _ in 0..2 {
        assert_eq!(register(&server, None, shop()).await.status, 201);
    }
    register(&server, None, shop())
        .await
        .refused(429, "temporarily_unavailable");
    // A token vouches for its bearer: strangers take nobody's room, and there is no more of it than of theirs.
    let initial = initial_token(&server, json!({ "uses": 10 })).await;
    for _ in 0..5 {
        assert_eq!(register(&server, Some(&initial), shop()).await.status, 201);
    }
    register(&server, Some(&initial), shop())
        .await
        .refused(429, "temporarily_unavailable");
    let registered = "select count(*) from registered_client";
    assert_eq!(rows(&server, registered).await, 10);
    let clients = "select count(*) from client";
    let left = rows(&server, clients).await;
    assert_eq!(left, 11, "what was refused left no client behind");
}

/// E33: whoever deletes what he registered has registered it all the same, and changes are counted too: each is written down and told to
/// every replica.
#[tokio::test]
async fn strangers_go_round_in_no_circles() {
    let server = Server::with(|config| {
        config.registration.mode = RegistrationMode::Open;
        config.registration.max_per_address = 2;
    })
    .await;
    let change = async |method: Method, client: &Value, body: &Value| {
        let path = own(&server, client);
        call(&server, method, &path, Some(key(client)), body).await
    };
    for _ in 0..2 {
        let made = register(&server, None, shop()).await.json();
        let gone = change(Method::DELETE, &made, &Value::Null).await;
        assert_eq!(gone.status, 204, "{}", gone.text);
        let again = change(Method::GET, &made, &Value::Null).await;
        assert_eq!(again.status, 401, "{}", again.text);
    }
    register(&server, None, shop())
        .await
        .refused(429, "temporarily_unavailable");
    let remembered = "select count(*) from registered_client where client_id is null";
    assert_eq!(rows(&server, remembered).await, 2);
    server.clock.advance(time::Duration::hours(1));
    server.sweep().await;
    assert_eq!(rows(&server, remembered).await, 0, "and not for ever");

    // Six changes an hour, whichever of them is changed.
    let made = [
        register(&server, None, shop()).await.json(),
        register(&server, None, shop()).await.json(),
    ];
    let rename = async |client: &Value, name: String| {
        let mut body = shop();
        body["client_id"] = client["client_id"].clone();
        body["client_name"] = json!(name);
        change(Method::PUT, client, &body).await
    };
    let mut answers = Vec::new();
    for n in 0..7 {
        answers.push(rename(&made[n % 2], format!("Shop {n}")).await);
    }
    let last = answers.pop().unwrap();
    assert!(answers.iter().all(|answer| answer.status == 200));
    last.refused(429, "temporarily_unavailable");
    assert_eq!(last.header("retry-after"), "600");
    change(Method::DELETE, &made[0], &Value::Null)
        .await
        .refused(429, "temporarily_unavailable");
    let read = change(Method::GET, &made[0], &Value::Null).await;
    assert_eq!(read.json()["client_name"], "Shop 4");
    server.clock.advance(time::Duration::minutes(10));
    let later = rename(&made[0], "Later".to_owned()).await;
    assert_eq!(later.status, 200, "{}", later.text);
    // A client that a token vouches for has a budget of its own.
    let initial = initial_token(&server, json!({})).await;
    let vouched = register(&server, Some(&initial), shop()).await.json();
    for n in 0..7 {
        let status = rename(&vouched, format!("Forum {n}")).await.status;
        assert_eq!(status, if n < 6 { 200 } else { 429 });
    }
    server.clock.advance(time::Duration::hours(2));
    server.sweep().await;
    let budgets = "select count(*) from registration_budget";
    assert_eq!(rows(&server, budgets).await, 0, "whole again");
}

/// E33: a stranger's client that nobody signs in to goes by itself.
#[tokio::test]
async fn what_strangers_leave_lying_about_is_swept() {
    let server = Server::with(|config| config.registration.mode = RegistrationMode::Open).await;
    let ada = json!({ "email": "ada@example.com", "username": "ada" });
    server.user_with_password(ada, PASSWORD).await;
    let made = async |token: Option<&str>| register(&server, token, shop()).await.json();
    let (unused, used, adopted) = (made(None).await, made(None).await, made(None).await);
    let initial = initial_token(&server, json!({})).await;
    let vouched = made(Some(&initial)).await;
    let application = Application {
        client: TestClient {
            server: &server,
            id: used["client_id"].as_str().unwrap().to_owned(),
            secret: used["client_secret"].as_str().map(str::to_owned),
        },
        redirect_uri: CALLBACK.to_owned(),
    };
    application.tokens(&[]).await;
    let admin = server.admin_token().await;
    let path = format!("/api/v1/clients/{}", adopted["client_id"].as_str().unwrap());
    let lifetime = json!({ "access_token_lifetime": 60 });
    let patched = server.call(Method::PATCH, &path, &admin, Some(lifetime));
    assert_eq!(patched.await.status, 200);
    let there = async |client: &Value| {
        let path = own(&server, client);
        let answer = call(&server, Method::GET, &path, Some(key(client)), &Value::Null).await;
        answer.status == 200
    };
    server.clock.advance(time::Duration::hours(23));
    server.sweep().await;
    assert!(there(&unused).await, "not on its first day");
    // What it was used for is long over, which is known all the same.
    server.clock.advance(time::Duration::days(400));
    server.sweep().await;
    server.sweep().await;
    assert!(!there(&unused).await);
    for (client, what) in [
        (&used, "used"),
        (&adopted, "adopted"),
        (&vouched, "vouched"),
    ] {
        assert!(there(client).await, "{what}");
    }
    let by = "select count(*) from audit where action = 'client.deleted' and actor_kind = 'system'";
    assert_eq!(rows(&server, by).await, 1);
}

#[tokio::test]
async fn an_initial_access_token_has_no_more_uses_than_it_says() {
    let server = server(RegistrationMode::Token).await;
    let replica = Server::on(
        server.database.clone(),
        server.clock.clone(),
        Some(&server.url),
        None,
        |config| {
            config.registration.mode = RegistrationMode::Token;
        },
    )
    .await;
    let initial = initial_token(&server, json!({ "uses": 3 })).await;
    let race = (0..12).map(|n| {
        register(
            if n % 2 == 0 { &server } else { &replica },
            Some(&initial),
            shop(),
        )
    });
    let answers = all(race).await;
    let made = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(made, 3);
}

/// What RFC 7591 and the OpenID Connect specifications name, of what Doorward holds of a client; all else is the operator's.
const A_CLIENTS_OWN: [&str; 24] = [
    "client_name",
    "token_endpoint_auth_method",
    "token_endpoint_auth_signing_alg",
    "jwks",
    "jwks_uri",
    "grant_types",
    "response_types",
    "response_modes",
    "scope",
    "redirect_uris",
    "application_type",
    "default_max_age",
    "require_auth_time",
    "initiate_login_uri",
    "post_logout_redirect_uris",
    "backchannel_logout_uri",
    "backchannel_logout_session_required",
    "id_token_signed_response_alg",
    "client_uri",
    "logo_uri",
    "policy_uri",
    "tos_uri",
    "contacts",
    "client_id",
];

/// S-156: whatever Doorward holds of a client, and whatever other servers hold, is out of a client's reach where no registration field of
/// the specifications is meant; a member that is new is held to it too.
#[tokio::test]
async fn a_client_reaches_registration_fields_alone() {
    let server = Server::with(|config| {
        config.registration.mode = RegistrationMode::Open;
        config.registration.max_per_address = 10_000;
        config.registration.max_clients = 10_000;
    })
    .await;
    let admin = server.admin_token().await;
    let held = async |client: &Value| {
        let path = format!("/api/v1/clients/{}", client["client_id"].as_str().unwrap());
        let client = server.call(Method::GET, &path, &admin, None).await.json();
        client.as_object().unwrap().clone()
    };
    let plain = register(&server, None, shop()).await.json();
    let as_it_is = held(&plain).await;
    let mut names: Vec<&str> = as_it_is.keys().map(String::as_str).collect();
    names.retain(|name| !A_CLIENTS_OWN.contains(name));
    for known in [
        "first_party",
        "audiences",
        "serves",
        "version",
        "created_at",
    ] {
        assert!(names.contains(&known), "{known}: {names:?}");
    }
    names.extend([
        "id",
        "admin",
        "attributes",
        "internal",
        "enabled",
        "service_account",
        "serviceAccountsEnabled",
        "protocolMappers",
        "directAccessGrantsEnabled",
        "client_secret_hash",
        "initial_token_id",
        "household",
        "registered_at",
    ]);
    let hostile = [
        json!(true),
        json!(false),
        json!(86_400),
        json!("https://billing.example"),
        json!(["https://billing.example"]),
        json!("PS256"),
        json!("2099-01-01T00:00:00Z"),
        json!({ "enabled": true }),
    ];
    for name in names {
        for value in &hostile {
            let mut body = shop();
            body[name] = value.clone();
            let made = register(&server, None, body.clone()).await;
            body["client_id"] = plain["client_id"].clone();
            let path = own(&server, &plain);
            let changed = call(&server, Method::PUT, &path, Some(key(&plain)), &body).await;
            for (answer, way) in [(made, "POST"), (changed, "PUT")] {
                if answer.status == 400 {
                    continue;
                }
                assert!([200, 201].contains(&answer.status), "{}", answer.text);
                let mut after = held(&answer.json()).await;
                let mut before = as_it_is.clone();
                for own in ["client_id", "version", "created_at", "updated_at"] {
                    let value = after.remove(own);
                    assert_ne!(value.as_ref(), body.get(own).filter(|_| own == name));
                    before.remove(own);
                }
                assert_eq!(after, before, "{way} {name}: {value}");
            }
        }
    }
}

/// S-163: what a client says of itself is for people's eyes, and never fetched, though the settings would let it be.
#[tokio::test]
async fn what_a_client_says_of_itself_is_never_fetched() {
    let server = Server::with(|config| {
        config.registration.mode = RegistrationMode::Open;
        config.fetch.allowed_networks = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    let ada = json!({ "email": "ada@example.com", "username": "ada" });
    server.user_with_password(ada, PASSWORD).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let knocks = Arc::new(AtomicUsize::new(0));
    let counted = knocks.clone();
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    let mut body = shop();
    for name in ["client_uri", "logo_uri", "policy_uri", "tos_uri"] {
        body[name] = json!(format!("http://{address}/{name}"));
    }
    body["initiate_login_uri"] = json!(format!("https://{address}/login"));
    let made = register(&server, None, body.clone()).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let made = made.json();
    body["client_id"] = made["client_id"].clone();
    body["client_name"] = json!("Shop");
    let path = own(&server, &made);
    let changed = call(&server, Method::PUT, &path, Some(key(&made)), &body).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    let admin = server.admin_token().await;
    let mut operators = changed.json();
    let known = operators.as_object_mut().unwrap();
    known.retain(|name, _| A_CLIENTS_OWN.contains(&name.as_str()) && name != "client_id");
    let mirrored = server
        .call(Method::POST, "/api/v1/clients", &admin, Some(operators))
        .await;
    assert_eq!(mirrored.status, 201, "{}", mirrored.text);
    // Through all the pages that show something of it.
    let application = Application {
        client: TestClient {
            server: &server,
            id: made["client_id"].as_str().unwrap().to_owned(),
            secret: made["client_secret"].as_str().map(str::to_owned),
        },
        redirect_uri: CALLBACK.to_owned(),
    };
    let mut browser = Browser::new(&server);
    let code = application.code(&mut browser, &[]).await;
    assert_eq!(application.redeem(&code).await.status, 200);
    let leaving = format!("/oauth2/logout?client_id={}", application.client.id);
    for path in ["/account", leaving.as_str()] {
        assert_eq!(browser.get(path).await.status, 200);
    }
    assert_eq!(knocks.load(Ordering::SeqCst), 0);
    // The listener does count.
    let knock = tokio::net::TcpStream::connect(address).await;
    eventually(Duration::from_secs(5), "it is heard", async || {
        knock.is_ok() && knocks.load(Ordering::SeqCst) == 1
    })
    .await;
}
