//! The checks of an authorization request, in their order: reading [`vet`] is reading the policy. Until client and redirect URI are proven
//! the person gets a page; from there on the client gets its error back.

use std::sync::Arc;

use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use time::Duration;

use super::claims_parameter::Claims;
use super::due::SIGN_IN;
use super::model::{Back, Mode, Prompt, Refused, Request};
use super::request::Raw;
use crate::clients::{ApplicationType, AuthMethod, Client, Grant, ResponseMode};
use crate::cx::Cx;
use crate::http::PageError;
use crate::jose::ID_TOKEN_ACR;
use crate::kernel::redirect::{LoopbackPort, is_registered};
use crate::kernel::{ClientId, Fault, ScopeSet, UserId, json};
use crate::token::{id_token_hint, outside_registration};
use crate::users;

/// What there is of either.
pub(crate) const RESPONSE_TYPE: &str = "code";
pub(crate) const CHALLENGE_METHOD: &str = "S256";
/// Bytes that are echoed (E3), and those of a hint.
const MAX_STATE: usize = 2048;
const MAX_NONCE: usize = 256;
const MAX_HINT: usize = 254;
/// Bytes of a resource: no audience is longer.
const MAX_RESOURCE: usize = 500;
/// Bytes of a request object that is looked into.
const MAX_OBJECT: usize = 8192;
/// Bytes of a list that is looked at or passed over (checklist 174).
const MAX_LIST: usize = 1000;

/// A request whose client and redirect URI are proven is refused to the client; any other to the person.
pub(super) enum Unfit {
    Page(PageError),
    Back(Arc<Client>, Back, Refused),
}

impl From<Fault> for Unfit {
    fn from(fault: Fault) -> Self {
        Self::Page(fault.into())
    }
}

/// The checks.
pub(super) async fn vet(mut raw: Raw, cx: &Cx) -> Result<(Arc<Client>, Request), Unfit> {
    let client = known_client(&mut raw, cx).await?;
    let redirect_uri = registered_redirect_uri(&mut raw, &client)?;
    let object = raw.take("request");
    let (back, fit) = way_back(&mut raw, object.as_deref(), redirect_uri, &client);

    let rest = || {
        fit?;
        nothing_twice(&raw)?;
        no_request_object(object, &mut raw)?;
        response_type_code(&mut raw)?;
        may_use_codes(&client)?;
        let scope = registered_scope(&mut raw, &client)?;
        let resources = one_resource(&mut raw)?;
        let code_challenge = challenge(&mut raw, &client)?;
        let nonce = nonce(&mut raw)?;
        let prompt = prompt(&mut raw)?;
        let max_age = max_age(&mut raw, &client)?;
        let claims = claims(&mut raw, &client)?;
        essential_acr_is_ours(&claims)?;
        let subject = subject(&mut raw, &claims, &client, cx)?;
        let login_hint = login_hint(&mut raw)?;
        passed_over(&mut raw)?;
        let proven_since = if prompt.contains(&Prompt::Login) {
            Some(cx.now)
        } else {
            max_age.map(|age| cx.now - age)
        };
        Ok(Request {
            client_id: client.id.clone(),
            back: back.clone(),
            scope,
            resources,
            nonce,
            code_challenge,
            prompt,
            proven_since,
            subject,
            login_hint,
            claims,
            asked_at: cx.now,
        })
    };
    match rest() {
        Ok(request) => Ok((client, request)),
        Err(refused) => Err(Unfit::Back(client, back, refused)),
    }
}

/// Checklist 1: an unknown client gets no redirect.
async fn known_client(raw: &mut Raw, cx: &Cx) -> Result<Arc<Client>, Unfit> {
    let id = raw
        .take("client_id")
        .filter(|_| !raw.is_repeated("client_id"));
    let id = id.and_then(|id| id.parse::<ClientId>().ok());
    let client = match id {
        Some(id) => cx.app.clients.find(&id, cx).await?,
        None => None,
    };
    client.ok_or_else(|| unfit("Which application?", "The application that sent you here is not known to us. Please tell the people who run it."))
}

