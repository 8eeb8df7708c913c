//! The answer's way back to the client (RFC 6749 §4.1.2, RFC 9207, Form Post Response Mode).

use askama::Template;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use form_urlencoded::Serializer;

use super::code::Code;
use super::model::{Back, Mode, Refused};
use crate::cx::Cx;
use crate::db::spend::Token;
use crate::http::{PageError, assets_version, nonce_page, page_leading_to, script_nonce};
use crate::kernel::Fault;
use crate::kernel::redirect::form_target;

/// What the client is told.
pub(super) enum Answer {
    Code(Token<Code>),
    Refused(Refused),
}

#[derive(Template)]
#[template(path = "authorize/form_post.html")]
struct FormPostPage<'a> {
    assets: &'a str,
    nonce: &'a str,
    action: &'a str,
    /// Whether it is an error that travels.
    refused: bool,
    fields: &'a [(&'static str, &'a str)],
}

/// Sends the browser back. `iss` is in every answer (checklist 15), `state` as it came (E3).
pub(super) fn respond(back: &Back, answer: &Answer, cx: &Cx) -> Result<Response, PageError> {
    let mut fields: Vec<(&'static str, &str)> = match answer {
        Answer::Code(code) => vec![("code", code.secret().expose())],
        Answer::Refused(refused) => {
            tracing::info!(
                error = refused.error,
                reason = %refused.told,
                "refused to the client"
            );
            vec![
                ("error", refused.error),
                ("error_description", &refused.told),
            ]
        }
    };
    if let Some(state) = &back.state {
        fields.push(("state", state));
    }
    fields.push(("iss", cx.app.config.issuer.as_str()));
    cx.app.meters.authorized(match answer {
        Answer::Code(_) => "code",
        Answer::Refused(refused) => refused.error,
    });
    match back.mode {
        Mode::Query => redirect(&back.redirect_uri, &fields),
        Mode::FormPost => {
            let nonce = script_nonce();
            let template = FormPostPage {
                assets: assets_version(),
                nonce: &nonce,
                action: &back.redirect_uri,
                refused: matches!(answer, Answer::Refused(_)),
                fields: &fields,
            };
            nonce_page(&form_target(&back.redirect_uri), &nonce, &template)
        }
    }
}

/// A 303: a browser that was sent here by a form goes on with GET and leaves the form behind (checklist 13).
fn redirect(uri: &str, fields: &[(&'static str, &str)]) -> Result<Response, PageError> {
    let query = Serializer::new(String::new()).extend_pairs(fields).finish();
    let joint = if uri.contains('?') { '&' } else { '?' };
    let mut location = HeaderValue::try_from(format!("{uri}{joint}{query}"))
        .map_err(|e| Fault::internal("leading back to a client", e))?;
    location.set_sensitive(true);
    let headers = [
        (header::LOCATION, location),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::PRAGMA, HeaderValue::from_static("no-cache")),
    ];
    Ok((StatusCode::SEE_OTHER, headers).into_response())
}

/// Adds the client's origin to what a page's forms may lead to.
pub(super) fn with_way_back(response: Response, back: &Back) -> Response {
    page_leading_to(response, &form_target(&back.redirect_uri))
}
