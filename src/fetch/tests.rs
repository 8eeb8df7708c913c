//! Exchanges with servers that behave well and badly.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderName, HeaderValue};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use super::dial::Dialer;
use super::fetcher::PATIENCE;
use super::lookup::Resolver;
use super::{Destination, Document, FetchError, Fetcher, Post, Purpose};
use crate::config::Fetch;
use crate::meters::Meters;

const DOCUMENT: Document = Document {
    purpose: Purpose::Keys,
    types: &["application/json", "application/jwk-set+json"],
    limit: 1_024,
};

fn open() -> Fetch {
    Fetch {
        allowed_networks: vec!["127.0.0.0/8".parse().unwrap()],
        ..Fetch::default()
    }
}

fn fetcher(settings: &Fetch) -> Fetcher {
    Fetcher::new(settings, Arc::new(Meters::new())).unwrap()
}

/// Resolves each name to the next of these answers, and to the last from then on.
fn answering(answers: &[&str]) -> Resolver {
    let mut answers: Vec<IpAddr> = answers.iter().rev().map(|a| a.parse().unwrap()).collect();
    let next = Mutex::new(move || {
        if answers.len() > 1 {
            answers.pop().unwrap()
        } else {
            answers[0]
        }
    });
    Arc::new(move |_| Ok(vec![next.lock().unwrap()()]))
}

/// Answers every connection's every request with these bytes; gives its address and what was asked.
async fn serving(answer: impl Into<Vec<u8>>) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (answer, heard) = (answer.into(), asked.clone());
    let mut connections = tokio::task::JoinSet::new();
    let serve = async move {
        while let Ok((mut stream, from)) = listener.accept().await {
            let (answer, heard) = (answer.clone(), heard.clone());
            connections.spawn(async move {
                let mut buffer = vec![0; 65_536];
                while let Ok(n @ 1..) = stream.read(&mut buffer).await {
                    let text = String::from_utf8_lossy(&buffer[..n]);
                    heard.lock().unwrap().push(format!("{from} {text}"));
                    let _ = stream.write_all(&answer).await;
                }
            });
        }
    };
    #[expect(clippy::disallowed_methods, reason = "a test's own server")]
    tokio::spawn(serve);
    (address, asked)
}

