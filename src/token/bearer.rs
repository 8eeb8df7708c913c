//! The guard of Doorward's own API: turns a bearer token into an actor (RFC 6750, RFC 9068 §4).

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::audience;
use super::presented::{AsOf, Holder, Presented};
use crate::app::App;
use crate::cx::{Actor, Cx};
use crate::http::BearerError;

/// Lets the request in with an [`Actor`] where its token has `scope`; otherwise answers as RFC 6750 §3 says.
pub(crate) async fn guard(
    State((app, scope)): State<(App, &'static str)>,
    mut request: Request,
    next: Next,
) -> Response {
    let cx = Cx::internal(&app, Actor::Nobody);
    match admit(request.headers(), scope, &cx).await {
        Ok(actor) => {
            request.extensions_mut().insert(actor);
            next.run(request).await
        }
        Err(error) => error.into_response(),
    }
}

async fn admit(headers: &HeaderMap, needed: &'static str, cx: &Cx) -> Result<Actor, BearerError> {
    let token = bearer(headers)?;
    let audience = cx.app.config.issuer.join(audience::API);
    let presented = Presented::read(token, Some(&audience), cx).map_err(|why| {
        tracing::info!(reason = why.0, "an access token was refused");
        BearerError::InvalidToken
    })?;
    let actor = actor(&presented, cx).await?;
    let actor = actor.ok_or(BearerError::InvalidToken)?;
    if presented.scope.contains(needed) {
        Ok(actor)
    } else {
        Err(BearerError::InsufficientScope(needed))
    }
}

/// The token, from the `Authorization` header alone: one header, one token, of RFC 6750 §2.1's alphabet.
pub(crate) fn bearer(headers: &HeaderMap) -> Result<&str, BearerError> {
    let mut sent = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (sent.next(), sent.next()) else {
        return Err(if headers.contains_key(header::AUTHORIZATION) {
            BearerError::InvalidRequest
        } else {
            BearerError::MissingToken
        });
    };
    let value = value.to_str().map_err(|_| BearerError::InvalidRequest)?;
    match value.split_once(' ') {
        Some((scheme, token))
            if scheme.eq_ignore_ascii_case("bearer")
                && !token.is_empty()
                && !token.contains([' ', ',']) =>
        {
            Ok(token)
        }
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("bearer") => {
            Err(BearerError::InvalidRequest)
        }
        // Another scheme: no bearer token was sent.
        _ => Err(BearerError::MissingToken),
    }
}

/// Who the token speaks for, if it counts; a person only while they are an admin. `None` otherwise.
async fn actor(presented: &Presented, cx: &Cx) -> Result<Option<Actor>, BearerError> {
    let Some(counted) = presented.counted(AsOf::ASecondAgo, cx).await? else {
        return Ok(None);
    };
    let scope = presented.scope.clone();
    let client_id = counted.client.id.clone();
    Ok(match &presented.holder {
        Holder::Client => Some(Actor::Client {
            id: client_id,
            scope,
        }),
        Holder::Person { id, .. } => counted.admin.then_some(Actor::Person {
            id: *id,
            client_id,
            scope,
        }),
    })
}
