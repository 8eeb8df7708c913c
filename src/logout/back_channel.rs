//! Telling applications that a session ended (OpenID Connect Back-Channel Logout 1.0): each is told until it has heard, for a day.

use axum::body::Bytes;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde_json::{Value, json};
use time::Duration;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::clients::Client;
use crate::cx::Cx;
use crate::fetch::{Destination, FetchError, Post, Purpose};
use crate::jose::Typ;
use crate::kernel::{Fault, UserId, random};
use crate::meters::NoticeOutcome;
use crate::notices::{self, Notice};

/// Notices of one round, and of one application among them.
const MOST: i64 = 64;
const OF_EACH: i64 = 8;
/// How long a claim lasts: longer than any exchange.
const CLAIM: Duration = Duration::seconds(30);
/// How long a logout token is good (§2.4; checklist 81).
const LIFETIME: i64 = 120;
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// One round: claims notices that are due, and sends each. Gives whether there may be more. Nothing is locked while it waits for others.
pub(crate) async fn deliver(cx: &Cx) -> Result<bool, Fault> {
    let claimed = {
        let mut connection = cx.connection().await?;
        notices::claim(MOST, OF_EACH, cx.now + CLAIM, cx.now, &mut connection).await?
    };
    let mut under_way = JoinSet::new();
    let more = !claimed.is_empty();
    for notice in claimed {
        let cx = cx.clone();
        under_way.spawn(async move { tell(&notice, &cx).await });
    }
    let mut result = Ok(more);
    while let Some(told) = under_way.join_next().await {
        let told = told.map_err(|e| Fault::internal("sending a logout token", e));
        if let Err(fault) = told.and_then(|told| told) {
            result = Err(fault);
        }
    }
    result
}

async fn tell(notice: &Notice, cx: &Cx) -> Result<(), Fault> {
    let client = cx.app.clients.find(&notice.client_id, cx).await?;
    let address = client.as_ref().and_then(|client| {
        let address = client
            .registration
            .sign_on
            .backchannel_logout_uri
            .as_deref();
        address.map(|address| (client, address))
    });
    // Gone, or not to be told any more.
    let Some((client, address)) = address else {
        return notices::delete(notice.id, &mut *cx.connection().await?).await;
    };
    let sent = send(notice, client, address, cx).await?;
    let mut connection = cx.connection().await?;
    let Err(error) = sent else {
        cx.app.meters.notice(NoticeOutcome::Delivered);
        return notices::delete(notice.id, &mut connection).await;
    };
    match notices::next_try(notice, cx.app.clock.now()) {
        Some(due_at) => {
            cx.app.meters.notice(NoticeOutcome::Failed);
            tracing::info!(client.id = %client.id, attempts = notice.attempts, reason = %error, "an application could not be told of a logout; trying again");
            notices::postpone(notice.id, due_at, &mut connection).await
        }
        None => {
            cx.app.meters.notice(NoticeOutcome::GivenUp);
            tracing::warn!(client.id = %client.id, attempts = notice.attempts, reason = %error, "an application could not be told of a logout for a day; giving up");
            notices::delete(notice.id, &mut connection).await
        }
    }
}

async fn send(
    notice: &Notice,
    client: &Client,
    address: &str,
    cx: &Cx,
) -> Result<Result<(), FetchError>, Fault> {
    // Minted at the moment of sending: it does not live long.
    let token = logout_token(notice, client, cx)?;
    let destination: Destination = match address.parse() {
        Ok(destination) => destination,
        Err(error) => return Ok(Err(error)),
    };
    let post = Post {
        purpose: Purpose::Logout,
        content_type: "application/x-www-form-urlencoded",
        headers: Vec::new(),
        // A JWT's alphabet needs no encoding.
        body: Bytes::from(format!("logout_token={token}")),
    };
    Ok(cx.app.fetcher.post(&destination, post).await.map(|_| ()))
}

/// §2.4. There is no `nonce`, so that it never passes for an ID token.
#[derive(Serialize)]
struct LogoutTokenClaims<'a> {
    iss: &'a str,
    sub: UserId,
    aud: &'a str,
    iat: i64,
    exp: i64,
    jti: String,
    sid: Uuid,
    events: Value,
}

fn logout_token(notice: &Notice, client: &Client, cx: &Cx) -> Result<String, Fault> {
    let now = cx.app.clock.now().unix_timestamp();
    let claims = LogoutTokenClaims {
        iss: cx.app.config.issuer.as_str(),
        sub: notice.user_id,
        aud: client.id.as_str(),
        iat: now,
        exp: now + LIFETIME,
        jti: URL_SAFE_NO_PAD.encode(random::bytes::<16>()),
        sid: notice.session_id,
        events: json!({ EVENT: {} }),
    };
    // The algorithm that the client checks its ID tokens with (§2.6).
    let alg = client.registration.sign_on.id_token_signed_response_alg;
    let keys = cx.app.keyring.now();
    keys.signer(alg)?.sign(Typ::LogoutToken, &claims)
}