/// Checklist 1, 124: the URI is one of the client's, byte by byte.
fn registered_redirect_uri(raw: &mut Raw, client: &Client) -> Result<String, Unfit> {
    let uri = raw
        .take("redirect_uri")
        .filter(|_| !raw.is_repeated("redirect_uri"));
    uri.filter(|uri| may_go_back(uri, client)).ok_or_else(|| {
        unfit("Where to?", "The application that sent you here wants you to be sent on to an address that it has not registered. Please tell the people who run it.")
    })
}

/// Whether the client may have answers sent there.
pub(super) fn may_go_back(uri: &str, client: &Client) -> bool {
    let sign_on = &client.registration.sign_on;
    let port = match sign_on.application_type {
        ApplicationType::Native => LoopbackPort::Any,
        ApplicationType::Web => LoopbackPort::AsRegistered,
    };
    is_registered(uri, &sign_on.redirect_uris, port)
}

fn unfit(title: &'static str, text: &'static str) -> Unfit {
    Unfit::Page(PageError::new(StatusCode::BAD_REQUEST, title, text))
}

/// How the answer goes back. What is wrong with the way itself is told on the nearest one that is right (checklist 5).
fn way_back(
    raw: &mut Raw,
    object: Option<&str>,
    redirect_uri: String,
    client: &Client,
) -> (Back, Result<(), Refused>) {
    let modes = &client.registration.sign_on.response_modes;
    let first = modes.first().copied().unwrap_or(ResponseMode::Query);
    let asked = raw.take("response_mode");
    let asked = asked.or_else(|| mode_in_request_object(object?));
    let named = asked.as_deref().map(str::parse::<ResponseMode>);
    let (mode, known) = match named {
        None if modes.contains(&ResponseMode::Query) => (ResponseMode::Query, true),
        None => (first, true),
        Some(Ok(mode)) if modes.contains(&mode) => (mode, true),
        Some(_) => (first, false),
    };
    let state = raw.take("state");
    let short = state.as_ref().is_none_or(|state| state.len() <= MAX_STATE);
    let twice = raw.is_repeated("state") || raw.is_repeated("response_mode");
    let back = Back {
        redirect_uri,
        mode: match mode {
            ResponseMode::Query => Mode::Query,
            ResponseMode::FormPost => Mode::FormPost,
        },
        state: state.filter(|_| short && !twice),
    };
    let fit = if !known {
        Err(Refused::invalid_request(
            "That response_mode is not for this client.",
        ))
    } else if !short {
        Err(Refused::invalid_request(
            "state is longer than 2,048 bytes.",
        ))
    } else {
        Ok(())
    };
    (back, fit)
}

/// How a client that sends a request object wants to hear that there are none: of what the object says nothing else is read, and this, which
/// nobody has verified, only chooses among the client's own ways.
fn mode_in_request_object(object: &str) -> Option<String> {
    if object.len() > MAX_OBJECT {
        return None;
    }
    let payload = URL_SAFE_NO_PAD.decode(object.split('.').nth(1)?).ok()?;
    let claims = json::parse(&payload).ok()?;
    let mode = claims.get("response_mode")?.as_str()?;
    mode.parse::<ResponseMode>().ok()?;
    Some(mode.to_owned())
}

/// Checklist 3.
fn nothing_twice(raw: &Raw) -> Result<(), Refused> {
    rule(!raw.repeats_any(), || {
        Refused::invalid_request("A parameter is given more than once.")
    })
}

/// Core §6: there are no request objects here, and what one holds is never guessed at.
fn no_request_object(object: Option<String>, raw: &mut Raw) -> Result<(), Refused> {
    for (given, error) in [
        (object, "request_not_supported"),
        (raw.take("request_uri"), "request_uri_not_supported"),
        (raw.take("registration"), "registration_not_supported"),
    ] {
        rule(given.is_none(), || {
            Refused::new(error, "That parameter is not supported.")
        })?;
    }
    Ok(())
}

