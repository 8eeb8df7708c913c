//! What a token is worth now (RFC 7662), told to whom it concerns: the client that it was issued to, and the client that is its audience.

use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::presented::{AsOf, Presented};
use crate::clients::Client;
use crate::cx::Cx;
use crate::db::spend;
use crate::families::{self, RefreshToken, Standing};
use crate::kernel::{Fault, Secret};

/// RFC 7662 §2.2. A token that does not count, or does not concern the client that asks, is `{"active": false}` and no more
/// (checklist E25).
#[derive(Default, Serialize, ToSchema)]
#[schema(as = Introspection)]
pub(super) struct Introspection {
    active: bool,
    /// `Bearer`, for an access token.
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<&'static str>,
    /// What the token itself says.
    #[serde(flatten)]
    #[schema(inline)]
    claims: Map<String, Value>,
}

/// The claims that are told; what is Doorward's own is not.
const TOLD: [&str; 9] = [
    "iss",
    "sub",
    "aud",
    "client_id",
    "scope",
    "iat",
    "exp",
    "jti",
    "auth_time",
];

/// What `token` is worth to `caller`, as the database says now.
pub(super) async fn introspect(
    token: Secret<String>,
    caller: &Client,
    cx: &Cx,
) -> Result<Introspection, Fault> {
    let known = match Presented::read(token.expose(), None, cx) {
        Ok(presented) => access_token(presented, caller, cx).await?,
        Err(_) => refresh_token(token, caller, cx).await?,
    };
    Ok(known.unwrap_or_default())
}

async fn access_token(
    presented: Presented,
    caller: &Client,
    cx: &Cx,
) -> Result<Option<Introspection>, Fault> {
    if !concerns(&presented, caller) || presented.counted(AsOf::Now, cx).await?.is_none() {
        return Ok(None);
    }
    let mut claims = presented.claims;
    claims.retain(|name, _| TOLD.contains(&name.as_str()));
    Ok(Some(Introspection {
        active: true,
        token_type: Some("Bearer"),
        claims,
    }))
}

/// A refresh token concerns its own client alone. One that was spent is worth nothing, though its answer may be told again.
async fn refresh_token(
    token: Secret<String>,
    caller: &Client,
    cx: &Cx,
) -> Result<Option<Introspection>, Fault> {
    let Some(token) = RefreshToken::parse(token) else {
        return Ok(None);
    };
    let mut connection = cx.connection().await?;
    let held = spend::find(&token, &mut connection).await?;
    let Some(held) = held.filter(|h| h.spent_at.is_none() && h.expires_at > cx.now) else {
        return Ok(None);
    };
    let standing = families::find(held.place.family, cx.now, &mut connection).await?;
    let standing = standing.filter(|s| s.live && s.family.client_id == caller.id);
    Ok(standing.map(|Standing { family, .. }| {
        let claims = [
            ("iss", json!(cx.app.config.issuer.as_str())),
            ("sub", json!(family.user_id)),
            ("aud", json!(family.audience)),
            ("client_id", json!(family.client_id)),
            ("scope", json!(family.scope)),
            (
                "exp",
                json!(held.expires_at.min(family.expires_at).unix_timestamp()),
            ),
            ("auth_time", json!(family.auth_time.unix_timestamp())),
        ];
        Introspection {
            active: true,
            token_type: None,
            claims: claims
                .map(|(name, value)| (name.to_owned(), value))
                .into_iter()
                .collect(),
        }
    }))
}

fn concerns(presented: &Presented, caller: &Client) -> bool {
    let audience = presented.claims.get("aud").and_then(Value::as_str);
    let serves = caller.registration.serves.as_deref();
    presented.client_id == caller.id || (serves.is_some() && serves == audience)
}
