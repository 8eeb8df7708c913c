//! The metadata document. Nothing in it is written by hand: each list is that of the code which honours it.

use serde::Serialize;
use utoipa::ToSchema;

use crate::clients::{AuthMethod, Grant};
use crate::config::Issuer;
use crate::jose::Alg;
use crate::kernel::scope;

/// RFC 8414 §2; both well-known documents are this one.
#[derive(Serialize, ToSchema)]
pub(super) struct Metadata {
    issuer: String,
    token_endpoint: String,
    jwks_uri: String,
    scopes_supported: Vec<&'static str>,
    /// None yet: there is no authorization endpoint.
    response_types_supported: Vec<&'static str>,
    grant_types_supported: Vec<&'static str>,
    token_endpoint_auth_methods_supported: Vec<&'static str>,
    /// Required by OpenID Connect Discovery §3.
    subject_types_supported: Vec<&'static str>,
    id_token_signing_alg_values_supported: Vec<&'static str>,
    service_documentation: String,
}

impl Metadata {
    /// `password`: whether any client has that grant.
    pub(super) fn new(issuer: &Issuer, password: bool) -> Self {
        let grants = Grant::ALL.into_iter().filter(|grant| match grant {
            Grant::ClientCredentials => true,
            Grant::Password => password,
            Grant::AuthorizationCode | Grant::RefreshToken => false,
        });
        let methods = AuthMethod::ALL
            .into_iter()
            .filter(|method| *method != AuthMethod::PrivateKeyJwt);
        Self {
            issuer: issuer.as_str().to_owned(),
            token_endpoint: issuer.join("/oauth2/token"),
            jwks_uri: issuer.join("/.well-known/jwks.json"),
            scopes_supported: scope::OWN.into_iter().chain(scope::PERSONAL).collect(),
            response_types_supported: Vec::new(),
            grant_types_supported: grants.map(Grant::as_str).collect(),
            token_endpoint_auth_methods_supported: methods.map(AuthMethod::as_str).collect(),
            subject_types_supported: vec!["public"],
            id_token_signing_alg_values_supported: Alg::ALL.map(Alg::as_str).to_vec(),
            service_documentation: issuer.join("/docs/errors"),
        }
    }
}
