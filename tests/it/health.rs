//! `/healthz` and `/readyz`.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use sqlx::Connection;

use crate::support::{Server, all, eventually};

#[tokio::test]
async fn a_server_is_alive_and_ready() {
    let server = Server::start().await;
    assert_eq!(server.get("/healthz").await.status, 200);
    let ready = server.get("/readyz").await;
    assert_eq!(
        (ready.status, ready.json()["status"].as_str()),
        (200, Some("ready"))
    );
    assert_eq!(ready.header("cache-control"), "no-store");
    server.stop().await;
}

#[tokio::test]
async fn a_database_cut_off_makes_it_unready_and_back_ready_within_two_seconds() {
    let (server, proxy) = Server::through_proxy().await;
    assert_eq!(server.get("/readyz").await.status, 200);

    proxy.cut();
    let answer = server.get("/readyz").await;
    assert_eq!(
        (answer.status, answer.json()["reason"].as_str()),
        (503, Some("database_away"))
    );
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(
        server.get("/healthz").await.status,
        200,
        "a database that is away kills nobody"
    );

    proxy.mend();
    eventually(Duration::from_secs(2), "ready again", async || {
        server.get("/readyz").await.status == 200
    })
    .await;
}

#[tokio::test]
async fn a_pool_that_is_at_work_is_no_database_that_is_away() {
    let server = Server::with(|config| {
        config.database.max_connections = 1;
        config.database.acquire_timeout = "30s".parse().unwrap();
    })
    .await;
    let token = server.admin_token().await;
    let person = server.user(json!({ "username": "ada" })).await;
    let path = format!("/api/v1/users/{}", person["id"].as_str().unwrap());
    let slowly = "create function slowly() returns trigger language plpgsql as $$ begin perform pg_sleep(0.15); return new; end; $$";
    let each =
        "create trigger slowly before update on \"user\" for each row execute function slowly()";
    let mut tables = server.tables().await;
    for sql in [slowly, each] {
        sqlx::query(sql).execute(&mut tables).await.unwrap();
    }
    let change = async |n: usize| {
        let nickname = json!({ "nickname": format!("n{n}") });
        let answer = server.call(Method::PATCH, &path, &token, Some(nickname));
        assert_eq!(answer.await.status, 200);
    };
    // Each waits for those before it, so whoever asks after some of them waits for longer than readiness does.
    let (_, asked) = tokio::join!(all((0..20).map(change)), async {
        let mut asked = Vec::new();
        for _ in 0..2 {
            asked.push(server.get("/readyz").await.text);
        }
        asked
    });
    for text in asked {
        assert_eq!(text, r#"{"status":"ready"}"#);
    }

    // Where nobody is handed a connection, it can't do its work.
    let mut lock = tables.begin().await.unwrap();
    let of_all = "lock table \"user\" in access exclusive mode";
    sqlx::query(of_all).execute(&mut *lock).await.unwrap();
    let stuck = server.call(Method::GET, &path, &token, None);
    let looked = async {
        server.until_somebody_waits().await;
        let ready = server.get("/readyz").await;
        lock.rollback().await.unwrap();
        ready
    };
    let (_, ready) = tokio::join!(stuck, looked);
    assert_eq!(
        (ready.status, ready.json()["reason"].as_str()),
        (503, Some("database_away"))
    );
}
