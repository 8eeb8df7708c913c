//! What is typed after `doorward client`, and the registration that it stands for.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{ArgAction, Args, Subcommand};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use crate::cli::CliError;
use crate::cli::output::Format;
use crate::clients::{
    About, ApplicationType, AuthMethod, Grant, KeySource, Registration, ResponseMode, SignOn,
    likely_alg,
};
use crate::jose::{Alg, KeySet};
use crate::kernel::span::Span;
use crate::kernel::{ScopeSet, json as strict};

/// Register services, and let them go
#[derive(Subcommand)]
pub(in crate::cli) enum ClientCommand {
    /// Register a client; its secret is told once
    Create(Box<Create>),
    /// List all clients
    List(Format),
    /// Show one client
    Show(One),
    /// Change a client by a JSON merge patch of what `show --json` prints
    Update(Update),
    /// Give a client a new secret
    RotateSecret(Rotate),
    /// End one of a client's secrets
    EndSecret(EndSecret),
    /// Make a token by which clients may register themselves
    InitialToken(InitialToken),
    /// Delete a client; its tokens are refused within a second
    Delete(One),
}

#[derive(Args)]
pub(in crate::cli) struct Create {
    /// A name for people
    #[arg(long)]
    name: String,
    /// What it may do: authorization_code, refresh_token, client_credentials, password (repeats)
    #[arg(long = "grant", value_name = "GRANT")]
    grants: Vec<Grant>,
    /// The scopes it may have, separated by spaces
    #[arg(long, default_value = "")]
    scope: String,
    /// An audience that it may ask tokens for (repeats)
    #[arg(long = "audience", value_name = "URI")]
    audiences: Vec<String>,
    /// The audience that it is
    #[arg(long, value_name = "URI")]
    serves: Option<String>,
    /// How it proves itself: client_secret_basic, client_secret_post, private_key_jwt, none
    #[arg(long, default_value = "client_secret_basic", value_name = "METHOD")]
    auth_method: AuthMethod,
    /// What its assertions are signed with (private_key_jwt): ES256, RS256, PS256, EdDSA
    #[arg(long, value_name = "ALG", value_parser = alg)]
    auth_signing_alg: Option<Alg>,
    /// A file with its public keys as a JWK Set
    #[arg(long, value_name = "FILE", conflicts_with = "jwks_uri")]
    jwks: Option<PathBuf>,
    /// Where it publishes them
    #[arg(long, value_name = "URI")]
    jwks_uri: Option<String>,
    /// What its access tokens are signed with: ES256, RS256, PS256, EdDSA
    #[arg(long, default_value = "ES256", value_name = "ALG", value_parser = alg)]
    signing_alg: Alg,
    /// The life of its access tokens (default: tokens.access_token_lifetime)
    #[arg(long, value_name = "SPAN")]
    access_token_lifetime: Option<Span>,
    /// When its password grant ends, such as 2027-06-30T00:00:00Z
    #[arg(long, value_name = "TIME", value_parser = |text: &str| OffsetDateTime::parse(text, &Rfc3339).map_err(|_| "expected a time such as 2027-06-30T00:00:00Z"))]
    password_until: Option<OffsetDateTime>,
    #[command(flatten)]
    sign_on: SignOnArgs,
    #[command(flatten)]
    about: AboutArgs,
    #[command(flatten)]
    pub(super) format: Format,
}

/// How people sign in to it.
#[derive(Args)]
struct SignOnArgs {
    /// Where answers of the login may go (repeats)
    #[arg(long = "redirect-uri", value_name = "URI")]
    redirect_uris: Vec<String>,
    /// An origin of its pages that may call Doorward, of a public client (repeats)
    #[arg(long = "cors-origin", value_name = "ORIGIN")]
    cors_origins: Vec<String>,
    /// How answers may travel: query, form_post (repeats; default both)
    #[arg(long = "response-mode", value_name = "MODE")]
    response_modes: Vec<ResponseMode>,
    /// Where it runs: web, native
    #[arg(long, default_value = "web", value_name = "TYPE")]
    application_type: ApplicationType,
    /// Whether each login needs PKCE; false only for a client that proves itself
    #[arg(long, default_value_t = true, action = ArgAction::Set, value_name = "BOOL")]
    require_pkce: bool,
    /// It is ours: nobody is asked for consent
    #[arg(long)]
    first_party: bool,
    /// People sign in anew after this time, unless it asks otherwise
    #[arg(long, value_name = "SPAN")]
    default_max_age: Option<Span>,
    /// Put auth_time into each ID token
    #[arg(long)]
    require_auth_time: bool,
    /// Where somebody else may begin a login
    #[arg(long, value_name = "URI")]
    initiate_login_uri: Option<String>,
    /// Where a browser may be sent after a logout (repeats)
    #[arg(long = "post-logout-redirect-uri", value_name = "URI")]
    post_logout_redirect_uris: Vec<String>,
    /// Where logout tokens are posted to
    #[arg(long, value_name = "URI")]
    backchannel_logout_uri: Option<String>,
    /// Logout tokens must name the session
    #[arg(long)]
    backchannel_logout_session_required: bool,
    /// What its ID tokens are signed with: ES256, RS256, PS256, EdDSA
    #[arg(long, default_value = "RS256", value_name = "ALG", value_parser = alg)]
    id_token_signing_alg: Alg,
    /// The life of its ID tokens
    #[arg(long, value_name = "SPAN")]
    id_token_lifetime: Option<Span>,
    /// How long a refresh token may lie unused
    #[arg(long, value_name = "SPAN")]
    refresh_token_idle_lifetime: Option<Span>,
    /// How long refreshing may go on after the login
    #[arg(long, value_name = "SPAN")]
    refresh_token_lifetime: Option<Span>,
}

