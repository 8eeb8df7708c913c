//! Which other sites' pages may read an answer (Fetch §3.3): all of them where it tells everybody the same, otherwise those of the very
//! client that was proven, and nobody else (checklist 87). Cookies never come along.

use std::sync::{Arc, OnceLock};

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// For how long browsers remember what may be sent, in seconds.
const REMEMBERED: HeaderValue = HeaderValue::from_static("600");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// The origins whose pages may read the answer to a request: told by whoever has found out whose it is, used once there is an answer.
#[derive(Clone, Default)]
pub(crate) struct Readers(Arc<OnceLock<Vec<String>>>);

impl Readers {
    /// Once a request: a client that was proven, or whose token counts.
    pub(crate) fn are(&self, origins: &[String]) {
        let _ = self.0.set(origins.to_vec());
    }

    fn hold(&self, origin: &HeaderValue) -> bool {
        let origins = self.0.get().into_iter().flatten();
        let mut same = origins.filter(|registered| registered.as_bytes() == origin.as_bytes());
        same.next().is_some()
    }
}

/// Lets the pages of the request's own client read the answer, refusals included.
pub(crate) async fn for_readers(mut request: Request, next: Next) -> Response {
    let Some(origin) = request.headers().get(header::ORIGIN).cloned() else {
        return next.run(request).await;
    };
    let readers = Readers::default();
    request.extensions_mut().insert(readers.clone());
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    if readers.hold(&origin) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static("www-authenticate, retry-after, x-request-id"),
        );
        headers.insert(RESOURCE_POLICY, HeaderValue::from_static("cross-origin"));
    }
    response
}

/// The answer to a browser that asks whether a page of `origin` may send a request with these headers.
pub(crate) fn may_send(origin: HeaderValue) -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(header::VARY, HeaderValue::from_static("origin"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("GET, POST"),
    );
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("authorization, content-type"),
    );
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, REMEMBERED);
    (StatusCode::NO_CONTENT, headers).into_response()
}

/// The same for an origin that nobody registered: the browser keeps the request to itself.
pub(crate) fn may_not_send() -> Response {
    let vary = [(header::VARY, HeaderValue::from_static("origin"))];
    (StatusCode::NO_CONTENT, vary).into_response()
}

/// Whatever is the same for everybody, everybody's pages may read.
pub(crate) fn for_everybody(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_ORIGIN,
        HeaderValue::from_static("*"),
    );
    headers.insert(RESOURCE_POLICY, HeaderValue::from_static("cross-origin"));
    response
}
