//! `private_key_jwt`: clients that prove themselves with a key of their own (RFC 7523, OpenID Connect Core §9).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorward::kernel::clock::Clock;
use reqwest::Method;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::support::leaving::Sink;
use crate::support::racing::{all, rounds};
use crate::support::sign_on::{CALLBACK, PASSWORD, query};
use crate::support::{Answer, Browser, Server, csrf, eventually};

const SECOND: Duration = Duration::from_secs(1);
const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

enum Pair {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
}

/// A client's own key.
struct Key {
    kid: String,
    pair: Pair,
}

fn part(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn random_id() -> String {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).unwrap();
    part(bytes)
}

impl Key {
    fn ed25519(kid: &str) -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap();
        Self {
            kid: kid.to_owned(),
            pair: Pair::Ed25519(pair),
        }
    }

    fn p256(kid: &str) -> Self {
        let (alg, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let document = EcdsaKeyPair::generate_pkcs8(alg, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(alg, document.as_ref(), &random).unwrap();
        Self {
            kid: kid.to_owned(),
            pair: Pair::P256(pair),
        }
    }

    fn alg(&self) -> &'static str {
        match &self.pair {
            Pair::Ed25519(_) => "EdDSA",
            Pair::P256(_) => "ES256",
        }
    }

    fn jwk(&self) -> Value {
        match &self.pair {
            Pair::Ed25519(pair) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": part(pair.public_key()), "kid": self.kid, "use": "sig" })
            }
            Pair::P256(pair) => {
                let point = pair.public_key().as_ref();
                json!({ "kty": "EC", "crv": "P-256", "x": part(&point[1..33]), "y": part(&point[33..]), "kid": self.kid })
            }
        }
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", part(header.to_string()), part(claims.to_string()));
        let signature = match &self.pair {
            Pair::Ed25519(pair) => part(pair.sign(signed.as_bytes())),
            Pair::P256(pair) => part(pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap()),
        };
        format!("{signed}.{signature}")
    }

    /// An assertion with what is right, and then this.
    fn assertion(
        &self,
        client: &TestedClient<'_>,
        change: impl FnOnce(&mut Value, &mut Value),
    ) -> String {
        let now = client.server.clock.now().unix_timestamp();
        let mut header = json!({ "alg": self.alg(), "kid": self.kid });
        let mut claims = json!({
            "iss": client.id, "sub": client.id, "aud": client.server.url, "iat": now, "exp": now + 60, "jti": random_id(),
        });
        change(&mut header, &mut claims);
        self.sign(&header, &claims)
    }
}

struct TestedClient<'a> {
    server: &'a Server,
    id: String,
}

impl TestedClient<'_> {
    async fn post(&self, further: &[(&str, &str)]) -> Answer {
        post(self.server, further).await
    }

    async fn present(&self, assertion: &str) -> Answer {
        self.post(&[
            ("client_assertion_type", TYPE),
            ("client_assertion", assertion),
        ])
        .await
    }
}

async fn post(server: &Server, further: &[(&str, &str)]) -> Answer {
    let form = [&[("grant_type", "client_credentials")], further].concat();
    Answer::of(server.request(Method::POST, "/oauth2/token").form(&form)).await
}

async fn registered<'a>(server: &'a Server, keys: Value, alg: &str) -> TestedClient<'a> {
    let mut body = json!({
        "client_name": "machine", "grant_types": ["client_credentials"], "scope": "x", "audiences": ["https://a.example"],
        "token_endpoint_auth_method": "private_key_jwt", "token_endpoint_auth_signing_alg": alg,
    });
    body.as_object_mut()
        .unwrap()
        .extend(keys.as_object().unwrap().clone());
    let token = server.admin_token().await;
    let made = server
        .call(Method::POST, "/api/v1/clients", &token, Some(body))
        .await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert!(made.json().get("client_secret").is_none());
    TestedClient {
        server,
        id: made.json()["client_id"].as_str().unwrap().to_owned(),
    }
}

