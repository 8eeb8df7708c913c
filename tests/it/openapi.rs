//! The description of the API, held against the table of routes and against real answers (letters given up: webhooks.rs).

use std::collections::BTreeSet;
use std::time::Duration;

use doorward::router::table;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::api::{Api, USERS};
use crate::support::webhook_sink::Sink;
use crate::support::{Answer, Described, Server, eventually, members};

#[tokio::test]
async fn every_route_is_described_and_nothing_else() {
    let server = Server::start().await;
    let answer = server.get("/openapi.json").await;
    assert_eq!(answer.header("content-type"), "application/json");
    let api = answer.json();
    assert!(api["openapi"].as_str().unwrap().starts_with("3.1"));
    let mut described = BTreeSet::new();
    for (path, methods) in api["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            described.insert(format!("{} {path}", method.to_uppercase()));
            assert!(
                operation["responses"].as_object().unwrap().len() > 1,
                "{method} {path}"
            );
        }
    }
    // `/` only leads on.
    let routes = table().into_iter().filter(|route| route.path != "/");
    let there: BTreeSet<String> = routes
        .map(|route| format!("{} {}", route.method, route.path))
        .collect();
    assert_eq!(described, there);
    let printed = server.cli(&["openapi"]).await;
    assert_eq!(printed.json(), api, "doorward openapi prints the same");
}

#[tokio::test]
async fn every_change_of_a_person_may_be_waited_for_and_say_why() {
    let server = Server::start().await;
    let api = server.get("/openapi.json").await.json();
    let mut changes = 0;
    for (path, methods) in api["paths"].as_object().unwrap() {
        let one = path == USERS || path.starts_with("/api/v1/users/{id}");
        for (method, operation) in methods.as_object().unwrap() {
            // Ending a person's sessions does not change the person.
            if !one || method == "get" || path.ends_with("/sessions") {
                continue;
            }
            let parameters = operation["parameters"].as_array().unwrap();
            for name in ["wait", "Prefer", "Doorward-Reason"] {
                let known = parameters.iter().any(|parameter| parameter["name"] == name);
                assert!(known, "{method} {path}: {name}");
            }
            let responses = operation["responses"].as_object().unwrap();
            for status in ["200", "201", "202", "204"] {
                let headers = responses.get(status).map(|response| &response["headers"]);
                assert!(
                    headers.is_none_or(|headers| headers["Doorward-Wait"].is_object()),
                    "{method} {path}: {status}"
                );
            }
            assert!(responses.contains_key("202"), "{method} {path}");
            changes += 1;
        }
    }
    assert_eq!(changes, 8);
}

#[tokio::test]
async fn shapes_are_those_of_real_answers() {
    let server = Server::start().await;
    let described = Described::by(&server).await;
    let schema = |name: &str| described.members(name);
    let written = json!({
        "email": "ada@example.com", "email_verified": true, "username": "ada", "phone_number": "+4930123456",
        "phone_number_verified": true, "status": "active", "admin": false, "name": "Ada Lovelace", "given_name": "Ada",
        "family_name": "Lovelace", "middle_name": "K", "nickname": "A", "preferred_username": "ada", "profile": "https://a.example",
        "picture": "https://a.example/p", "website": "https://a.example", "gender": "female", "birthdate": "1815-12-10",
        "zoneinfo": "Europe/London", "locale": "en-GB",
        "address": { "formatted": "a", "street_address": "b", "locality": "c", "region": "d", "postal_code": "e", "country": "f" },
        "external_ids": { "billing": "cus_81" }, "attributes": { "plan": "free" },
    });
    assert_eq!(schema("UserWrite"), members(&written));
    let token = server.admin_token().await;
    let declared = server
        .call(
            Method::PUT,
            "/api/v1/users/schema",
            &token,
            Some(json!({ "type": "object" })),
        )
        .await;
    assert_eq!(schema("AttributeSchema"), members(&declared.json()));
    let user = server.user(written).await;
    assert_eq!(schema("User"), members(&user));
    assert_eq!(schema("Address"), members(&user["address"]));

    let token = server.admin_token().await;
    let list = server
        .call(Method::GET, "/api/v1/users", &token, None)
        .await;
    assert_eq!(schema("UserList"), members(&list.json()));
    let unknown = server
        .call(Method::GET, "/api/v1/users?x=1", &token, None)
        .await
        .json();
    assert!(members(&unknown).is_subset(&schema("Problem")), "{unknown}");
    assert!(members(&unknown["errors"][0]).is_subset(&schema("FieldError")));
    let changes = server
        .call(Method::GET, "/api/v1/changes?wait=10", &token, None)
        .await
        .json();
    assert_eq!(schema("ChangeList"), members(&changes));
    assert_eq!(schema("Change"), members(&changes["items"][0]));
    let client = server
        .client()
        .grant("client_credentials")
        .scope("users:read")
        .register()
        .await;
    let consumer = json!({ "client_id": client.id, "fields": { "mail": "email" } });
    assert_eq!(schema("ConsumerWrite"), members(&consumer));
    let consumer = server
        .call(Method::PUT, "/api/v1/consumers/a", &token, Some(consumer))
        .await
        .json();
    assert_eq!(schema("Consumer"), members(&consumer));
    assert_eq!(schema("Lag"), members(&consumer["lag"]));
    let consumers = server
        .call(Method::GET, "/api/v1/consumers", &token, None)
        .await
        .json();
    assert_eq!(schema("ConsumerList"), members(&consumers));
    let digest = server
        .call(
            Method::GET,
            "/api/v1/users/digest",
            &client.token(&[]).await,
            None,
        )
        .await
        .json();
    assert_eq!(schema("Digest"), members(&digest));
    assert_eq!(schema("Bucket"), members(&digest["items"][0]));
    let granted = server.admin().client_credentials(&[]).await;
    assert!(members(&granted.json()).is_subset(&schema("Token")));
    let refused = server.admin().post(&[]).await;
    assert_eq!(schema("OAuthError"), members(&refused.json()));
    let metadata = server.get("/.well-known/openid-configuration").await;
    let mut described = schema("Metadata");
    assert!(described.remove("registration_endpoint"), "off by default");
    assert_eq!(described, members(&metadata.json()));
}

