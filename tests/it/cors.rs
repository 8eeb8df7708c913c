//! Pages of other origins: what they may ask, and which answers they may read.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::sign_on::{Application, CALLBACK};
use crate::support::{Answer, Server, eventually};

const PAGE: &str = "https://shop.example";
const EVIL: &str = "https://evil.example";
const ALLOW: &str = "access-control-allow-origin";

async fn from(server: &Server, method: Method, path: &str, origin: &str) -> Answer {
    let request = server.request(method, path).header("origin", origin);
    Answer::of(request).await
}

/// Asks as a browser does before a request with an `Authorization` header.
async fn preflight(server: &Server, path: &str, origin: &str) -> Answer {
    let request = server.request(Method::OPTIONS, path);
    let request = request.header("access-control-request-method", "POST");
    let request = request.header("access-control-request-headers", "authorization");
    Answer::of(request.header("origin", origin)).await
}

/// Whose pages may read an answer; never with cookies.
fn reader(answer: &Answer) -> &str {
    assert_eq!(answer.header("access-control-allow-credentials"), "");
    answer.header(ALLOW)
}

async fn public<'a>(server: &'a Server, origins: &[&str]) -> Application<'a> {
    let client = server
        .application()
        .auth_method("none")
        .flag("--first-party");
    let client = origins.iter().fold(client, |client, origin| {
        client.option("--cors-origin", origin)
    });
    client.application().await
}

