//! Two servers on one database: what is ended on one is refused by the other within a second.

use std::time::Duration;

use reqwest::Method;
use rustix::process::Signal;
use serde_json::json;
use sqlx::{Connection, Executor};

use crate::support::cluster::CLUSTER;
use crate::support::leaving::Tokens;
use crate::support::process::Home;
use crate::support::sign_on::{PASSWORD, query};
use crate::support::{Browser, Server, TestClient, csrf, eventually};

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
    let client = one.client().machine().register().await;
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

/// S-142: whatever ends what somebody's sign-in gave, another replica refuses it within a second, by userinfo and by introspection.
#[tokio::test]
async fn whatever_ends_a_grant_on_one_ends_it_on_the_other() {
    let one = Server::start().await;
    let other = one.replica().await;
    let admin = one.admin_token().await;
    for how in [
        "disabled",
        "deleted",
        "password set",
        "password changed",
        "password demanded",
        "made an admin",
        "signed out",
        "session ended",
        "signed in anew",
        "consent withdrawn",
        "refresh token revoked",
        "access token revoked",
        "code replayed",
        "client deleted",
    ] {
        let shop = one.application().application().await;
        let name = how.replace(' ', "-");
        let person = one
            .user_with_password(json!({ "username": name }), PASSWORD)
            .await;
        let path = format!("/api/v1/users/{}", person["id"].as_str().unwrap());
        let mut browser = Browser::new(&one);
        let request = shop.authorize(&[]);
        let back = browser.arrive(&request, &name, PASSWORD).await;
        let code = query(&back)["code"].as_str().unwrap().to_owned();
        let tokens = Tokens::of(&shop.redeem(&code).await);
        let there = TestClient {
            server: &other,
            ..shop.client.clone()
        };
        let informs = async || {
            let answer = other.call(Method::GET, "/oauth2/userinfo", &tokens.access, None);
            answer.await.status == 200
        };
        let counts = async |token: &str| {
            let form = [("token", token)];
            let answer = there.post_to("/oauth2/introspect", &form).await;
            answer.status == 200 && answer.json()["active"] == true
        };
        // Asked again and again, so that whatever may be remembered is.
        for _ in 0..3 {
            assert!(informs().await && counts(&tokens.access).await, "{how}");
            assert!(counts(&tokens.refresh).await, "{how}");
        }
        let api = async |method, path: &str, body| {
            let answer = one.call(method, path, &admin, body).await;
            assert!(
                [200, 204].contains(&answer.status),
                "{how}: {}",
                answer.text
            );
        };
        let patch = async |body| api(Method::PATCH, &path, Some(body)).await;
        match how {
            "disabled" => patch(json!({ "status": "disabled" })).await,
            "made an admin" => patch(json!({ "admin": true })).await,
            "deleted" => api(Method::DELETE, &path, None).await,
            "password set" => {
                let body = json!({ "password": "other rivers 78" });
                api(Method::PUT, &format!("{path}/password"), Some(body)).await;
            }
            "password demanded" => {
                api(
                    Method::POST,
                    &format!("{path}/require-password-change"),
                    None,
                )
                .await;
            }
            "client deleted" => {
                api(
                    Method::DELETE,
                    &format!("/api/v1/clients/{}", shop.client.id),
                    None,
                )
                .await;
            }
            "refresh token revoked" => shop.client.revoke(&tokens.refresh).await,
            "access token revoked" => shop.client.revoke(&tokens.access).await,
            "code replayed" => {
                shop.redeem(&code).await.refused(400, "invalid_grant");
            }
            "signed in anew" => {
                // Somebody else signs in over the session.
                let path = shop.authorize(&[("prompt", "login")]);
                let neighbour = format!("{name}-neighbour");
                one.user_with_password(json!({ "username": neighbour }), PASSWORD)
                    .await;
                browser.arrive(&path, &neighbour, PASSWORD).await;
            }
            "session ended" => {
                let mut second = Browser::new(&one);
                second.sign_in(&name, PASSWORD).await;
                let session = tokens.claim("sid");
                let session = session.as_str().unwrap();
                form(
                    &mut second,
                    "/account/sessions/end",
                    &[("session", session)],
                )
                .await;
            }
            "signed out" => form(&mut browser, "/logout", &[]).await,
            "consent withdrawn" => {
                let client = [("client_id", shop.client.id.as_str())];
                form(&mut browser, "/account/applications/remove", &client).await;
            }
            "password changed" => {
                let passwords = [
                    ("password", PASSWORD),
                    ("new_password", "quiet harbours 12"),
                ];
                form(&mut browser, "/account/password", &passwords).await;
            }
            _ => unreachable!("{how}"),
        }
        eventually(SECOND, how, async || {
            !informs().await && !counts(&tokens.access).await && !counts(&tokens.refresh).await
        })
        .await;
    }
}

/// Sends a form of a person's own pages.
async fn form(browser: &mut Browser<'_>, path: &str, fields: &[(&str, &str)]) {
    let token = csrf(&browser.get("/account/password").await);
    let fields = [&[("csrf", token.as_str())], fields].concat();
    let answer = browser.post(path, &fields).await;
    assert_eq!(answer.status, 303, "{path}: {}", answer.text);
}

#[tokio::test]
async fn a_migration_waits_without_keeping_anybody_waiting() {
    let server = Server::start().await;
    let mut tables = server.tables().await;
    // As if one had not been run.
    tables
        .execute("delete from _sqlx_migrations where version = 120; alter table event add constraint event_type_check check (true)")
        .await
        .unwrap();
    let mut dump = server.tables().await;
    let mut dump = dump.begin().await.unwrap();
    dump.execute("lock table event in access share mode")
        .await
        .unwrap();

    // A start that waits can be stopped.
    let home = Home::new("migration");
    let mut command = home.command(&["serve"]);
    command
        .env("DATABASE_URL", server.database.url())
        .env("DOORWARD_KEYS_DIR", &CLUSTER.keys_dir);
    let mut start = home.start(command);
    server.until_somebody_waits().await;
    start.signal(Signal::TERM);
    let ended = start.ended(10 * SECOND).await;
    assert!(ended.success(), "{}", start.said());
    // What it asked PostgreSQL for is still waited for, until it has waited long enough.
    server.until_nobody_waits().await;

    let migrated = async {
        let migrated = server.cli(&["migrate"]).await;
        assert_eq!(migrated.status, 0, "{}", migrated.stderr);
    };
    let meanwhile = async {
        server.until_somebody_waits().await;
        // It writes an event, so it stands behind the migration, until that gives up for now.
        server.user(json!({ "username": "ada" })).await;
        dump.rollback().await.unwrap();
    };
    tokio::join!(migrated, meanwhile);
    let ran = "select exists (select from _sqlx_migrations where version = 120)";
    let mut tables = server.tables().await;
    assert!(
        sqlx::query_scalar::<_, bool>(ran)
            .fetch_one(&mut tables)
            .await
            .unwrap()
    );
}
