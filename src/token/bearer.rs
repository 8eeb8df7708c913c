//! The guard of Doorward's own API: turns a bearer token into an actor (RFC 6750, RFC 9068 §4).

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};

use super::audience;
use crate::app::App;
use crate::cx::{Actor, Cx};
use crate::http::BearerError;
use crate::jose::{Expected, Typ};
use crate::kernel::{ClientId, ScopeSet, UserId};
use crate::users;

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
    let keys = cx.app.keyring.now();
    let issuer = &cx.app.config.issuer;
    let audience = issuer.join(audience::API);
    let expected = Expected {
        typ: Typ::AccessToken,
        issuer: issuer.as_str(),
        audience: &audience,
        now: cx.now,
    };
    let claims = cx.app.seen.verify(token, &expected, &keys).map_err(|why| {
        tracing::info!(reason = why.0, "an access token was refused");
        BearerError::InvalidToken
    })?;
    let actor = actor(&claims, cx).await?.ok_or(BearerError::InvalidToken)?;
    let (Actor::Client { scope, .. } | Actor::Person { scope, .. }) = &actor else {
        return Err(BearerError::InvalidToken);
    };
    if scope.contains(needed) {
        Ok(actor)
    } else {
        Err(BearerError::InsufficientScope(needed))
    }
}

/// The token, from the `Authorization` header alone: one header, one token, of RFC 6750 §2.1's alphabet.
fn bearer(headers: &HeaderMap) -> Result<&str, BearerError> {
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

/// Who the token speaks for, if they are still let in: the client registered, the person active and an admin, the token younger
/// than whatever ended the person's earlier ones. `None` otherwise.
async fn actor(claims: &Map<String, Value>, cx: &Cx) -> Result<Option<Actor>, BearerError> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let Some(client_id) = text("client_id").and_then(|id| id.parse::<ClientId>().ok()) else {
        return Ok(None);
    };
    let Ok(scope) = ScopeSet::parse(text("scope").unwrap_or("")) else {
        return Ok(None);
    };
    let Some(client) = cx.app.clients.find(&client_id, cx).await? else {
        return Ok(None);
    };
    if text("sub") == Some(client_id.as_str()) {
        return Ok(Some(Actor::Client {
            id: client.id.clone(),
            scope,
        }));
    }
    let Some(id) = text("sub").and_then(|sub| sub.parse::<UserId>().ok()) else {
        return Ok(None);
    };
    let standing = {
        let mut connection = cx.connection().await?;
        users::find_standing(id, &mut connection).await?
    };
    let live = standing
        .is_some_and(|s| s.active && s.admin && text("epoch") == Some(s.epoch(id).as_str()));
    Ok(live.then_some(Actor::Person {
        id,
        client_id,
        scope,
    }))
}