#[tokio::test]
async fn what_is_told_of_people_in_numbers_is_as_described() {
    let server = Server::start().await;
    let described = Described::by(&server).await;
    let api = Api::of(&server).await;
    let create = json!({ "op": "create", "user": { "username": "ada" } });
    let mut update = json!({ "op": "update", "id": "01a20d93-7f03-7eb9-b696-a13790d686c1", "if_match": "*", "user": {} });
    described.holds("BatchOperation", &update);
    update["id"] = json!("nobody");
    let batch = json!({ "operations": [create, update] });
    described.holds("Batch", &batch);
    let batch = format!("{USERS}/batch");
    let done = api
        .call(
            Method::POST,
            &batch,
            json!({ "operations": [create, update] }),
        )
        .await
        .json();
    described.holds("BatchResults", &done);
    let (made, refused) = (&done["results"][0], &done["results"][1]);
    let mut both = members(made);
    both.extend(members(refused));
    assert_eq!(both, described.members("BatchResult"));
    assert!(members(&refused["problem"]).is_subset(&described.members("Problem")));

    let changed = format!("{}/{}", USERS, made["id"].as_str().unwrap());
    api.call(Method::PATCH, &changed, json!({ "name": "Ada" }))
        .await;
    let history = format!("{changed}/history");
    let history = api.call(Method::GET, &history, Value::Null).await.json();
    described.holds("History", &history);
    described.holds("HistoryEntry", &history["items"][0]);
    described.holds("HistoryActor", &history["items"][0]["actor"]);
    described.holds("HistoryField", &history["items"][0]["changes"][0]);
    let password = json!({ "password": "wordy rivers 77", "change_required": false });
    described.holds("PasswordWrite", &password);
    let set = format!("{changed}/password");
    let set = api.call(Method::PUT, &set, password).await;
    assert_eq!(set.status, 204, "{}", set.text);
}

