//! Every URL of the program on one page, grouped by audience. The router is built from this table and from nothing else, so a
//! route that is not in it does not exist, and a test that walks it has seen them all.

use axum::Router;
use axum::http::{Method, Uri};
use axum::middleware;
use axum::response::{Redirect, Response};
use axum::routing::{MethodRouter, delete, get, options, patch, post, put};

use crate::app::App;
use crate::consumers::Shown;
use crate::http::{self, ProblemKind, around, refusal};
use crate::kernel::scope::{CLIENTS_READ, CLIENTS_WRITE, OPENID, USERS_READ, USERS_WRITE};
use crate::ops::{docs, health, metrics};
use crate::{
    account, authorize, clients, consent, consumers, discovery, events, keys, login, logout,
    openapi, registration, sessions, token, userinfo, users, webhooks,
};

/// Who is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody.
    Open,
    /// A client that proves itself in the request (RFC 6749 §2.3).
    Client,
    /// Registration's own tokens (RFC 7591 §3, RFC 7592 §1.2), where it is switched on.
    Registration,
    /// A bearer token for Doorward's own API with this scope.
    Scope(&'static str),
    /// A person's bearer token with this scope, whatever its audience; the handler checks it.
    Token(&'static str),
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
        // services
        route(Method::POST,   "/oauth2/token",                                 Access::Client, post(token::http::post)),
        route(Method::POST,   "/oauth2/introspect",                            Access::Client, post(token::http::introspect)),
        route(Method::POST,   "/oauth2/revoke",                                Access::Client, post(token::http::revoke)),
        route(Method::OPTIONS, "/oauth2/token",                                Access::Open, options(token::preflight::token)),
        route(Method::OPTIONS, "/oauth2/revoke",                               Access::Open, options(token::preflight::revoke)),
        route(Method::OPTIONS, "/oauth2/userinfo",                             Access::Open, options(token::preflight::userinfo)),
        route(Method::GET,    "/oauth2/logout",                                Access::Browser, get(logout::page::get_of_application)),
        route(Method::POST,   "/oauth2/logout",                                Access::Browser, post(logout::page::post_of_application)),
        route(Method::GET,    "/oauth2/userinfo",                              Access::Token(OPENID), get(userinfo::http::get)),
        route(Method::POST,   "/oauth2/userinfo",                              Access::Token(OPENID), post(userinfo::http::post)),
        route(Method::POST,   "/oauth2/register",                              Access::Registration, post(registration::http::register)),
        route(Method::GET,    "/oauth2/register/{id}",                         Access::Registration, get(registration::http::show)),
        route(Method::PUT,    "/oauth2/register/{id}",                         Access::Registration, put(registration::http::replace)),
        route(Method::DELETE, "/oauth2/register/{id}",                         Access::Registration, delete(registration::http::remove)),
        route(Method::GET,    "/.well-known/jwks.json",                        Access::Open, get(keys::http::jwks)),
        route(Method::GET,    "/.well-known/openid-configuration",             Access::Open, get(discovery::http::openid_configuration)),
        route(Method::GET,    "/.well-known/oauth-authorization-server",       Access::Open, get(discovery::http::oauth_authorization_server)),

        // admins and other systems
        route(Method::GET,    "/api/v1/users",                                 Access::Scope(USERS_READ),  get(users::http::list)),
        route(Method::POST,   "/api/v1/users",                                 Access::Scope(USERS_WRITE), post(users::http::create)),
        route(Method::POST,   "/api/v1/users/batch",                           Access::Scope(USERS_WRITE), post(users::batch::post)),
        route(Method::GET,    "/api/v1/users/schema",                          Access::Scope(USERS_READ),  get(users::attributes::http::get)),
        route(Method::PUT,    "/api/v1/users/schema",                          Access::Scope(USERS_WRITE), put(users::attributes::http::put)),
        route(Method::GET,    "/api/v1/users/{id}",                            Access::Scope(USERS_READ),  get(users::http::get)),
        route(Method::PATCH,  "/api/v1/users/{id}",                            Access::Scope(USERS_WRITE), patch(users::http::patch)),
        route(Method::PUT,    "/api/v1/users/{id}",                            Access::Scope(USERS_WRITE), put(users::http::put)),
        route(Method::DELETE, "/api/v1/users/{id}",                            Access::Scope(USERS_WRITE), delete(users::http::delete)),
        route(Method::POST,   "/api/v1/users/{id}/restore",                    Access::Scope(USERS_WRITE), post(users::http::restore)),
        route(Method::POST,   "/api/v1/users/{id}/erase",                      Access::Scope(USERS_WRITE), post(users::http::erase)),
        route(Method::GET,    "/api/v1/users/{id}/history",                    Access::Scope(USERS_READ),  get(users::history::http::get)),
        route(Method::PUT,    "/api/v1/users/{id}/password",                   Access::Scope(USERS_WRITE), put(users::http::put_password)),
        route(Method::POST,   "/api/v1/users/{id}/require-password-change",    Access::Scope(USERS_WRITE), post(users::http::require_password_change)),
        route(Method::DELETE, "/api/v1/users/{id}/sessions",                   Access::Scope(USERS_WRITE), delete(users::http::end_sessions)),
        route(Method::GET,    "/api/v1/users/digest",                          Access::Scope(USERS_READ),  get(consumers::http::digest)),
        route(Method::DELETE, "/api/v1/sessions",                              Access::Scope(USERS_WRITE), delete(sessions::http::end_everybodys)),
        route(Method::GET,    "/api/v1/changes",                               Access::Scope(USERS_READ),  get(events::http::changes)),
        route(Method::PUT,    "/api/v1/changes/position",                      Access::Scope(USERS_READ),  put(consumers::http::acknowledge)),
        route(Method::GET,    "/api/v1/initial-access-tokens",                 Access::Scope(CLIENTS_READ),  get(registration::http::list_tokens)),
        route(Method::POST,   "/api/v1/initial-access-tokens",                 Access::Scope(CLIENTS_WRITE), post(registration::http::create_token)),
        route(Method::DELETE, "/api/v1/initial-access-tokens/{id}",            Access::Scope(CLIENTS_WRITE), delete(registration::http::delete_token)),
        route(Method::GET,    "/api/v1/clients",                               Access::Scope(CLIENTS_READ),  get(clients::http::list)),
        route(Method::POST,   "/api/v1/clients",                               Access::Scope(CLIENTS_WRITE), post(clients::http::create)),
        route(Method::GET,    "/api/v1/clients/{id}",                          Access::Scope(CLIENTS_READ),  get(clients::http::get)),
        route(Method::PATCH,  "/api/v1/clients/{id}",                          Access::Scope(CLIENTS_WRITE), patch(clients::http::patch)),
        route(Method::PUT,    "/api/v1/clients/{id}",                          Access::Scope(CLIENTS_WRITE), put(clients::http::put)),
        route(Method::DELETE, "/api/v1/clients/{id}",                          Access::Scope(CLIENTS_WRITE), delete(clients::http::delete)),
        route(Method::GET,    "/api/v1/clients/{id}/secrets",                  Access::Scope(CLIENTS_READ),  get(clients::http::list_secrets)),
        route(Method::POST,   "/api/v1/clients/{id}/secrets",                  Access::Scope(CLIENTS_WRITE), post(clients::http::create_secret)),
        route(Method::DELETE, "/api/v1/clients/{id}/secrets/{secret_id}",      Access::Scope(CLIENTS_WRITE), delete(clients::http::delete_secret)),
        route(Method::GET,    "/api/v1/consumers",                             Access::Scope(CLIENTS_READ),  get(consumers::http::list)),
        route(Method::GET,    "/api/v1/consumers/{name}",                      Access::Scope(CLIENTS_READ),  get(consumers::http::get)),
        route(Method::PUT,    "/api/v1/consumers/{name}",                      Access::Scope(CLIENTS_WRITE), put(consumers::http::put)),
        route(Method::DELETE, "/api/v1/consumers/{name}",                      Access::Scope(CLIENTS_WRITE), delete(consumers::http::delete)),
        route(Method::GET,    "/api/v1/webhooks",                              Access::Scope(CLIENTS_READ),  get(webhooks::http::list)),
        route(Method::POST,   "/api/v1/webhooks",                              Access::Scope(CLIENTS_WRITE), post(webhooks::http::create)),
        route(Method::GET,    "/api/v1/webhooks/{id}",                         Access::Scope(CLIENTS_READ),  get(webhooks::http::get)),
        route(Method::PATCH,  "/api/v1/webhooks/{id}",                         Access::Scope(CLIENTS_WRITE), patch(webhooks::http::patch)),
        route(Method::DELETE, "/api/v1/webhooks/{id}",                         Access::Scope(CLIENTS_WRITE), delete(webhooks::http::delete)),
        route(Method::POST,   "/api/v1/webhooks/{id}/rotate-secret",           Access::Scope(CLIENTS_WRITE), post(webhooks::http::rotate_secret)),
        route(Method::POST,   "/api/v1/webhooks/{id}/test",                    Access::Scope(CLIENTS_WRITE), post(webhooks::http::test)),
        route(Method::POST,   "/api/v1/webhooks/{id}/replay",                  Access::Scope(CLIENTS_WRITE), post(webhooks::http::replay)),
        route(Method::GET,    "/api/v1/webhooks/{id}/dead",                    Access::Scope(CLIENTS_READ),  get(webhooks::http::dead)),
        route(Method::GET,    "/openapi.json",                                 Access::Open, get(openapi::get)),
        route(Method::GET,    "/docs",                                         Access::Open, get(docs::docs)),
        route(Method::GET,    "/docs/api/{file}",                              Access::Open, get(docs::api)),
        route(Method::GET,    "/docs/errors",                                  Access::Open, get(docs::errors)),

        // people
        route(Method::GET,    "/",                                             Access::Open, get(async || Redirect::to("/account"))),
        route(Method::GET,    "/oauth2/authorize",                             Access::Browser, get(authorize::http::get)),
        route(Method::POST,   "/oauth2/authorize",                             Access::Browser, post(authorize::http::post)),
        route(Method::GET,    "/oauth2/authorize/continue",                    Access::Browser, get(authorize::http::get_continue)),
        route(Method::GET,    "/consent",                                      Access::Browser, get(consent::page::get)),
        route(Method::POST,   "/consent",                                      Access::Browser, post(consent::page::post)),
        route(Method::GET,    "/login",                                        Access::Browser, get(login::page::get)),
        route(Method::POST,   "/login",                                        Access::Browser, post(login::page::post)),
        route(Method::GET,    "/login/account",                                Access::Browser, get(login::page::get_account)),
        route(Method::POST,   "/login/account",                                Access::Browser, post(login::page::post_account)),
        route(Method::POST,   "/login/cancel",                                 Access::Browser, post(login::page::post_cancel)),
        route(Method::POST,   "/login/new-password",                           Access::Browser, post(login::page::post_new_password)),
        route(Method::GET,    "/logout",                                       Access::SignedIn, get(logout::page::get)),
        route(Method::POST,   "/logout",                                       Access::SignedIn, post(logout::page::post)),
        route(Method::GET,    "/account",                                      Access::SignedIn, get(account::page::get)),
        route(Method::POST,   "/account/sessions/end",                         Access::SignedIn, post(account::page::post_end_session)),
        route(Method::POST,   "/account/applications/end",                     Access::SignedIn, post(account::page::post_end_login)),
        route(Method::POST,   "/account/applications/remove",                  Access::SignedIn, post(account::page::post_remove_application)),
        route(Method::GET,    "/account/password",                             Access::SignedIn, get(account::page::get_password)),
        route(Method::POST,   "/account/password",                             Access::SignedIn, post(account::page::post_password)),
        route(Method::GET,    "/assets/{name}",                                Access::Open, get(http::asset)),

        // operators
        route(Method::GET,    "/healthz",                                      Access::Open, get(health::healthz)),
        route(Method::GET,    "/readyz",                                       Access::Open, get(health::readyz)),
        route(Method::GET,    "/metrics",                                      Access::Open, get(metrics::for_loopback)),
    ]
}

