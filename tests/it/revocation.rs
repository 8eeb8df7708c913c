//! Ending tokens before their time (RFC 7009).

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::support::leaving::Tokens;
use crate::support::sign_on::{Application, PASSWORD};
use crate::support::{Answer, Browser, Server, TestClient, eventually};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_revoked_access_token_is_refused_everywhere_within_a_second() {
    // S-142, S-143: by introspection, by userinfo and by the API, also on a replica that has just taken it.
    let server = Server::start().await;
    let replica = server.replica().await;
    let service = server.admin();
    let there = TestClient {
        server: &replica,
        ..service.clone()
    };
    let (token, kept) = (server.admin_token().await, server.admin_token().await);
    let status = async |token: &str| {
        replica
            .call(Method::GET, "/api/v1/users", token, None)
            .await
            .status
    };
    for _ in 0..3 {
        assert_eq!(status(&token).await, 200);
    }
    service.revoke(&token).await;
    assert_eq!(there.introspect(&token).await["active"], false);
    eventually(SECOND, "the API refuses it", async || {
        status(&token).await == 401
    })
    .await;
    assert_eq!(status(&kept).await, 200, "others are none the worse");
    assert_eq!(service.introspect(&kept).await["active"], true);
    service.revoke(&token).await;
    assert_eq!(status(&token).await, 401, "twice is as good as once");

    let shop = server
        .client()
        .grant("password")
        .scope("openid")
        .register()
        .await;
    server
        .user_with_password(json!({ "username": "ada" }), PASSWORD)
        .await;
    let token = shop.password("ada", PASSWORD, &[]).await.json()["access_token"].clone();
    let token = token.as_str().unwrap();
    let userinfo = async || {
        replica
            .call(Method::GET, "/oauth2/userinfo", token, None)
            .await
            .status
    };
    assert_eq!(userinfo().await, 200);
    shop.revoke(token).await;
    eventually(SECOND, "userinfo refuses it", async || {
        userinfo().await == 401
    })
    .await;
}

#[tokio::test]
async fn only_its_own_client_revokes_a_token() {
    // S-33, S-143
    let server = Server::start().await;
    let shop = server.client().grant("client_credentials").scope("x");
    let shop = shop.audience("https://billing.example").register().await;
    let billing = server
        .client()
        .option("--serves", "https://billing.example");
    let billing = billing.register().await;
    let public = server
        .client()
        .auth_method("none")
        .option("--serves", "urn:public");
    let public = public.register().await;
    let token = shop.token(&[]).await;
    // Neither another client, nor its audience, nor a public one; and nobody learns anything.
    for other in [&server.admin(), &billing, &public] {
        let form = [("token", token.as_str()), ("client_id", &other.id)];
        let answer = other.post_to("/oauth2/revoke", &form).await;
        assert_eq!((answer.status, answer.text.as_str()), (200, ""));
        assert_eq!(shop.introspect(&token).await["active"], true);
    }
    for nonsense in ["x", "x.y.z", &format!("{token}x")] {
        shop.revoke(nonsense).await;
    }
    let form = [("token", token.as_str()), ("client_id", &shop.id)];
    let unproven = server.request(Method::POST, "/oauth2/revoke").form(&form);
    Answer::of(unproven).await.refused(401, "invalid_client");
    let unnamed = server
        .request(Method::POST, "/oauth2/revoke")
        .form(&form[..1]);
    Answer::of(unnamed).await.refused(401, "invalid_client");
    shop.post_to("/oauth2/revoke", &[])
        .await
        .refused(400, "invalid_request");
    assert_eq!(shop.introspect(&token).await["active"], true);
    shop.revoke(&token).await;
    assert_eq!(shop.introspect(&token).await, json!({ "active": false }));
}

#[tokio::test]
async fn a_revocation_that_could_not_be_written_is_not_confirmed() {
    // S-144
    let (server, proxy) = Server::through_proxy().await;
    let service = server.admin();
    let token = server.admin_token().await;
    proxy.cut();
    let answer = service
        .post_to("/oauth2/revoke", &[("token", &token)])
        .await;
    answer.refused(503, "temporarily_unavailable");
    assert_ne!(answer.header("retry-after"), "");
    proxy.mend();
    eventually(SECOND * 5, "the database is back", async || {
        service
            .post_to("/oauth2/introspect", &[("token", &token)])
            .await
            .status
            == 200
    })
    .await;
    assert_eq!(service.introspect(&token).await["active"], true);
    service.revoke(&token).await;
    assert_eq!(service.introspect(&token).await["active"], false);
}

#[tokio::test]
async fn what_was_revoked_is_remembered_until_it_has_expired_and_recorded() {
    let server = Server::start().await;
    let service = server.admin();
    let token = server.admin_token().await;
    service.revoke(&token).await;
    let mut tables = server.tables().await;
    let (by, target): (String, String) =
        sqlx::query_as("select actor_id, target_id from audit where action = 'token.revoked'")
            .fetch_one(&mut tables)
            .await
            .unwrap();
    assert_eq!((by, target), (service.id.clone(), service.id));
    let left: bool = sqlx::query_scalar("select expires_at > to_timestamp($1) from revoked_token")
        .bind(f64::from(600))
        .fetch_one(&mut tables)
        .await
        .unwrap();
    assert!(left);
}

#[tokio::test]
async fn a_revoked_refresh_token_ends_its_family_and_its_access_tokens() {
    // S-143, S-145: also for a public client, which names itself.
    let server = Server::with_ada().await;
    let replica = server.replica().await;
    let other = server.application().application().await;
    for method in ["client_secret_basic", "none"] {
        let shop = server.application().auth_method(method).application().await;
        let mut browser = Browser::new(&server);
        let first = shop.log_in(&mut browser, "openid", "ada", PASSWORD).await;
        let second = Tokens::of(&shop.refresh(&first.refresh).await);
        let revoke = async |client: &Application<'_>, token: &str| {
            let form = [("token", token), ("client_id", &client.client.id)];
            let answer = client.client.post_to("/oauth2/revoke", &form).await;
            assert_eq!((answer.status, answer.text.as_str()), (200, ""));
        };
        let live = async |token: &str| {
            let answer = replica.call(Method::GET, "/oauth2/userinfo", token, None);
            answer.await.status == 200
        };
        revoke(&other, &second.refresh).await;
        revoke(&other, &second.access).await;
        assert!(live(&first.access).await && live(&second.access).await);
        revoke(&shop, &second.refresh).await;
        assert!(!live(&first.access).await && !live(&second.access).await);
        shop.refresh(&second.refresh)
            .await
            .refused(400, "invalid_grant");
        // An access token ends what it came with.
        let third = shop.log_in(&mut browser, "openid", "ada", PASSWORD).await;
        revoke(&shop, &third.access).await;
        assert!(!live(&third.access).await);
        shop.refresh(&third.refresh)
            .await
            .refused(400, "invalid_grant");
    }
}
