//! `client_credentials` (RFC 6749 §4.4): the client acts for itself. Touches no database.

use super::{Wish, registered};
use crate::clients::{Client, Grant};
use crate::cx::Cx;
use crate::http::OAuthError;
use crate::token::audience;
use crate::token::issue::{Granted, Subject};

pub(in crate::token) fn decide<'a>(
    wish: Wish,
    client: &'a Client,
    cx: &Cx,
) -> Result<Granted<'a>, OAuthError> {
    registered(Grant::ClientCredentials, client)?;
    let scope = audience::scope(wish.scope, client, |_| true)?;
    let audience = audience::audience(&scope, &wish.resources, client, &cx.app.config.issuer)?;
    Ok(Granted {
        client,
        subject: Subject::Client,
        scope,
        audience,
        sign_on: None,
    })
}
