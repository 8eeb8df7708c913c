//! From a grant to a token. Grants decide, `issue` mints.

use super::grant::{GrantRequest, client_credentials, password};
use super::issue::{Issued, issue};
use crate::clients::Client;
use crate::cx::Cx;
use crate::http::OAuthError;

pub(super) async fn exchange(
    request: GrantRequest,
    client: &Client,
    cx: &Cx,
) -> Result<Issued, OAuthError> {
    match request {
        GrantRequest::ClientCredentials(r) => issue(client_credentials::decide(r, client, cx)?, cx),
        GrantRequest::Password(r) => issue(password::decide(r, client, cx).await?, cx),
    }
}
