//! What surrounds every route: request id, origin, limits, time, panics, security headers, and the rendering of failures.

use std::any::Any;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::{Router, body::Body};
use ipnet::IpNet;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument;
use tracing::field::Empty;

use super::{OAuthCode, OAuthError, PageError, Problem, ProblemKind};
use super::{failure, trace_context};
use crate::app::App;
use crate::cx::Origin;
use crate::kernel::{Fault, clock};
use crate::meters;

/// Bytes of a URL, and header fields, that a request may have (checklist 173).
const MAX_URL: usize = 8 * 1024;
const MAX_FIELDS: usize = 100;
/// How long a handler may wait for what a caller asked it to wait for, with `wait=` in the query.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Characters of `Doorward-Reason`.
const MAX_REASON: usize = 500;
const BAD_REASON: &str = "Doorward-Reason is one line of UTF-8, at most 500 characters, sent once.";
const REASON: HeaderName = HeaderName::from_static("doorward-reason");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The other end of the connection, put into each request by the listener.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// How long a body may take to arrive.
#[derive(Clone, Copy)]
pub(super) struct BodyTimeout(pub(super) Duration);

/// Marks the answer of a handler that panicked.
#[derive(Clone)]
struct Panicked;

/// Whether the route of this path is answered whatever the clock says.
type Timeless = fn(&str) -> bool;

/// Puts the layers around all routes.
pub(crate) fn around(router: Router<App>, app: &App, timeless: Timeless) -> Router {
    router
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn_with_state(
            (app.clone(), timeless),
            edge,
        ))
        .with_state(app.clone())
}

#[expect(clippy::needless_pass_by_value, reason = "the layer's signature")]
fn panicked(cause: Box<dyn Any + Send>) -> Response<Body> {
    let text = cause
        .downcast_ref::<&str>()
        .map(|s| (*s).to_owned())
        .or_else(|| cause.downcast_ref::<String>().cloned());
    tracing::error!(
        cause = text.as_deref().unwrap_or("unknown"),
        "a handler panicked"
    );
    let mut response = StatusCode::INTERNAL_SERVER_ERROR.into_response();
    response.extensions_mut().insert(Panicked);
    response
}

