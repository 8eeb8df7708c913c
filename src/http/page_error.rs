//! Errors that a person sees: plain words, a way on, the request id; never a cause, never a token.

use askama::Template;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::failure::{self, Shape};
use crate::kernel::Fault;

/// A page that says what is wrong and where to go on.
pub(crate) struct PageError {
    status: StatusCode,
    title: &'static str,
    text: &'static str,
    fault: Option<Fault>,
    retry_after: Option<u32>,
}

#[derive(Template)]
#[template(path = "error/page.html")]
struct ErrorPage<'a> {
    title: &'a str,
    text: &'a str,
    request_id: &'a str,
    assets: &'a str,
}

impl PageError {
    pub(crate) fn new(status: StatusCode, title: &'static str, text: &'static str) -> Self {
        Self {
            status,
            title,
            text,
            fault: None,
            retry_after: None,
        }
    }

    pub(crate) fn not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "There is nothing here",
            "The address may be mistyped, or the page has gone.",
        )
    }

    /// A form that another site sent, or one whose token is not ours any more.
    pub(crate) fn foreign_form() -> Self {
        let text = "It may have been open for too long, or another site sent it. Please go back, reload the page and try again.";
        Self::new(StatusCode::FORBIDDEN, "That form has expired", text)
    }

    /// When to come again, in seconds.
    pub(crate) fn retry_after(self, seconds: u32) -> Self {
        Self {
            retry_after: Some(seconds),
            ..self
        }
    }

    pub(super) fn render(self, mut response: Response, request_id: &str) -> Response {
        if let Some(fault) = &self.fault {
            failure::log_fault(fault);
        }
        if let Some(seconds) = self.retry_after {
            response = failure::with_retry_after(response, seconds);
        }
        let page = ErrorPage {
            title: self.title,
            text: self.text,
            request_id,
            assets: super::assets_version(),
        };
        let body = page.render().unwrap_or_else(|_| self.title.to_owned());
        response = failure::with_body(response, "text/html; charset=utf-8", body);
        super::page::add_headers(response.headers_mut());
        response
    }
}

impl From<Fault> for PageError {
    fn from(fault: Fault) -> Self {
        let error = match failure::status_of(&fault) {
            StatusCode::SERVICE_UNAVAILABLE => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "Just a moment",
                "We can't answer right now. Please try again shortly.",
            )
            .retry_after(1),
            status => Self::new(
                status,
                "Something went wrong",
                "That was our fault, not yours. Please try again.",
            ),
        };
        Self {
            fault: Some(fault),
            ..error
        }
    }
}

impl From<sqlx::Error> for PageError {
    fn from(cause: sqlx::Error) -> Self {
        Fault::from(cause).into()
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let status = self.status;
        Shape::Page(self).into_response(status)
    }
}