fn json(body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json; charset=utf-8\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

fn to(address: SocketAddr) -> Destination {
    format!("http://{address}/document?x=1").parse().unwrap()
}

#[tokio::test]
async fn fetches_a_document_and_sends_nothing_along() {
    // S-160
    let (address, asked) = serving(json("{}")).await;
    let fetcher = fetcher(&open());
    for _ in 0..2 {
        let body = fetcher.get(&to(address), &DOCUMENT).await.unwrap();
        assert_eq!(&body[..], b"{}");
    }
    let asked = asked.lock().unwrap().clone();
    let (from, head) = asked[0].split_once(' ').unwrap();
    assert!(asked[1].starts_with(from), "the connection is used again");
    let head = head.to_lowercase();
    assert!(head.starts_with("get /document?x=1 http/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("host: {address}\r\n")), "{head}");
    assert!(head.contains("accept-encoding: identity"), "{head}");
    for word in ["cookie", "authorization", "referer", "proxy"] {
        assert!(!head.contains(word), "{head}");
    }
}

#[tokio::test]
async fn posts_a_body_with_headers() {
    let (address, asked) = serving("HTTP/1.1 204 No Content\r\n\r\n").await;
    let post = Post {
        purpose: Purpose::Webhook,
        content_type: "application/json",
        headers: vec![(
            HeaderName::from_static("webhook-id"),
            HeaderValue::from_static("m1"),
        )],
        body: Bytes::from_static(b"{\"a\":1}"),
    };
    let status = fetcher(&open()).post(&to(address), post).await.unwrap();
    assert_eq!(status, 204);
    let asked = asked.lock().unwrap().join("");
    for part in [
        "POST /document",
        "webhook-id: m1",
        "content-type: application/json",
        "{\"a\":1}",
    ] {
        assert!(asked.contains(part), "{part}: {asked}");
    }
}

#[tokio::test]
async fn this_machine_is_reached_only_where_the_settings_say_so() {
    // S-159
    let (address, asked) = serving(json("{}")).await;
    let closed = fetcher(&Fetch::default());
    for url in [
        format!("http://{address}/"),
        format!("https://{address}/"),
        format!("http://localhost:{}/", address.port()),
        format!("https://[::1]:{}/", address.port()),
        format!("https://[::ffff:7f00:1]:{}/", address.port()),
    ] {
        let url: Destination = url.parse().unwrap();
        let refused = closed.get(&url, &DOCUMENT).await;
        assert!(
            matches!(refused, Err(FetchError::Address)),
            "{url}: {refused:?}"
        );
        let refused = closed.check(&url).await;
        assert!(
            matches!(refused, Err(FetchError::Address)),
            "{url}: {refused:?}"
        );
    }
    assert!(asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_name_that_answers_otherwise_the_second_time_is_refused_at_the_connection() {
    // S-161
    let (address, asked) = serving(json("{}")).await;
    for inside in [
        "127.0.0.1",
        "169.254.169.254",
        "::ffff:127.0.0.1",
        "10.0.0.1",
    ] {
        let lookup = answering(&["93.184.215.14", inside]);
        let dialer = Dialer::looking_up(&Fetch::default(), lookup).unwrap();
        let fetcher = Fetcher::dialing(dialer, Arc::new(Meters::new()));
        let url: Destination = format!("https://rebinding.example:{}/", 8443)
            .parse()
            .unwrap();
        fetcher.check(&url).await.unwrap();
        let refused = fetcher.get(&url, &DOCUMENT).await;
        assert!(
            matches!(refused, Err(FetchError::Address)),
            "{inside}: {refused:?}"
        );
    }
    // And one that was let in is connected to as it was checked: there is no second look-up.
    let lookup = answering(&["127.0.0.1", "192.0.2.1"]);
    let dialer = Dialer::looking_up(&open(), lookup).unwrap();
    let fetcher = Fetcher::dialing(dialer, Arc::new(Meters::new()));
    let url: Destination = format!("http://rebinding.example:{}/", address.port())
        .parse()
        .unwrap();
    fetcher.get(&url, &DOCUMENT).await.unwrap();
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn of_several_addresses_only_the_permitted_are_tried() {
    // S-161
    let (address, _) = serving(json("{}")).await;
    let lookup: Resolver = Arc::new(|_| {
        let found = ["10.0.0.1", "::1", "127.0.0.1"].map(|a| a.parse().unwrap());
        Ok(found.to_vec())
    });
    let dialer = Dialer::looking_up(&open(), lookup).unwrap();
    let fetcher = Fetcher::dialing(dialer, Arc::new(Meters::new()));
    let url: Destination = format!("http://several.example:{}/", address.port())
        .parse()
        .unwrap();
    fetcher.get(&url, &DOCUMENT).await.unwrap();
}

#[tokio::test]
async fn redirects_are_not_followed() {
    // S-160
    let (inner, asked) = serving(json("{}")).await;
    for status in [301, 302, 303, 307, 308] {
        let answer = format!(
            "HTTP/1.1 {status} Moved\r\nlocation: http://{inner}/\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{{}}"
        );
        let (address, _) = serving(answer).await;
        let refused = fetcher(&open()).get(&to(address), &DOCUMENT).await;
        assert!(
            matches!(refused, Err(FetchError::Redirect(s)) if s == status),
            "{refused:?}"
        );
    }
    assert!(asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn answers_that_will_not_do_are_refused() {
    // S-160
    let long = "x".repeat(2_000);
    let chunked = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n7d0\r\n{long}\r\n0\r\n\r\n"
    );
    let cases = [
        (json(&long), "a longer answer"),
        (chunked, "a longer answer"),
        ("HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 2\r\n\r\n{}".to_owned(), "content type"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}".to_owned(), "content type"),
        ("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n{}".to_owned(), "content encoding"),
        ("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned(), "status 404"),
        ("HTTP/1.1 206 Partial\r\ncontent-length: 0\r\n\r\n".to_owned(), "status 206"),
        ("SSH-2.0-OpenSSH\r\n".to_owned(), "broken"),
        (format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(100_000)), "broken"),
    ];
    for (answer, why) in cases {
        let (address, _) = serving(answer).await;
        let refused = fetcher(&open()).get(&to(address), &DOCUMENT).await;
        let text = refused.unwrap_err().to_string();
        assert!(text.contains(why), "{why}: {text}");
    }
    let busy = "HTTP/1.1 503 Busy\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n";
    let (address, _) = serving(busy).await;
    let refused = fetcher(&open()).get(&to(address), &DOCUMENT).await;
    assert!(
        matches!(refused, Err(FetchError::Status { status: 503, retry_after: Some(wait) }) if wait == Duration::from_secs(7)),
        "{refused:?}"
    );
}

#[tokio::test]
async fn whoever_is_silent_or_slow_is_left() {
    // S-160
    assert_eq!(PATIENCE, Duration::from_secs(5));
    for answer in [
        "",
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{",
    ] {
        let (address, _) = serving(answer).await;
        let mut fetcher = fetcher(&open());
        fetcher.patience = Duration::from_millis(300);
        let refused = fetcher.get(&to(address), &DOCUMENT).await;
        assert!(matches!(refused, Err(FetchError::Timeout)), "{refused:?}");
    }
}

#[tokio::test]
async fn a_certificate_is_checked_against_roots_and_name() {
    // S-160
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let file = std::env::temp_dir().join(format!("doorward-roots-{}.pem", std::process::id()));
    std::fs::write(&file, made.cert.pem()).unwrap();
    let chain = vec![CertificateDer::from_pem_slice(made.cert.pem().as_bytes()).unwrap()];
    let key = made.signing_key.serialize_pem();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let mut buffer = [0; 1_024];
                let _ = stream.read(&mut buffer).await;
                let _ = stream.write_all(json("{}").as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        }
    };
    #[expect(clippy::disallowed_methods, reason = "a test's own server")]
    tokio::spawn(serve);
    let trusting = Fetch {
        extra_roots: Some(file.clone()),
        ..open()
    };
    let url = |host: &str| format!("https://{host}:{port}/").parse().unwrap();
    let trusted = fetcher(&trusting);
    trusted.get(&url("localhost"), &DOCUMENT).await.unwrap();
    for refused in [
        fetcher(&open()).get(&url("localhost"), &DOCUMENT).await,
        trusted.get(&url("127.0.0.1"), &DOCUMENT).await,
    ] {
        assert!(matches!(refused, Err(FetchError::Tls(_))), "{refused:?}");
    }
    std::fs::remove_file(file).unwrap();
}

#[tokio::test]
async fn a_purpose_has_places_of_its_own() {
    let (hung, _) = serving("").await;
    let (live, _) = serving(json("{}")).await;
    let mut fetcher = fetcher(&open());
    fetcher.patience = Duration::from_millis(300);
    fetcher.lanes.webhook.places = Semaphore::new(1);
    let post = || Post {
        purpose: Purpose::Webhook,
        content_type: "application/json",
        headers: Vec::new(),
        body: Bytes::new(),
    };
    let (hung, live) = (to(hung), to(live));
    let (first, second, keys) = tokio::join!(
        fetcher.post(&hung, post()),
        fetcher.post(&hung, post()),
        fetcher.get(&live, &DOCUMENT),
    );
    assert!(first.is_err() && second.is_err());
    keys.unwrap();
}
