//! The description of the API (OpenAPI 3.1), generated from the handlers' own; a test fails when a route of the table is missing.

use std::sync::LazyLock;

use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::response::Response;
use utoipa::openapi::security::{
    Flow, HttpAuthScheme, HttpBuilder, OAuth2, Scopes, SecurityScheme,
};
use utoipa::openapi::{Components, OpenApi as Document};
use utoipa::{Modify, OpenApi};

use crate::kernel::scope;
use crate::kernel::span::Span;
use crate::{
    account, authorize, clients, consent, consumers, discovery, events, http, keys, login, logout,
    ops, registration, sessions, token, userinfo, users, webhooks,
};

#[derive(OpenApi)]
#[openapi(
    info(title = "Doorward", description = "The one place where a company's users live, and the one door that they and its services come in by. The specification is docs/specification.md; errors are described at /docs/errors."),
    paths(
        token::http::post,
        token::http::introspect,
        token::http::revoke,
        token::preflight::token,
        token::preflight::revoke,
        token::preflight::userinfo,
        userinfo::http::get,
        userinfo::http::post,
        keys::http::jwks,
        discovery::http::openid_configuration,
        discovery::http::oauth_authorization_server,
        users::http::list,
        users::http::create,
        users::batch::post,
        users::attributes::http::get,
        users::attributes::http::put,
        users::http::get,
        users::http::patch,
        users::http::put,
        users::http::delete,
        users::http::restore,
        users::http::erase,
        users::history::http::get,
        users::http::put_password,
        users::http::require_password_change,
        users::http::end_sessions,
        sessions::http::end_everybodys,
        events::http::changes,
        registration::http::register,
        registration::http::show,
        registration::http::replace,
        registration::http::remove,
        registration::http::list_tokens,
        registration::http::create_token,
        registration::http::delete_token,
        clients::http::list,
        clients::http::create,
        clients::http::get,
        clients::http::patch,
        clients::http::put,
        clients::http::delete,
        clients::http::list_secrets,
        clients::http::create_secret,
        clients::http::delete_secret,
        consumers::http::digest,
        consumers::http::acknowledge,
        consumers::http::list,
        consumers::http::get,
        consumers::http::put,
        consumers::http::delete,
        webhooks::http::list,
        webhooks::http::create,
        webhooks::http::get,
        webhooks::http::patch,
        webhooks::http::delete,
        webhooks::http::rotate_secret,
        webhooks::http::test,
        webhooks::http::replay,
        webhooks::http::dead,
        authorize::http::get,
        authorize::http::post,
        authorize::http::get_continue,
        consent::page::get,
        consent::page::post,
        login::page::get,
        login::page::post,
        login::page::get_account,
        login::page::post_account,
        login::page::post_cancel,
        login::page::post_new_password,
        logout::page::get,
        logout::page::post,
        logout::page::get_of_application,
        logout::page::post_of_application,
        account::page::get,
        account::page::post_end_session,
        account::page::post_end_login,
        account::page::post_remove_application,
        account::page::get_password,
        account::page::post_password,
        http::asset,
        ops::health::healthz,
        ops::health::readyz,
        ops::metrics::for_loopback,
        ops::docs::errors,
        ops::docs::docs,
        ops::docs::api,
        get,
    ),
    tags(
        (name = "tokens", description = "For services"),
        (name = "users", description = "The directory"),
        (name = "changes", description = "What happened to people, for systems that keep a copy"),
        (name = "clients", description = "Who may ask for tokens"),
        (name = "webhooks", description = "Addresses that are told of changes"),
        (name = "people", description = "Pages"),
        (name = "operators", description = "Health, metrics and documents")
    ),
    modifiers(&Schemes)
)]
struct Api;

struct Schemes;

impl Modify for Schemes {
    fn modify(&self, api: &mut Document) {
        let components = api.components.get_or_insert_with(Components::default);
        let scopes = Scopes::from_iter(scope::OWN.map(|name| (name, "Doorward's own API")));
        let flow = utoipa::openapi::security::ClientCredentials::new("/oauth2/token", scopes);
        let bearer = OAuth2::new([Flow::ClientCredentials(flow)]);
        components.add_security_scheme("bearer", SecurityScheme::OAuth2(bearer));
        let basic = HttpBuilder::new().scheme(HttpAuthScheme::Basic).build();
        let token = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        components.add_security_scheme("registration", SecurityScheme::Http(token));
        components.add_security_scheme("client", SecurityScheme::Http(basic));
    }
}

/// The description, as JSON.
pub(crate) fn json() -> Result<String, serde_json::Error> {
    Api::openapi().to_pretty_json()
}

static DOCUMENT: LazyLock<http::Document> = LazyLock::new(|| {
    #[expect(
        clippy::expect_used,
        reason = "a constant of the program; the tests read it"
    )]
    let text = json().expect("the description can be written");
    http::Document::new(Bytes::from(text), "application/json", Span::hours(1))
});

/// `GET /openapi.json`.
#[utoipa::path(get, path = "/openapi.json", tag = "operators", responses((status = 200, description = "This document", body = Object), (status = 304, description = "It has not changed"), (status = 405, description = "GET only")))]
pub(crate) async fn get(headers: HeaderMap) -> Response {
    DOCUMENT.answer(&headers)
}
