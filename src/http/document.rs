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
    content_type: HeaderValue,
    cache_control: HeaderValue,
}

impl Document {
    pub(crate) fn new(bytes: Bytes, content_type: &'static str, max_age: Span) -> Self {
        let hash: String = Sha256::digest(&bytes)
            .iter()
            .take(16)
            .map(|b| format!("{b:02x}"))
            .collect();
        #[expect(
            clippy::expect_used,
            reason = "digits, letters and quotes are a header value"
        )]
        let value = |text: String| HeaderValue::try_from(text).expect("digits and letters");
        Self {
            bytes,
            etag: value(format!("\"{hash}\"")),
            content_type: HeaderValue::from_static(content_type),
            cache_control: value(format!("public, max-age={}", max_age.whole_seconds())),
        }
    }

    /// 200, or 304 where `If-None-Match` has our tag (RFC 9110 §13.1.2).
    pub(crate) fn answer(&self, sent: &HeaderMap) -> Response {
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
        headers.insert(header::CONTENT_TYPE, self.content_type.clone());
        headers.insert(header::ETAG, self.etag.clone());
        headers.insert(header::CACHE_CONTROL, self.cache_control.clone());
        response
    }
}
