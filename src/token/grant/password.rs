//! `password` (RFC 6749 §4.3): for what exists today. Not a back door: the credentials pass the login page's own check.

use super::{PasswordRequest, registered};
use crate::clients::{Client, Grant};
use crate::credentials::{self, Checked, Via};
use crate::cx::Cx;
use crate::http::{OAuthCode, OAuthError};
use crate::kernel::scope;
use crate::token::audience;
use crate::token::issue::{Granted, Subject};
use crate::users;

pub(in crate::token) async fn decide<'a>(
    request: PasswordRequest,
    client: &'a Client,
    cx: &Cx,
) -> Result<Granted<'a>, OAuthError> {
    registered(Grant::Password, client)?;
    if client
        .registration
        .password_grant_until
        .is_some_and(|until| until <= cx.now)
    {
        let error = OAuthError::new(
            OAuthCode::UnauthorizedClient,
            "The client may not use that grant type.",
        );
        return Err(error.because("the client's password grant has ended"));
    }
    // Whatever depends on the client alone is refused before the password is looked at: it tells nothing of the person.
    let refused = || {
        OAuthError::new(
            OAuthCode::InvalidGrant,
            "The username or password is wrong.",
        )
    };
    if let Some(asked) = &request.wish.scope
        && !asked.is_subset_of(&client.registration.scopes)
    {
        return Err(audience::outside_registration());
    }
    let person = match credentials::check(
        &request.username,
        &request.password,
        Via::Grant(&client.id),
        cx,
    )
    .await?
    {
        Checked::Welcome(person) => person,
        // A new password is demanded: it is set at the login page, so here the old one is no longer good.
        Checked::MustChangePassword(_) | Checked::Refused => return Err(refused()),
        Checked::TooMany { retry_after } => return Err(OAuthError::too_many(retry_after)),
    };
    let may_have = |name: &str| person.admin || !scope::OWN.contains(&name);
    let scope = audience::scope(request.wish.scope, client, may_have)?;
    let audience = audience::audience(
        &scope,
        &request.wish.resources,
        client,
        &cx.app.config.issuer,
    )?;
    Ok(Granted {
        client,
        subject: Subject::Person {
            id: person.id,
            epoch: users::epoch(person.id, person.tokens_valid_from),
        },
        scope,
        audience,
        sign_on: None,
    })
}