/// What people are told of it; none of these addresses is ever fetched.
#[derive(Args)]
struct AboutArgs {
    /// Its home page
    #[arg(long, value_name = "URI")]
    client_uri: Option<String>,
    /// Its logo
    #[arg(long, value_name = "URI")]
    logo_uri: Option<String>,
    /// What it does with people's data
    #[arg(long, value_name = "URI")]
    policy_uri: Option<String>,
    /// Its terms
    #[arg(long, value_name = "URI")]
    tos_uri: Option<String>,
    /// Who answers for it (repeats)
    #[arg(long = "contact", value_name = "ADDRESS")]
    contacts: Vec<String>,
}

fn alg(text: &str) -> Result<Alg, &'static str> {
    text.parse()
        .map_err(|_| "expected one of ES256, RS256, PS256, EdDSA")
}

#[derive(Args)]
pub(in crate::cli) struct One {
    #[arg(value_name = "ID")]
    pub(super) id: String,
    #[command(flatten)]
    pub(super) format: Format,
}

#[derive(Args)]
pub(in crate::cli) struct Update {
    #[arg(value_name = "ID")]
    pub(super) id: String,
    /// RFC 7396, such as '{"redirect_uris": ["https://shop.example/cb"], "logo_uri": null}'
    #[arg(long, value_name = "JSON")]
    pub(super) merge: String,
    #[command(flatten)]
    pub(super) format: Format,
}

#[derive(Args)]
pub(in crate::cli) struct InitialToken {
    /// How many clients it registers
    #[arg(long, default_value_t = 1)]
    pub(super) uses: u32,
    /// How long it is good
    #[arg(long, default_value = "1d", value_name = "SPAN")]
    pub(super) expires_in: Span,
    /// What they may have: authorization_code, refresh_token, client_credentials (repeats; default the first two)
    #[arg(long = "grant", value_name = "GRANT")]
    pub(super) grants: Vec<Grant>,
    /// Whether they need PKCE; false concerns only those that prove themselves
    #[arg(long, default_value_t = true, action = ArgAction::Set, value_name = "BOOL")]
    pub(super) require_pkce: bool,
    #[command(flatten)]
    pub(super) format: Format,
}

#[derive(Args)]
pub(in crate::cli) struct EndSecret {
    #[arg(value_name = "ID")]
    pub(super) id: String,
    /// As `show` prints it
    #[arg(value_name = "SECRET_ID")]
    pub(super) secret: Uuid,
    #[command(flatten)]
    pub(super) format: Format,
}

#[derive(Args)]
pub(in crate::cli) struct Rotate {
    #[arg(value_name = "ID")]
    pub(super) id: String,
    /// How long the secrets it has stay good beside the new one
    #[arg(long, default_value = "0s", value_name = "SPAN")]
    pub(super) overlap: Span,
    #[command(flatten)]
    pub(super) format: Format,
}

impl Create {
    /// What is to be registered.
    pub(super) fn registration(self) -> Result<Registration, CliError> {
        let scopes = ScopeSet::parse(&self.scope).map_err(|_| {
            CliError::Refused("scope: expected names separated by spaces, 100 at most".to_owned())
        })?;
        // Each once, however often it was named.
        let grants = Grant::ALL
            .into_iter()
            .filter(|grant| self.grants.contains(grant))
            .collect();
        let s = self.sign_on;
        let sign_on = SignOn {
            redirect_uris: s.redirect_uris,
            cors_origins: s.cors_origins,
            response_modes: ResponseMode::ALL
                .into_iter()
                .filter(|mode| s.response_modes.is_empty() || s.response_modes.contains(mode))
                .collect(),
            application_type: s.application_type,
            require_pkce: s.require_pkce,
            first_party: s.first_party,
            default_max_age: s.default_max_age.map(Span::whole_seconds),
            require_auth_time: s.require_auth_time,
            initiate_login_uri: s.initiate_login_uri,
            post_logout_redirect_uris: s.post_logout_redirect_uris,
            backchannel_logout_uri: s.backchannel_logout_uri,
            backchannel_logout_session_required: s.backchannel_logout_session_required,
            id_token_signed_response_alg: s.id_token_signing_alg,
            id_token_lifetime: s.id_token_lifetime,
            refresh_token_idle_lifetime: s.refresh_token_idle_lifetime,
            refresh_token_lifetime: s.refresh_token_lifetime,
        };
        let asserts = self.auth_method == AuthMethod::PrivateKeyJwt;
        let keys = match self.jwks {
            Some(file) => Some(KeySource::ByValue(key_set(&file)?)),
            None => self.jwks_uri.map(KeySource::ByUri),
        };
        let alg = self.auth_signing_alg;
        Ok(Registration {
            name: self.name,
            auth_method: self.auth_method,
            assertion_alg: alg.or_else(|| asserts.then(|| likely_alg(keys.as_ref()))),
            keys,
            grants,
            scopes,
            audiences: self.audiences,
            serves: self.serves,
            signing_alg: self.signing_alg,
            access_token_lifetime: self.access_token_lifetime,
            password_grant_until: self.password_until,
            sign_on,
            about: About {
                client_uri: self.about.client_uri,
                logo_uri: self.about.logo_uri,
                policy_uri: self.about.policy_uri,
                tos_uri: self.about.tos_uri,
                contacts: self.about.contacts,
            },
        })
    }
}

fn key_set(file: &Path) -> Result<KeySet, CliError> {
    let refused = |why: &str| CliError::Refused(format!("jwks: {}: {why}", file.display()));
    let bytes = fs::read(file).map_err(|e| refused(&e.to_string()))?;
    let set = strict::parse(&bytes).map_err(|e| refused(&e))?;
    KeySet::read(set).map_err(|expected| refused(&format!("expected {expected}")))
}
