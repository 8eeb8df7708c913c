//! `/healthz` and `/readyz`.

use crate::support::Server;

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
