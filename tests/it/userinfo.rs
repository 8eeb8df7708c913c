//! Userinfo (OpenID Connect Core §5.3).

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Server, TestClient};

const PASSWORD: &str = "wordy rivers 77";
const URL: &str = "/oauth2/userinfo";

fn ada() -> Value {
    json!({
        "email": "ada@example.com", "email_verified": true, "username": "ada", "phone_number": "+4930123456", "name": "Ada Lovelace",
        "given_name": "Ada", "family_name": "Lovelace", "picture": "https://a.example/p", "locale": "en-GB",
        "address": { "country": "GB" },
    })
}

async fn shop<'a>(server: &'a Server, scope: &str) -> TestClient<'a> {
    server
        .client()
        .grant("password")
        .scope(scope)
        .register()
        .await
}

async fn token(client: &TestClient<'_>, further: &[(&str, &str)]) -> String {
    let answer = client.password("ada", PASSWORD, further).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["access_token"].as_str().unwrap().to_owned()
}

async fn userinfo(server: &Server, token: &str) -> Value {
    let answer = server.call(Method::GET, URL, token, None).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("content-type"), "application/json");
    answer.json()
}

#[tokio::test]
async fn each_scope_opens_its_claims() {
    // S-49
    let server = Server::start().await;
    let person = server.user_with_password(ada(), PASSWORD).await;
    let client = shop(&server, "openid profile email phone address").await;
    let with =
        async |scope: &str| userinfo(&server, &token(&client, &[("scope", scope)]).await).await;
    let id = &person["id"];
    assert_eq!(with("openid").await, json!({ "sub": id }));
    assert_eq!(
        with("openid email").await,
        json!({ "sub": id, "email": "ada@example.com", "email_verified": true })
    );
    assert_eq!(
        with("openid phone").await,
        json!({ "sub": id, "phone_number": "+4930123456", "phone_number_verified": false })
    );
    assert_eq!(
        with("openid address").await,
        json!({ "sub": id, "address": { "country": "GB" } })
    );
    let mut profile = with("openid profile").await;
    let updated = profile
        .as_object_mut()
        .unwrap()
        .remove("updated_at")
        .unwrap();
    assert!(updated.is_i64(), "seconds: {updated}");
    assert_eq!(
        profile,
        json!({
            "sub": id, "name": "Ada Lovelace", "given_name": "Ada", "family_name": "Lovelace", "picture": "https://a.example/p",
            "locale": "en-GB", "preferred_username": "ada",
        })
    );
    // Whatever the person is called by next, `sub` stays.
    let admin = server.admin_token().await;
    let path = format!("/api/v1/users/{}", id.as_str().unwrap());
    let change = json!({ "email": "countess@example.com", "phone_number": null });
    let before = token(&client, &[]).await;
    server
        .call(Method::PATCH, &path, &admin, Some(change))
        .await;
    let all = userinfo(&server, &before).await;
    assert_eq!(
        (&all["sub"], &all["email"], &all["email_verified"]),
        (id, &json!("countess@example.com"), &json!(false))
    );
    assert!(
        all.get("phone_number_verified").is_none(),
        "of no number: {all}"
    );
    for ours in ["status", "admin", "version", "username", "id"] {
        assert!(all.get(ours).is_none(), "{ours}");
    }
}

