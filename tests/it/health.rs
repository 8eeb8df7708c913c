//! `/healthz` and `/readyz`.

use std::time::Duration;

use crate::support::{Server, eventually};

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
