//! Sessions that an admin ends: one person's, and everybody's.

use std::collections::BTreeSet;
use std::time::Duration;

use doorward::kernel::clock::Clock;
use reqwest::Method;
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;

use crate::support::leaving::{Sink, Tokens};
use crate::support::sign_on::{Application, PASSWORD, claims};
use crate::support::{Answer, Browser, Described, Server, eventually};

const SECOND: Duration = Duration::from_secs(1);
const SOON: Duration = Duration::from_secs(10);

/// A server that may speak to this machine, and people.
async fn server() -> Server {
    let server = Server::with(|config| {
        config.fetch.allowed_networks = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    for username in ["ada", "eve"] {
        let fields = json!({ "username": username, "email": format!("{username}@example.com") });
        server.user_with_password(fields, PASSWORD).await;
    }
    server
}

async fn replica(server: &Server) -> Server {
    let (database, clock) = (server.database.clone(), server.clock.clone());
    Server::on(database, clock, Some(&server.url), None, |config| {
        config.fetch.allowed_networks = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await
}

async fn told_at<'a>(server: &'a Server, name: &str, sink: &Sink) -> Application<'a> {
    let builder = server.application().named(name).flag("--first-party");
    let builder = builder.option("--backchannel-logout-uri", &sink.url());
    builder.application().await
}

fn now(server: &Server) -> String {
    server.clock.now().format(&Rfc3339).unwrap()
}

async fn order(server: &Server, token: &str, until: &str) -> Answer {
    let path = format!("/api/v1/sessions?begun_until={until}");
    server.call(Method::DELETE, &path, token, None).await
}

/// The sessions that an application was told of.
fn told(sink: &Sink) -> BTreeSet<String> {
    let tokens = sink.tokens();
    let sids = tokens.iter().map(|token| claims(token)["sid"].clone());
    sids.map(|sid| sid.as_str().unwrap().to_owned()).collect()
}

fn sids(of: &[&Tokens]) -> BTreeSet<String> {
    let sid = |tokens: &&Tokens| tokens.claim("sid").as_str().unwrap().to_owned();
    of.iter().map(sid).collect()
}

/// More of the session that is there than one transaction ends.
async fn crowd(server: &Server, sessions: i32) {
    let mut tables = server.tables().await;
    sqlx::query(
        "insert into session (id_hash, public_id, user_id, data, idle_seconds, created_at, last_seen_at, expires_at)
         select sha256(n::text::bytea), gen_random_uuid(), user_id, data, idle_seconds, created_at, last_seen_at, expires_at
           from (select * from session limit 1) as one, generate_series(1, $1) as n",
    )
    .bind(sessions)
    .execute(&mut tables)
    .await
    .unwrap();
}

async fn recorded(server: &Server, action: &str) -> Vec<(String, String)> {
    let mut tables = server.tables().await;
    sqlx::query_as("select actor_kind, target_kind from audit where action = $1 order by id")
        .bind(action)
        .fetch_all(&mut tables)
        .await
        .unwrap()
}

#[tokio::test]
async fn everybody_is_out_by_one_order_on_every_replica() {
    // S-78
    let server = server().await;
    let other = replica(&server).await;
    let (at_shop, at_wiki) = (Sink::start().await, Sink::start().await);
    let shop = told_at(&server, "shop", &at_shop).await;
    let wiki = told_at(&server, "wiki", &at_wiki).await;
    // A session whose record is gone while its application goes on.
    let mut closed = Browser::new(&server);
    let idle = shop.log_in(&mut closed, "openid", "eve", PASSWORD).await;
    server.clock.advance(time::Duration::hours(2));
    server.sweep().await;
    let idle_now = Tokens::of(&shop.refresh(&idle.refresh).await);
    let (mut here, mut there) = (Browser::new(&server), Browser::new(&other));
    let adas = shop.log_in(&mut here, "openid", "ada", PASSWORD).await;
    let offline = wiki
        .log_in(&mut here, "openid offline_access", "ada", PASSWORD)
        .await;
    let eves = wiki
        .at(&other)
        .log_in(&mut there, "openid", "eve", PASSWORD)
        .await;
    crowd(&server, 250).await;

    let admin = server.admin_token().await;
    for scope in ["users:read", "users:write", "clients:write"] {
        let narrow = server.token(scope).await;
        let refused = order(&server, &narrow, &now(&server)).await;
        refused.problem(403, "forbidden");
    }
    for wrong in ["", "?begun_until=yesterday", "?begun_until=", "?x=1"] {
        let path = format!("/api/v1/sessions{wrong}");
        let answer = server.call(Method::DELETE, &path, &admin, None).await;
        answer.problem(400, "invalid-query");
    }
    for browser in [&here, &there] {
        assert_eq!(browser.at(&server).account().await, 200, "nothing happened");
    }

    let until = now(&server);
    let done = order(&server, &admin, &until).await;
    assert_eq!(done.status, 200, "{}", done.text);
    assert_eq!(done.json(), json!({ "ended": 253, "left": false }));
    Described::by(&server)
        .await
        .holds("EndedSessions", &done.json());
    for (browser, name) in [(&here, "ada"), (&there, "eve")] {
        for server in [&server, &other] {
            let mut browser = browser.at(server);
            eventually(SECOND, name, async || browser.account().await == 303).await;
        }
    }
    for (application, tokens) in [(&shop, &idle_now), (&shop, &adas), (&wiki, &eves)] {
        let introspected = application.client.introspect(&tokens.access).await;
        assert_eq!(introspected, json!({ "active": false }));
        for server in [&server, &other] {
            let refused = application.at(server).refresh(&tokens.refresh).await;
            refused.refused(400, "invalid_grant");
        }
    }
    assert_eq!(wiki.refresh(&offline.refresh).await.status, 200);
    let (shops, wikis) = (sids(&[&idle, &adas]), sids(&[&offline, &eves]));
    eventually(SOON, "the shop is told", async || told(&at_shop) == shops).await;
    eventually(SOON, "the wiki is told", async || told(&at_wiki) == wikis).await;

    // Who comes back stays, though the order is sent again.
    let again = wiki.log_in(&mut here, "openid", "ada", PASSWORD).await;
    let done = order(&other, &admin, &until).await;
    assert_eq!(done.json(), json!({ "ended": 0, "left": false }));
    assert_eq!(here.account().await, 200);
    assert_eq!(wiki.refresh(&again.refresh).await.status, 200);
    let orders = recorded(&server, "session.everybodys_ended").await;
    assert_eq!(orders, vec![("client".into(), "everybody".into()); 2]);
    let ended = recorded(&server, "session.ended").await;
    assert_eq!(ended, vec![("client".into(), "user".into()); 253]);
    // A time still to come is now.
    let late = order(&server, &admin, "2999-01-01T00:00:00Z").await;
    assert_eq!(late.json()["ended"], 1);
    assert_eq!(here.account().await, 303);
    other.stop().await;
}

#[tokio::test]
async fn one_person_is_out_and_nobody_else() {
    // S-78
    let server = server().await;
    let sink = Sink::start().await;
    let shop = told_at(&server, "shop", &sink).await;
    let (mut ada, mut eve) = (Browser::new(&server), Browser::new(&server));
    let adas = shop
        .log_in(&mut ada, "openid offline_access", "ada", PASSWORD)
        .await;
    let eves = shop.log_in(&mut eve, "openid", "eve", PASSWORD).await;
    let path = async |username: &str| format!("{}/sessions", server.path_of(username).await);
    let end = async |path: &str, token: &str| server.call(Method::DELETE, path, token, None).await;
    let (writer, admin) = (
        server.token("users:write").await,
        server.admin_token().await,
    );
    let reader = server.token("users:read").await;
    end(&path("ada").await, &reader)
        .await
        .problem(403, "forbidden");
    let nobody = "/api/v1/users/01900000-0000-7000-8000-000000000000/sessions";
    end(nobody, &writer).await.problem(404, "not-found");
    let boss = json!({ "username": "boss", "admin": true });
    server.user_with_password(boss, PASSWORD).await;
    end(&path("boss").await, &writer)
        .await
        .problem(403, "forbidden");
    assert_eq!(ada.account().await, 200, "nothing happened");
    let script = server.client().grant("password").scope("openid");
    let script = script.register().await;
    let given = script.password("ada", PASSWORD, &[]).await.json();
    let given = given["access_token"].as_str().unwrap();
    assert_eq!(script.introspect(given).await["active"], true);

    assert_eq!(end(&path("ada").await, &writer).await.status, 204);
    assert_eq!(script.introspect(given).await, json!({ "active": false }));
    assert_eq!((ada.account().await, eve.account().await), (303, 200));
    let refused = shop.refresh(&adas.refresh).await;
    refused.refused(400, "invalid_grant");
    assert_eq!(shop.refresh(&eves.refresh).await.status, 200);
    eventually(SOON, "it is told", async || told(&sink) == sids(&[&adas])).await;
    assert_eq!(end(&path("boss").await, &admin).await.status, 204);
    let done = server
        .cli(&["session", "end", "eve@example.com", "--json"])
        .await;
    assert_eq!(done.status, 0, "{}", done.stderr);
    assert_eq!(eve.account().await, 303);
    let ended = recorded(&server, "session.ended").await;
    let by = |kind: &str| (kind.to_owned(), "user".to_owned());
    assert_eq!(ended, [by("client"), by("client"), by("operator")]);
}

#[tokio::test]
async fn who_proves_themselves_again_stays_in_the_session_that_is_meant() {
    // S-78: its record is a new one then.
    let server = server().await;
    let shop = server.application().flag("--first-party").application();
    let shop = shop.await;
    let mut browser = Browser::new(&server);
    let tokens = shop.log_in(&mut browser, "openid", "ada", PASSWORD).await;
    let until = now(&server);
    server.clock.advance(time::Duration::minutes(30));
    let page = browser
        .follow(&shop.authorize(&[("prompt", "login")]))
        .await;
    let answer = browser.sign_in_at(&page, "ada", PASSWORD).await;
    assert!(answer.header("location").contains("code="));
    let admin = server.admin_token().await;
    let done = order(&server, &admin, &until).await;
    assert_eq!(done.json(), json!({ "ended": 1, "left": false }));
    assert_eq!(browser.account().await, 303);
    let refused = shop.refresh(&tokens.refresh).await;
    refused.refused(400, "invalid_grant");
}

#[tokio::test]
async fn an_order_that_runs_out_of_time_says_that_some_are_left() {
    // S-78
    let server = Server::with(|config| {
        config.http.handler_timeout = "1s".parse().unwrap();
    })
    .await;
    let fields = json!({ "username": "ada" });
    server.user_with_password(fields, PASSWORD).await;
    let mut browsers = [Browser::new(&server), Browser::new(&server)];
    for browser in &mut browsers {
        browser.sign_in("ada", PASSWORD).await;
    }
    let admin = server.admin_token().await;
    let until = now(&server);
    let mut tables = server.tables().await;
    sqlx::raw_sql("begin; select from session limit 1 for update")
        .execute(&mut tables)
        .await
        .unwrap();
    let done = order(&server, &admin, &until).await;
    assert_eq!(done.json(), json!({ "ended": 1, "left": true }));
    sqlx::raw_sql("rollback")
        .execute(&mut tables)
        .await
        .unwrap();
    let done = order(&server, &admin, &until).await;
    assert_eq!(done.json(), json!({ "ended": 1, "left": false }));
    for browser in &mut browsers {
        assert_eq!(browser.account().await, 303);
    }
}

#[tokio::test]
async fn the_command_line_ends_everybodys_and_asks_for_a_yes() {
    // S-78
    let server = server().await;
    let sink = Sink::start().await;
    let shop = told_at(&server, "shop", &sink).await;
    let (mut ada, mut eve) = (Browser::new(&server), Browser::new(&server));
    let adas = shop.log_in(&mut ada, "openid", "ada", PASSWORD).await;
    let eves = shop
        .log_in(&mut eve, "openid offline_access", "eve", PASSWORD)
        .await;
    crowd(&server, 120).await;
    for missing in ["--everybody", "--yes"] {
        let refused = server.cli(&["session", "end", missing]).await;
        assert_ne!(refused.status, 0);
        assert!(refused.stdout.is_empty(), "{}", refused.stdout);
    }
    assert_eq!(ada.account().await, 200);
    let all = ["session", "end", "--everybody", "--yes", "--json"];
    let done: Value = server.cli(&all).await.json();
    assert_eq!(done, json!({ "ended": 122, "left": false }));
    for browser in [&mut ada, &mut eve] {
        assert_eq!(browser.account().await, 303);
    }
    shop.refresh(&adas.refresh)
        .await
        .refused(400, "invalid_grant");
    assert_eq!(shop.refresh(&eves.refresh).await.status, 200);
    let both = sids(&[&adas, &eves]);
    eventually(SOON, "it is told", async || told(&sink) == both).await;
    let orders = recorded(&server, "session.everybodys_ended").await;
    assert_eq!(orders, [("operator".into(), "everybody".into())]);
}