#[tokio::test]
async fn a_client_proves_itself_with_its_own_key() {
    // S-36, S-38
    let server = Server::start().await;
    for key in [Key::ed25519("a"), Key::p256("b")] {
        let other = Key::ed25519("other");
        let jwks = json!({ "jwks": { "keys": [other.jwk(), key.jwk()] } });
        let client = registered(&server, jwks, key.alg()).await;
        let right = key.assertion(&client, |_, _| {});
        let answer = client.present(&right).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        // Once.
        client.present(&right).await.refused(401, "invalid_client");
        // The id beside it is fine when it is the same; without a kid every key is tried; a typ is fine when it is an assertion's.
        let again = key.assertion(&client, |header, _| {
            header.as_object_mut().unwrap().remove("kid");
            header["typ"] = json!("JWT");
        });
        let form = [
            ("client_id", client.id.as_str()),
            ("client_assertion_type", TYPE),
            ("client_assertion", &again),
        ];
        assert_eq!(client.post(&form).await.status, 200);
    }
}

#[tokio::test]
async fn what_is_wrong_proves_nothing_and_spends_nothing() {
    // S-36, S-37, S-38, S-45
    let server = Server::start().await;
    let (key, stranger) = (Key::p256("k"), Key::p256("k"));
    let client = registered(&server, json!({ "jwks": { "keys": [key.jwk()] } }), "ES256").await;
    let now = server.clock.now().unix_timestamp();
    let refused = async |assertion: String, what: &str| {
        let answer = client.present(&assertion).await;
        answer.refused(401, "invalid_client");
        assert_eq!(
            answer.json()["error_description"],
            "Client authentication failed.",
            "{what}: nobody learns why"
        );
    };
    for (name, value) in [
        ("aud", json!([server.url])),
        ("aud", json!(format!("{}/oauth2/token", server.url))),
        ("aud", json!(format!("{}/", server.url))),
        ("aud", json!("https://elsewhere.example")),
        ("iss", json!("c_other")),
        ("sub", json!("c_other")),
        ("exp", json!(now - 11)),
        ("exp", json!(now + 301)),
        ("exp", Value::Null),
        ("iat", json!(now + 61)),
        ("nbf", json!(now + 61)),
        ("jti", Value::Null),
    ] {
        let assertion = key.assertion(&client, |_, claims| claims[name] = value.clone());
        refused(assertion, &format!("{name} {value}")).await;
    }
    for (name, value) in [
        ("alg", json!("none")),
        ("alg", json!("HS256")),
        ("alg", json!("RS256")),
        ("alg", json!("EdDSA")),
        ("alg", Value::Null),
        ("kid", json!("another")),
        ("typ", json!("at+jwt")),
        ("typ", json!("logout+jwt")),
        ("jwk", stranger.jwk()),
        ("jku", json!("https://evil.example/jwks")),
        ("x5c", json!([])),
        ("crit", json!(["exp"])),
        ("b64", json!(false)),
    ] {
        let assertion = key.assertion(&client, |header, _| header[name] = value.clone());
        refused(assertion, &format!("{name} {value}")).await;
    }
    // Somebody else's key, and no signature at all, spend nothing: the same jti is good afterwards.
    let once = |_: &mut Value, claims: &mut Value| claims["jti"] = json!("once");
    refused(stranger.assertion(&client, once), "a stranger").await;
    let unsigned = key.assertion(&client, once);
    let (unsigned, _) = unsigned.rsplit_once('.').unwrap();
    refused(format!("{unsigned}."), "unsigned").await;
    refused("x.y.z".to_owned(), "nonsense").await;
    assert_eq!(
        client.present(&key.assertion(&client, once)).await.status,
        200
    );
    refused(
        key.assertion(&client, once),
        "another assertion of that jti",
    )
    .await;
    // Another client may use that jti too: ids are each client's own.
    let other = registered(&server, json!({ "jwks": { "keys": [key.jwk()] } }), "ES256").await;
    assert_eq!(
        other.present(&key.assertion(&other, once)).await.status,
        200
    );
    // A clock ten seconds ahead is nobody's fault.
    let ahead = key.assertion(&client, |_, claims| {
        claims["iat"] = json!(now + 10);
        claims["nbf"] = json!(now + 10);
        claims["exp"] = json!(now + 300);
    });
    assert_eq!(client.present(&ahead).await.status, 200);
}