#[tokio::test]
async fn what_is_the_same_for_everybody_everybody_may_read() {
    // S-87
    let server = Server::start().await;
    for path in [
        "/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server",
        "/.well-known/jwks.json",
    ] {
        for origin in [PAGE, EVIL, "null"] {
            let answer = from(&server, Method::GET, path, origin).await;
            assert_eq!(reader(&answer), "*", "{path}");
            assert_eq!(
                answer.header("cross-origin-resource-policy"),
                "cross-origin"
            );
        }
        assert_eq!(reader(&server.get(path).await), "*", "fixed");
    }
    for path in ["/openapi.json", "/healthz", "/login", "/api/v1/users"] {
        assert_eq!(
            reader(&from(&server, Method::GET, path, EVIL).await),
            "",
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_clients_own_pages_read_what_it_is_answered() {
    // S-87
    let server = Server::with_ada().await;
    let shop = public(&server, &[PAGE, "http://localhost:3000"]).await;
    let other = public(&server, &["https://other.example"]).await;
    let tokens = shop.tokens(&[]).await;
    let access = tokens["access_token"].as_str().unwrap();
    for (origin, own) in [
        (PAGE, true),
        ("http://localhost:3000", true),
        // Registered by another client: its pages may ask, and read nothing of this one's.
        ("https://other.example", false),
        (EVIL, false),
        ("null", false),
        ("https://shop.example/", false),
        ("https://SHOP.example", false),
        ("http://shop.example", false),
        ("https://shop.example:444", false),
        ("https://shop.example.evil.example", false),
    ] {
        let expected = if own { origin } else { "" };
        let post = async |path: &str, form: &[(&str, &str)]| {
            let request = server.request(Method::POST, path).form(form);
            Answer::of(request.header("origin", origin)).await
        };
        let id = shop.client.id.as_str();
        // A refusal is the client's to read too.
        let refused = [
            ("grant_type", "refresh_token"),
            ("refresh_token", "x"),
            ("client_id", id),
        ];
        let answer = post("/oauth2/token", &refused).await;
        answer.refused(400, "invalid_grant");
        assert_eq!(reader(&answer), expected, "{origin}");
        assert_eq!(answer.header("vary"), "origin", "{origin}");
        let revoked = [("token", "x"), ("client_id", id)];
        let answer = post("/oauth2/revoke", &revoked).await;
        assert_eq!((answer.status, reader(&answer)), (200, expected));
        let request = server.request(Method::GET, "/oauth2/userinfo");
        let request = request.bearer_auth(access).header("origin", origin);
        let answer = Answer::of(request).await;
        assert_eq!((answer.status, reader(&answer)), (200, expected));
        let answer = post("/oauth2/userinfo", &[("access_token", access)]).await;
        assert_eq!((answer.status, reader(&answer)), (200, expected));
        // Whoever is not proven is nobody: an unknown client, a token that does not count.
        let unknown = [("grant_type", "refresh_token"), ("client_id", "c_unknown")];
        assert_eq!(reader(&post("/oauth2/token", &unknown).await), "");
        let forged = format!("{access}x");
        let answer = post("/oauth2/userinfo", &[("access_token", &forged)]).await;
        assert_eq!((answer.status, reader(&answer)), (401, ""));
        // Introspection is no business of pages.
        assert_eq!(reader(&post("/oauth2/introspect", &revoked).await), "");
    }
    assert_ne!(other.client.id, shop.client.id);
    let without = server.get("/oauth2/userinfo").await;
    assert_eq!(reader(&without), "");
}

#[tokio::test]
async fn pages_that_nobody_registered_send_nothing() {
    // S-87
    let server = Server::start().await;
    let shop = public(&server, &[PAGE]).await;
    for path in ["/oauth2/token", "/oauth2/revoke", "/oauth2/userinfo"] {
        let answer = preflight(&server, path, PAGE).await;
        assert_eq!((answer.status, reader(&answer)), (204, PAGE), "{path}");
        let headers = answer.header("access-control-allow-headers");
        assert_eq!(headers, "authorization, content-type");
        assert_eq!(answer.header("access-control-allow-methods"), "GET, POST");
        for origin in [EVIL, "null", "*", ""] {
            let answer = preflight(&server, path, origin).await;
            assert_eq!(reader(&answer), "", "{path} {origin}");
        }
    }
    for path in ["/oauth2/introspect", "/api/v1/users", "/oauth2/register"] {
        assert_eq!(reader(&preflight(&server, path, PAGE).await), "", "{path}");
    }
    // What is taken from the registration is taken from its pages.
    let admin = server.admin_token().await;
    let path = format!("/api/v1/clients/{}", shop.client.id);
    let none = Some(json!({ "cors_origins": [] }));
    let answer = server.call(Method::PATCH, &path, &admin, none).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let soon = std::time::Duration::from_secs(10);
    eventually(soon, "it is heard of", async || {
        reader(&preflight(&server, "/oauth2/token", PAGE).await).is_empty()
    })
    .await;
}

#[tokio::test]
async fn only_public_clients_have_pages_of_their_own() {
    // S-87: one list of rules for every way in.
    let server = Server::start().await;
    let admin = server.admin_token().await;
    let make = async |change: Value| {
        let mut client = json!({
            "client_name": "shop", "token_endpoint_auth_method": "none", "grant_types": ["authorization_code"],
            "redirect_uris": [CALLBACK], "cors_origins": [PAGE],
        });
        let members = client.as_object_mut().unwrap();
        members.extend(change.as_object().unwrap().clone());
        server
            .call(Method::POST, "/api/v1/clients", &admin, Some(client))
            .await
    };
    let made = make(json!({})).await;
    assert_eq!(
        (made.status, &made.json()["cors_origins"]),
        (201, &json!([PAGE])),
        "{}",
        made.text
    );
    let many: Vec<String> = (0..21).map(|n| format!("https://{n}.example")).collect();
    for bad in [
        json!({ "token_endpoint_auth_method": "client_secret_basic" }),
        json!({ "cors_origins": ["*"] }),
        json!({ "cors_origins": ["null"] }),
        json!({ "cors_origins": ["https://shop.example/"] }),
        json!({ "cors_origins": ["http://shop.example"] }),
        json!({ "cors_origins": many }),
    ] {
        let answer = make(bad.clone()).await;
        assert_eq!(answer.status, 422, "{bad}");
        assert!(
            answer.text.contains("cors_origins"),
            "{bad} {}",
            answer.text
        );
    }
    let refused = server
        .cli(&[
            "client",
            "create",
            "--name",
            "shop",
            "--grant",
            "client_credentials",
            "--cors-origin",
            PAGE,
        ])
        .await;
    assert_ne!(refused.status, 0);
    assert!(
        refused.stderr.contains("cors_origins"),
        "{}",
        refused.stderr
    );
}
