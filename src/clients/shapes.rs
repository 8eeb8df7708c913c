//! What the documents of clients look like, for `/openapi.json`; `document.rs` writes and reads them, and a test holds the two together.

// Read by the derive macros alone.
#![expect(dead_code, reason = "descriptions: nothing is ever made of these")]

use utoipa::{IntoParams, ToSchema};

/// A client.
#[derive(ToSchema)]
#[schema(as = Client)]
pub(crate) struct ClientShape {
    #[schema(read_only)]
    client_id: String,
    #[schema(read_only)]
    version: i64,
    #[schema(format = DateTime, read_only)]
    created_at: String,
    #[schema(format = DateTime, read_only)]
    updated_at: String,
    #[serde(flatten)]
    registration: ClientWriteShape,
}

/// A client that was just made.
#[derive(ToSchema)]
#[schema(as = NewClient)]
pub(crate) struct NewClientShape {
    /// Told this once; absent where the client does not prove itself with a secret.
    client_secret: Option<String>,
    #[serde(flatten)]
    client: ClientShape,
}

/// What callers write of a client (RFC 7591 §2, OpenID Connect Dynamic Client Registration §2); null means the default.
#[derive(ToSchema)]
#[schema(as = ClientWrite)]
pub(crate) struct ClientWriteShape {
    #[schema(min_length = 1, max_length = 200)]
    client_name: String,
    /// `client_secret_basic` (default), `client_secret_post`, `private_key_jwt` or `none`.
    token_endpoint_auth_method: Option<String>,
    /// `ES256`, `RS256`, `PS256` or `EdDSA`; with `private_key_jwt` alone, there `ES256` unless named.
    token_endpoint_auth_signing_alg: Option<String>,
    /// A JWK Set of public keys; or `jwks_uri`.
    #[schema(value_type = Option<Object>)]
    jwks: Option<serde_json::Value>,
    jwks_uri: Option<String>,
    /// `authorization_code`, `refresh_token`, `client_credentials`, `password`.
    grant_types: Option<Vec<String>>,
    /// `code`, where it has that grant.
    response_types: Option<Vec<String>>,
    /// Names separated by spaces.
    scope: Option<String>,
    audiences: Option<Vec<String>>,
    serves: Option<String>,
    /// `ES256` unless named.
    access_token_signing_alg: Option<String>,
    /// Seconds.
    #[schema(minimum = 60, maximum = 86400)]
    access_token_lifetime: Option<u32>,
    #[schema(format = DateTime)]
    password_grant_until: Option<String>,
    redirect_uris: Option<Vec<String>>,
    /// Of a public client: origins of its pages, as `https://shop.example`.
    cors_origins: Option<Vec<String>>,
    /// `query`, `form_post`; both unless named.
    response_modes: Option<Vec<String>>,
    /// `web` (default) or `native`.
    application_type: Option<String>,
    /// True unless named; false only for a client that proves itself.
    require_pkce: Option<bool>,
    first_party: Option<bool>,
    /// Seconds.
    default_max_age: Option<u32>,
    require_auth_time: Option<bool>,
    initiate_login_uri: Option<String>,
    post_logout_redirect_uris: Option<Vec<String>>,
    backchannel_logout_uri: Option<String>,
    backchannel_logout_session_required: Option<bool>,
    /// `RS256` unless named.
    id_token_signed_response_alg: Option<String>,
    /// Seconds.
    #[schema(minimum = 60, maximum = 86400)]
    id_token_lifetime: Option<u32>,
    /// Seconds.
    #[schema(minimum = 60, maximum = 34560000)]
    refresh_token_idle_lifetime: Option<u32>,
    /// Seconds.
    #[schema(minimum = 60, maximum = 34560000)]
    refresh_token_lifetime: Option<u32>,
    client_uri: Option<String>,
    /// Never fetched by the server, as the three below.
    logo_uri: Option<String>,
    policy_uri: Option<String>,
    tos_uri: Option<String>,
    contacts: Option<Vec<String>>,
}

/// A page of clients.
#[derive(ToSchema)]
#[schema(as = ClientList)]
pub(crate) struct ClientListShape {
    items: Vec<ClientShape>,
    /// Where the list goes on; null at its end.
    #[schema(required)]
    next: Option<String>,
}

/// What is told of a secret.
#[derive(ToSchema)]
#[schema(as = ClientSecret)]
pub(crate) struct SecretShape {
    id: String,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime, required)]
    expires_at: Option<String>,
    /// To about a minute.
    #[schema(format = DateTime, required)]
    last_used_at: Option<String>,
}

/// A secret that was just made.
#[derive(ToSchema)]
#[schema(as = NewClientSecret)]
pub(crate) struct NewSecretShape {
    /// Told this once.
    client_secret: String,
    #[serde(flatten)]
    secret: SecretShape,
}

/// The secrets of a client.
#[derive(ToSchema)]
#[schema(as = ClientSecretList)]
pub(crate) struct SecretListShape {
    items: Vec<SecretShape>,
    /// Always null: a client has at most a few.
    #[schema(required)]
    next: Option<String>,
}

/// What a new secret is asked for with.
#[derive(ToSchema)]
#[schema(as = ClientSecretWrite)]
pub(crate) struct SecretWriteShape {
    /// Seconds after which the secrets that the client has end, 90 days at most; 0: now; null: when somebody ends them.
    #[schema(minimum = 0, maximum = 7776000)]
    others_end_in: Option<u32>,
}

/// What the list is asked for.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ClientListParams {
    /// Clients in a page; 50 unless asked for otherwise.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// A `next` of the same list.
    after: Option<String>,
}
