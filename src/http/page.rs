//! What every page has: its headers, its stylesheet, and where its forms may come from.

use askama::Template;
use axum::extract::{FromRequest, Path, Request};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::shapes::PageRefusals;
use super::{Form, FormError, PageError};
use crate::app::App;
use crate::config::Issuer;
use crate::kernel::{Fault, random};

/// No inline style or script, nothing from elsewhere, forms to ourselves alone (checklist 84).
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'";

/// Renders a page. Browsers keep no copy, and tell its address to nobody else; to ourselves they do, since with no referrer at all
/// they would send `Origin: null` with our own forms.
pub(crate) fn page(status: StatusCode, template: &impl Template) -> Result<Response, PageError> {
    let body = template
        .render()
        .map_err(|e| Fault::internal("rendering a page", e))?;
    let mut response = (
        status,
        [(header::CONTENT_TYPE, "text/html; charset=utf-8")],
        body,
    )
        .into_response();
    add_headers(response.headers_mut());
    Ok(response)
}

/// The headers of a page.
pub(super) fn add_headers(headers: &mut HeaderMap) {
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// Lets the forms of a page lead to `target` too, a client's origin or scheme: Chromium holds redirects after a form to the policy of
/// the page that the form was on.
pub(crate) fn page_leading_to(mut response: Response, target: &str) -> Response {
    let policy = POLICY.replace(
        "form-action 'self'",
        &format!("form-action 'self' {target}"),
    );
    // What can't be in a header leads nowhere.
    if let Ok(policy) = HeaderValue::try_from(policy) {
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// A nonce for one response's scripts.
pub(crate) fn script_nonce() -> String {
    URL_SAFE_NO_PAD.encode(random::bytes::<16>())
}

/// A page whose one script has a nonce of its own (checklist 85), and whose forms lead to `target`; its address is told to nobody.
pub(crate) fn nonce_page(
    target: &str,
    nonce: &str,
    template: &impl Template,
) -> Result<Response, PageError> {
    let mut response = page(StatusCode::OK, template)?;
    let policy = POLICY
        .replace(
            "form-action 'self'",
            &format!("form-action 'self' {target}"),
        )
        .replace("script-src 'self'", &format!("script-src 'nonce-{nonce}'"));
    let policy =
        HeaderValue::try_from(policy).map_err(|e| Fault::internal("writing a page's policy", e))?;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    Ok(response)
}

/// A form of one of our own pages. Where the browser says whence it comes, that must be here (checklist 82); the token is checked by
/// the handler, which knows what it is bound to.
pub(crate) struct PageForm(pub(crate) Form);

impl FromRequest<App> for PageForm {
    type Rejection = PageError;

    async fn from_request(request: Request, app: &App) -> Result<Self, PageError> {
        if !is_from_here(request.headers(), &app.config.issuer) {
            return Err(PageError::foreign_form());
        }
        Form::from_request(request, app)
            .await
            .map(Self)
            .map_err(|e| match e {
                FormError::TooLarge => PageError::new(
                    e.status(),
                    "That was too much",
                    "The form is larger than we can take. Please go back and shorten it.",
                ),
                _ => PageError::new(
                    e.status(),
                    "We could not read that",
                    "Please go back and send the form again.",
                ),
            })
    }
}

fn is_from_here(headers: &HeaderMap, issuer: &Issuer) -> bool {
    let text = |name: &str| {
        headers
            .get(name)
            .map(|value| value.to_str().unwrap_or("unreadable"))
    };
    let origin = text("origin").is_none_or(|origin| origin == issuer.origin());
    let site = text("sec-fetch-site").is_none_or(|site| matches!(site, "same-origin" | "none"));
    origin && site
}

/// The files that pages refer to, by name; their address changes with their content, so they are kept for good.
const ASSETS: [(&str, &str, &str); 4] = [
    (
        "style.css",
        "text/css; charset=utf-8",
        include_str!("../../templates/style.css"),
    ),
    (
        "reveal.js",
        "text/javascript; charset=utf-8",
        include_str!("../../templates/reveal.js"),
    ),
    (
        "send.js",
        "text/javascript; charset=utf-8",
        include_str!("../../templates/send.js"),
    ),
    (
        "mark.svg",
        "image/svg+xml",
        include_str!("../../templates/mark.svg"),
    ),
];

/// `GET /assets/{name}`.
#[utoipa::path(get, path = "/assets/{name}", tag = "people", params(("name" = String, Path, description = "A file's name")), responses((status = 200, description = "A stylesheet, a script or a picture"), PageRefusals))]
pub(crate) async fn asset(Path(name): Path<String>) -> Response {
    match ASSETS.iter().find(|(known, ..)| *known == name) {
        Some((_, content_type, text)) => {
            let headers = [
                (header::CONTENT_TYPE, *content_type),
                (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
            ];
            (headers, *text).into_response()
        }
        None => PageError::not_found().into_response(),
    }
}

/// What the address of the assets ends with: changes with their content.
pub(crate) fn assets_version() -> &'static str {
    use sha2::{Digest, Sha256};
    static VERSION: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
        let mut hash = Sha256::new();
        for (_, _, text) in ASSETS {
            hash.update(text);
        }
        hash.finalize()
            .iter()
            .take(6)
            .map(|b| format!("{b:02x}"))
            .collect()
    });
    &VERSION
}

/// What somebody is told who has tried too often.
pub(crate) fn too_many(seconds: u32) -> String {
    let wait = match seconds {
        0..=1 => "a second".to_owned(),
        2..=90 => format!("{seconds} seconds"),
        _ => format!("{} minutes", seconds.div_ceil(60)),
    };
    format!("Too many attempts. Please wait {wait} and try again.")
}

/// Adds to a page when to come again.
pub(crate) fn come_again(mut response: Response, seconds: u32) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_come_from_here() {
        // S-82
        let from_here = |sent: &[(&'static str, &str)]| {
            let headers = sent
                .iter()
                .map(|(name, value)| {
                    (
                        name.parse::<header::HeaderName>().unwrap(),
                        HeaderValue::try_from(*value).unwrap(),
                    )
                })
                .collect();
            is_from_here(&headers, &Issuer::default())
        };
        assert!(from_here(&[]), "where both are absent the token decides");
        assert!(from_here(&[
            ("origin", "http://localhost:8080"),
            ("sec-fetch-site", "same-origin")
        ]));
        assert!(from_here(&[("sec-fetch-site", "none")]));
        for (origin, site) in [
            ("http://evil.example", "same-origin"),
            ("null", "same-origin"),
            ("http://localhost:8081", "same-site"),
            ("http://localhost:8080", "cross-site"),
        ] {
            assert!(
                !from_here(&[("origin", origin), ("sec-fetch-site", site)]),
                "{origin} {site}"
            );
        }
        assert!(!from_here(&[("origin", "http://localhost")]));
    }
}
