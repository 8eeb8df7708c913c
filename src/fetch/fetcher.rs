//! One exchange with another server, bounded in time, size and number. No redirects, cookies, credentials or proxies.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, USER_AGENT,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::dial::Dialer;
use super::{Destination, FetchError, Purpose};
use crate::config::Fetch;
use crate::kernel::{Fault, clock};
use crate::meters::{FetchOutcome, Meters};

/// From the first step to the answer's last byte.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a connection may lie idle: shorter than the five seconds after which some servers close theirs.
const IDLE: Duration = Duration::from_secs(4);
/// Idle connections to one server.
const IDLE_PER_HOST: usize = 32;
/// Bytes of an answer's head.
const LONGEST_HEAD: usize = 32 * 1024;
/// Bytes that are read of an answer whose content nobody wants, so that its connection can be used again.
const UNWANTED: usize = 16 * 1024;
/// How long such an answer is waited for.
const LINGER: Duration = Duration::from_millis(250);

const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("Doorward/", env!("CARGO_PKG_VERSION")));

/// What is hoped for at the other end of a GET.
pub(crate) struct Document {
    pub(crate) purpose: Purpose,
    /// Media types that will do, without parameters.
    pub(crate) types: &'static [&'static str],
    /// Bytes at most: 64 KiB for key sets, 1 MiB for others.
    pub(crate) limit: usize,
}

/// What is posted.
pub(crate) struct Post {
    pub(crate) purpose: Purpose,
    pub(crate) content_type: &'static str,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: Bytes,
}

/// The one outbound client, held by the program.
pub(crate) struct Fetcher {
    client: Client<Dialer, Full<Bytes>>,
    dialer: Dialer,
    patience: Duration,
    places: Places,
    meters: Arc<Meters>,
}

/// Exchanges under way, each purpose apart: hung webhooks keep nobody's keys from being fetched.
struct Places {
    keys: Semaphore,
    logout: Semaphore,
    webhook: Semaphore,
}

impl Places {
    fn of(&self, purpose: Purpose) -> &Semaphore {
        match purpose {
            Purpose::Keys => &self.keys,
            Purpose::Logout => &self.logout,
            Purpose::Webhook => &self.webhook,
        }
    }
}

impl Fetcher {
    /// Fails where `fetch.extra_roots` can't be read.
    pub(crate) fn new(settings: &Fetch, meters: Arc<Meters>) -> Result<Self, Fault> {
        Ok(Self::dialing(Dialer::new(settings)?, meters))
    }

    fn dialing(dialer: Dialer, meters: Arc<Meters>) -> Self {
        let client = legacy::Builder::new(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .http1_max_buf_size(LONGEST_HEAD)
            .build(dialer.clone());
        Self {
            client,
            dialer,
            patience: PATIENCE,
            places: Places {
                keys: Semaphore::new(32),
                logout: Semaphore::new(64),
                webhook: Semaphore::new(512),
            },
            meters,
        }
    }

    /// Whether the destination's addresses are permitted just now: asked where an address is registered, so that its owner hears of it.
    /// What protects us is the same check at each connection.
    pub(crate) async fn check(&self, destination: &Destination) -> Result<(), FetchError> {
        let host = destination
            .host()
            .ok_or(FetchError::Url("an absolute URL"))?;
        let permitted = self
            .dialer
            .permitted(host, destination.port(), destination.is_https());
        match timeout(self.patience, permitted).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(refused)) => Err(refused),
            Err(_) => Err(FetchError::Name),
        }
    }

    /// Fetches a document: status 200, one of the types, no longer than the limit.
    pub(crate) async fn get(
        &self,
        destination: &Destination,
        document: &Document,
    ) -> Result<Bytes, FetchError> {
        let mut request = request(Method::GET, destination, Bytes::new());
        let accept = HeaderValue::from_str(&document.types.join(", "));
        request
            .headers_mut()
            .extend(accept.ok().map(|accept| (ACCEPT, accept)));
        let read = async |response: Response<Incoming>| {
            if response.status() != StatusCode::OK {
                return Err(unhoped(&response));
            }
            if !is_one_of(response.headers(), document.types) {
                return Err(FetchError::ContentType);
            }
            body(response, document.limit).await
        };
        self.exchange(document.purpose, request, read).await
    }

    /// Posts; any 2xx is success, and gives its status. Nothing is made of the answer's content.
    pub(crate) async fn post(
        &self,
        destination: &Destination,
        post: Post,
    ) -> Result<u16, FetchError> {
        let mut request = request(Method::POST, destination, post.body);
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(post.content_type));
        headers.extend(post.headers);
        let read = async |response: Response<Incoming>| {
            let status = response.status();
            let outcome = if status.is_success() {
                Ok(status.as_u16())
            } else {
                Err(unhoped(&response))
            };
            // A connection whose answer was not read to its end is not used again; that is all.
            let _ = timeout(LINGER, body(response, UNWANTED)).await;
            outcome
        };
        self.exchange(post.purpose, request, read).await
    }

    async fn exchange<T>(
        &self,
        purpose: Purpose,
        request: Request<Full<Bytes>>,
        read: impl AsyncFnOnce(Response<Incoming>) -> Result<T, FetchError>,
    ) -> Result<T, FetchError> {
        let started = clock::monotonic();
        let places = self.places.of(purpose);
        let exchange = async {
            let _place = places.acquire().await.map_err(|_| FetchError::Busy)?;
            let response = self
                .client
                .request(request)
                .await
                .map_err(|e| failure(&e))?;
            read(response).await
        };
        let result = timeout(self.patience, exchange).await.unwrap_or_else(|_| {
            let waits = places.available_permits() == 0;
            Err(if waits {
                FetchError::Busy
            } else {
                FetchError::Timeout
            })
        });
        let outcome = result
            .as_ref()
            .map_or_else(FetchError::outcome, |_| FetchOutcome::Done);
        self.meters
            .fetched(purpose, outcome, started.elapsed().as_secs_f64());
        result
    }
}

