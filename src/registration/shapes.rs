//! What the documents of registration look like, for `/openapi.json`.

// Read by the derive macros alone.
#![expect(dead_code, reason = "descriptions: nothing is ever made of these")]

use utoipa::ToSchema;

/// A client's answer about itself (RFC 7591 §3.2.1): beside these members all that is registered.
#[derive(ToSchema)]
#[schema(as = ClientRegistration)]
pub(crate) struct RegistrationShape {
    client_id: String,
    /// Told once, where it was just made.
    client_secret: Option<String>,
    /// Seconds of Unix time.
    client_id_issued_at: i64,
    /// 0: when somebody ends it.
    client_secret_expires_at: Option<i64>,
    registration_access_token: String,
    registration_client_uri: String,
}

/// What an initial access token is asked for with.
#[derive(ToSchema)]
#[schema(as = InitialAccessTokenWrite)]
pub(crate) struct InitialTokenWriteShape {
    /// 1 unless named.
    #[schema(minimum = 1, maximum = 1000)]
    uses: Option<u32>,
    /// Seconds; a day unless named.
    #[schema(minimum = 60, maximum = 7776000)]
    expires_in: Option<u32>,
    /// What the clients may have; `authorization_code` and `refresh_token` unless named, never `password`.
    grant_types: Option<Vec<String>>,
    /// Whether the clients need PKCE; true unless named.
    require_pkce: Option<bool>,
}

/// What is told of an initial access token.
#[derive(ToSchema)]
#[schema(as = InitialAccessToken)]
pub(crate) struct InitialTokenShape {
    id: String,
    grant_types: Vec<String>,
    require_pkce: bool,
    uses_left: i32,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    expires_at: String,
}

/// An initial access token that was just made.
#[derive(ToSchema)]
#[schema(as = NewInitialAccessToken)]
pub(crate) struct NewInitialTokenShape {
    /// Told this once.
    initial_access_token: String,
    #[serde(flatten)]
    token: InitialTokenShape,
}

/// All that are good.
#[derive(ToSchema)]
#[schema(as = InitialAccessTokenList)]
pub(crate) struct InitialTokenListShape {
    items: Vec<InitialTokenShape>,
    /// Always null.
    #[schema(required)]
    next: Option<String>,
}
