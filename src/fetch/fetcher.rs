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
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
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

/// Messages to webhooks under way: 64 webhooks with 16 changes and 4 letters each, so that no receiver waits for another's place.
const WEBHOOKS: usize = 64 * (16 + 4);

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
    dialer: Dialer,
    pub(super) patience: Duration,
    pub(super) lanes: Lanes,
    meters: Arc<Meters>,
}

/// Each purpose apart: hung webhooks keep nobody's keys from being fetched.
pub(super) struct Lanes {
    keys: Lane,
    logout: Lane,
    pub(super) webhook: Lane,
}

/// What a purpose has to itself: look-ups and connections, and places for exchanges under way.
pub(super) struct Lane {
    client: Client<Dialer, Full<Bytes>>,
    pub(super) places: Semaphore,
}

impl Lane {
    fn new(dialer: &Dialer, places: usize) -> Self {
        let client = legacy::Builder::new(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .http1_max_buf_size(LONGEST_HEAD)
            .build(dialer.apart());
        Self {
            client,
            places: Semaphore::new(places),
        }
    }
}

impl Lanes {
    fn of(&self, purpose: Purpose) -> &Lane {
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

    pub(super) fn dialing(dialer: Dialer, meters: Arc<Meters>) -> Self {
        Self {
            lanes: Lanes {
                keys: Lane::new(&dialer, 32),
                logout: Lane::new(&dialer, 64),
                webhook: Lane::new(&dialer, WEBHOOKS),
            },
            dialer,
            patience: PATIENCE,
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
        let lane = self.lanes.of(purpose);
        let exchange = async {
            let place = lane.places.acquire().await;
            let _place = place.map_err(|_| FetchError::Busy)?;
            let response = lane
                .client
                .request(request)
                .await
                .map_err(|e| failure(&e))?;
            read(response).await
        };
        let result = timeout(self.patience, exchange).await.unwrap_or_else(|_| {
            let waits = lane.places.available_permits() == 0;
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
