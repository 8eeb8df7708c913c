//! What an application asks that sends its user here to leave (OpenID Connect RP-Initiated Logout 1.0 §2), checked before anybody acts
//! on it.

use std::sync::Arc;

use uuid::Uuid;

use crate::clients::Client;
use crate::cx::Cx;
use crate::http::Form;
use crate::kernel::{ClientId, Fault, UserId};
use crate::token::{self, IdTokenHint};

/// The request as it came. `logout_hint` and `ui_locales` are taken and have no effect.
pub(super) struct Request {
    id_token_hint: Option<String>,
    client_id: Option<String>,
    post_logout_redirect_uri: Option<String>,
    state: Option<String>,
}

impl Request {
    pub(super) fn read(form: &mut Form) -> Self {
        Self {
            id_token_hint: form.take_text("id_token_hint"),
            client_id: form.take_text("client_id"),
            post_logout_redirect_uri: form.take_text("post_logout_redirect_uri"),
            state: form.take_text("state"),
        }
    }

    /// The request without its hint, as a query.
    pub(super) fn without_hint(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (name, value) in [
            ("client_id", &self.client_id),
            ("post_logout_redirect_uri", &self.post_logout_redirect_uri),
            ("state", &self.state),
        ] {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        query.finish()
    }
}

/// What a request comes to, checked.
pub(super) struct Vetted {
    /// The application that asks, where that is known.
    pub(super) client: Option<Arc<Client>>,
    /// Where the browser goes afterwards.
    pub(super) back: Option<Back>,
    /// Whose session is meant.
    pub(super) hint: Option<Hint>,
}

impl Vetted {
    /// The hint, where it is of this person's.
    pub(super) fn hint_of(&self, person: UserId) -> Option<&Hint> {
        self.hint.as_ref().filter(|hint| hint.user_id == person)
    }
}

/// An address that the application registered, and what it wants to be told there.
pub(super) struct Back {
    pub(super) uri: String,
    pub(super) state: Option<String>,
}

impl Back {
    /// The address with `state`.
    pub(super) fn url(&self) -> String {
        let Some(state) = &self.state else {
            return self.uri.clone();
        };
        let joint = if self.uri.contains('?') { '&' } else { '?' };
        let state: String = form_urlencoded::byte_serialize(state.as_bytes()).collect();
        format!("{}{joint}state={state}", self.uri)
    }
}

/// What a good ID token says.
pub(super) struct Hint {
    /// The token itself.
    pub(super) token: String,
    pub(super) user_id: UserId,
    pub(super) session_id: Uuid,
}

/// Why nothing is done.
pub(super) enum Refusal {
    /// The hint is another client's than the request says.
    OthersHint,
    /// Nobody registered that address.
    UnknownAddress,
    Fault(Fault),
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Checks a request. A hint that is no ID token of ours counts as none: then the person is asked. An address must be, byte for byte, one
/// that the application registered (checklist 80).
pub(super) async fn vet(request: Request, cx: &Cx) -> Result<Vetted, Refusal> {
    let token = request.id_token_hint.unwrap_or_default();
    let hint = token::id_token_hint(&token, cx).ok();
    let named = request.client_id.as_deref().map(str::parse::<ClientId>);
    let id = match (named, &hint) {
        (Some(Ok(named)), Some(hint)) if named != hint.client_id => {
            return Err(Refusal::OthersHint);
        }
        (Some(Err(_)), Some(_)) => return Err(Refusal::OthersHint),
        (Some(named), _) => named.ok(),
        (None, Some(hint)) => Some(hint.client_id.clone()),
        (None, None) => None,
    };
    let client = match id {
        Some(id) => cx.app.clients.find(&id, cx).await?,
        None => None,
    };
    let back = match (request.post_logout_redirect_uri, &client) {
        (Some(uri), Some(client)) => {
            let registered = &client.registration.sign_on.post_logout_redirect_uris;
            if !registered.contains(&uri) {
                return Err(Refusal::UnknownAddress);
            }
            let state = request.state;
            Some(Back { uri, state })
        }
        // Whose address it is, nobody said: the browser stays here.
        (_, None) | (None, _) => None,
    };
    let hint = hint.map(
        |IdTokenHint {
             user_id,
             session_id,
             ..
         }| Hint {
            token,
            user_id,
            session_id,
        },
    );
    Ok(Vetted { client, back, hint })
}
