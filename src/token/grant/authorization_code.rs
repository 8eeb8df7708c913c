//! `authorization_code` (RFC 6749 §4.1.3): what a person's sign-in bought. A refusal spends nothing; a second use ends what the first one
//! bought (checklist 21, 22).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{CodeRequest, registered};
use crate::authorize::{Code, CodeData};
use crate::clients::{Client, Grant};
use crate::cx::Cx;
use crate::db::spend::{self, Held, Place, Spend, Token};
use crate::families::{self, EndReason, Family, RefreshToken};
use crate::http::{OAuthCode, OAuthError};
use crate::kernel::{Fault, ScopeSet, Secret, scope};
use crate::token::issue::{Granted, SignOn, Subject};
use crate::users;

/// RFC 7636 §4.1: characters of a verifier.
const VERIFIER: std::ops::RangeInclusive<usize> = 43..=128;

pub(in crate::token) async fn decide<'a>(
    request: CodeRequest,
    client: &'a Client,
    cx: &Cx,
) -> Result<Granted<'a>, OAuthError> {
    registered(Grant::AuthorizationCode, client)?;
    let challenge = request
        .code_verifier
        .as_ref()
        .map(challenge_of)
        .transpose()?;
    let code = Token::<Code>::parse(request.code).ok_or_else(|| refused("no code of ours"))?;
    let refresh_token = client
        .registration
        .may(Grant::RefreshToken)
        .then(RefreshToken::new);

    let mut tx = cx.begin().await?;
    let held = match spend::spend(&code, None, cx.now, &mut tx).await? {
        Spend::Fresh(held) => held,
        Spend::Again(held) => {
            let (family, why) = (held.place.family, EndReason::CodeReplayed);
            families::replayed(family, why, &mut tx, cx).await?;
            tx.commit().await?;
            return Err(refused("used before"));
        }
        Spend::Unknown => return Err(refused("unknown or long expired")),
    };
    // From here on a refusal rolls back: the code stays good for whom it was made.
    check(
        &held,
        request.redirect_uri.as_deref(),
        challenge.as_deref(),
        client,
        cx,
    )?;
    let Held { place, data, .. } = held;
    if request
        .resources
        .iter()
        .any(|asked| *asked != data.audience)
    {
        let told = "The code is for another audience.";
        return Err(OAuthError::new(OAuthCode::InvalidTarget, told));
    }
    let family = family(place, &data, client, cx)?;
    let expires_at = families::begin(&family, &mut tx, cx)
        .await?
        .ok_or_else(|| refused("the person or their session is not let in any more"))?;
    if let Some(token) = &refresh_token {
        let place = Place { number: 1, ..place };
        let idle = client.registration.sign_on.refresh_token_idle_lifetime;
        let idle = idle.unwrap_or(cx.app.config.tokens.refresh_token_idle_lifetime);
        let until = expires_at.min(cx.now + idle.time());
        spend::keep(token, place, &(), until, cx.now, &mut tx).await?;
    }
    tx.commit().await?;

    let further = further_claims(&data, &family, cx).await?;
    Ok(Granted {
        client,
        subject: Subject::Person {
            id: data.user_id,
            epoch: users::epoch(data.user_id, data.valid_from),
        },
        scope: family.scope.clone(),
        audience: data.audience,
        sign_on: Some(SignOn {
            family: family.id,
            session_id: family.session_id,
            auth_time: family.auth_time,
            nonce: data.nonce,
            further,
            refresh_token,
        }),
    })
}

/// Whatever is wrong, one answer (checklist 31).
fn refused(why: &'static str) -> OAuthError {
    OAuthError::new(OAuthCode::InvalidGrant, "The code is not valid.").because(why)
}

/// Each fails alone (checklist 21, 24, 25).
fn check(
    held: &Held<CodeData>,
    redirect_uri: Option<&str>,
    challenge: Option<&str>,
    client: &Client,
    cx: &Cx,
) -> Result<(), OAuthError> {
    let data = &held.data;
    if data.client_id != client.id {
        return Err(refused("another client's"));
    }
    if held.expires_at <= cx.now {
        return Err(refused("expired"));
    }
    if redirect_uri != Some(data.redirect_uri.as_str()) {
        return Err(refused("another redirect_uri"));
    }
    match (&data.code_challenge, challenge) {
        (None, None) => Ok(()),
        (Some(stored), Some(made)) if stored.as_bytes().ct_eq(made.as_bytes()).into() => Ok(()),
        (Some(_), Some(_)) => Err(refused("another code_verifier")),
        (Some(_), None) => Err(refused("no code_verifier")),
        (None, Some(_)) => Err(refused("a code_verifier without a challenge")),
    }
}

/// S256 (RFC 7636 §4.2). Length and alphabet are looked at first (checklist 26).
fn challenge_of(verifier: &Secret<String>) -> Result<String, OAuthError> {
    let verifier = verifier.expose();
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    if VERIFIER.contains(&verifier.len()) && verifier.bytes().all(plain) {
        Ok(URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)))
    } else {
        Err(refused("a malformed code_verifier"))
    }
}

fn family(place: Place, data: &CodeData, client: &Client, cx: &Cx) -> Result<Family, Fault> {
    let strange = |_| Fault::internal("reading a code", "a malformed scope");
    let scope = ScopeSet::parse(&data.scope).map_err(strange)?;
    let life = client.registration.sign_on.refresh_token_lifetime;
    let life = life.unwrap_or(cx.app.config.tokens.refresh_token_lifetime);
    Ok(Family {
        id: place.family,
        client_id: client.id.clone(),
        user_id: data.user_id,
        session_id: data.session_id,
        offline: scope.contains(scope::OFFLINE_ACCESS),
        scope,
        audience: data.audience.clone(),
        claims: data.userinfo_claims.clone(),
        auth_time: data.auth_time,
        valid_from: data.valid_from,
        expires_at: cx.now + life.time(),
    })
}

/// Claims that the ID token was asked to hold by name (Core §5.5).
async fn further_claims(
    data: &CodeData,
    family: &Family,
    cx: &Cx,
) -> Result<serde_json::Map<String, serde_json::Value>, OAuthError> {
    if !data
        .id_token_claims
        .iter()
        .any(|name| users::is_claim(name))
    {
        return Ok(serde_json::Map::new());
    }
    match users::get(family.user_id, cx).await {
        Ok(person) => Ok(person.claims(&ScopeSet::default(), &data.id_token_claims)),
        Err(users::UserError::Fault(fault)) => Err(fault.into()),
        Err(_) => Err(refused("the person has gone")),
    }
}
