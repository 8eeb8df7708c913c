//! `refresh_token` (RFC 6749 §6): the token is spent and another takes its place. An answer that got lost is told again for a moment; a
//! token that comes back later, or from somebody else, ends its family (RFC 9700 §4.14.2; checklist 62–71).

use sqlx::PgConnection;
use time::OffsetDateTime;

use super::{RefreshRequest, registered};
use crate::clients::{Client, Grant};
use crate::cx::Cx;
use crate::db::spend::{self, Held, Place, Repeat, Spend};
use crate::families::{self, EndReason, Family, GRACE_REPEATS, RefreshToken, Standing};
use crate::http::{OAuthCode, OAuthError};
use crate::kernel::{ScopeSet, scope};
use crate::token::audience;
use crate::token::issue::{Granted, SignOn, Subject};
use crate::users;

pub(in crate::token) async fn decide<'a>(
    request: RefreshRequest,
    client: &'a Client,
    cx: &Cx,
) -> Result<Granted<'a>, OAuthError> {
    registered(Grant::RefreshToken, client)?;
    let presented = RefreshToken::parse(request.refresh_token.clone())
        .ok_or_else(|| refused("no refresh token of ours"))?;
    let successor = RefreshToken::new();
    let kept = families::sealed(&successor, &presented);

    let mut tx = cx.begin().await?;
    let (standing, next) = match spend::spend(&presented, Some(&kept), cx.now, &mut tx).await? {
        Spend::Fresh(held) => {
            let standing = families::find_refreshable(held.place.family, cx.now, &mut tx).await?;
            let standing = standing.ok_or_else(|| refused("its family has gone"))?;
            if standing.family.client_id != client.id {
                end(&standing.family, tx, cx).await?;
                return Err(refused("another client's"));
            }
            // From here on a refusal rolls back: the token stays what it was.
            if held.expires_at <= cx.now {
                return Err(refused("unused for too long"));
            }
            let until = until(&standing.family, client, cx);
            let place = Place {
                number: held.place.number + 1,
                ..held.place
            };
            spend::keep(&successor, place, &(), until, cx.now, &mut tx).await?;
            (standing, successor)
        }
        Spend::Again(held) => {
            let standing = families::find(held.place.family, cx.now, &mut tx).await?;
            let standing = standing.ok_or_else(|| refused("its family has gone"))?;
            match told_again(&presented, &held, &standing, client, &mut tx, cx).await? {
                Again::Told(successor) => (standing, successor),
                Again::TooOften => return Err(refused("shown again too often")),
                Again::Replayed => {
                    end(&standing.family, tx, cx).await?;
                    return Err(refused("used before"));
                }
            }
        }
        Spend::Unknown => return Err(refused("unknown or long expired")),
    };
    if !standing.live {
        return Err(refused("its family has ended"));
    }
    let scope = scope_of(&request, &standing, client, cx)?;
    tx.commit().await?;

    let family = standing.family;
    Ok(Granted {
        client,
        subject: Subject::Person {
            id: family.user_id,
            epoch: users::epoch(family.user_id, family.valid_from),
        },
        scope,
        audience: family.audience,
        sign_on: Some(SignOn {
            family: family.id,
            session_id: family.session_id,
            auth_time: family.auth_time,
            nonce: None,
            further: serde_json::Map::new(),
            refresh_token: Some(next),
        }),
    })
}

/// Whatever is wrong, one answer (checklist 31).
fn refused(why: &'static str) -> OAuthError {
    OAuthError::new(OAuthCode::InvalidGrant, "The refresh token is not valid.").because(why)
}

/// Ends the family, which is remembered although the request is refused.
async fn end(
    family: &Family,
    mut tx: sqlx::Transaction<'static, sqlx::Postgres>,
    cx: &Cx,
) -> Result<(), OAuthError> {
    families::replayed(family.id, EndReason::RefreshTokenReplayed, &mut tx, cx).await?;
    Ok(tx.commit().await?)
}

enum Again {
    Told(RefreshToken),
    TooOften,
    Replayed,
}

/// A token that was spent: an answer that got lost, or a thief (checklist 63, 64, 65).
async fn told_again(
    presented: &RefreshToken,
    held: &Held<()>,
    standing: &Standing,
    client: &Client,
    db: &mut PgConnection,
    cx: &Cx,
) -> Result<Again, OAuthError> {
    if standing.family.client_id != client.id {
        return Ok(Again::Replayed);
    }
    let since = cx.now - cx.app.config.tokens.refresh_token_grace.time();
    if held.spent_at.is_none_or(|at| at <= since) {
        return Ok(Again::Replayed);
    }
    let successor = match spend::repeat(presented, GRACE_REPEATS, since, db).await? {
        Repeat::Granted(sealed) => families::unsealed(&sealed, presented),
        Repeat::TooOften => return Ok(Again::TooOften),
        Repeat::Over => None,
    };
    Ok(successor.map_or(Again::Replayed, Again::Told))
}

/// When the successor must have been used: refreshing never moves the family's own end (checklist 69).
fn until(family: &Family, client: &Client, cx: &Cx) -> OffsetDateTime {
    let idle = client.registration.sign_on.refresh_token_idle_lifetime;
    let idle = idle.unwrap_or(cx.app.config.tokens.refresh_token_idle_lifetime);
    family.expires_at.min(cx.now + idle.time())
}

/// Scope and audience may shrink and never grow (checklist 29); what client or person lost meanwhile is lost here too (checklist 71).
fn scope_of(
    request: &RefreshRequest,
    standing: &Standing,
    client: &Client,
    cx: &Cx,
) -> Result<ScopeSet, OAuthError> {
    let family = &standing.family;
    let registered = &client.registration.scopes;
    if family.offline && !registered.contains(scope::OFFLINE_ACCESS) {
        return Err(refused("the client may not have offline_access any more"));
    }
    let still =
        |name: &str| registered.contains(name) && (standing.admin || !scope::OWN.contains(&name));
    let had = family.scope.filter(still);
    if had.is_empty() && !family.scope.is_empty() {
        return Err(refused("nothing of its scope is left"));
    }
    if request
        .wish
        .resources
        .iter()
        .any(|asked| *asked != family.audience)
    {
        let told = "The refresh token is for another audience.";
        return Err(OAuthError::new(OAuthCode::InvalidTarget, told));
    }
    let audiences = std::slice::from_ref(&family.audience);
    audience::audience(&had, audiences, client, &cx.app.config.issuer)?;
    match &request.wish.scope {
        None => Ok(had),
        Some(asked) if asked.is_subset_of(&had) => Ok(asked.clone()),
        Some(_) => {
            let told = "The refresh token has no such scope.";
            Err(OAuthError::new(OAuthCode::InvalidScope, told))
        }
    }
}
