//! The token endpoint (RFC 6749), its grants, scopes and audiences.

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Server};

const PASSWORD: &str = "wordy rivers 77";

/// Header and claims of a token, verified by a library that is not ours against what the server publishes.
async fn verified(server: &Server, token: &str, audience: &str) -> (Value, Value) {
    let jwks: JwkSet =
        serde_json::from_str(&server.get("/.well-known/jwks.json").await.text).unwrap();
    let header = decode_header(token).unwrap();
    let key = DecodingKey::from_jwk(jwks.find(header.kid.as_ref().unwrap()).unwrap()).unwrap();
    let mut validation = Validation::new(header.alg);
    validation.set_audience(&[audience]);
    validation.set_issuer(&[&server.url]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    let claims = decode::<Value>(token, &key, &validation).unwrap().claims;
    (serde_json::to_value(&header).unwrap(), claims)
}

fn token_of(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["access_token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_service_takes_a_token_for_another_service() {
    // S-20, S-42, S-46: RFC 9068 §2, RFC 6749 §5.1
    let server = Server::start().await;
    let shop = server
        .client()
        .grant("client_credentials")
        .scope("invoices:read invoices:write")
        .audience("https://billing.example")
        .register()
        .await;
    let answer = shop.client_credentials(&[("scope", "invoices:read")]).await;
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("pragma"), "no-cache");
    assert_eq!(answer.header("content-type"), "application/json");
    let body = answer.json();
    assert_eq!(
        (&body["token_type"], &body["expires_in"], &body["scope"]),
        (&json!("Bearer"), &json!(600), &json!("invoices:read"))
    );
    assert!(body.get("refresh_token").is_none(), "S-28");

    let (header, claims) = verified(&server, &token_of(&answer), "https://billing.example").await;
    assert_eq!(
        (&header["typ"], &header["alg"]),
        (&json!("at+jwt"), &json!("ES256"))
    );
    assert_eq!(
        claims["sub"],
        json!(shop.id),
        "S-28: the client speaks for itself"
    );
    assert_eq!(claims["client_id"], json!(shop.id));
    assert_eq!(claims["scope"], "invoices:read");
    assert_eq!(
        claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(),
        600
    );
    assert!(claims["jti"].as_str().is_some_and(|jti| jti.len() == 22));
    let mut names: Vec<&str> = claims
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "aud",
            "client_id",
            "exp",
            "iat",
            "iss",
            "jti",
            "scope",
            "sub"
        ]
    );
}

#[tokio::test]
async fn who_has_no_scopes_is_told_of_none() {
    // RFC 6749 §3.3: a scope has at least one name.
    let server = Server::start().await;
    let client = server.client().machine().register().await;
    let answer = client.client_credentials(&[]).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(answer.json().get("scope").is_none(), "{}", answer.text);
}

#[tokio::test]
async fn each_algorithm_verifies_by_jwks_alone() {
    // S-52
    let server = Server::start().await;
    for alg in ["ES256", "RS256", "PS256", "EdDSA"] {
        let client = server
            .client()
            .machine()
            .option("--signing-alg", alg)
            .register()
            .await;
        let (header, _) = verified(&server, &client.token(&[]).await, "https://a.example").await;
        assert_eq!(header["alg"], alg);
    }
}

