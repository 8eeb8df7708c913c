//! Authorization codes: 256 random bits, kept as a hash, good once, for a minute, for the client, URI, challenge and session that they
//! were made for (checklist 14).

use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgConnection;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::model::Request;
use crate::audit::{self, Action, Change, Target};
use crate::cx::{Actor, Cx};
use crate::db::spend::{self, Kind, Place, Token};
use crate::kernel::{ClientId, FamilyId, Fault, ScopeSet, UserId};
use crate::sessions::SessionData;

const LIFE: Duration = Duration::seconds(60);

/// The kind.
pub(crate) struct Code;

impl Kind for Code {
    const NAME: &'static str = "ac";
    type Data = CodeData;
}

/// What a code stands for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct CodeData {
    pub(crate) client_id: ClientId,
    pub(crate) user_id: UserId,
    pub(crate) session_id: Uuid,
    pub(crate) redirect_uri: String,
    pub(crate) code_challenge: Option<String>,
    pub(crate) nonce: Option<String>,
    pub(crate) scope: String,
    pub(crate) audience: String,
    /// Claims that were asked for by name.
    pub(crate) id_token_claims: Vec<String>,
    pub(crate) userinfo_claims: Vec<String>,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) auth_time: OffsetDateTime,
    /// The person's `tokens_valid_from` when they were let in.
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) valid_from: OffsetDateTime,
}

/// What the person and the client may have of what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Granted {
    pub(super) scope: ScopeSet,
    pub(super) audience: String,
}

/// Makes a code for whoever is signed in.
pub(super) async fn make(
    request: &Request,
    granted: &Granted,
    session: &SessionData,
    db: &mut PgConnection,
    cx: &Cx,
) -> Result<Token<Code>, Fault> {
    let token = Token::new();
    let data = CodeData {
        client_id: request.client_id.clone(),
        user_id: session.user_id,
        session_id: session.public_id,
        redirect_uri: request.back.redirect_uri.clone(),
        code_challenge: request.code_challenge.clone(),
        nonce: request.nonce.clone(),
        scope: granted.scope.to_string(),
        audience: granted.audience.clone(),
        id_token_claims: request.claims.id_token.clone(),
        userinfo_claims: request.claims.userinfo.clone(),
        auth_time: session.began_at,
        valid_from: session.valid_from,
    };
    let place = Place {
        family: FamilyId::new(cx.now),
        number: 0,
    };
    spend::keep(&token, place, &data, cx.now + LIFE, cx.now, db).await?;
    if let Some(challenge) = &request.code_challenge
        && cx.app.challenges.is_second(&request.client_id, challenge)
    {
        constant_challenge(&request.client_id, session.user_id, db, cx).await?;
    }
    Ok(token)
}

/// Has the codes that the client got of this person and did not use yet buy nothing.
pub(crate) async fn void_codes(
    user: UserId,
    client: &ClientId,
    db: &mut PgConnection,
    cx: &Cx,
) -> Result<(), Fault> {
    let theirs = json!({ "client_id": client, "user_id": user });
    spend::void::<Code>(&theirs, cx.now + LIFE, cx.now, db).await
}

/// E1: a client whose challenges repeat has no PKCE worth the name. It is said once, so that nobody fills the audit with it.
async fn constant_challenge(
    client: &ClientId,
    user: UserId,
    db: &mut PgConnection,
    cx: &Cx,
) -> Result<(), Fault> {
    tracing::warn!(client.id = %client, "a client has sent the same code_challenge twice");
    let cx = cx.acting(Actor::Session { user_id: user });
    let change = Change::made(json!({ "client_id": client }));
    let target = Target::Client(client);
    audit::record(Action::CodeChallengeRepeated, target, change, db, &cx).await
}
