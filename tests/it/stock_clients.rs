//! Clients that others wrote log people in, refresh and log out: `openidconnect` (Rust) and `openid-client` (Node).

use std::path::Path;
use std::process::Stdio;

use openidconnect::core::{CoreAuthenticationFlow, CoreClient, CoreUserInfoClaims};
use openidconnect::reqwest::{ClientBuilder, redirect};
use openidconnect::{
    AccessTokenHash, AuthorizationCode, ClientId, ClientSecret, CsrfToken, IssuerUrl,
    LogoutRequest, Nonce, OAuth2TokenResponse, PkceCodeChallenge, PostLogoutRedirectUrl,
    ProviderMetadataWithLogout, RedirectUrl, Scope, TokenResponse,
};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{ChildStdout, Command};
use url::Url;

use crate::support::sign_on::{Application, PASSWORD};
use crate::support::{Browser, Server};

const AFTER: &str = "https://shop.example/bye";

async fn server() -> (Server, String) {
    let server = Server::start().await;
    let ada = json!({ "email": "ada@example.com", "email_verified": true });
    let ada = server.user_with_password(ada, PASSWORD).await;
    (server, ada["id"].as_str().unwrap().to_owned())
}

/// Asked for consent like anybody's application.
async fn shop(server: &Server) -> Application<'_> {
    let shop = server.application();
    shop.option("--post-logout-redirect-uri", AFTER)
        .application()
        .await
}

/// Where the browser is sent from here, after Ada has signed in and said yes.
async fn walk(browser: &mut Browser<'_>, url: &str) -> String {
    let path = url.strip_prefix(&browser.server.url).unwrap().to_owned();
    browser.arrive(&path, "ada@example.com", PASSWORD).await
}

#[tokio::test]
async fn openidconnect_logs_a_user_in_refreshes_and_logs_out() {
    let (server, ada) = server().await;
    let shop = shop(&server).await;
    let http = ClientBuilder::new()
        .redirect(redirect::Policy::none())
        .build()
        .unwrap();
    let issuer = IssuerUrl::new(server.url.clone()).unwrap();
    let metadata = ProviderMetadataWithLogout::discover_async(issuer, &http)
        .await
        .unwrap();
    let end_session = metadata
        .additional_metadata()
        .end_session_endpoint
        .clone()
        .unwrap();
    let client = CoreClient::from_provider_metadata(
        metadata,
        ClientId::new(shop.client.id.clone()),
        shop.client.secret.clone().map(ClientSecret::new),
    )
    .set_redirect_uri(RedirectUrl::new(shop.redirect_uri.clone()).unwrap());

    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let (url, state, nonce) = client
        .authorize_url(
            CoreAuthenticationFlow::AuthorizationCode,
            CsrfToken::new_random,
            Nonce::new_random,
        )
        .add_scope(Scope::new("email".to_owned()))
        .set_pkce_challenge(challenge)
        .url();
    let mut browser = Browser::new(&server);
    let back: Url = walk(&mut browser, url.as_str()).await.parse().unwrap();
    let told = |name: &str| {
        back.query_pairs()
            .find(|(n, _)| n == name)
            .unwrap()
            .1
            .into_owned()
    };
    assert_eq!(
        (&told("state"), &told("iss")),
        (state.secret(), &server.url)
    );

    let code = AuthorizationCode::new(told("code"));
    let request = client
        .exchange_code(code)
        .unwrap()
        .set_pkce_verifier(verifier);
    let first = request.request_async(&http).await.unwrap();
    let id_token = first.id_token().unwrap();
    let check = client.id_token_verifier();
    let claims = id_token.claims(&check, &nonce).unwrap();
    assert_eq!(claims.subject().as_str(), ada);
    let alg = id_token.signing_alg().unwrap();
    let key = id_token.signing_key(&check).unwrap();
    let hash = AccessTokenHash::from_token(first.access_token(), alg, key).unwrap();
    assert_eq!(claims.access_token_hash(), Some(&hash));
    let asked = client.user_info(first.access_token().clone(), Some(claims.subject().clone()));
    let person: CoreUserInfoClaims = asked.unwrap().request_async(&http).await.unwrap();
    assert_eq!(person.email().unwrap().as_str(), "ada@example.com");

    let refresh = first.refresh_token().unwrap();
    let request = client.exchange_refresh_token(refresh).unwrap();
    let second = request.request_async(&http).await.unwrap();
    assert_ne!(second.refresh_token().unwrap().secret(), refresh.secret());

    let url = LogoutRequest::from(end_session)
        .set_id_token_hint(id_token)
        .set_post_logout_redirect_uri(PostLogoutRedirectUrl::new(AFTER.to_owned()).unwrap())
        .set_state(CsrfToken::new("bye".to_owned()))
        .http_get_url();
    assert_eq!(
        walk(&mut browser, url.as_str()).await,
        format!("{AFTER}?state=bye")
    );
    assert_eq!(browser.account().await, 303);
    let request = client
        .exchange_refresh_token(second.refresh_token().unwrap())
        .unwrap();
    assert!(request.request_async(&http).await.is_err());
}

async fn step(lines: &mut Lines<BufReader<ChildStdout>>) -> Value {
    let line = lines
        .next_line()
        .await
        .unwrap()
        .expect("openid-client goes on");
    serde_json::from_str(&line).unwrap()
}

#[tokio::test]
async fn openid_client_logs_a_user_in_refreshes_and_logs_out() {
    let (server, ada) = server().await;
    let shop = shop(&server).await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/node");
    if !folder.join("node_modules").exists() {
        // `make test` has done it by now.
        let mut npm = Command::new("npm");
        npm.args(["ci", "--silent"]).current_dir(&folder);
        assert!(npm.status().await.expect("npm is installed").success());
    }
    let mut node = Command::new("node")
        .arg("client.mjs")
        .current_dir(folder)
        .env("ISSUER", &server.url)
        .env("CLIENT_ID", &shop.client.id)
        .env("CLIENT_SECRET", shop.client.secret.as_ref().unwrap())
        .env("REDIRECT_URI", &shop.redirect_uri)
        .env("AFTERWARDS", AFTER)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("node is installed");
    let mut lines = BufReader::new(node.stdout.take().unwrap()).lines();
    let mut answers = node.stdin.take().unwrap();
    let mut browser = Browser::new(&server);

    let begin = step(&mut lines).await;
    let back = walk(&mut browser, begin["go_to"].as_str().unwrap()).await;
    answers
        .write_all(format!("{back}\n").as_bytes())
        .await
        .unwrap();
    let first = step(&mut lines).await;
    assert_eq!(
        (&first["claims"]["sub"], &first["person"]["sub"]),
        (&json!(ada), &json!(ada))
    );
    assert_eq!(first["person"]["email"], "ada@example.com");
    assert_eq!(first["introspected"]["active"], true);
    let second = step(&mut lines).await;
    assert_eq!(second["rotated"], true);
    assert_eq!(
        (&second["claims"]["sub"], &second["person"]["sub"]),
        (&json!(ada), &json!(ada))
    );

    let leave = step(&mut lines).await;
    let back = walk(&mut browser, leave["go_to"].as_str().unwrap()).await;
    assert_eq!(back, format!("{AFTER}?state=bye"));
    answers
        .write_all(format!("{back}\n").as_bytes())
        .await
        .unwrap();
    let last = step(&mut lines).await;
    assert_eq!(
        (&last["refused"], &last["introspected"]),
        (&json!("invalid_grant"), &json!({ "active": false }))
    );
    assert_eq!(browser.account().await, 303);
    drop(answers);
    assert!(node.wait().await.unwrap().success());
}
