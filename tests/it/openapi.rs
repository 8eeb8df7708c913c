//! The description of the API, held against the table of routes and against real answers.

use std::collections::BTreeSet;

use doorward::router::table;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::Server;

fn members(value: &Value) -> BTreeSet<String> {
    value.as_object().unwrap().keys().cloned().collect()
}

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
async fn shapes_are_those_of_real_answers() {
    let server = Server::start().await;
    let api = server.get("/openapi.json").await.json();
    let schema = |name: &str| members(&api["components"]["schemas"][name]["properties"]);
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
    let client = json!({ "client_name": "shop", "grant_types": ["client_credentials"] });
    let made = server
        .call(Method::POST, "/api/v1/clients", &token, Some(client))
        .await
        .json();
    let parts = api["components"]["schemas"]["Client"]["allOf"].as_array();
    let own = parts
        .unwrap()
        .iter()
        .find(|part| part["properties"].is_object());
    let mut described = members(&own.unwrap()["properties"]);
    described.extend(schema("ClientWrite"));
    let mut shown = members(&made);
    assert!(shown.remove("client_secret"));
    assert_eq!(described, shown);
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