#[tokio::test]
async fn any_live_token_with_openid_is_answered_whatever_its_audience() {
    // S-146
    let server = Server::start().await;
    server.user_with_password(ada(), PASSWORD).await;
    let client = server
        .client()
        .grant("password")
        .grant("client_credentials");
    let client = client
        .scope("openid invoices:read")
        .audience("https://billing.example");
    let client = client.register().await;
    let good = token(&client, &[]).await;
    userinfo(&server, &good).await;
    let refused = async |token: &str, status, error: &str| {
        let answer = server.call(Method::GET, URL, token, None).await;
        assert_eq!(answer.status, status, "{}", answer.text);
        let challenge = answer.header("www-authenticate");
        assert!(
            challenge.contains(&format!(r#"error="{error}""#)),
            "{challenge}"
        );
    };
    let without = token(&client, &[("scope", "invoices:read")]).await;
    refused(&without, 403, "insufficient_scope").await;
    let services = client.token(&[("scope", "openid")]).await;
    refused(&services, 401, "invalid_token").await;
    refused("x.y.z", 401, "invalid_token").await;
    server.clock.advance(time::Duration::seconds(611));
    refused(&good, 401, "invalid_token").await;
}

#[tokio::test]
async fn people_who_are_no_longer_let_in_are_not_told_of() {
    // S-142, S-146
    let server = Server::start().await;
    let person = server.user_with_password(ada(), PASSWORD).await;
    let path = format!("/api/v1/users/{}", person["id"].as_str().unwrap());
    let admin = server.admin_token().await;
    let client = shop(&server, "openid").await;
    let status = async |token: &str| server.call(Method::GET, URL, token, None).await.status;
    let first = token(&client, &[]).await;
    for status_of in ["disabled", "active"] {
        let change = json!({ "status": status_of });
        server
            .call(Method::PATCH, &path, &admin, Some(change))
            .await;
        assert_eq!(status(&first).await, 401, "{status_of}");
    }
    let second = token(&client, &[]).await;
    assert_eq!(status(&second).await, 200);
    assert_eq!(
        server.cli(&["client", "delete", &client.id]).await.status,
        0
    );
    crate::support::eventually(std::time::Duration::from_secs(1), "refused", async || {
        status(&second).await == 401
    })
    .await;
}

#[tokio::test]
async fn the_token_comes_in_one_way() {
    // S-146: RFC 6750 §2
    let server = Server::start().await;
    server.user_with_password(ada(), PASSWORD).await;
    let client = shop(&server, "openid email").await;
    let token = token(&client, &[]).await;
    let post = || server.request(Method::POST, URL);
    let form = [("access_token", token.as_str())];
    for request in [
        post().form(&form),
        post().bearer_auth(&token),
        post().bearer_auth(&token).form(&[("x", "y")]),
        post().bearer_auth(&token).json(&json!({})),
    ] {
        let answer = Answer::of(request).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(answer.json()["email"], "ada@example.com");
    }
    let twice = Answer::of(post().bearer_auth(&token).form(&form)).await;
    assert_eq!(twice.status, 400);
    assert!(
        twice
            .header("www-authenticate")
            .contains(r#"error="invalid_request""#)
    );
    let json = Answer::of(post().json(&json!({ "access_token": token }))).await;
    assert_eq!(json.status, 401, "never from JSON");
    for method in [Method::GET, Method::POST] {
        let path = format!("{URL}?access_token={token}");
        let answer = Answer::of(server.request(method, &path)).await;
        assert_eq!(answer.status, 401, "never from the query");
        assert_eq!(
            answer.header("www-authenticate"),
            r#"Bearer realm="doorward""#
        );
    }
    let form = [("access_token", "x")];
    let wrong = Answer::of(post().form(&form)).await;
    assert_eq!(wrong.status, 401);
}

#[tokio::test]
async fn nothing_of_a_person_passes_for_a_claim_of_the_token() {
    // S-50: a closed list of claims is told, by the names of OpenID Connect alone.
    let server = Server::start().await;
    let mut hostile = ada();
    for (name, value) in [
        ("sub", json!("x")),
        ("iss", json!("x")),
        ("aud", json!("x")),
    ] {
        hostile[name] = value;
        let token = server.admin_token().await;
        let answer = server
            .call(Method::POST, "/api/v1/users", &token, Some(hostile.clone()))
            .await;
        answer.problem(422, "invalid");
        hostile.as_object_mut().unwrap().remove(name);
    }
    server.user_with_password(hostile, PASSWORD).await;
    let client = shop(&server, "openid profile email phone address").await;
    let told = userinfo(&server, &token(&client, &[]).await).await;
    let of_the_token = [
        "iss",
        "aud",
        "exp",
        "iat",
        "azp",
        "sid",
        "cnf",
        "scope",
        "client_id",
        "epoch",
        "jti",
        "nonce",
    ];
    for name in of_the_token {
        assert!(told.get(name).is_none(), "{name}: {told}");
    }
}
