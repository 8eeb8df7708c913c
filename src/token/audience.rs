//! Which scopes a token gets, and for whom it is (docs/specification.md, Scopes and audiences; RFC 8707).

use crate::clients::Client;
use crate::config::Issuer;
use crate::http::{OAuthCode, OAuthError};
use crate::kernel::{ScopeSet, scope};

/// The audience of Doorward's own API, and of userinfo.
pub(super) const API: &str = "/api";
const USERINFO: &str = "/oauth2/userinfo";

pub(crate) fn outside_registration() -> OAuthError {
    OAuthError::new(
        OAuthCode::InvalidScope,
        "The client may not have that scope.",
    )
}

/// The scopes that were asked for, each of which must be registered and allowed to the subject (`may_have`); without a wish, all
/// that are both. Doorward's own scopes share a token with nothing but those of people's data.
pub(crate) fn scope(
    asked: Option<ScopeSet>,
    client: &Client,
    may_have: impl Fn(&str) -> bool,
) -> Result<ScopeSet, OAuthError> {
    let registered = &client.registration.scopes;
    let scope = match asked {
        Some(asked) => {
            if !asked.is_subset_of(registered) {
                return Err(outside_registration());
            }
            if !asked.iter().all(&may_have) {
                return Err(OAuthError::new(
                    OAuthCode::InvalidScope,
                    "The person may not have that scope.",
                ));
            }
            asked
        }
        None => registered.filter(may_have),
    };
    let own = scope.iter().any(|name| scope::OWN.contains(&name));
    let foreign = scope
        .iter()
        .any(|name| !scope::OWN.contains(&name) && !scope::PERSONAL.contains(&name));
    if own && foreign {
        return Err(OAuthError::new(
            OAuthCode::InvalidScope,
            "These scopes are for different audiences; ask for them one audience at a time.",
        ));
    }
    Ok(scope)
}

/// The one audience of the token.
pub(crate) fn audience(
    scope: &ScopeSet,
    resources: &[String],
    client: &Client,
    issuer: &Issuer,
) -> Result<String, OAuthError> {
    let refuse = |told| Err(OAuthError::new(OAuthCode::InvalidTarget, told));
    let (api, userinfo) = (issuer.join(API), issuer.join(USERINFO));
    let audiences = &client.registration.audiences;
    let own = scope.iter().any(|name| scope::OWN.contains(&name));
    match resources {
        [] if own => Ok(api),
        [] => match audiences.as_slice() {
            [only] => Ok(only.clone()),
            [] if scope.contains(scope::OPENID) => Ok(userinfo),
            [] => refuse("The client has no audience."),
            _ => refuse("The client has several audiences; name one in resource."),
        },
        [one] if own => {
            if *one == api {
                Ok(api)
            } else {
                refuse("These scopes are for another audience.")
            }
        }
        [one] if audiences.contains(one) => Ok(one.clone()),
        [one] if *one == userinfo && scope.contains(scope::OPENID) => Ok(userinfo),
        [_] => refuse("The client may not ask for that audience."),
        _ => refuse("A token is for one audience."),
    }
}