/// The program's HTTP side: the table's routes behind their guards, and `further` ones, within the layers.
pub(crate) fn build(app: &App, further: Router<App>) -> Router {
    let mut router = further;
    for Route {
        path,
        access,
        handler,
        method,
    } in table()
    {
        let handler = match access {
            Access::Client | Access::Token(_) if is_for_pages(path) => {
                handler.layer(middleware::from_fn(http::cors::for_readers))
            }
            Access::Open | Access::Client | Access::Registration | Access::Token(_) => handler,
            Access::Scope(scope) => {
                let handler = if path.starts_with("/api/v1/users") && method != Method::GET {
                    let state = app.clone();
                    handler.layer(middleware::from_fn_with_state(state, consumers::waiting))
                } else {
                    handler
                };
                let shown = (app.clone(), for_consumers(&method, path));
                handler
                    .layer(middleware::from_fn_with_state(
                        shown,
                        consumers::within_view,
                    ))
                    .layer(middleware::from_fn_with_state(
                        (app.clone(), scope),
                        token::guard,
                    ))
            }
            Access::Browser | Access::SignedIn => handler.layer(sessions::layer(app)),
        };
        router = router.route(path, handler);
    }
    let router = router
        .fallback(|uri: Uri| async move { not_there(&uri, ProblemKind::NotFound) })
        .method_not_allowed_fallback(|uri: Uri| async move {
            not_there(&uri, ProblemKind::MethodNotAllowed)
        });
    around(router, app, is_timeless)
}

