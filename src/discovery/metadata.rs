//! The metadata document. Nothing in it is written by hand: each list is that of the code which honours it.

use serde::Serialize;
use utoipa::ToSchema;

use crate::clients::{AuthMethod, Grant};
use crate::config::Issuer;
use crate::jose::Alg;
use crate::kernel::scope;
use crate::users;

/// RFC 8414 §2; both well-known documents are this one.
#[derive(Serialize, ToSchema)]
pub(super) struct Metadata {
    issuer: String,
    token_endpoint: String,
    jwks_uri: String,
    introspection_endpoint: String,
    revocation_endpoint: String,
    userinfo_endpoint: String,
    scopes_supported: Vec<&'static str>,
    /// None yet: there is no authorization endpoint.
    response_types_supported: Vec<&'static str>,
    grant_types_supported: Vec<&'static str>,
    token_endpoint_auth_methods_supported: Vec<&'static str>,
    /// Not `none`: whoever asks what a token is worth has proven who they are (RFC 7662 §2.1).
    introspection_endpoint_auth_methods_supported: Vec<&'static str>,
    revocation_endpoint_auth_methods_supported: Vec<&'static str>,
    /// Required by OpenID Connect Discovery §3.
    subject_types_supported: Vec<&'static str>,
    id_token_signing_alg_values_supported: Vec<&'static str>,
    claims_supported: Vec<&'static str>,
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
        let methods: Vec<_> = AuthMethod::ALL
            .into_iter()
            .filter(|method| *method != AuthMethod::PrivateKeyJwt)
            .collect();
        let proven = methods.iter().filter(|method| **method != AuthMethod::None);
        let names = |method: &AuthMethod| method.as_str();
        Self {
            issuer: issuer.as_str().to_owned(),
            token_endpoint: issuer.join("/oauth2/token"),
            jwks_uri: issuer.join("/.well-known/jwks.json"),
            introspection_endpoint: issuer.join("/oauth2/introspect"),
            revocation_endpoint: issuer.join("/oauth2/revoke"),
            userinfo_endpoint: issuer.join("/oauth2/userinfo"),
            scopes_supported: scope::OWN.into_iter().chain(scope::PERSONAL).collect(),
            response_types_supported: Vec::new(),
            grant_types_supported: grants.map(Grant::as_str).collect(),
            token_endpoint_auth_methods_supported: methods.iter().map(names).collect(),
            introspection_endpoint_auth_methods_supported: proven.map(names).collect(),
            revocation_endpoint_auth_methods_supported: methods.iter().map(names).collect(),
            subject_types_supported: vec!["public"],
            id_token_signing_alg_values_supported: Alg::ALL.map(Alg::as_str).to_vec(),
            claims_supported: ["sub"].into_iter().chain(users::claim_names()).collect(),
            service_documentation: issuer.join("/docs/errors"),
        }
    }
}
