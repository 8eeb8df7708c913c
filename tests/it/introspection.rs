//! What a token is worth now (RFC 7662), and to whom that is told.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::leaving::Tokens;
use crate::support::sign_on::PASSWORD;
use crate::support::{Answer, Browser, Server, TestClient, eventually};

fn inactive() -> Value {
    json!({ "active": false })
}

async fn shop(server: &Server) -> TestClient<'_> {
    let shop = server
        .client()
        .grant("client_credentials")
        .grant("password");
    let shop = shop.scope("openid invoices:read");
    shop.audience("https://billing.example").register().await
}

fn token_of(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["access_token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_token_is_explained_to_whom_it_concerns() {
    // S-141, E25
    let server = Server::start().await;
    let shop = shop(&server).await;
    let billing = server
        .client()
        .option("--serves", "https://billing.example");
    let billing = billing.register().await;
    let other = server.client().grant("client_credentials").scope("x");
    let other = other.audience("https://billing.example").register().await;
    let token = shop.token(&[("scope", "invoices:read")]).await;

    let told = billing.introspect(&token).await;
    let mut names: Vec<_> = told.as_object().unwrap().keys().cloned().collect();
    names.sort();
    let expected = [
        "active",
        "aud",
        "client_id",
        "exp",
        "iat",
        "iss",
        "jti",
        "scope",
        "sub",
        "token_type",
    ];
    assert_eq!(names, expected, "nothing of our own");
    assert_eq!(told["active"], true);
    assert_eq!(
        (
            &told["client_id"],
            &told["sub"],
            &told["aud"],
            &told["scope"],
            &told["token_type"]
        ),
        (
            &json!(shop.id),
            &json!(shop.id),
            &json!("https://billing.example"),
            &json!("invoices:read"),
            &json!("Bearer")
        )
    );
    assert_eq!(shop.introspect(&token).await, told, "its own client too");
    for hint in ["access_token", "refresh_token", "saml"] {
        let form = [("token", token.as_str()), ("token_type_hint", hint)];
        let answer = billing.post_to("/oauth2/introspect", &form).await;
        assert_eq!(answer.json(), told, "a hint does no harm");
    }
    // To all others, and whatever the reason, the same.
    assert_eq!(other.introspect(&token).await, inactive());
    assert_eq!(server.admin().introspect(&token).await, inactive());
    for nonsense in ["x", "x.y.z", "é", &format!("{token}x"), &"a".repeat(20_000)] {
        assert_eq!(billing.introspect(nonsense).await, inactive());
    }
}

#[tokio::test]
async fn whatever_ended_a_token_makes_it_inactive() {
    // S-142, E25: expired, revoked, client gone, person disabled, deleted, with a new password.
    let server = Server::start().await;
    let billing = server
        .client()
        .option("--serves", "https://billing.example");
    let billing = billing.register().await;
    let admin = server.admin_token().await;
    for how in [
        "revoked", "client", "disabled", "deleted", "password", "expired",
    ] {
        let shop = shop(&server).await;
        let person = server
            .user_with_password(json!({ "username": how }), PASSWORD)
            .await;
        let path = format!("/api/v1/users/{}", person["id"].as_str().unwrap());
        let token = token_of(&shop.password(how, PASSWORD, &[]).await);
        let told = billing.introspect(&token).await;
        assert_eq!(
            (&told["active"], &told["sub"]),
            (&json!(true), &person["id"]),
            "{how}"
        );
        assert!(
            told["auth_time"].is_i64() && told.get("epoch").is_none(),
            "{told}"
        );
        let call = async |method, path: &str, body| {
            let answer = server.call(method, path, &admin, body).await;
            assert!(
                [200, 204].contains(&answer.status),
                "{how}: {}",
                answer.text
            );
        };
        match how {
            "revoked" => shop.revoke(&token).await,
            "client" => assert_eq!(server.cli(&["client", "delete", &shop.id]).await.status, 0),
            "disabled" => {
                call(Method::PATCH, &path, Some(json!({ "status": "disabled" }))).await;
            }
            "deleted" => call(Method::DELETE, &path, None).await,
            "password" => {
                let body = json!({ "password": "other rivers 78" });
                call(Method::PUT, &format!("{path}/password"), Some(body)).await;
            }
            _ => server.clock.advance(time::Duration::seconds(611)),
        }
        eventually(Duration::from_secs(1), how, async || {
            billing.introspect(&token).await == inactive()
        })
        .await;
    }
}

#[tokio::test]
async fn a_key_revoked_in_an_emergency_takes_its_tokens_along() {
    // S-56: on another replica too.
    let server = Server::start().await;
    let replica = server.replica().await;
    let shop = shop(&server).await;
    let there = TestClient {
        server: &replica,
        ..shop.clone()
    };
    let token = shop.token(&[("scope", "invoices:read")]).await;
    assert_eq!(there.introspect(&token).await["active"], true);
    let rotated = server
        .cli(&["keys", "rotate", "--emergency", "--json"])
        .await;
    assert_eq!(rotated.status, 0, "{}", rotated.stderr);
    for client in [&shop, &there] {
        eventually(Duration::from_secs(5), "inactive", async || {
            client.introspect(&token).await == inactive()
        })
        .await;
    }
    assert_eq!(
        there
            .introspect(&shop.token(&[("scope", "invoices:read")]).await)
            .await["active"],
        true
    );
}

#[tokio::test]
async fn only_proven_clients_may_ask() {
    // S-33, S-141
    let server = Server::start().await;
    let shop = shop(&server).await;
    let token = shop.token(&[("scope", "invoices:read")]).await;
    let ask = async |form: &[(&str, &str)]| {
        Answer::of(
            server
                .request(Method::POST, "/oauth2/introspect")
                .form(form),
        )
        .await
    };
    ask(&[("token", &token)])
        .await
        .refused(401, "invalid_client");
    ask(&[("token", &token), ("client_id", &shop.id)])
        .await
        .refused(401, "invalid_client");
    let wrong = [
        ("token", token.as_str()),
        ("client_id", &shop.id),
        ("client_secret", "x"),
    ];
    ask(&wrong).await.refused(401, "invalid_client");
    let public = server
        .client()
        .auth_method("none")
        .option("--serves", "https://billing.example");
    let public = public.register().await;
    ask(&[("token", &token), ("client_id", &public.id)])
        .await
        .refused(401, "invalid_client");
    // A token of its own proves no client.
    let request = server
        .request(Method::POST, "/oauth2/introspect")
        .bearer_auth(&token);
    Answer::of(request.form(&[("token", &token)]))
        .await
        .refused(401, "invalid_client");
    shop.post_to("/oauth2/introspect", &[])
        .await
        .refused(400, "invalid_request");
    let twice = [("token", token.as_str()), ("token", "x")];
    shop.post_to("/oauth2/introspect", &twice)
        .await
        .refused(400, "invalid_request");
    let in_query = format!("/oauth2/introspect?token={token}");
    shop.post_to(&in_query, &[])
        .await
        .refused(400, "invalid_request");
}

#[tokio::test]
async fn a_refresh_token_is_explained_to_its_own_client_while_it_is_unused() {
    // S-65, S-141, E25
    let server = Server::with_ada().await;
    let shop = server.application();
    let shop = shop.audience("https://billing.example").application().await;
    let billing = server
        .client()
        .option("--serves", "https://billing.example");
    let billing = billing.register().await;
    let mut browser = Browser::new(&server);
    let tokens = shop
        .log_in(&mut browser, "openid email", "ada", PASSWORD)
        .await;
    let told = shop.client.introspect(&tokens.refresh).await;
    assert_eq!(
        (
            &told["active"],
            &told["scope"],
            &told["client_id"],
            &told["sub"]
        ),
        (
            &json!(true),
            &json!("openid email"),
            &json!(shop.client.id),
            &tokens.claim("sub")
        )
    );
    assert!(told["exp"].is_i64() && told.get("token_type").is_none());
    assert_eq!(billing.introspect(&tokens.refresh).await, inactive());
    assert_eq!(billing.introspect(&tokens.access).await["active"], true);
    let next = Tokens::of(&shop.refresh(&tokens.refresh).await);
    assert_eq!(shop.client.introspect(&tokens.refresh).await, inactive());
    assert_eq!(shop.client.introspect(&next.refresh).await["active"], true);
    // Used again after all: a copy is about, and nothing of the family counts.
    Tokens::of(&shop.refresh(&next.refresh).await);
    server.clock.advance(time::Duration::seconds(11));
    shop.refresh(&tokens.refresh)
        .await
        .refused(400, "invalid_grant");
    for token in [&next.access, &next.refresh, &tokens.access] {
        assert_eq!(shop.client.introspect(token).await, inactive());
        assert_eq!(billing.introspect(token).await, inactive());
    }
}