/// Whether pages of other origins may call this path, where their client registered them (checklist 87): those that a browser may ask about.
fn is_for_pages(path: &str) -> bool {
    let asked = |route: &Route| route.path == path && route.method == Method::OPTIONS;
    table().iter().any(asked)
}

/// What registered consumers get at a route. One that is not listed is not for them: whatever is added keeps from them what their view
/// does not show until somebody has thought of it.
fn for_consumers(method: &Method, path: &str) -> Shown {
    match (method.as_str(), path) {
        ("GET", "/api/v1/users" | "/api/v1/users/{id}") => Shown::People,
        ("GET", "/api/v1/users/digest" | "/api/v1/changes")
        | ("PUT", "/api/v1/changes/position") => Shown::ByItself,
        _ => Shown::Nothing,
    }
}

/// Whether a route is answered although this machine's clock is off: it lets nobody in and dates nothing.
fn is_timeless(path: &str) -> bool {
    let guarded = |route: &Route| route.path == path && route.access != Access::Open;
    !table().iter().any(guarded)
}

/// What `ops.listen` serves.
pub(crate) fn build_ops(app: &App) -> Router {
    let router = Router::new()
        .route("/metrics", get(metrics::for_everybody))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz));
    around(router, app, |_| true)
}

fn not_there(uri: &Uri, kind: ProblemKind) -> Response {
    refusal(uri.path(), kind)
}