#[tokio::test]
async fn the_oauth2_crate_takes_tokens() {
    use oauth2::basic::BasicClient;
    use oauth2::{
        AuthType, ClientId, ClientSecret, ResourceOwnerPassword, ResourceOwnerUsername, Scope,
        TokenResponse, TokenUrl,
    };

    let server = Server::start().await;
    server
        .user_with_password(json!({ "email": "ada@example.com" }), PASSWORD)
        .await;
    for (method, auth) in [
        ("client_secret_basic", AuthType::BasicAuth),
        ("client_secret_post", AuthType::RequestBody),
    ] {
        let made = server
            .client()
            .grant("client_credentials")
            .grant("password")
            .scope("a b")
            .audience("https://a.example")
            .auth_method(method)
            .register()
            .await;
        let client = BasicClient::new(ClientId::new(made.id.clone()))
            .set_client_secret(ClientSecret::new(made.secret.clone().unwrap()))
            .set_token_uri(TokenUrl::new(format!("{}/oauth2/token", server.url)).unwrap())
            .set_auth_type(auth);
        let token = client
            .exchange_client_credentials()
            .add_scope(Scope::new("a".to_owned()))
            .request_async(&server.http)
            .await
            .unwrap();
        assert_eq!(token.scopes().map(Vec::len), Some(1));
        verified(&server, token.access_token().secret(), "https://a.example").await;
        let (username, password) = (
            ResourceOwnerUsername::new("ada@example.com".to_owned()),
            ResourceOwnerPassword::new(PASSWORD.to_owned()),
        );
        let token = client
            .exchange_password(&username, &password)
            .request_async(&server.http)
            .await
            .unwrap();
        assert!(token.refresh_token().is_none());
        verified(&server, token.access_token().secret(), "https://a.example").await;
    }
}

#[tokio::test]
async fn the_body_is_a_form_and_nothing_else() {
    // S-19, S-20
    let server = Server::start().await;
    let (id, secret) = (server.admin().id, server.admin().secret.unwrap());
    let post = |content_type: Option<&'static str>, body: String| {
        let request = server
            .request(Method::POST, "/oauth2/token")
            .basic_auth(&id, Some(&secret))
            .body(body);
        Answer::of(match content_type {
            Some(content_type) => request.header("content-type", content_type),
            None => request,
        })
    };
    let good = "grant_type=client_credentials".to_owned();
    assert_eq!(
        post(
            Some("application/x-www-form-urlencoded; charset=UTF-8"),
            good.clone()
        )
        .await
        .status,
        200
    );
    post(
        Some("application/json"),
        r#"{"grant_type":"client_credentials"}"#.to_owned(),
    )
    .await
    .refused(400, "invalid_request");
    post(Some("text/plain"), good.clone())
        .await
        .refused(400, "invalid_request");
    post(None, good.clone())
        .await
        .refused(400, "invalid_request");
    post(
        Some("application/x-www-form-urlencoded"),
        format!("{good}&x={}", "a".repeat(70_000)),
    )
    .await
    .refused(413, "invalid_request");
    post(
        Some("application/x-www-form-urlencoded"),
        format!("{good}&{good}"),
    )
    .await
    .refused(400, "invalid_request");
    post(
        Some("application/x-www-form-urlencoded"),
        "grant_type=%ff".to_owned(),
    )
    .await
    .refused(400, "invalid_request");
    server
        .get("/oauth2/token")
        .await
        .refused(405, "invalid_request");
    let in_url = format!(
        "/oauth2/token?client_id={id}&client_secret={secret}&grant_type=client_credentials"
    );
    let request = server
        .request(Method::POST, &in_url)
        .form(&[("grant_type", "client_credentials")]);
    Answer::of(request).await.refused(400, "invalid_request");
}

#[tokio::test]
async fn every_error_of_the_rfc() {
    // RFC 6749 §5.2; S-27, S-31
    let server = Server::start().await;
    let client = server
        .client()
        .grant("client_credentials")
        .scope("a b")
        .audience("https://a.example")
        .register()
        .await;
    client.post(&[]).await.refused(400, "invalid_request");
    client
        .post(&[("grant_type", "")])
        .await
        .refused(400, "invalid_request");
    for unknown in ["implicit", "urn:x", "<script>"] {
        let answer = client.post(&[("grant_type", unknown)]).await;
        answer.refused(400, "unsupported_grant_type");
        assert!(
            !answer.text.contains(unknown),
            "no echo of input: {}",
            answer.text
        );
    }
    client
        .password("ada", "x", &[])
        .await
        .refused(400, "unauthorized_client");
    for scope in ["c", "a c", "users:read", "\"", "a\\b"] {
        client
            .client_credentials(&[("scope", scope)])
            .await
            .refused(400, "invalid_scope");
    }
    client
        .client_credentials(&[("resource", "https://b.example")])
        .await
        .refused(400, "invalid_target");
    let wrong = crate::support::TestClient {
        secret: Some("wrong".to_owned()),
        ..client.clone()
    };
    wrong
        .client_credentials(&[])
        .await
        .refused(401, "invalid_client");

    let both = server
        .client()
        .grant("client_credentials")
        .grant("password")
        .scope("a")
        .audience("https://a.example")
        .register()
        .await;
    both.post(&[("grant_type", "password"), ("username", "ada")])
        .await
        .refused(400, "invalid_request");
    both.post(&[("grant_type", "password"), ("password", "ada")])
        .await
        .refused(400, "invalid_request");
    both.password("nobody", "x", &[])
        .await
        .refused(400, "invalid_grant");
}

