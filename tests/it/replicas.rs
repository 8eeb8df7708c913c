//! Two servers on one database: what is ended on one is refused by the other within a second.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::support::{Server, TestClient, eventually};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_client_deleted_on_one_is_refused_by_the_other() {
    let one = Server::start().await;
    let other = one.replica().await;
    let client = one
        .client()
        .grant("client_credentials")
        .scope("users:read")
        .register()
        .await;
    let there = TestClient {
        server: &other,
        ..client.clone()
    };
    let token = there.token(&[]).await;
    assert_eq!(
        other
            .call(Method::GET, "/api/v1/users", &token, None)
            .await
            .status,
        200
    );
    // Asked again and again, so that it lies in the other's cache.
    for _ in 0..5 {
        there.token(&[]).await;
    }
    assert_eq!(one.cli(&["client", "delete", &client.id]).await.status, 0);
    eventually(SECOND, "no new token", async || {
        there.client_credentials(&[]).await.status == 401
    })
    .await;
    eventually(SECOND, "the old one is refused", async || {
        other
            .call(Method::GET, "/api/v1/users", &token, None)
            .await
            .status
            == 401
    })
    .await;
}

#[tokio::test]
async fn a_client_made_on_one_is_known_to_the_other() {
    let one = Server::start().await;
    let other = one.replica().await;
    let stranger = TestClient {
        server: &other,
        id: "c_AAAAAAAAAAAAAAAAAAAAAA".to_owned(),
        secret: Some("x".to_owned()),
    };
    stranger
        .client_credentials(&[])
        .await
        .refused(401, "invalid_client");
    let client = one
        .client()
        .grant("client_credentials")
        .audience("https://a.example")
        .register()
        .await;
    TestClient {
        server: &other,
        ..client
    }
    .token(&[])
    .await;
}

#[tokio::test]
async fn a_person_disabled_on_one_is_refused_by_the_other() {
    let one = Server::start().await;
    let other = one.replica().await;
    let password = "wordy rivers 77";
    let person = one
        .user_with_password(json!({ "username": "root", "admin": true }), password)
        .await;
    let client = one
        .client()
        .grant("password")
        .scope("users:read")
        .register()
        .await;
    let there = TestClient {
        server: &other,
        ..client
    };
    let token = there.password("root", password, &[]).await.json()["access_token"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        other
            .call(Method::GET, "/api/v1/users", &token, None)
            .await
            .status,
        200
    );
    one.clock.advance(time::Duration::seconds(1));
    let path = format!("/api/v1/users/{}", person["id"].as_str().unwrap());
    one.call(
        Method::PATCH,
        &path,
        &one.admin_token().await,
        Some(json!({ "status": "disabled" })),
    )
    .await;
    assert_eq!(
        other
            .call(Method::GET, "/api/v1/users", &token, None)
            .await
            .status,
        401,
        "at once: nothing of people is cached"
    );
    there
        .password("root", password, &[])
        .await
        .refused(400, "invalid_grant");
}