#[tokio::test]
async fn one_way_and_no_other() {
    // S-32
    let server = Server::start().await;
    let key = Key::ed25519("k");
    let client = registered(&server, json!({ "jwks": { "keys": [key.jwk()] } }), "EdDSA").await;
    let with_secret = server.client().machine().register().await;
    // A secret sent by a client of assertions, and an assertion by a client of secrets.
    client
        .post(&[("client_id", &client.id), ("client_secret", "anything")])
        .await
        .refused(401, "invalid_client");
    client
        .post(&[("client_id", &client.id)])
        .await
        .refused(401, "invalid_client");
    let other = TestedClient {
        server: &server,
        id: with_secret.id.clone(),
    };
    other
        .present(&key.assertion(&other, |_, _| {}))
        .await
        .refused(401, "invalid_client");
    // Two ways at once, and half a way.
    let assertion = key.assertion(&client, |_, _| {});
    let way = [
        ("client_assertion_type", TYPE),
        ("client_assertion", assertion.as_str()),
    ];
    client
        .post(&[&way[..], &[("client_secret", "x")]].concat())
        .await
        .refused(400, "invalid_request");
    let form = [&[("grant_type", "client_credentials")], &way[..]].concat();
    let both = server.request(Method::POST, "/oauth2/token").form(&form);
    Answer::of(both.basic_auth(&client.id, Some("x")))
        .await
        .refused(400, "invalid_request");
    client.post(&way[..1]).await.refused(400, "invalid_request");
    client.post(&way[1..]).await.refused(400, "invalid_request");
    client
        .post(&[("client_assertion_type", "urn:x"), way[1]])
        .await
        .refused(400, "invalid_request");
    // Another client's id beside it.
    client
        .post(&[&way[..], &[("client_id", &other.id)]].concat())
        .await
        .refused(401, "invalid_client");
    assert_eq!(
        client.present(&assertion).await.status,
        200,
        "none of it spent anything"
    );
}

/// S-37: of any number of uses of one assertion over three replicas exactly one succeeds, and a restart forgets none.
#[tokio::test]
async fn of_racing_uses_of_an_assertion_one_counts() {
    let server = Server::start().await;
    let replicas = [server.replica().await, server.replica().await];
    let key = Key::ed25519("k");
    let client = registered(&server, json!({ "jwks": { "keys": [key.jwk()] } }), "EdDSA").await;
    for round in 0..rounds(5) {
        let assertion = key.assertion(&client, |_, _| {});
        let form = [
            ("client_assertion_type", TYPE),
            ("client_assertion", assertion.as_str()),
        ];
        let doors = [&server, &replicas[0], &replicas[1]];
        let uses = (0..64).map(|n| post(doors[n % 3], &form));
        let answers = all(uses).await;
        let granted = answers.iter().filter(|a| a.status == 200).count();
        assert_eq!(granted, 1, "round {round}");
        for refused in answers.iter().filter(|a| a.status != 200) {
            // 429 where one address has failed too often (S-40).
            assert!([401, 429].contains(&refused.status), "{}", refused.text);
            assert_eq!(refused.json()["error"], "invalid_client");
        }
    }
    let last = key.assertion(&client, |_, _| {});
    assert_eq!(client.present(&last).await.status, 200);
    let restarted = server.replica().await;
    let form = [
        ("client_assertion_type", TYPE),
        ("client_assertion", last.as_str()),
    ];
    post(&restarted, &form).await.refused(401, "invalid_client");
}

/// Where a client publishes its keys.
struct Publisher {
    uri: String,
    keys: Arc<Mutex<Option<Value>>>,
    asked: Arc<AtomicUsize>,
    /// Answers wait for one of its permits, where it has any to wait for.
    held: Arc<Semaphore>,
}