#[tokio::test]
async fn what_is_told_of_clients_is_as_described() {
    let server = Server::with(|config| {
        config.registration.mode = doorward::config::RegistrationMode::Open;
    })
    .await;
    let described = Described::by(&server).await;
    let api = Api::of(&server).await;
    let clients = "/api/v1/clients";
    let client = json!({ "client_name": "shop", "grant_types": ["client_credentials"] });
    let made = api.call(Method::POST, clients, client).await.json();
    described.holds("NewClient", &made);
    let list = api.call(Method::GET, clients, Value::Null).await.json();
    described.holds("ClientList", &list);
    described.holds("Client", &list["items"][0]);
    let secrets = format!("{clients}/{}/secrets", made["client_id"].as_str().unwrap());
    let others = json!({ "others_end_in": 60 });
    described.holds("ClientSecretWrite", &others);
    let secret = api.call(Method::POST, &secrets, others).await.json();
    described.holds("NewClientSecret", &secret);
    let list = api.call(Method::GET, &secrets, Value::Null).await.json();
    described.holds("ClientSecretList", &list);
    described.holds("ClientSecret", &list["items"][0]);

    let tokens = "/api/v1/initial-access-tokens";
    let wanted = json!({ "uses": 1, "expires_in": 60, "grant_types": ["authorization_code"], "require_pkce": true });
    described.holds("InitialAccessTokenWrite", &wanted);
    let token = api.call(Method::POST, tokens, wanted).await.json();
    described.holds("NewInitialAccessToken", &token);
    let list = api.call(Method::GET, tokens, Value::Null).await.json();
    described.holds("InitialAccessTokenList", &list);
    described.holds("InitialAccessToken", &list["items"][0]);
    let metadata = json!({ "redirect_uris": ["https://shop.example/cb"] });
    let registered = server.request(Method::POST, "/oauth2/register");
    let registered = Answer::of(registered.json(&metadata)).await.json();
    assert!(
        described
            .members("ClientRegistration")
            .is_subset(&members(&registered)),
        "{registered}"
    );

    let question = server.admin().introspect(&api.token).await;
    assert!(
        described
            .members("Introspection")
            .is_subset(&members(&question)),
        "{question}"
    );
}

#[tokio::test]
async fn what_is_told_of_webhooks_is_as_described() {
    let server = Server::with(|config| {
        config.fetch.allowed_networks = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    let described = Described::by(&server).await;
    let api = Api::of(&server).await;
    let sink = Sink::start().await;
    let webhooks = "/api/v1/webhooks";
    let mut wanted = json!({ "url": sink.url, "description": "a", "consumer": null, "paused": false, "from": "now" });
    described.holds("WebhookNew", &wanted);
    let made = api.call(Method::POST, webhooks, wanted.clone()).await;
    described.holds("Webhook", &made.json());
    described.holds("WebhookStatus", &made.json()["status"]);
    let list = api.call(Method::GET, webhooks, Value::Null).await.json();
    described.holds("WebhookList", &list);
    for member in ["consumer", "from"] {
        wanted.as_object_mut().unwrap().remove(member);
    }
    described.holds("WebhookWrite", &wanted);
    let one = format!("{webhooks}/{}", made.json()["id"].as_str().unwrap());
    let changed = api.call(Method::PATCH, &one, wanted).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    let overlap = json!({ "overlap_seconds": 60 });
    described.holds("WebhookRotate", &overlap);
    let rotate = format!("{one}/rotate-secret");
    let rotated = api.call(Method::POST, &rotate, overlap).await.json();
    described.holds("Webhook", &rotated);
    let test = format!("{one}/test");
    let tried = api.call(Method::POST, &test, Value::Null).await.json();
    described.holds("WebhookTried", &tried);
    server.user(json!({ "username": "ada" })).await;
    let position = sink.takes(2).await[1].body["data"]["position"].clone();
    eventually(Duration::from_secs(20), "noted as sent", async || {
        let now = api.call(Method::GET, &one, Value::Null).await.json();
        now["status"]["position"] == position
    })
    .await;
    let replay = format!("{one}/replay");
    let places = json!({ "after": 0, "until": position });
    described.holds("Places", &places);
    let replayed = api.call(Method::POST, &replay, places).await.json();
    described.holds("WebhookReplayed", &replayed);
    let mut all = members(&json!({ "after": 0, "until": 1, "since": "", "before": "" }));
    all.insert("dead".to_owned());
    assert_eq!(described.members("WebhookReplay"), all);
}

#[tokio::test]
async fn the_page_to_try_it_is_all_our_own() {
    // S-84: a policy of its own that allows its own scripts alone.
    let server = Server::start().await;
    let to = server.get("/docs").await;
    assert_eq!(
        (to.status, to.header("location")),
        (303, "/docs/api/index.html")
    );
    let page = server.get("/docs/api/index.html").await;
    assert_eq!(page.status, 200);
    let policy = page.header("content-security-policy");
    assert!(
        policy.contains("default-src 'none'") && policy.contains("script-src 'self';"),
        "{policy}"
    );
    assert!(!page.text.contains("https://"), "nothing from elsewhere");
    for part in page.text.split("src=\"").skip(1) {
        let file = part.split('"').next().unwrap().trim_start_matches("./");
        let answer = server.get(&format!("/docs/api/{file}")).await;
        assert_eq!(answer.status, 200, "{file}");
    }
    let initializer = server.get("/docs/api/swagger-initializer.js").await;
    assert!(initializer.text.contains("/openapi.json"));
    assert_eq!(server.get("/docs/api/nothing.js").await.status, 404);
}
