//! Discovery: computed from what is switched on, and true.

use doorward::router::table;
use serde_json::json;

use crate::support::{Answer, Server, eventually};

const DOCUMENTS: [&str; 2] = [
    "/.well-known/openid-configuration",
    "/.well-known/oauth-authorization-server",
];

#[tokio::test]
async fn both_documents_agree_and_are_true() {
    // S-130, S-131
    let server = Server::start().await;
    let (first, second) = (
        server.get(DOCUMENTS[0]).await,
        server.get(DOCUMENTS[1]).await,
    );
    assert_eq!(first.text, second.text);
    assert_eq!(
        (first.header("content-type"), first.header("cache-control")),
        ("application/json", "public, max-age=300")
    );
    let body = first.json();
    assert_eq!(body["issuer"], json!(server.url));
    insta::assert_json_snapshot!("metadata", body, {
        ".issuer" => "[issuer]", ".authorization_endpoint" => "[issuer]/oauth2/authorize", ".token_endpoint" => "[issuer]/oauth2/token", ".jwks_uri" => "[issuer]/.well-known/jwks.json",
        ".introspection_endpoint" => "[issuer]/oauth2/introspect", ".revocation_endpoint" => "[issuer]/oauth2/revoke",
        ".end_session_endpoint" => "[issuer]/oauth2/logout", ".userinfo_endpoint" => "[issuer]/oauth2/userinfo", ".service_documentation" => "[issuer]/docs/errors"
    });
    // Every address in it is a route of the program.
    for (name, value) in body.as_object().unwrap() {
        let Some(path) = value
            .as_str()
            .and_then(|v| v.strip_prefix(&server.url))
            .filter(|p| !p.is_empty())
        else {
            continue;
        };
        assert!(
            table().iter().any(|route| route.path == path),
            "{name}: {path}"
        );
    }
    let known = Answer::of(
        server
            .request(reqwest::Method::GET, DOCUMENTS[0])
            .header("if-none-match", first.header("etag")),
    )
    .await;
    assert_eq!(known.status, 304);
}

#[tokio::test]
async fn the_host_header_has_no_effect() {
    // S-131
    let server = Server::start().await;
    for document in DOCUMENTS {
        let request = server
            .request(reqwest::Method::GET, document)
            .header("host", "evil.example")
            .header("x-forwarded-host", "evil.example")
            .header("forwarded", "host=evil.example");
        let answer = Answer::of(request).await;
        assert!(!answer.text.contains("evil"), "{}", answer.text);
    }
}

#[tokio::test]
async fn the_password_grant_shows_only_while_a_client_has_it() {
    // S-27
    let server = Server::start().await;
    let shown = async || {
        server.get(DOCUMENTS[0]).await.json()["grant_types_supported"]
            .as_array()
            .unwrap()
            .contains(&json!("password"))
    };
    assert!(!shown().await);
    let client = server
        .client()
        .grant("password")
        .audience("https://a.example")
        .register()
        .await;
    eventually(std::time::Duration::from_secs(1), "shown", shown).await;
    assert_eq!(
        server.cli(&["client", "delete", &client.id]).await.status,
        0
    );
    eventually(std::time::Duration::from_secs(1), "gone", async || {
        !shown().await
    })
    .await;
}
