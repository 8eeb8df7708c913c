//! An ID token that an application shows again, to say whom it means (OpenID Connect Core §3.1.2.1, RP-Initiated Logout §2).

use serde_json::Value;
use uuid::Uuid;

use crate::cx::Cx;
use crate::jose::{Invalid, Typ, read_hint};
use crate::kernel::{ClientId, UserId};

/// Whose it is.
pub(crate) struct IdTokenHint {
    pub(crate) client_id: ClientId,
    pub(crate) user_id: UserId,
    /// The session's public id.
    pub(crate) session_id: Uuid,
}

/// Reads an ID token of ours. It may have expired, and proves nothing of now.
pub(crate) fn id_token_hint(token: &str, cx: &Cx) -> Result<IdTokenHint, Invalid> {
    let keys = cx.app.keyring.now();
    let issuer = cx.app.config.issuer.as_str();
    let claims = read_hint(token, Typ::IdToken, issuer, |kid| keys.verifier(kid))?;
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let client_id = text("aud").and_then(|aud| aud.parse().ok());
    let user_id = text("sub").and_then(|sub| sub.parse().ok());
    let session_id = text("sid").and_then(|sid| sid.parse().ok());
    Ok(IdTokenHint {
        client_id: client_id.ok_or(Invalid("no client"))?,
        user_id: user_id.ok_or(Invalid("no person"))?,
        session_id: session_id.ok_or(Invalid("no session"))?,
    })
}
