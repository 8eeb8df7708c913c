//! The metadata document. Nothing in it is written by hand: each list is that of the code which honours it.

use serde::Serialize;
use utoipa::ToSchema;

use crate::authorize::{self, Prompt};
use crate::clients::{AuthMethod, Grant, ResponseMode};
use crate::config::{Config, RegistrationMode};
use crate::jose::{Alg, ID_TOKEN_ACR};
use crate::kernel::scope;
use crate::{token, users};

/// RFC 8414 §2; both well-known documents are this one.
#[derive(Serialize, ToSchema)]
pub(super) struct Metadata {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    /// Only where clients may register themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    registration_endpoint: Option<String>,
    introspection_endpoint: String,
    revocation_endpoint: String,
    userinfo_endpoint: String,
    end_session_endpoint: String,
    backchannel_logout_supported: bool,
    backchannel_logout_session_supported: bool,
    scopes_supported: Vec<&'static str>,
    response_types_supported: Vec<&'static str>,
    response_modes_supported: Vec<&'static str>,
    /// RFC 7636.
    code_challenge_methods_supported: Vec<&'static str>,
    /// RFC 9207: `iss` is in every answer of the authorization endpoint.
    authorization_response_iss_parameter_supported: bool,
    prompt_values_supported: Vec<&'static str>,
    acr_values_supported: Vec<&'static str>,
    claim_types_supported: Vec<&'static str>,
    claims_parameter_supported: bool,
    request_parameter_supported: bool,
    request_uri_parameter_supported: bool,
    require_request_uri_registration: bool,
    grant_types_supported: Vec<&'static str>,
    token_endpoint_auth_methods_supported: Vec<&'static str>,
    token_endpoint_auth_signing_alg_values_supported: Vec<&'static str>,
    /// Not `none`: whoever asks what a token is worth has proven who they are (RFC 7662 §2.1).
    introspection_endpoint_auth_methods_supported: Vec<&'static str>,
    introspection_endpoint_auth_signing_alg_values_supported: Vec<&'static str>,
    revocation_endpoint_auth_methods_supported: Vec<&'static str>,
    revocation_endpoint_auth_signing_alg_values_supported: Vec<&'static str>,
    /// Required by OpenID Connect Discovery §3.
    subject_types_supported: Vec<&'static str>,
    id_token_signing_alg_values_supported: Vec<&'static str>,
    claims_supported: Vec<&'static str>,
    service_documentation: String,
}

impl Metadata {
    /// `password`: whether any client has that grant.
    pub(super) fn new(config: &Config, password: bool) -> Self {
        let issuer = &config.issuer;
        let registers = config.registration.mode != RegistrationMode::Off;
        let grants = Grant::ALL.into_iter().filter(|grant| match grant {
            Grant::AuthorizationCode | Grant::RefreshToken | Grant::ClientCredentials => true,
            Grant::Password => password,
        });
        let methods = AuthMethod::ALL;
        let proven = methods.iter().filter(|method| **method != AuthMethod::None);
        let names = |method: &AuthMethod| method.as_str();
        Self {
            issuer: issuer.as_str().to_owned(),
            authorization_endpoint: issuer.join("/oauth2/authorize"),
            token_endpoint: issuer.join("/oauth2/token"),
            jwks_uri: issuer.join("/.well-known/jwks.json"),
            registration_endpoint: registers.then(|| issuer.join("/oauth2/register")),
            introspection_endpoint: issuer.join("/oauth2/introspect"),
            revocation_endpoint: issuer.join("/oauth2/revoke"),
            userinfo_endpoint: issuer.join("/oauth2/userinfo"),
            end_session_endpoint: issuer.join("/oauth2/logout"),
            backchannel_logout_supported: true,
            backchannel_logout_session_supported: true,
            scopes_supported: scope::OWN.into_iter().chain(scope::PERSONAL).collect(),
            response_types_supported: vec![authorize::RESPONSE_TYPE],
            response_modes_supported: ResponseMode::ALL.map(ResponseMode::as_str).to_vec(),
            code_challenge_methods_supported: vec![authorize::CHALLENGE_METHOD],
            authorization_response_iss_parameter_supported: true,
            prompt_values_supported: Prompt::ALL.map(Prompt::as_str).to_vec(),
            acr_values_supported: vec![ID_TOKEN_ACR],
            claim_types_supported: vec!["normal"],
            claims_parameter_supported: true,
            request_parameter_supported: false,
            request_uri_parameter_supported: false,
            require_request_uri_registration: false,
            grant_types_supported: grants.map(Grant::as_str).collect(),
            token_endpoint_auth_methods_supported: methods.iter().map(names).collect(),
            token_endpoint_auth_signing_alg_values_supported: Alg::ALL.map(Alg::as_str).to_vec(),
            introspection_endpoint_auth_methods_supported: proven.map(names).collect(),
            introspection_endpoint_auth_signing_alg_values_supported: Alg::ALL
                .map(Alg::as_str)
                .to_vec(),
            revocation_endpoint_auth_methods_supported: methods.iter().map(names).collect(),
            revocation_endpoint_auth_signing_alg_values_supported: Alg::ALL
                .map(Alg::as_str)
                .to_vec(),
            subject_types_supported: vec!["public"],
            id_token_signing_alg_values_supported: Alg::ALL.map(Alg::as_str).to_vec(),
            claims_supported: token::ID_TOKEN_CLAIMS
                .into_iter()
                .chain(users::claim_names())
                .collect(),
            service_documentation: issuer.join("/docs/errors"),
        }
    }
}