#[tokio::test]
async fn scopes_and_audiences_go_together() {
    // S-E4
    let server = Server::start().await;
    let api = format!("{}/api", server.url);
    let aud = async |answer: Answer, audience: &str| {
        verified(&server, &token_of(&answer), audience).await.1["scope"].clone()
    };

    // Doorward's own scopes mean its own API, and never share a token with another audience.
    let mixed = server
        .client()
        .grant("client_credentials")
        .scope("users:read stock:read")
        .audience("https://stock.example")
        .register()
        .await;
    mixed
        .client_credentials(&[])
        .await
        .refused(400, "invalid_scope");
    mixed
        .client_credentials(&[("scope", "users:read stock:read")])
        .await
        .refused(400, "invalid_scope");
    assert_eq!(
        aud(
            mixed.client_credentials(&[("scope", "users:read")]).await,
            &api
        )
        .await,
        "users:read"
    );
    assert_eq!(
        aud(
            mixed
                .client_credentials(&[("scope", "users:read"), ("resource", &api)])
                .await,
            &api
        )
        .await,
        "users:read"
    );
    assert_eq!(
        aud(
            mixed.client_credentials(&[("scope", "stock:read")]).await,
            "https://stock.example"
        )
        .await,
        "stock:read"
    );
    mixed
        .client_credentials(&[
            ("scope", "users:read"),
            ("resource", "https://stock.example"),
        ])
        .await
        .refused(400, "invalid_target");
    mixed
        .client_credentials(&[("scope", "stock:read"), ("resource", &api)])
        .await
        .refused(400, "invalid_target");

    // S-E4. Several audiences: one must be named, and only one.
    let several = server
        .client()
        .grant("client_credentials")
        .scope("s")
        .audience("https://a.example")
        .audience("https://b.example")
        .register()
        .await;
    several
        .client_credentials(&[])
        .await
        .refused(400, "invalid_target");
    assert_eq!(
        aud(
            several
                .client_credentials(&[("resource", "https://b.example")])
                .await,
            "https://b.example"
        )
        .await,
        "s"
    );
    several
        .client_credentials(&[
            ("resource", "https://a.example"),
            ("resource", "https://b.example"),
        ])
        .await
        .refused(400, "invalid_target");
    several
        .client_credentials(&[("resource", "https://a.example/")])
        .await
        .refused(400, "invalid_target");
    several
        .client_credentials(&[("resource", "https://a.example#x")])
        .await
        .refused(400, "invalid_target");

    // None: only openid has one.
    let none = server
        .client()
        .grant("client_credentials")
        .scope("s openid")
        .register()
        .await;
    none.client_credentials(&[("scope", "s")])
        .await
        .refused(400, "invalid_target");
    let userinfo = format!("{}/oauth2/userinfo", server.url);
    assert_eq!(
        aud(
            none.client_credentials(&[("scope", "openid")]).await,
            &userinfo
        )
        .await,
        "openid"
    );
}

