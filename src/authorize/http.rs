//! `/oauth2/authorize`. What goes wrong before client and redirect URI are proven is a page, for a person; everything after it is the
//! client's to hear.

use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;

use super::checks::{Unfit, vet};
use super::progress::{begin, begin_later, named, take_up};
use super::request::Raw;
use super::respond::{Answer, respond};
use crate::cx::Cx;
use crate::http::shapes::PageRefusals;
use crate::http::{Form, FormError, PageError};
use crate::sessions::Visitor;

/// Asks for an authorization code (RFC 6749 §4.1.1, OpenID Connect Core §3.1.2.1).
#[utoipa::path(get, path = "/oauth2/authorize", tag = "people", params(("client_id" = String, Query, description = "The application"), ("redirect_uri" = String, Query, description = "Where the answer goes: one of the application's, byte by byte"), ("response_type" = String, Query, description = "`code`"), ("scope" = Option<String>, Query, description = "Separated by spaces; `openid` for an ID token"), ("state" = Option<String>, Query, description = "Comes back as it is"), ("nonce" = Option<String>, Query, description = "Comes back in the ID token"), ("code_challenge" = Option<String>, Query, description = "RFC 7636"), ("code_challenge_method" = Option<String>, Query, description = "`S256`")), responses((status = 200, description = "The answer, as a form that sends itself", content_type = "text/html", body = String), (status = 303, description = "The answer, or the next page"), PageRefusals))]
pub(crate) async fn get(
    Visitor { known, cx, .. }: Visitor,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, PageError> {
    let raw = Raw::parse(uri.query().unwrap_or(""), b"").map_err(unreadable)?;
    match vet(raw, &cx).await {
        Ok((client, request)) => begin(&client, &request, &known, &headers, &cx).await,
        Err(unfit) => refuse(unfit, &cx),
    }
}

/// The same by POST (Core §3.1.2.1).
#[utoipa::path(post, path = "/oauth2/authorize", tag = "people", responses((status = 200, description = "The answer, as a form that sends itself", content_type = "text/html", body = String), (status = 303, description = "The answer, or the next page"), PageRefusals))]
pub(crate) async fn post(
    cx: Cx,
    headers: HeaderMap,
    uri: Uri,
    request: Request,
) -> Result<Response, PageError> {
    let body = Form::read(request).await.map_err(unreadable)?;
    let raw = Raw::parse(uri.query().unwrap_or(""), &body).map_err(unreadable)?;
    match vet(raw, &cx).await {
        Ok((_, request)) => begin_later(&request, &headers, &cx).await,
        Err(unfit) => refuse(unfit, &cx),
    }
}

/// Takes up a request that came by POST.
#[utoipa::path(get, path = "/oauth2/authorize/continue", tag = "people", params(("request" = String, Query, description = "Names the request")), responses((status = 200, description = "The answer, as a form that sends itself", content_type = "text/html", body = String), (status = 303, description = "The answer, or the next page"), PageRefusals))]
pub(crate) async fn get_continue(
    Visitor { known, cx, .. }: Visitor,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, PageError> {
    let name = named(uri.query()).ok_or_else(PageError::not_found)?;
    take_up(&name, &known, &headers, &cx).await
}

fn refuse(unfit: Unfit, cx: &Cx) -> Result<Response, PageError> {
    match unfit {
        Unfit::Page(error) => Err(error),
        Unfit::Back(client, back, refused) => {
            tracing::info!(client.id = %client.id, error = refused.error, "an authorization request was refused");
            respond(&back, &Answer::Refused(refused), cx)
        }
    }
}

fn unreadable(error: FormError) -> PageError {
    let status = match error {
        FormError::TooLarge | FormError::TooSlow => error.status(),
        _ => StatusCode::BAD_REQUEST,
    };
    let text = "The application that sent you here asked for something that could not be read. Please tell the people who run it.";
    PageError::new(status, "We could not read that", text)
}
