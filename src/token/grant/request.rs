//! A token request, read once: past here it is well formed.

use crate::clients::{Client, Grant};
use crate::http::{Form, OAuthCode, OAuthError};
use crate::kernel::{ScopeSet, Secret};

/// A request by its `grant_type`.
pub(in crate::token) enum GrantRequest {
    AuthorizationCode(CodeRequest),
    RefreshToken(RefreshRequest),
    ClientCredentials(Wish),
    Password(PasswordRequest),
}

/// RFC 6749 §4.1.3, RFC 7636 §4.5.
pub(in crate::token) struct CodeRequest {
    pub(in crate::token) code: Secret<String>,
    pub(in crate::token) redirect_uri: Option<String>,
    pub(in crate::token) code_verifier: Option<Secret<String>>,
    pub(in crate::token) resources: Vec<String>,
}

/// RFC 6749 §6.
pub(in crate::token) struct RefreshRequest {
    pub(in crate::token) refresh_token: Secret<String>,
    pub(in crate::token) wish: Wish,
}

/// What the client wants the token for.
pub(in crate::token) struct Wish {
    /// `None`: all that the client may have.
    pub(in crate::token) scope: Option<ScopeSet>,
    /// `resource` (RFC 8707 §2), as often as it was given.
    pub(in crate::token) resources: Vec<String>,
}

/// RFC 6749 §4.3.2.
pub(in crate::token) struct PasswordRequest {
    pub(in crate::token) username: String,
    pub(in crate::token) password: Secret<String>,
    pub(in crate::token) wish: Wish,
}

impl TryFrom<Form> for GrantRequest {
    type Error = OAuthError;

    fn try_from(mut form: Form) -> Result<Self, OAuthError> {
        let grant_type = form
            .take_text("grant_type")
            .ok_or_else(|| OAuthError::invalid_request("grant_type is missing."))?;
        let grant = Grant::ALL
            .into_iter()
            .find(|grant| grant.as_str() == grant_type);
        let unsupported = || {
            OAuthError::new(
                OAuthCode::UnsupportedGrantType,
                "That grant type is not supported.",
            )
        };
        match grant.ok_or_else(unsupported)? {
            Grant::AuthorizationCode => Ok(Self::AuthorizationCode(CodeRequest {
                code: form
                    .take("code")
                    .ok_or_else(|| OAuthError::invalid_request("code is missing."))?,
                redirect_uri: form.take_text("redirect_uri"),
                code_verifier: form.take("code_verifier"),
                resources: wish(&mut form)?.resources,
            })),
            Grant::RefreshToken => Ok(Self::RefreshToken(RefreshRequest {
                refresh_token: form
                    .take("refresh_token")
                    .ok_or_else(|| OAuthError::invalid_request("refresh_token is missing."))?,
                wish: wish(&mut form)?,
            })),
            Grant::ClientCredentials => Ok(Self::ClientCredentials(wish(&mut form)?)),
            Grant::Password => Ok(Self::Password(PasswordRequest {
                username: form
                    .take_text("username")
                    .ok_or_else(|| OAuthError::invalid_request("username is missing."))?,
                password: form
                    .take("password")
                    .ok_or_else(|| OAuthError::invalid_request("password is missing."))?,
                wish: wish(&mut form)?,
            })),
        }
    }
}

fn wish(form: &mut Form) -> Result<Wish, OAuthError> {
    let scope = form
        .take_text("scope")
        .map(|text| ScopeSet::parse(&text))
        .transpose();
    let scope =
        scope.map_err(|_| OAuthError::new(OAuthCode::InvalidScope, "The scope is malformed."))?;
    let mut resources = Vec::new();
    while let Some(resource) = form.take_text("resource") {
        resources.push(resource);
    }
    Ok(Wish { scope, resources })
}

/// The client must have been registered for the grant (checklist 27).
pub(super) fn registered(grant: Grant, client: &Client) -> Result<(), OAuthError> {
    if client.registration.may(grant) {
        Ok(())
    } else {
        Err(OAuthError::new(
            OAuthCode::UnauthorizedClient,
            "The client may not use that grant type.",
        ))
    }
}
