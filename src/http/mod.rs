//! The HTTP kit: error shapes, strict forms and JSON, ETags, CSRF tokens, and the layers around every route. Knows no user, client or grant.

mod answer;
mod at;
mod bearer_error;
pub(crate) mod cors;
mod csrf;
mod document;
mod etag;
mod failure;
mod form;
mod idempotency_key;
mod json;
mod layers;
mod oauth_error;
mod page;
mod page_error;
mod problem;
mod query;
mod request_id;
pub(crate) mod shapes;
mod trace_context;

pub(crate) use answer::{located, private};
pub(crate) use at::{At, Within};
pub(crate) use bearer_error::BearerError;
pub(crate) use csrf::Csrf;
pub(crate) use document::Document;
pub(crate) use etag::{ETag, IfMatch, is_known};
pub(crate) use form::FormError;
pub(crate) use form::{Form, decode as decode_form};
pub(crate) use idempotency_key::{IdempotencyKey, replayed};
pub(crate) use json::JsonBody;
#[cfg(test)]
pub(crate) use layers::fuzzed;
pub(crate) use layers::{Peer, around, refusal};
pub(crate) use oauth_error::{OAuthCode, OAuthError};
pub(crate) use page::{
    __path_asset, PageForm, asset, assets_version, come_again, nonce_page, page, page_leading_to,
    script_nonce, too_many,
};
pub(crate) use page_error::PageError;
pub(crate) use problem::Problem;
pub use problem::ProblemKind;
pub(crate) use query::{Query, time_in};
pub(crate) use request_id::RequestIds;
