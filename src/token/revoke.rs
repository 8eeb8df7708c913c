//! Ending a token before its time (RFC 7009): by the client that it was issued to, and by nobody else.

use serde_json::Value;
use time::OffsetDateTime;

use super::presented::{Holder, Presented, Until};
use super::store;
use crate::audit::{self, Action, Change, Target};
use crate::clients::Client;
use crate::cx::{Actor, Cx};
use crate::db::{self, Topic, spend};
use crate::families::{self, EndReason, RefreshToken};
use crate::jose::LEEWAY;
use crate::kernel::{FamilyId, Fault, ScopeSet, Secret};

/// Revokes `token` where it is `caller`'s: a refresh token with its whole family, as an access token of a family does (§2.1; checklist
/// 145). Otherwise, and where it does not count any more, nothing happens and nothing is told (§2.2).
pub(super) async fn revoke(token: Secret<String>, caller: &Client, cx: &Cx) -> Result<(), Fault> {
    let cx = &cx.acting(Actor::Client {
        id: caller.id.clone(),
        scope: ScopeSet::default(),
    });
    if let Ok(presented) = Presented::read(token.expose(), None, cx) {
        if presented.client_id != caller.id {
            return Ok(());
        }
        return match presented.holder {
            Holder::Person {
                until: Until::Family(family),
                ..
            } => end_family(family, cx).await,
            Holder::Client | Holder::Person { .. } => revoke_access_token(&presented, cx).await,
        };
    }
    let Some(refresh) = RefreshToken::parse(token) else {
        return Ok(());
    };
    let family = {
        let mut connection = cx.connection().await?;
        match spend::find(&refresh, &mut connection).await? {
            Some(held) => families::find(held.place.family, cx.now, &mut connection).await?,
            None => None,
        }
    };
    match family {
        Some(standing) if standing.family.client_id == caller.id => {
            end_family(standing.family.id, cx).await
        }
        _ => Ok(()),
    }
}

async fn end_family(family: FamilyId, cx: &Cx) -> Result<(), Fault> {
    let mut tx = cx.begin().await?;
    families::end(family, EndReason::Revoked, &mut tx, cx).await?;
    Ok(tx.commit().await?)
}

async fn revoke_access_token(presented: &Presented, cx: &Cx) -> Result<(), Fault> {
    let expires = presented.claims.get("exp").and_then(Value::as_i64);
    let expires_at = expires.and_then(|at| OffsetDateTime::from_unix_timestamp(at).ok());
    // Readers take tokens that expired a moment ago, and the clock of some replica may be behind ours.
    let expires_at = expires_at.unwrap_or(cx.now) + LEEWAY * 2;
    let mut tx = cx.begin().await?;
    if store::revoke(&presented.jti, expires_at, &mut tx).await? {
        db::forget(Topic::Token, &presented.jti, &mut tx).await?;
        let target = match &presented.holder {
            Holder::Client => Target::Client(&presented.client_id),
            Holder::Person { id, .. } => Target::User(*id),
        };
        audit::record(Action::TokenRevoked, target, Change::default(), &mut tx, cx).await?;
    }
    tx.commit().await?;
    // The other replicas are told by the notifier.
    cx.app.unrevoked.forget(&presented.jti);
    Ok(())
}
