//! Every URL of the program on one page, grouped by audience. The router is built from this table and from nothing else, so a
//! route that is not in it does not exist, and a test that walks it has seen them all.

use axum::Router;
use axum::http::{Method, Uri};
use axum::response::Response;
use axum::routing::{MethodRouter, get};

use crate::app::App;
use crate::http::{ProblemKind, around, refusal};
use crate::ops::health;

/// Who is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody.
    Open,
    /// A client that proves itself in the request (RFC 6749 §2.3).
    Client,
    /// A bearer token for Doorward's own API with this scope.
    Scope(&'static str),
    /// A browser: with or without a session, the page decides; what changes something asks for a CSRF token.
    Browser,
    /// A browser in which somebody is signed in.
    SignedIn,
}

/// One URL and what may be done there.
pub struct Route {
    pub method: Method,
    pub path: &'static str,
    pub access: Access,
    handler: MethodRouter<App>,
}

fn route(method: Method, path: &'static str, access: Access, handler: MethodRouter<App>) -> Route {
    Route {
        method,
        path,
        access,
        handler,
    }
}

/// The table.
#[rustfmt::skip]
pub fn table() -> Vec<Route> {
    vec![
        // operators
        route(Method::GET, "/healthz", Access::Open, get(health::healthz)),
        route(Method::GET, "/readyz",  Access::Open, get(health::readyz)),
    ]
}

/// The program's HTTP side: the table's routes behind their guards, within the layers.
pub(crate) fn build(app: &App) -> Router {
    let mut router = Router::new();
    for Route {
        path,
        access,
        handler,
        ..
    } in table()
    {
        let handler = match access {
            Access::Open
            | Access::Client
            | Access::Browser
            | Access::SignedIn
            | Access::Scope(_) => handler,
        };
        router = router.route(path, handler);
    }
    let router = router
        .fallback(|uri: Uri| async move { not_there(&uri, ProblemKind::NotFound) })
        .method_not_allowed_fallback(|uri: Uri| async move {
            not_there(&uri, ProblemKind::MethodNotAllowed)
        });
    around(router, app)
}

fn not_there(uri: &Uri, kind: ProblemKind) -> Response {
    refusal(uri.path(), kind)
}