/// Checklist 4: codes alone.
fn response_type_code(raw: &mut Raw) -> Result<(), Refused> {
    match raw.take("response_type").as_deref() {
        Some(RESPONSE_TYPE) => Ok(()),
        Some(_) => Err(Refused::new(
            "unsupported_response_type",
            "The only response_type is code.",
        )),
        None => Err(Refused::invalid_request("response_type is missing.")),
    }
}

/// Checklist 27.
fn may_use_codes(client: &Client) -> Result<(), Refused> {
    rule(client.registration.may(Grant::AuthorizationCode), || {
        Refused::new(
            "unauthorized_client",
            "The client may not use authorization codes.",
        )
    })
}

/// Checklist 8: what is not registered is refused, never dropped. What the person may have is asked when they are known.
fn registered_scope(raw: &mut Raw, client: &Client) -> Result<Option<String>, Refused> {
    let Some(text) = raw.take("scope") else {
        return Ok(None);
    };
    let malformed = Refused::new("invalid_scope", "The scope is malformed.");
    let scope = ScopeSet::parse(&text).map_err(|_| malformed)?;
    rule(scope.is_subset_of(&client.registration.scopes), || {
        Refused::from(outside_registration())
    })?;
    Ok(Some(scope.to_string()))
}

/// RFC 8707 §2: it may be given several times, and a token is for one audience. Which is the client's is asked with the scopes.
fn one_resource(raw: &mut Raw) -> Result<Vec<String>, Refused> {
    let resources = raw.take_all("resource");
    rule(resources.len() <= 1, || {
        Refused::new("invalid_target", "A token is for one audience.")
    })?;
    let short = resources.iter().all(|uri| uri.len() <= MAX_RESOURCE);
    rule(short, || {
        Refused::new("invalid_target", "resource is longer than 500 bytes.")
    })?;
    Ok(resources)
}

/// Checklist 6: S256 alone, and nobody goes without who can't be held to account.
fn challenge(raw: &mut Raw, client: &Client) -> Result<Option<String>, Refused> {
    let method = raw.take("code_challenge_method");
    let Some(challenge) = raw.take("code_challenge") else {
        let public = client.registration.auth_method == AuthMethod::None;
        rule(!public && !client.registration.sign_on.require_pkce, || {
            Refused::invalid_request("code_challenge is missing.")
        })?;
        return match method {
            None => Ok(None),
            Some(_) => Err(Refused::invalid_request("code_challenge is missing.")),
        };
    };
    rule(method.as_deref() == Some(CHALLENGE_METHOD), || {
        Refused::invalid_request("The only code_challenge_method is S256.")
    })?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    rule(
        challenge.len() == 43 && challenge.bytes().all(plain),
        || Refused::invalid_request("code_challenge is no SHA-256 in base64url."),
    )?;
    Ok(Some(challenge))
}

/// E3.
fn nonce(raw: &mut Raw) -> Result<Option<String>, Refused> {
    let nonce = raw.take("nonce");
    rule(nonce.as_ref().is_none_or(|n| n.len() <= MAX_NONCE), || {
        Refused::invalid_request("nonce is longer than 256 bytes.")
    })?;
    Ok(nonce)
}

/// Core §3.1.2.1: `none` goes with nothing else.
fn prompt(raw: &mut Raw) -> Result<Vec<Prompt>, Refused> {
    let text = raw.take("prompt").unwrap_or_default();
    let mut prompt = Vec::new();
    for name in text.split(' ').filter(|name| !name.is_empty()) {
        let known = Prompt::ALL.into_iter().find(|p| p.as_str() == name);
        let known = known.ok_or(Refused::invalid_request("prompt holds an unknown value."))?;
        if !prompt.contains(&known) {
            prompt.push(known);
        }
    }
    rule(!prompt.contains(&Prompt::None) || prompt.len() == 1, || {
        Refused::invalid_request("prompt=none goes with no other value.")
    })?;
    Ok(prompt)
}

