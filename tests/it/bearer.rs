//! The guard of the API: what is no access token of ours, or of somebody who is no longer let in.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Server};

const USERS: &str = "/api/v1/users";

fn claims_of(token: &str) -> Value {
    serde_json::from_slice(
        &URL_SAFE_NO_PAD
            .decode(token.split('.').nth(1).unwrap())
            .unwrap(),
    )
    .unwrap()
}

async fn refused(server: &Server, token: &str) {
    let answer = server.call(Method::GET, USERS, token, None).await;
    answer.problem(401, "unauthorized");
    assert!(
        answer
            .header("www-authenticate")
            .contains(r#"error="invalid_token""#),
        "{token}"
    );
}

#[tokio::test]
async fn forged_tokens_are_refused() {
    // S-44, S-45: none in all spellings, an HMAC with the public key, a key that the header brings along.
    let server = Server::start().await;
    let token = server.admin_token().await;
    assert_eq!(
        server.call(Method::GET, USERS, &token, None).await.status,
        200
    );
    let claims = claims_of(&token);
    let [header, payload, signature] = token.split('.').collect::<Vec<_>>()[..] else {
        panic!()
    };
    let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap();
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    for alg in ["none", "None", "nOnE", ""] {
        let mut forged = header.clone();
        forged["alg"] = json!(alg);
        refused(&server, &format!("{}.{payload}.", encode(&forged))).await;
        refused(
            &server,
            &format!("{}.{payload}.{signature}", encode(&forged)),
        )
        .await;
    }
    let jwks = server.get("/.well-known/jwks.json").await.text;
    let mut hmac = Header::new(Algorithm::HS256);
    hmac.typ = Some("at+jwt".to_owned());
    hmac.kid = header["kid"].as_str().map(str::to_owned);
    refused(
        &server,
        &jsonwebtoken::encode(&hmac, &claims, &EncodingKey::from_secret(jwks.as_bytes())).unwrap(),
    )
    .await;
    for (name, value) in [
        ("jwk", json!({ "kty": "EC" })),
        ("jku", json!("https://evil.example")),
        ("x5u", json!("https://evil.example")),
        ("x5c", json!([])),
        ("crit", json!(["x"])),
    ] {
        let mut forged = header.clone();
        forged[name] = value;
        refused(
            &server,
            &format!("{}.{payload}.{signature}", encode(&forged)),
        )
        .await;
    }
    let mut other = claims.clone();
    other["scope"] = json!("users:read users:write clients:read clients:write");
    other["sub"] = json!("01a20d93-7f03-7eb9-b696-a13790d686c1");
    refused(
        &server,
        &format!("{}.{}.{signature}", encode(&header), encode(&other)),
    )
    .await;
    let mut unknown = header.clone();
    unknown["kid"] = json!("x");
    refused(
        &server,
        &format!("{}.{payload}.{signature}", encode(&unknown)),
    )
    .await;
    refused(&server, &format!("{token}=")).await;
    refused(&server, &format!("{}.{payload}", encode(&header))).await;
}

#[tokio::test]
async fn a_token_comes_in_one_header_and_nowhere_else() {
    let server = Server::start().await;
    let token = server.admin_token().await;
    let get = |path: String| server.request(Method::GET, &path);
    let in_query = Answer::of(get(format!("{USERS}?access_token={token}"))).await;
    in_query.problem(401, "unauthorized");
    let twice = get(USERS.to_owned())
        .header("authorization", format!("Bearer {token}"))
        .header("authorization", format!("Bearer {token}"));
    let answer = Answer::of(twice).await;
    answer.problem(400, "malformed-request");
    assert!(
        answer
            .header("www-authenticate")
            .contains(r#"error="invalid_request""#)
    );
    for (header, status) in [
        (format!("bearer {token}"), 200),
        (format!("Bearer {token} x"), 400),
        ("Bearer".to_owned(), 401),
        ("Basic eDp5".to_owned(), 401),
        (format!("DPoP {token}"), 401),
    ] {
        let answer = Answer::of(get(USERS.to_owned()).header("authorization", &header)).await;
        assert_eq!(answer.status, status, "{header}");
    }
}

#[tokio::test]
async fn times_are_enforced_with_little_leeway() {
    // S-47
    let server = Server::start().await;
    let token = server.admin_token().await;
    let status = async || server.call(Method::GET, USERS, &token, None).await.status;
    server.clock.advance(time::Duration::seconds(605));
    assert_eq!(status().await, 200, "within the leeway");
    server.clock.advance(time::Duration::seconds(6));
    assert_eq!(status().await, 401, "expired");
    server.clock.advance(time::Duration::seconds(-611 - 9));
    assert_eq!(status().await, 200, "issued a little in the future");
    server.clock.advance(time::Duration::seconds(-5));
    assert_eq!(status().await, 401, "issued in the future");
}

#[tokio::test]
async fn whoever_is_no_longer_let_in_is_refused() {
    let server = Server::start().await;
    let password = "wordy rivers 77";
    let client = server
        .client()
        .grant("password")
        .scope("users:read users:write")
        .register()
        .await;
    let admin = server.admin_token().await;
    for how in ["disabled", "not an admin", "deleted", "password set"] {
        let name = how.replace(' ', "");
        let person = server
            .user_with_password(json!({ "username": name, "admin": true }), password)
            .await;
        let path = format!("{USERS}/{}", person["id"].as_str().unwrap());
        let token = client.password(&name, password, &[]).await.json()["access_token"]
            .as_str()
            .unwrap()
            .to_owned();
        assert_eq!(
            server.call(Method::GET, USERS, &token, None).await.status,
            200,
            "{how}"
        );
        // Tokens tell whole seconds.
        server.clock.advance(time::Duration::seconds(1));
        let changed = match how {
            "disabled" => {
                server
                    .call(
                        Method::PATCH,
                        &path,
                        &admin,
                        Some(json!({ "status": "disabled" })),
                    )
                    .await
            }
            "not an admin" => {
                server
                    .call(
                        Method::PATCH,
                        &path,
                        &admin,
                        Some(json!({ "admin": false })),
                    )
                    .await
            }
            "deleted" => server.call(Method::DELETE, &path, &admin, None).await,
            _ => {
                server
                    .call(
                        Method::PUT,
                        &format!("{path}/password"),
                        &admin,
                        Some(json!({ "password": "other rivers 78" })),
                    )
                    .await
            }
        };
        assert!(
            [200, 204].contains(&changed.status),
            "{how}: {}",
            changed.text
        );
        refused(&server, &token).await;
        if how == "disabled" {
            client
                .password(&name, password, &[])
                .await
                .refused(400, "invalid_grant");
            server
                .call(
                    Method::PATCH,
                    &path,
                    &admin,
                    Some(json!({ "status": "active" })),
                )
                .await;
            refused(&server, &token).await;
            assert_eq!(
                client.password(&name, password, &[]).await.status,
                200,
                "but a new token is good"
            );
        }
    }
}
