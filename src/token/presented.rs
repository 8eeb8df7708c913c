//! An access token of ours as somebody presents it: what it says, and whether it still counts.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::clients::Client;
use crate::cx::Cx;
use crate::jose::{Expected, Invalid, Typ};
use crate::kernel::{ClientId, FamilyId, Fault, ScopeSet, UserId};
use crate::{families, users};

/// A token whose form, kind, signature, issuer, audience and times are right.
pub(crate) struct Presented {
    pub(super) claims: Map<String, Value>,
    pub(crate) client_id: ClientId,
    pub(crate) scope: ScopeSet,
    pub(crate) holder: Holder,
    pub(super) jti: String,
}

/// Whom a token speaks for.
pub(crate) enum Holder {
    /// The client itself.
    Client,
    Person {
        id: UserId,
        until: Until,
    },
}

/// How long a person's token counts.
pub(crate) enum Until {
    /// Until another epoch of the person's begins ([`crate::users::epoch`]).
    Epoch(String),
    /// Until its family ends, which knows the epoch.
    Family(FamilyId),
}

/// How old an answer may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AsOf {
    Now,
    /// A revocation may take that long to be seen.
    ASecondAgo,
}

/// What is known of a token that counts.
pub(crate) struct Counted {
    pub(crate) client: Arc<Client>,
    /// Whether it speaks for somebody who is an admin.
    pub(super) admin: bool,
    /// Claims that userinfo gives beyond those of the scopes (OpenID Connect Core §5.5).
    pub(crate) claims: Vec<String>,
}

impl Presented {
    /// Reads a token for `audience` (`None`: for whichever).
    pub(crate) fn read(token: &str, audience: Option<&str>, cx: &Cx) -> Result<Self, Invalid> {
        let expected = Expected {
            typ: Typ::AccessToken,
            issuer: cx.app.config.issuer.as_str(),
            audience,
            now: cx.now,
        };
        let claims = cx
            .app
            .seen
            .verify(token, &expected, &cx.app.keyring.now())?;
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        let client_id = text("client_id").and_then(|id| id.parse::<ClientId>().ok());
        let client_id = client_id.ok_or(Invalid("no client"))?;
        let scope = ScopeSet::parse(text("scope").unwrap_or(""));
        let scope = scope.map_err(|_| Invalid("malformed scope"))?;
        let sub = text("sub").ok_or(Invalid("no subject"))?;
        let holder = if sub == client_id.as_str() {
            Holder::Client
        } else {
            let id = sub.parse::<UserId>();
            let until = match text("family") {
                Some(family) => {
                    let family = family.parse().map_err(|_| Invalid("malformed family"))?;
                    Until::Family(FamilyId(family))
                }
                None => Until::Epoch(text("epoch").ok_or(Invalid("no epoch"))?.to_owned()),
            };
            Holder::Person {
                id: id.map_err(|_| Invalid("malformed subject"))?,
                until,
            }
        };
        let jti = text("jti").ok_or(Invalid("no jti"))?.to_owned();
        Ok(Self {
            client_id,
            scope,
            holder,
            jti,
            claims,
        })
    }

    /// Whether the token counts now: its client registered, itself not revoked, its person active and in the epoch that it was given
    /// out in, its family live. `None` where it does not.
    pub(crate) async fn counted(&self, as_of: AsOf, cx: &Cx) -> Result<Option<Counted>, Fault> {
        let Some(client) = cx.app.clients.find(&self.client_id, cx).await? else {
            return Ok(None);
        };
        let counted = Counted {
            client,
            admin: false,
            claims: Vec::new(),
        };
        match &self.holder {
            Holder::Client => Ok(self.unrevoked(as_of, cx).await?.then_some(counted)),
            Holder::Person {
                id,
                until: Until::Epoch(epoch),
            } => {
                let standing = users::find_standing(*id, &mut *cx.connection().await?).await?;
                let standing = standing.filter(|s| s.active && s.epoch(*id) == *epoch);
                let Some(standing) = standing else {
                    return Ok(None);
                };
                let admin = standing.admin;
                let counts = self.unrevoked(as_of, cx).await?;
                Ok(counts.then_some(Counted { admin, ..counted }))
            }
            // One look-up: whatever ends a token of a family ends the family.
            Holder::Person {
                id,
                until: Until::Family(family),
            } => {
                let mut connection = cx.connection().await?;
                let standing = families::find(*family, cx.now, &mut connection).await?;
                let standing = standing.filter(|s| s.live && s.family.user_id == *id);
                Ok(standing.map(|standing| Counted {
                    admin: standing.admin,
                    claims: standing.family.claims,
                    ..counted
                }))
            }
        }
    }

    async fn unrevoked(&self, as_of: AsOf, cx: &Cx) -> Result<bool, Fault> {
        Ok(!cx.app.unrevoked.is_revoked(&self.jti, as_of, cx).await?)
    }
}