/// Seconds; the registration's where the request has none.
fn max_age(raw: &mut Raw, client: &Client) -> Result<Option<Duration>, Refused> {
    let seconds = match raw.take("max_age") {
        None => client.registration.sign_on.default_max_age,
        Some(text) if text.bytes().all(|b| b.is_ascii_digit()) && text.len() < 20 => {
            Some(text.parse::<u32>().unwrap_or(u32::MAX))
        }
        Some(_) => return Err(Refused::invalid_request("max_age is no number of seconds.")),
    };
    Ok(seconds.map(|seconds| Duration::seconds(i64::from(seconds))))
}

/// Core §5.5. What none of the client's scopes opens is not its to ask for by name: passed over, as claims are that nobody knows.
fn claims(raw: &mut Raw, client: &Client) -> Result<Claims, Refused> {
    let Some(text) = raw.take("claims") else {
        return Ok(Claims::default());
    };
    let malformed = |_| Refused::invalid_request("claims is malformed.");
    let mut claims = Claims::parse(&text).map_err(malformed)?;
    let may_ask = |name: &String| users::opens(&client.registration.scopes, name);
    claims.id_token.retain(may_ask);
    claims.userinfo.retain(may_ask);
    Ok(claims)
}

/// Core §5.5.1.1, E19: what is essential and can't be met fails here, before anybody types a password.
fn essential_acr_is_ours(claims: &Claims) -> Result<(), Refused> {
    let met = claims.essential_acr.is_empty()
        || claims.essential_acr.iter().any(|acr| acr == ID_TOKEN_ACR);
    rule(met, || {
        Refused::new(
            "unmet_authentication_requirements",
            "No sign-in here has such an acr.",
        )
    })
}

/// Whom the client expects. A hint may have expired; it must be ours, and this client's (E2).
fn subject(
    raw: &mut Raw,
    claims: &Claims,
    client: &Client,
    cx: &Cx,
) -> Result<Option<UserId>, Refused> {
    let hinted = match raw.take("id_token_hint") {
        None => None,
        Some(hint) => {
            let hint = id_token_hint(&hint, cx).ok();
            let hint = hint.filter(|hint| hint.client_id == client.id);
            let told = "id_token_hint is no ID token that the client was given.";
            Some(hint.ok_or(Refused::invalid_request(told))?.user_id)
        }
    };
    let asked = claims.subject.as_deref().map(str::parse::<UserId>);
    match (hinted, asked) {
        (Some(hinted), Some(asked)) if asked.as_ref().ok() != Some(&hinted) => {
            let told = "id_token_hint and claims name two people.";
            Err(Refused::invalid_request(told))
        }
        (Some(hinted), _) => Ok(Some(hinted)),
        (None, Some(Err(_))) => Err(SIGN_IN),
        (None, Some(Ok(asked))) => Ok(Some(asked)),
        (None, None) => Ok(None),
    }
}

fn login_hint(raw: &mut Raw) -> Result<Option<String>, Refused> {
    let hint = raw.take("login_hint");
    rule(hint.as_ref().is_none_or(|h| h.len() <= MAX_HINT), || {
        Refused::invalid_request("login_hint is longer than 254 bytes.")
    })?;
    Ok(hint)
}

/// What may be asked for and changes nothing here: the pages have one language and one display, sign-ins have one `acr`.
fn passed_over(raw: &mut Raw) -> Result<(), Refused> {
    for name in ["ui_locales", "claims_locales", "acr_values", "display"] {
        let fits = raw.take(name).is_none_or(|list| list.len() <= MAX_LIST);
        rule(fits, || {
            Refused::invalid_request("A parameter is too long.")
        })?;
    }
    Ok(())
}

fn rule(holds: bool, otherwise: impl FnOnce() -> Refused) -> Result<(), Refused> {
    if holds { Ok(()) } else { Err(otherwise()) }
}