async fn edge(
    State((app, timeless)): State<(App, Timeless)>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = clock::monotonic();
    let http = &app.config.http;
    let request_id = app.request_ids.next();
    let uri = request.uri().clone();
    let reason = reason(request.headers());
    let origin = Origin {
        ip: request
            .extensions()
            .get::<Peer>()
            .map(|Peer(peer)| client_ip(peer.ip(), request.headers(), &http.trusted_proxies)),
        user_agent: request.headers().get(header::USER_AGENT).map(|v| {
            String::from_utf8_lossy(v.as_bytes())
                .chars()
                .take(256)
                .collect()
        }),
        request_id: request_id.clone(),
        reason: reason.clone().unwrap_or_default(),
        via: None,
    };
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let method = meters::method(request.method());
    let version = request.version();
    // Made for every request, so it holds the least: what else is known stands in the line that says how it was answered.
    let span = tracing::info_span!("request", id = %request_id, trace_id = Empty, route = Empty, method = Empty);
    trace_context::join(&span, request.headers());
    if app.traced {
        span.record("method", method);
        span.record(
            "route",
            matched.as_ref().map_or("none", MatchedPath::as_str),
        );
    }
    request.extensions_mut().insert(Arc::new(origin));
    request
        .extensions_mut()
        .insert(BodyTimeout(http.body_timeout.std()));

    // A body may take its own time to arrive; the handler's begins when it has.
    let waits = uri.query().is_some_and(|query| query.contains("wait="));
    let wait = if waits { LONGEST_WAIT } else { Duration::ZERO };
    let limit = http.handler_timeout.std() + http.body_timeout.std() + wait;
    let secure = app.config.issuer.is_https();
    async move {
        let path = uri.path();
        let route = matched.as_ref().map_or("none", MatchedPath::as_str);
        let response = if uri.path_and_query().map_or(0, |p| p.as_str().len()) > MAX_URL {
            refusal(path, ProblemKind::UriTooLong)
        } else if request.headers().len() > MAX_FIELDS {
            refusal(path, ProblemKind::HeaderTooLarge)
        } else if reason.is_err() {
            refusal_saying(path, ProblemKind::MalformedRequest, Some(BAD_REASON))
        } else if app.watch.clock_is_off() && !timeless(route) {
            refusal(path, ProblemKind::Unavailable)
        } else {
            match tokio::time::timeout(limit, next.run(request)).await {
                Ok(response) if response.extensions().get::<Panicked>().is_some() => {
                    refusal(path, ProblemKind::Internal)
                }
                Ok(response) => response,
                Err(_) => refusal(path, ProblemKind::Unavailable),
            }
        };
        let mut response = failure::render(response, &request_id, &app.meters);
        add_headers(response.headers_mut(), &request_id, secure);
        if app.tasks.is_stopping() && version < Version::HTTP_2 {
            // Whoever is told in time sends nothing more on a connection that is about to go.
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        let (status, seconds) = (response.status().as_u16(), started.elapsed().as_secs_f64());
        app.meters.answered(route, method, status, seconds);
        let duration_ms = seconds * 1000.0;
        match status {
            500.. => tracing::warn!(method, route, status, duration_ms, "answered"),
            400.. => tracing::info!(method, route, status, duration_ms, "answered"),
            _ => tracing::debug!(method, route, status, duration_ms, "answered"),
        }
        response
    }
    .instrument(span)
    .await
}

/// A refusal before or instead of the handler's own, in the shape that the path promises.
pub(crate) fn refusal(path: &str, kind: ProblemKind) -> Response {
    refusal_saying(path, kind, None)
}

fn refusal_saying(path: &str, kind: ProblemKind, detail: Option<&'static str>) -> Response {
    let (_, title, status) = kind.facts();
    let unavailable = status == StatusCode::SERVICE_UNAVAILABLE;
    if path.starts_with("/oauth2/") || path.starts_with("/.well-known/") {
        let code = match kind {
            ProblemKind::Unavailable => OAuthCode::TemporarilyUnavailable,
            ProblemKind::Internal => OAuthCode::ServerError,
            _ => OAuthCode::InvalidRequest,
        };
        let error = OAuthError::new(code, detail.unwrap_or(title)).status(status);
        if unavailable {
            error.retry_after(1).into_response()
        } else {
            error.into_response()
        }
    } else if path.starts_with("/api/") {
        let mut problem = Problem::new(kind);
        if let Some(detail) = detail {
            problem = problem.detail(detail);
        }
        if unavailable {
            problem.retry_after(1).into_response()
        } else {
            problem.into_response()
        }
    } else {
        match kind {
            ProblemKind::NotFound => PageError::not_found().into_response(),
            ProblemKind::Unavailable => {
                PageError::from(Fault::overloaded("answering in time")).into_response()
            }
            _ => {
                let way_on = detail.unwrap_or("Please go back and try again.");
                PageError::new(status, title, way_on).into_response()
            }
        }
    }
}

/// Why the caller does what they do, in their own words: one line of UTF-8. Kept with the change, sealed with what it changed.
fn reason(headers: &HeaderMap) -> Result<Option<String>, Unreadable> {
    let mut sent = headers.get_all(REASON).iter();
    let Some(value) = sent.next() else {
        return Ok(None);
    };
    let text = str::from_utf8(value.as_bytes())
        .map_err(|_| Unreadable)?
        .trim();
    if sent.next().is_some()
        || text.chars().any(char::is_control)
        || text.chars().count() > MAX_REASON
    {
        return Err(Unreadable);
    }
    Ok(Some(text.to_owned()).filter(|text| !text.is_empty()))
}

/// A header that is no line of text, is too long, or was sent twice.
#[derive(Clone)]
struct Unreadable;

/// The client's address: the connection's, unless that is a proxy that the settings name; then the right-most address in
/// `X-Forwarded-For` that is none of those proxies (checklist 97). What does not parse as an address ends the walk.
fn client_ip(peer: IpAddr, headers: &HeaderMap, proxies: &[IpNet]) -> IpAddr {
    let trusted = |ip: &IpAddr| proxies.iter().any(|net| net.contains(ip));
    let mut ip = peer.to_canonical();
    let hops: Vec<&str> = headers
        .get_all("x-forwarded-for")
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .collect();
    for hop in hops.iter().rev() {
        if !trusted(&ip) {
            break;
        }
        match hop.trim().parse::<IpAddr>() {
            Ok(next) => ip = next.to_canonical(),
            Err(_) => break,
        }
    }
    ip
}

/// Headers of every answer (checklist 84, 86); a page that sets its own policy keeps it.
fn add_headers(headers: &mut HeaderMap, request_id: &str, secure: bool) {
    const FIXED: [(HeaderName, &str); 7] = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("permissions-policy"),
            "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
        ),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
    ];
    for (name, value) in FIXED {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    if secure {
        headers.insert(
            header::STRICT_TRANSPORT_SECURITY,
            HeaderValue::from_static("max-age=63072000; includeSubDomains"),
        );
    }
    if let Ok(id) = HeaderValue::try_from(request_id) {
        headers.insert(REQUEST_ID, id);
    }
}

/// What is read of a stranger's headers, for the fuzzer.
#[cfg(test)]
pub(crate) fn fuzzed(headers: &HeaderMap) {
    let proxies = ["10.0.0.0/8".parse().expect("a network")];
    client_ip(IpAddr::from([10, 0, 0, 1]), headers, &proxies);
    trace_context::join(&tracing::Span::none(), headers);
    super::etag::fuzzed(headers);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn believes_only_the_proxies_of_the_settings() {
        // S-97
        let proxies: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap()];
        let ip = |peer: &str, sent: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in sent {
                headers.append("x-forwarded-for", HeaderValue::try_from(*value).unwrap());
            }
            client_ip(peer.parse().unwrap(), &headers, &proxies).to_string()
        };
        assert_eq!(
            ip("192.0.2.1", &["198.51.100.7"]),
            "192.0.2.1",
            "a stranger is not believed"
        );
        assert_eq!(ip("10.0.0.1", &["198.51.100.7"]), "198.51.100.7");
        assert_eq!(
            ip("10.0.0.1", &["6.6.6.6, 198.51.100.7, 10.0.0.2"]),
            "198.51.100.7",
            "right-most that is no proxy"
        );
        assert_eq!(
            ip("10.0.0.1", &["6.6.6.6", "198.51.100.7"]),
            "198.51.100.7",
            "two headers are one list"
        );
        assert_eq!(ip("10.0.0.1", &["198.51.100.7, nonsense"]), "10.0.0.1");
        assert_eq!(ip("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(ip("::ffff:10.0.0.1", &["198.51.100.7"]), "198.51.100.7");
    }
}
