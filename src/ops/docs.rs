//! `/docs`: the API to look at and try, from our own files alone; `/docs/errors`: what the `type` of a problem document points to.

use std::sync::{Arc, LazyLock};

use axum::extract::Path;
use axum::http::header;
use axum::response::{IntoResponse, Redirect, Response};
use utoipa_swagger_ui::Config;

use crate::http::{PageError, ProblemKind, refusal};

/// Only its own scripts; Swagger UI sets styles on its elements.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

static SWAGGER: LazyLock<Arc<Config<'static>>> =
    LazyLock::new(|| Arc::new(Config::from("/openapi.json").use_base_layout()));

/// `GET /docs`: to the page itself, whose files lie beside it.
#[utoipa::path(get, path = "/docs", tag = "operators", responses((status = 303, description = "Go on there"), (status = 405, description = "GET only")))]
pub(crate) async fn docs() -> Redirect {
    Redirect::to("/docs/api/index.html")
}

/// `GET /docs/api/{file}`.
#[utoipa::path(get, path = "/docs/api/{file}", tag = "operators", params(("file" = String, Path, description = "A file's name")),
    responses((status = 200, description = "A part of the page"), (status = 404, description = "There is no such file", content_type = "text/html", body = String), (status = 405, description = "GET only")))]
pub(crate) async fn api(Path(file): Path<String>) -> Response {
    match utoipa_swagger_ui::serve(&file, SWAGGER.clone()) {
        Ok(Some(found)) => (
            [
                (header::CONTENT_TYPE, found.content_type),
                (header::CONTENT_SECURITY_POLICY, POLICY.to_owned()),
                (header::CACHE_CONTROL, "public, max-age=3600".to_owned()),
            ],
            found.bytes.into_owned(),
        )
            .into_response(),
        Ok(None) => PageError::not_found().into_response(),
        Err(cause) => {
            tracing::error!(%cause, "a part of the API's page could not be made");
            refusal("/docs", ProblemKind::Internal)
        }
    }
}

/// docs/errors.md as it is.
#[utoipa::path(get, path = "/docs/errors", tag = "operators", responses((status = 200, description = "What `type` in a problem document points to", content_type = "text/markdown", body = String), (status = 405, description = "GET only")))]
pub(crate) async fn errors() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/markdown; charset=utf-8"),
        (header::CACHE_CONTROL, "public, max-age=3600"),
    ];
    (headers, include_str!("../../docs/errors.md")).into_response()
}
