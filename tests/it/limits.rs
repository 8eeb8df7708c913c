//! What strangers can hold of us: sizes and times (checklist 173, 177).

use std::time::Duration;

use doorward::config::Config;

use crate::support::{Server, Wire};

const BOUND: Duration = Duration::from_secs(8);

/// Short times, so that the tests need not wait long for what must end.
fn impatient(config: &mut Config) {
    config.http.header_timeout = "1s".parse().unwrap();
    config.http.body_timeout = "1s".parse().unwrap();
    config.http.idle_timeout = "2s".parse().unwrap();
}

#[tokio::test]
async fn heads_and_urls_are_bounded() {
    // S-173
    let server = Server::start().await;
    for (head, status) in [
        (
            format!(
                "GET /healthz?{} HTTP/1.1\r\nhost: x\r\n\r\n",
                "a".repeat(8 * 1024)
            ),
            "414",
        ),
        (
            format!(
                "GET /healthz HTTP/1.1\r\nhost: x\r\nx-big: {}\r\n\r\n",
                "a".repeat(33 * 1024)
            ),
            "431",
        ),
        (
            format!(
                "GET /healthz HTTP/1.1\r\nhost: x\r\n{}\r\n",
                "x-many: 1\r\n".repeat(101)
            ),
            "431",
        ),
        (
            "GET /healthz HTTP/1.1\r\nhost: x\r\n\u{1}: y\r\n\r\n".to_owned(),
            "400",
        ),
    ] {
        let mut wire = Wire::open(&server).await;
        wire.send(&head).await;
        let answer = wire.read_head().await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{status}: {answer}"
        );
    }
    let fits = format!(
        "GET /healthz HTTP/1.1\r\nhost: x\r\n{}x-big: {}\r\n\r\n",
        "x-many: 1\r\n".repeat(90),
        "a".repeat(16 * 1024)
    );
    let mut wire = Wire::open(&server).await;
    wire.send(&fits).await;
    assert!(wire.read_head().await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn a_head_that_trickles_in_is_cut_off() {
    // S-177: slow-loris, silent connections and idle ones.
    let server = Server::with(impatient).await;
    let mut silent = Wire::open(&server).await;
    let mut slow = Wire::open(&server).await;
    let mut idle = Wire::open(&server).await;
    slow.send("GET /healthz HTTP/1.1\r\nhost:").await;
    idle.send("GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(idle.read_head().await.starts_with("HTTP/1.1 200 "));
    assert_eq!(silent.read_to_close(BOUND).await, "");
    assert!(!slow.read_to_close(BOUND).await.contains("200 OK"));
    idle.read_to_close(BOUND).await;
    assert_eq!(
        server.get("/healthz").await.status,
        200,
        "everybody else is served"
    );
}

#[tokio::test]
async fn trickling_does_not_buy_time() {
    // S-177: the time runs from the head's first byte, not from its last.
    let server = Server::with(impatient).await;
    let mut slow = Wire::open(&server).await;
    let trickle = async {
        loop {
            slow.send("x").await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(2), trickle).await;
    slow.read_to_close(Duration::from_secs(1)).await;
}

#[tokio::test]
async fn a_body_that_trickles_in_is_cut_off() {
    // S-177: each door in its own words.
    let server = Server::with(impatient).await;
    let token = server.admin_token().await;
    for (path, media_type, shape) in [
        (
            "/oauth2/token",
            "application/x-www-form-urlencoded",
            "\"error\":\"invalid_request\"",
        ),
        ("/api/v1/users", "application/json", "/docs/errors#"),
        ("/login", "application/x-www-form-urlencoded", "<html"),
    ] {
        let mut slow = Wire::open(&server).await;
        slow.send(format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: {media_type}\r\nauthorization: Bearer {token}\r\ncontent-length: 100\r\n\r\na"
        ))
        .await;
        let answer = slow.read_to_close(BOUND).await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{path}: {answer}");
        assert!(answer.contains(shape), "{path}: {answer}");
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_answered() {
    // S-173: also while the client is still sending, and without a length said beforehand.
    let server = Server::start().await;
    let token = server.admin_token().await;
    let chunk = format!("4000\r\n{}\r\n", "a".repeat(0x4000));
    for (path, media_type, chunks) in [
        ("/oauth2/token", "application/x-www-form-urlencoded", 5),
        ("/login", "application/x-www-form-urlencoded", 5),
        ("/api/v1/users", "application/json", 66),
    ] {
        let mut wire = Wire::open(&server).await;
        wire.send(format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: {media_type}\r\nauthorization: Bearer {token}\r\ntransfer-encoding: chunked\r\n\r\n"
        ))
        .await;
        for _ in 0..chunks {
            wire.send(&chunk).await;
        }
        let head = wire.read_head().await;
        assert!(head.starts_with("HTTP/1.1 413 "), "{path}: {head}");
    }
}

#[tokio::test]
async fn a_form_has_so_many_parameters() {
    // S-173: each name is held against all before it.
    let server = Server::start().await;
    let flood: String = (0..12_000).map(|i| format!("{i:x}&")).collect();
    let request = server
        .request(reqwest::Method::POST, "/oauth2/token")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(flood);
    let answer = crate::support::Answer::of(request).await;
    answer.refused(400, "invalid_request");
}

#[tokio::test]
async fn an_http2_connection_without_requests_is_closed_for_all_its_pings() {
    // S-177
    let server = Server::with(impatient).await;
    let mut wire = Wire::open(&server).await;
    let preface: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    // GET /healthz, by HPACK's static table and literals.
    let block: &[u8] = b"\x82\x86\x04\x08/healthz\x01\x01x";
    let head = [&[0, 0, block.len() as u8, 1, 5, 0, 0, 0, 1], block].concat();
    wire.send([preface, &head].concat()).await;
    let pings = async {
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            wire.send(b"\0\0\x08\x06\0\0\0\0\0pingping").await;
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(4), pings).await;
    let said = wire.read_to_close(Duration::from_secs(1)).await;
    assert!(said.contains("alive"), "it was answered first");
}

#[tokio::test]
async fn load_balancers_hear_of_a_stop_before_it_closes_the_door() {
    let server = Server::with(|config| config.http.drain_timeout = "2s".parse().unwrap()).await;
    let (url, http) = (server.url.clone(), server.http.clone());
    let stop = server.stop();
    let ask = async {
        crate::support::eventually(BOUND, "draining is said", async || {
            let answer = http.get(format!("{url}/readyz")).send().await.unwrap();
            let status = answer.status().as_u16();
            status == 503 && answer.text().await.unwrap().contains("draining")
        })
        .await;
        let jwks = http.get(format!("{url}/.well-known/jwks.json")).send();
        assert_eq!(jwks.await.unwrap().status(), 200, "everything is answered");
    };
    tokio::join!(stop, ask);
}

#[tokio::test]
async fn an_address_holds_so_many_connections() {
    // S-177
    let server = Server::with(|config| config.http.max_connections_per_address = 3).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut wire = Wire::open(&server).await;
        wire.send("GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert!(wire.read_head().await.starts_with("HTTP/1.1 200 "));
        held.push(wire);
    }
    assert_eq!(
        Wire::open(&server).await.read_to_close(BOUND).await,
        "",
        "the fourth is closed"
    );
    held.clear();
    crate::support::eventually(BOUND, "the places are free again", async || {
        let mut wire = Wire::open(&server).await;
        wire.send("GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await;
        wire.read_head().await.starts_with("HTTP/1.1 200 ")
    })
    .await;
}

#[tokio::test]
async fn configured_proxies_may_hold_more() {
    // S-177
    let server = Server::with(|config| {
        config.http.max_connections_per_address = 1;
        config.http.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    let mut held = Vec::new();
    for _ in 0..4 {
        let mut wire = Wire::open(&server).await;
        wire.send("GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert!(wire.read_head().await.starts_with("HTTP/1.1 200 "));
        held.push(wire);
    }
}

#[tokio::test]
async fn a_stop_finishes_what_is_under_way_and_ends() {
    let server = Server::with(|config| config.http.shutdown_timeout = "2s".parse().unwrap()).await;
    let mut idle = Wire::open(&server).await;
    idle.send("GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await;
    idle.read_head().await;
    let mut unfinished = Wire::open(&server).await;
    unfinished.send("GET /healthz HTTP/1.1\r\nhost:").await;
    tokio::time::timeout(BOUND, server.stop())
        .await
        .expect("a stop is bounded");
    idle.read_to_close(Duration::from_secs(1)).await;
}
