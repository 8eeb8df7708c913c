//! Trace context is taken up, and exported where OpenTelemetry's own variables say so.

use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::cluster::CLUSTER;
use crate::support::process::Home;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

#[tokio::test]
async fn a_request_joins_its_callers_trace() {
    // A collector that takes one batch.
    let collector = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", collector.local_addr().unwrap());
    let batch = tokio::spawn(async move {
        let (mut stream, _) = collector.accept().await.unwrap();
        let mut read = Vec::new();
        let mut chunk = [0; 4096];
        let (head, length) = loop {
            let n = stream.read(&mut chunk).await.unwrap();
            read.extend_from_slice(&chunk[..n]);
            let text = String::from_utf8_lossy(&read).to_lowercase();
            if let Some((head, _)) = text.split_once("\r\n\r\n") {
                let length = head.split("content-length: ").nth(1).unwrap();
                let length: usize = length.lines().next().unwrap().trim().parse().unwrap();
                let at = read.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
                break (head.to_owned(), at + 4 + length);
            }
        };
        while read.len() < length {
            let n = stream.read(&mut chunk).await.unwrap();
            read.extend_from_slice(&chunk[..n]);
        }
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(answer).await.unwrap();
        (head, read)
    });

    let database = Arc::new(CLUSTER.database().await);
    let home = Home::new("traces");
    let mut command = home.command(&["serve"]);
    command
        .env("DATABASE_URL", database.url())
        .env("DOORWARD_KEYS_DIR", &CLUSTER.keys_dir)
        .env("DOORWARD_LOG__FILTER", "debug")
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint);
    let mut process = home.serve_as(command).await;
    let answer = reqwest::Client::new()
        .get(format!("{}/.well-known/jwks.json", process.url))
        .header("traceparent", format!("00-{TRACE}-b7ad6b7169203331-01"))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    process.signal(Signal::TERM);
    process.ended(Duration::from_secs(30)).await;
    assert!(
        process.said().contains(TRACE),
        "the log names the trace: {}",
        process.said()
    );
    let (head, body) = tokio::time::timeout(Duration::from_secs(10), batch)
        .await
        .unwrap()
        .unwrap();
    assert!(head.starts_with("post /v1/traces "), "{head}");
    let has = |bytes: &[u8]| body.windows(bytes.len()).any(|w| w == bytes);
    let trace: Vec<u8> = (0..16)
        .map(|i| u8::from_str_radix(&TRACE[2 * i..2 * i + 2], 16).unwrap())
        .collect();
    assert!(has(&trace), "the span is of the caller's trace");
    assert!(has(b"/.well-known/jwks.json") && has(b"doorward"));
}
