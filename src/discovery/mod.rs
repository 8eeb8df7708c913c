//! Discovery: what this server can do, computed from what is switched on (RFC 8414, OpenID Connect Discovery 1.0).

pub(crate) mod http;
mod metadata;

pub(crate) use http::Documents;