fn request(method: Method, destination: &Destination, body: Bytes) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = method;
    *request.uri_mut() = destination.uri();
    let headers = request.headers_mut();
    headers.insert(USER_AGENT, AGENT);
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    request
}

fn unhoped(response: &Response<Incoming>) -> FetchError {
    let status = response.status();
    if status.is_redirection() {
        return FetchError::Redirect(status.as_u16());
    }
    let seconds = response.headers().get(RETRY_AFTER);
    let seconds = seconds.and_then(|value| value.to_str().ok()?.trim().parse().ok());
    FetchError::Status {
        status: status.as_u16(),
        retry_after: seconds.map(Duration::from_secs),
    }
}

/// Whether the content type is one of `types`, parameters aside.
fn is_one_of(headers: &HeaderMap, types: &[&str]) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
    let media_type = value.and_then(|v| v.split(';').next()).unwrap_or("").trim();
    types.iter().any(|t| t.eq_ignore_ascii_case(media_type))
}

/// The body, as it was sent: a compressed one is refused, so a small answer is no large one in disguise.
async fn body(response: Response<Incoming>, limit: usize) -> Result<Bytes, FetchError> {
    if response.headers().contains_key(CONTENT_ENCODING) {
        return Err(FetchError::Encoding);
    }
    let read = Limited::new(response.into_body(), limit).collect().await;
    let read = read.map_err(|e| {
        if e.is::<LengthLimitError>() {
            FetchError::TooLarge
        } else {
            FetchError::Broken(e.to_string())
        }
    })?;
    Ok(read.to_bytes())
}

/// What the dialer said where it was the dialer.
fn failure(error: &legacy::Error) -> FetchError {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    let mut last = String::new();
    while let Some(cause) = next {
        if let Some(ours) = cause.downcast_ref::<FetchError>() {
            return ours.clone();
        }
        last = cause.to_string();
        next = cause.source();
    }
    FetchError::Broken(last)
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, SocketAddr};
    use std::sync::Mutex;

    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::*;
    use crate::fetch::dial::Lookup;

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
    fn answering(answers: &[&str]) -> Lookup {
        let mut answers: Vec<IpAddr> = answers.iter().rev().map(|a| a.parse().unwrap()).collect();
        let next = Mutex::new(move || {
            if answers.len() > 1 {
                answers.pop().unwrap()
            } else {
                answers[0]
            }
        });
        Arc::new(move |_| {
            let ip = next.lock().unwrap()();
            Box::pin(async move { Ok(vec![ip]) })
        })
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
        let lookup: Lookup = Arc::new(|_| {
            let found = ["10.0.0.1", "::1", "127.0.0.1"].map(|a| a.parse().unwrap());
            Box::pin(async move { Ok(found.to_vec()) })
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
        fetcher.places.webhook = Semaphore::new(1);
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
}
