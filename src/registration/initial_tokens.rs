//! The initial access tokens that let somebody in (RFC 7591 §1.2).

use serde_json::{Value, json};
use uuid::Uuid;

use super::model::new_initial_token;
use super::{Allowance, InitialToken, store};
use crate::audit::{self, Action, Change, Target};
use crate::clients::{Grant, RegistrationError};
use crate::cx::Cx;
use crate::idempotency::{Claim, ClaimError, Made};
use crate::kernel::id::uuid_v7;
use crate::kernel::span::Span;
use crate::kernel::{Fault, TokenHash};

/// Uses of one initial access token.
const MOST_USES: u32 = 1000;
const LONGEST_LIFE: Span = Span::days(90);

/// Why an initial access token is not made.
#[derive(Debug)]
pub(crate) enum InitialTokenError {
    Invalid(Vec<RegistrationError>),
    Claim(ClaimError),
    Fault(Fault),
}

impl From<Fault> for InitialTokenError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<sqlx::Error> for InitialTokenError {
    fn from(cause: sqlx::Error) -> Self {
        Self::Fault(cause.into())
    }
}

impl From<ClaimError> for InitialTokenError {
    fn from(error: ClaimError) -> Self {
        Self::Claim(error)
    }
}

/// Makes an initial access token; it is told here and never again.
pub(crate) async fn create_token(
    allowance: Allowance,
    uses: u32,
    life: Span,
    claim: Option<&Claim>,
    cx: &Cx,
) -> Result<Made, InitialTokenError> {
    let mut wrong = Vec::new();
    let mut hold = |holds: bool, part: &'static str, expected: &str| {
        if !holds {
            wrong.push(RegistrationError {
                part: part.into(),
                detail: format!("Expected {expected}."),
            });
        }
    };
    let grants = allowance.grants.iter().map(|grant| grant.parse::<Grant>());
    hold(
        grants.clone().count() > 0
            && grants
                .into_iter()
                .all(|grant| grant.is_ok_and(|grant| grant != Grant::Password)),
        "grant_types",
        "authorization_code, refresh_token or client_credentials: nobody registers the password grant for themselves",
    );
    hold((1..=MOST_USES).contains(&uses), "uses", "1 to 1000");
    hold(
        (Span::minutes(1)..=LONGEST_LIFE).contains(&life),
        "expires_in",
        "a minute to 90 days, in seconds",
    );
    if !wrong.is_empty() {
        return Err(InitialTokenError::Invalid(wrong));
    }
    let secret = new_initial_token();
    let token = InitialToken {
        id: uuid_v7(cx.now),
        allowance,
        uses_left: i32::try_from(uses).unwrap_or(1),
        created_at: cx.now,
        expires_at: cx.now + life.time(),
    };
    let mut tx = cx.begin().await?;
    if let Some(claim) = claim
        && let Some(view) = claim.redeem(&mut tx, cx).await?
    {
        let earlier = true;
        return Ok(Made { view, earlier });
    }
    store::insert_token(&token, &TokenHash::of(secret.expose()), &mut tx).await?;
    let (target, change) = (Target::InitialToken(token.id), Change::made(token.view()));
    audit::record(Action::InitialTokenCreated, target, change, &mut tx, cx).await?;
    let mut view = token.view();
    view["initial_access_token"] = json!(secret.expose());
    if let Some(claim) = claim {
        claim.keep(&view, None, &mut tx, cx).await?;
    }
    tx.commit().await?;
    let earlier = false;
    Ok(Made { view, earlier })
}

/// Ends an initial access token; whether there was one.
pub(crate) async fn delete_token(id: Uuid, cx: &Cx) -> Result<bool, Fault> {
    let mut tx = cx.begin().await?;
    if !store::delete_token(id, &mut tx).await? {
        return Ok(false);
    }
    let (target, change) = (Target::InitialToken(id), Change::default());
    audit::record(Action::InitialTokenDeleted, target, change, &mut tx, cx).await?;
    tx.commit().await?;
    Ok(true)
}

impl InitialToken {
    /// What is told of it: all but the token.
    pub(crate) fn view(&self) -> Value {
        let time = crate::kernel::clock::rfc3339;
        json!({
            "id": self.id,
            "grant_types": self.allowance.grants,
            "require_pkce": self.allowance.require_pkce,
            "uses_left": self.uses_left,
            "created_at": time(self.created_at),
            "expires_at": time(self.expires_at),
        })
    }
}
