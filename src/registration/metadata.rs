//! What a client may say of itself, and what of it an operator alone sets.

use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use super::Allowance;
use crate::clients::{Client, Grant, Registration, RegistrationError};
use crate::kernel::scope::PERSONAL;
use crate::kernel::{ScopeSet, TokenHash};

impl Allowance {
    /// For whoever comes without a token.
    pub(crate) fn of_strangers() -> Self {
        let grants = [Grant::AuthorizationCode, Grant::RefreshToken];
        Self {
            grants: grants.map(|grant| grant.as_str().to_owned()).to_vec(),
            require_pkce: true,
        }
    }
}

/// The registration that the metadata make, within the allowance; `before` is what an operator's members stay as.
pub(super) fn read(
    mut metadata: Map<String, Value>,
    allowance: &Allowance,
    before: Option<&Registration>,
) -> Result<Registration, Vec<RegistrationError>> {
    // RFC 7591 §2: the defaults of what is left out.
    let absent =
        |metadata: &Map<String, Value>, name: &str| metadata.get(name).is_none_or(Value::is_null);
    if absent(&metadata, "grant_types") {
        metadata.insert("grant_types".to_owned(), json!(["authorization_code"]));
    }
    if absent(&metadata, "client_name") {
        let first = metadata.get("redirect_uris").and_then(|uris| uris.get(0));
        let host = first.and_then(Value::as_str).and_then(host_of);
        let name = host.unwrap_or_else(|| "Unnamed application".to_owned());
        metadata.insert("client_name".to_owned(), json!(name));
    }
    let scope_is_sent = !absent(&metadata, "scope");
    let mut registration = Registration::from_metadata(metadata)?;
    let mut wrong = Vec::new();
    let mut refuse = |part: &'static str, detail: String| {
        wrong.push(RegistrationError {
            part: part.into(),
            detail,
        });
    };
    let beyond = registration
        .grants
        .iter()
        .find(|grant| !allowance.grants.iter().any(|may| may == grant.as_str()));
    if let Some(grant) = beyond {
        refuse(
            "grant_types",
            format!("{} is not to be had here.", grant.as_str()),
        );
    }
    if scope_is_sent {
        let given = |name: &str| before.is_some_and(|before| before.scopes.contains(name));
        let strange = |name: &&str| !PERSONAL.contains(name) && !given(name);
        if registration.scopes.iter().any(|name| strange(&name)) {
            refuse("scope", format!("Expected some of {}.", PERSONAL.join(" ")));
        }
    } else {
        registration.scopes = match before {
            Some(before) => before.scopes.clone(),
            None => ScopeSet::parse(&PERSONAL.join(" ")).unwrap_or_default(),
        };
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }
    registration.sign_on.require_pkce =
        allowance.require_pkce || !registration.auth_method.proves();
    if let Some(before) = before {
        keep_operators(&mut registration, before);
    }
    Ok(registration)
}

/// The registration that the metadata make of the client as it is.
pub(super) fn revised(
    mut metadata: Map<String, Value>,
    before: &Client,
    now: OffsetDateTime,
) -> Result<Registration, Vec<RegistrationError>> {
    let wrong = |part: &'static str, detail: &str| {
        vec![RegistrationError {
            part: part.into(),
            detail: detail.to_owned(),
        }]
    };
    let named = metadata.remove("client_id");
    if named.as_ref().and_then(Value::as_str) != Some(before.id.as_str()) {
        return Err(wrong("client_id", "Expected the client's own."));
    }
    for name in [
        "registration_access_token",
        "registration_client_uri",
        "client_secret_expires_at",
        "client_id_issued_at",
    ] {
        if metadata.contains_key(name) {
            return Err(wrong(name, "This is not sent back (RFC 7592 §2.2)."));
        }
    }
    if let Some(secret) = metadata.remove("client_secret") {
        let sent = TokenHash::of(secret.as_str().unwrap_or(""));
        let live = before.secrets.iter().filter(|s| s.is_live(now));
        if live.filter(|s| s.hash.matches(&sent)).count() == 0 {
            return Err(wrong(
                "client_secret",
                "Expected the client's own; it can't be chosen.",
            ));
        }
    }
    let allowance = Allowance {
        grants: before
            .registration
            .grants
            .iter()
            .map(|grant| grant.as_str().to_owned())
            .chain(Allowance::of_strangers().grants)
            .collect(),
        require_pkce: before.registration.sign_on.require_pkce,
    };
    read(metadata, &allowance, Some(&before.registration))
}

/// Whether it is no more than a stranger could have registered.
pub(super) fn is_a_strangers(registration: &Registration) -> bool {
    let mut bare = registration.clone();
    keep_operators(&mut bare, &Registration::new(""));
    let allowance = Allowance::of_strangers();
    let may = |grant: &Grant| allowance.grants.iter().any(|may| may == grant.as_str());
    bare.to_json() == registration.to_json()
        && registration.sign_on.require_pkce
        && registration.grants.iter().all(may)
        && registration
            .scopes
            .iter()
            .all(|name| PERSONAL.contains(&name))
}

/// What an operator alone sets stays as it was.
fn keep_operators(registration: &mut Registration, before: &Registration) {
    registration.audiences.clone_from(&before.audiences);
    registration.serves.clone_from(&before.serves);
    registration.signing_alg = before.signing_alg;
    registration.access_token_lifetime = before.access_token_lifetime;
    registration.password_grant_until = before.password_grant_until;
    let (now, was) = (&mut registration.sign_on, &before.sign_on);
    now.first_party = was.first_party;
    now.id_token_lifetime = was.id_token_lifetime;
    now.refresh_token_lifetime = was.refresh_token_lifetime;
    now.refresh_token_idle_lifetime = was.refresh_token_idle_lifetime;
}

/// What an application without a name is called: the host that its users are sent to.
fn host_of(uri: &str) -> Option<String> {
    Some(url::Url::parse(uri).ok()?.host_str()?.to_owned())
}
