//! From a grant to a token. Grants decide, `issue` mints.

use super::grant::{GrantRequest, authorization_code, client_credentials, password, refresh_token};
use super::issue::{Issued, issue};
use crate::clients::{Client, Grant};
use crate::cx::Cx;
use crate::http::OAuthError;

pub(super) async fn exchange(
    request: GrantRequest,
    client: &Client,
    cx: &Cx,
) -> Result<Issued, OAuthError> {
    let (grant, issued) = match request {
        GrantRequest::ClientCredentials(r) => {
            let granted = client_credentials::decide(r, client, cx)?;
            (Grant::ClientCredentials, issue(granted, cx)?)
        }
        // Boxed, so that the commonest grant need not carry the room that these take.
        GrantRequest::AuthorizationCode(r) => {
            let granted = Box::pin(authorization_code::decide(r, client, cx)).await?;
            (Grant::AuthorizationCode, issue(granted, cx)?)
        }
        GrantRequest::RefreshToken(r) => {
            let granted = Box::pin(refresh_token::decide(r, client, cx)).await?;
            (Grant::RefreshToken, issue(granted, cx)?)
        }
        GrantRequest::Password(r) => {
            let granted = Box::pin(password::decide(r, client, cx)).await?;
            (Grant::Password, issue(granted, cx)?)
        }
    };
    cx.app.meters.token(grant.as_str(), client.id.as_str());
    Ok(issued)
}