impl Publisher {
    async fn of(keys: Value) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!(
            "http://127.0.0.1:{}/jwks.json",
            listener.local_addr().unwrap().port()
        );
        let (keys, asked) = (
            Arc::new(Mutex::new(Some(keys))),
            Arc::new(AtomicUsize::new(0)),
        );
        let held = Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
        let (published, counted, holder) = (keys.clone(), asked.clone(), held.clone());
        let handler = get(async move || {
            counted.fetch_add(1, Ordering::SeqCst);
            drop(holder.acquire().await);
            tokio::time::sleep(Duration::from_millis(20)).await;
            match published.lock().unwrap().clone() {
                Some(keys) => (
                    StatusCode::OK,
                    [(CONTENT_TYPE, "application/json")],
                    json!({ "keys": keys }).to_string(),
                ),
                None => (
                    StatusCode::INTERNAL_SERVER_ERROR,
                    [(CONTENT_TYPE, "text/plain")],
                    String::new(),
                ),
            }
        });
        let router = Router::new().route("/jwks.json", handler);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            uri,
            keys,
            asked,
            held,
        }
    }

    fn publish(&self, keys: Option<Value>) {
        *self.keys.lock().unwrap() = keys;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// E28: fetched once for all who wait, seldom, kept with bounds, and what is known stays while fetching fails.
#[tokio::test]
async fn published_keys_are_fetched_seldom_and_kept_on_error() {
    let server = Server::with(|config| {
        config.fetch.allowed_networks = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    let (first, second) = (Key::p256("first"), Key::p256("second"));
    let publisher = Publisher::of(json!([first.jwk()])).await;
    let client = registered(&server, json!({ "jwks_uri": publisher.uri }), "ES256").await;

    let assertions: Vec<String> = (0..16)
        .map(|_| first.assertion(&client, |_, _| {}))
        .collect();
    let answers = all(assertions.iter().map(|a| client.present(a))).await;
    assert!(
        answers.iter().all(|a| a.status == 200),
        "{}",
        answers[0].text
    );
    assert_eq!(publisher.asked(), 1, "once for all who wait");

    // Unknown names make it ask again, but not often, whoever sends them.
    for n in 0..10 {
        let unknown = second.assertion(&client, |header, _| {
            header["kid"] = json!(format!("made up {n}"));
        });
        client
            .present(&unknown)
            .await
            .refused(401, "invalid_client");
    }
    assert_eq!(publisher.asked(), 1, "too soon after the first time");
    server.clock.advance(time::Duration::seconds(31));
    let unknown = second.assertion(&client, |_, _| {});
    client
        .present(&unknown)
        .await
        .refused(401, "invalid_client");
    assert_eq!(publisher.asked(), 2);
    // A key published since is found on its first use.
    publisher.publish(Some(json!([first.jwk(), second.jwk()])));
    server.clock.advance(time::Duration::seconds(31));
    assert_eq!(
        client
            .present(&second.assertion(&client, |_, _| {}))
            .await
            .status,
        200
    );
    assert_eq!(publisher.asked(), 3);
    // Known keys ask nobody, and stay while nothing can be fetched.
    publisher.publish(None);
    server.clock.advance(time::Duration::minutes(11));
    for _ in 0..5 {
        assert_eq!(
            client
                .present(&first.assertion(&client, |_, _| {}))
                .await
                .status,
            200
        );
    }
    assert_eq!(publisher.asked(), 4, "one try, which failed");
    // Not for ever.
    server.clock.advance(time::Duration::hours(24));
    client
        .present(&first.assertion(&client, |_, _| {}))
        .await
        .refused(401, "invalid_client");
    // A key that is no longer published is no longer good once the set was fetched anew.
    publisher.publish(Some(json!([second.jwk()])));
    server.clock.advance(time::Duration::minutes(1));
    assert_eq!(
        client
            .present(&second.assertion(&client, |_, _| {}))
            .await
            .status,
        200
    );
    client
        .present(&first.assertion(&client, |_, _| {}))
        .await
        .refused(401, "invalid_client");
}

/// E28: whoever has the keys fetched and hangs up takes them from nobody.
#[tokio::test]
async fn hanging_up_ends_no_fetch() {
    let server = Server::with(|config| {
        config.fetch.allowed_networks = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    let key = Key::p256("k");
    let publisher = Publisher::of(json!([key.jwk()])).await;
    publisher.held.forget_permits(Semaphore::MAX_PERMITS);
    let client = registered(&server, json!({ "jwks_uri": publisher.uri }), "ES256").await;
    // Anybody can say that he is the client.
    let stranger = Key::p256("unknown").assertion(&client, |_, _| {});
    {
        let attack = client.present(&stranger);
        let mut attack = std::pin::pin!(attack);
        let asked = eventually(SECOND * 5, "the keys are asked for", async || {
            publisher.asked() == 1
        });
        tokio::select! {
            answer = &mut attack => panic!("{}", answer.text),
            () = asked => {}
        }
    }
    // The server has heard that the connection is gone before it has answered all of these.
    for _ in 0..20 {
        assert_eq!(server.get("/healthz").await.status, 200);
    }
    publisher.held.add_permits(1);
    let right = key.assertion(&client, |_, _| {});
    let answer = client.present(&right).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(publisher.asked(), 1);
}

#[tokio::test]
async fn nobody_makes_the_server_knock_inside_the_network() {
    // S-160: the settings name no network, so this machine is not asked.
    let server = Server::start().await;
    let key = Key::p256("k");
    let publisher = Publisher::of(json!([key.jwk()])).await;
    let client = registered(&server, json!({ "jwks_uri": publisher.uri }), "ES256").await;
    client
        .present(&key.assertion(&client, |_, _| {}))
        .await
        .refused(401, "invalid_client");
    assert_eq!(publisher.asked(), 0);
}

#[tokio::test]
async fn discovery_says_so() {
    let server = Server::start().await;
    let metadata = server.get("/.well-known/openid-configuration").await.json();
    assert_eq!(
        metadata["token_endpoint_auth_methods_supported"],
        json!([
            "client_secret_basic",
            "client_secret_post",
            "private_key_jwt",
            "none"
        ])
    );
    for endpoint in ["token", "introspection", "revocation"] {
        assert_eq!(
            metadata[format!("{endpoint}_endpoint_auth_signing_alg_values_supported")],
            json!(["ES256", "RS256", "PS256", "EdDSA"])
        );
    }
}

#[tokio::test]
async fn every_endpoint_that_asks_who_is_there_takes_it() {
    let server = Server::start().await;
    let key = Key::p256("k");
    let client = registered(&server, json!({ "jwks": { "keys": [key.jwk()] } }), "ES256").await;
    for path in ["/oauth2/introspect", "/oauth2/revoke"] {
        let assertion = key.assertion(&client, |_, _| {});
        let form = [
            ("token", "x"),
            ("client_assertion_type", TYPE),
            ("client_assertion", &assertion),
        ];
        let answer = Answer::of(server.request(Method::POST, path).form(&form)).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        let again = Answer::of(server.request(Method::POST, path).form(&form)).await;
        again.refused(401, "invalid_client");
        // S-33
        let form = [("token", "x"), ("client_id", client.id.as_str())];
        Answer::of(server.request(Method::POST, path).form(&form))
            .await
            .refused(401, "invalid_client");
    }
}

/// S-43: whatever Doorward signs proves no client, not even one whose keys are Doorward's own.
#[tokio::test]
async fn no_token_of_ours_proves_a_client() {
    let server = Server::with(|config| {
        config.fetch.allowed_networks = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    ada(&server).await;
    let sink = Sink::start().await;
    let shop = server
        .client()
        .grant("authorization_code")
        .grant("refresh_token")
        .grant("client_credentials")
        .scope("openid x")
        .audience("https://a.example")
        .option("--redirect-uri", CALLBACK)
        .option("--signing-alg", "RS256")
        .option("--backchannel-logout-uri", &sink.url())
        .flag("--first-party")
        .application()
        .await;
    let mut browser = Browser::new(&server);
    let tokens = shop.log_in(&mut browser, "openid", "ada", PASSWORD).await;
    // Its `sub` is the client, as an assertion's is.
    let own = shop.client.token(&[("scope", "x")]).await;
    let page = browser.get("/logout").await;
    browser.post("/logout", &[("csrf", &csrf(&page))]).await;
    eventually(SECOND * 10, "the logout token comes", async || {
        !sink.tokens().is_empty()
    })
    .await;
    let jwks = server.get("/.well-known/jwks.json").await.json();
    let change = json!({
        "token_endpoint_auth_method": "private_key_jwt", "token_endpoint_auth_signing_alg": "RS256", "jwks": jwks,
    });
    let (path, admin) = (
        format!("/api/v1/clients/{}", shop.client.id),
        server.admin_token().await,
    );
    let changed = server
        .call(Method::PATCH, &path, &admin, Some(change))
        .await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    for (kind, token) in [
        ("id", &tokens.id),
        ("access", &tokens.access),
        ("client's own", &own),
        ("logout", &sink.tokens()[0]),
        ("refresh", &tokens.refresh),
    ] {
        for path in ["/oauth2/token", "/oauth2/introspect", "/oauth2/revoke"] {
            for named in [true, false] {
                let mut form = vec![
                    ("grant_type", "client_credentials"),
                    ("token", tokens.access.as_str()),
                    ("client_assertion_type", TYPE),
                    ("client_assertion", token),
                ];
                if path == "/oauth2/token" {
                    form.remove(1);
                } else {
                    form.remove(0);
                }
                if named {
                    form.push(("client_id", &shop.client.id));
                }
                let answer = Answer::of(server.request(Method::POST, path).form(&form)).await;
                assert_eq!(
                    (answer.status, &answer.json()["error"]),
                    (401, &json!("invalid_client")),
                    "{kind} at {path}"
                );
            }
        }
    }
}

/// S-43: an assertion proves its client, and is good for nothing else.
#[tokio::test]
async fn an_assertion_passes_for_no_token() {
    let server = Server::start().await;
    ada(&server).await;
    let key = Key::p256("k");
    let client = registered(&server, json!({ "jwks": { "keys": [key.jwk()] } }), "ES256").await;
    let shop = server.application().application().await;
    let mut browser = Browser::new(&server);
    let live = shop.log_in(&mut browser, "openid", "ada", PASSWORD).await;
    // As it is, and dressed as each kind that there is.
    let plain = key.assertion(&client, |_, _| {});
    let sub = live.claim("sub");
    let dressed = |typ: &str, aud: &str| {
        key.assertion(&client, |header, claims| {
            header["typ"] = json!(typ);
            claims["iss"] = json!(server.url);
            claims["sub"] = sub.clone();
            claims["aud"] = json!(aud);
            claims["client_id"] = json!(shop.client.id);
            claims["scope"] = json!("openid users:read");
            claims["sid"] = live.claim("sid");
        })
    };
    let userinfo = format!("{}/oauth2/userinfo", server.url);
    let api = format!("{}/api", server.url);
    for assertion in [
        plain.clone(),
        dressed("at+jwt", &userinfo),
        dressed("at+jwt", &api),
        dressed("JWT", &shop.client.id),
        dressed("logout+jwt", &shop.client.id),
    ] {
        for path in ["/oauth2/userinfo", "/api/v1/users"] {
            let answer = server.call(Method::GET, path, &assertion, None).await;
            assert_eq!(answer.status, 401, "{path}");
        }
        assert_eq!(
            shop.client.introspect(&assertion).await,
            json!({ "active": false })
        );
        let proof = key.assertion(&client, |_, _| {});
        let form = [
            ("token", assertion.as_str()),
            ("client_assertion_type", TYPE),
            ("client_assertion", &proof),
        ];
        let request = server
            .request(Method::POST, "/oauth2/introspect")
            .form(&form);
        assert_eq!(Answer::of(request).await.json(), json!({ "active": false }));
        shop.client.revoke(&assertion).await;
        shop.redeem(&assertion).await.refused(400, "invalid_grant");
        shop.refresh(&assertion).await.refused(400, "invalid_grant");
        let hint = shop.authorize(&[("id_token_hint", &assertion)]);
        let told = browser.get(&hint).await;
        assert_eq!(query(told.header("location"))["error"], "invalid_request");
        let path = format!("/oauth2/logout?id_token_hint={assertion}");
        let page = browser.get(&path).await;
        assert!(page.text.contains("Sign out?"), "{}", page.text);
    }
    assert_eq!(browser.account().await, 200);
    assert_eq!(shop.refresh(&live.refresh).await.status, 200);
    let proven = client.present(&plain).await;
    assert_eq!(proven.status, 200, "none of it spent it: {}", proven.text);
}

async fn ada(server: &Server) {
    server
        .user_with_password(json!({ "username": "ada" }), PASSWORD)
        .await;
}