#[tokio::test]
async fn the_password_grant_is_no_back_door() {
    // S-27
    let server = Server::start().await;
    server
        .user_with_password(
            json!({ "email": "ada@example.com", "username": "ada" }),
            PASSWORD,
        )
        .await;
    let client = server
        .client()
        .grant("password")
        .scope("notes users:read")
        .audience("https://notes.example")
        .register()
        .await;
    let answer = client.password("ADA@example.com", PASSWORD, &[]).await;
    let (_, claims) = verified(&server, &token_of(&answer), "https://notes.example").await;
    assert_eq!(
        claims["scope"], "notes",
        "those of the client's scopes that the person may have"
    );
    assert!(claims["auth_time"].is_i64());
    assert!(answer.json().get("refresh_token").is_none());
    assert_eq!(claims["client_id"], json!(client.id));
    assert!(
        uuid_like(claims["sub"].as_str().unwrap()),
        "S-28: a person's id is no client's"
    );
    token_of(&client.password("ada", PASSWORD, &[]).await);

    // Doorward's own scopes are for admins, and asked for in vain they are refused, not dropped.
    client
        .password("ada", PASSWORD, &[("scope", "users:read")])
        .await
        .refused(400, "invalid_scope");
    client
        .password("ada", "wrong password!!", &[])
        .await
        .refused(400, "invalid_grant");

    // Public clients can't have it, and what is not registered by the operator does not exist.
    let refused = server
        .cli(&[
            "client",
            "create",
            "--name",
            "x",
            "--grant",
            "password",
            "--auth-method",
            "none",
            "--json",
        ])
        .await;
    assert_ne!(refused.status, 0);
    assert!(
        refused.stdout.is_empty() && refused.stderr.contains("confidential"),
        "{}",
        refused.stderr
    );
    let refused = server
        .cli(&[
            "client", "create", "--name", "x", "--grant", "implicit", "--json",
        ])
        .await;
    assert!(
        refused.status != 0
            && refused.stderr.contains(
                "expected one of authorization_code, refresh_token, client_credentials, password"
            ),
        "{}",
        refused.stderr
    );
}

fn uuid_like(text: &str) -> bool {
    text.len() == 36 && text.split('-').count() == 5
}

#[tokio::test]
async fn the_password_grant_ends_when_the_operator_said() {
    // S-27
    let server = Server::start().await;
    server
        .user_with_password(json!({ "username": "ada" }), PASSWORD)
        .await;
    let until = (time::OffsetDateTime::now_utc() + time::Duration::days(30))
        .format(&time::format_description::well_known::Rfc3339)
        .unwrap();
    let client = server
        .client()
        .grant("password")
        .audience("https://a.example")
        .option("--password-until", &until)
        .register()
        .await;
    token_of(&client.password("ada", PASSWORD, &[]).await);
    let announced = async || {
        let metadata = server.get("/.well-known/openid-configuration").await.json();
        metadata["grant_types_supported"]
            .to_string()
            .contains("password")
    };
    assert!(announced().await);
    server.clock.advance(time::Duration::days(31));
    assert!(!announced().await, "nobody has it any more");
    client
        .password("ada", PASSWORD, &[])
        .await
        .refused(400, "unauthorized_client");
}

#[tokio::test]
async fn an_admin_takes_a_token_for_the_api() {
    let server = Server::start().await;
    let admin = server
        .user_with_password(json!({ "username": "root", "admin": true }), PASSWORD)
        .await;
    let client = server
        .client()
        .grant("password")
        .scope("users:read users:write")
        .register()
        .await;
    let token = token_of(&client.password("root", PASSWORD, &[]).await);
    let me = server
        .call(
            Method::GET,
            &format!("/api/v1/users/{}", admin["id"].as_str().unwrap()),
            &token,
            None,
        )
        .await;
    assert_eq!(
        (me.status, me.json()["username"].clone()),
        (200, json!("root"))
    );
}

#[tokio::test]
async fn lifetimes_are_the_clients() {
    let server = Server::start().await;
    let client = server
        .client()
        .machine()
        .option("--access-token-lifetime", "2m")
        .register()
        .await;
    assert_eq!(
        client.client_credentials(&[]).await.json()["expires_in"],
        120
    );
}
