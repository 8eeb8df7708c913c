//! A document that everybody may read and cache: JWKS, discovery.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use sha2::{Digest, Sha256};

use super::is_known;
use crate::kernel::span::Span;

/// Bytes and the strong ETag made of them.
#[derive(Clone)]
pub(crate) struct Document {
    bytes: Bytes,
    etag: HeaderValue,
}

impl Document {
    pub(crate) fn new(bytes: Bytes) -> Self {
        let hash: String = Sha256::digest(&bytes)
            .iter()
            .take(16)
            .map(|b| format!("{b:02x}"))
            .collect();
        #[expect(
            clippy::expect_used,
            reason = "hexadecimal digits and quotes are a header value"
        )]
        let etag = HeaderValue::try_from(format!("\"{hash}\"")).expect("digits and quotes");
        Self { bytes, etag }
    }

    /// 200, or 304 where `If-None-Match` has our tag (RFC 9110 §13.1.2).
    pub(crate) fn answer(
        &self,
        content_type: &'static str,
        max_age: Span,
        sent: &HeaderMap,
    ) -> Response {
        let known = is_known(&self.etag, sent);
        let mut response = Response::new(if known {
            Body::empty()
        } else {
            Body::from(self.bytes.clone())
        });
        if known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(header::ETAG, self.etag.clone());
        if let Ok(value) =
            HeaderValue::try_from(format!("public, max-age={}", max_age.whole_seconds()))
        {
            headers.insert(header::CACHE_CONTROL, value);
        }
        response
    }
}
