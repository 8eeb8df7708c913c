//! Making, changing and deleting clients: each in one transaction with its audit row and the word to all caches, and each within what
//! its actor may do (`rank.rs`).

use serde_json::{Map, Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use super::document::OWNED;
use super::rank::{self, Rank};
use super::{Client, Registration, RegistrationError, StoredSecret, store};
use crate::audit::{self, Action, Change, Target};
use crate::cx::Cx;
use crate::db::{self, OnConstraint, Rule, Topic};
use crate::http::IfMatch;
use crate::idempotency::{Claim, ClaimError, Made};
use crate::kernel::span::Span;
use crate::kernel::{ClientId, Fault, Secret, TokenHash, object, random};

/// Secrets that are good at one time, so that one is exchanged for another without an outage.
const MOST_SECRETS: usize = 2;

/// Why an operation on a client is refused.
#[derive(Debug)]
pub(crate) enum ClientError {
    Unknown,
    Invalid(Vec<RegistrationError>),
    /// Another client serves that audience.
    ServesTaken,
    /// The client does not prove itself with a secret.
    NoSecrets,
    /// Two secrets are good already.
    TooManySecrets,
    /// The client is not at the version that the caller named.
    Stale,
    /// The client has, or would have, what the caller does not hold.
    Above(Rank),
    /// An idempotency key is not good for this request.
    Claim(ClaimError),
    Fault(Fault),
}

impl From<ClaimError> for ClientError {
    fn from(error: ClaimError) -> Self {
        Self::Claim(error)
    }
}

impl From<Fault> for ClientError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<sqlx::Error> for ClientError {
    fn from(cause: sqlx::Error) -> Self {
        Self::Fault(cause.into())
    }
}

const UNIQUE: [Rule<ClientError>; 1] = [("client_serves_key", || ClientError::ServesTaken)];

/// A client that was just made, with the one look at its secret.
pub(crate) struct Created {
    pub(crate) client: Client,
    pub(crate) secret: Option<Secret<String>>,
}

/// How a client is to change.
pub(crate) enum Update {
    /// RFC 7396.
    Merge(Map<String, Value>),
    /// The whole registration; what is absent takes its default.
    Replace(Map<String, Value>),
    /// What is made of the client as it is, which nobody else changes meanwhile.
    Revise(Box<Revise>),
}

/// The registration that a client is to have, made of what it is, or all that is wrong with it.
pub(crate) type Revise = dyn FnOnce(&Client) -> Result<Registration, Vec<RegistrationError>> + Send;

/// A client by id, with what is told of its secrets.
pub(crate) async fn get(id: &ClientId, cx: &Cx) -> Result<Client, ClientError> {
    store::find(id, &mut *cx.connection().await?)
        .await?
        .ok_or(ClientError::Unknown)
}

/// Registers a client from a document; of requests with the same claim the first registers one.
pub(crate) async fn create_from(
    document: Map<String, Value>,
    claim: Option<&Claim>,
    cx: &Cx,
) -> Result<Made, ClientError> {
    let owned = OWNED.iter().filter(|name| document.contains_key(**name));
    let mut wrong: Vec<RegistrationError> = owned
        .map(|name| RegistrationError {
            part: (*name).into(),
            detail: "The server sets this member.".to_owned(),
        })
        .collect();
    match Registration::from_json(object::without(&document, &OWNED)) {
        Ok(registration) if wrong.is_empty() => register(registration, claim, cx).await,
        Ok(_) => Err(ClientError::Invalid(wrong)),
        Err(more) => {
            wrong.extend(more);
            Err(ClientError::Invalid(wrong))
        }
    }
}

async fn register(
    registration: Registration,
    claim: Option<&Claim>,
    cx: &Cx,
) -> Result<Made, ClientError> {
    // Before an earlier answer is given again, for it holds the secret: the caller's token may be worth less this time.
    rank::check(&registration, cx).map_err(ClientError::Above)?;
    let mut tx = cx.begin().await?;
    if let Some(claim) = claim
        && let Some(view) = claim.redeem(&mut tx, cx).await?
    {
        return Ok(Made {
            view,
            earlier: true,
        });
    }
    let Created { client, secret } = create_in(registration, &mut tx, cx).await?;
    let mut view = client.view();
    if let Some(secret) = &secret {
        view["client_secret"] = Value::from(secret.expose().as_str());
    }
    if let Some(claim) = claim {
        claim.keep(&view, None, &mut tx, cx).await?;
    }
    tx.commit().await?;
    cx.app.clients.forget(client.id.as_str());
    Ok(Made {
        view,
        earlier: false,
    })
}

/// Registers a client. The secret is told here and never again.
pub(crate) async fn create(registration: Registration, cx: &Cx) -> Result<Created, ClientError> {
    let mut tx = cx.begin().await?;
    let created = create_in(registration, &mut tx, cx).await?;
    tx.commit().await?;
    cx.app.clients.forget(created.client.id.as_str());
    Ok(created)
}

/// The same within somebody else's transaction.
pub(crate) async fn create_in(
    registration: Registration,
    tx: &mut PgConnection,
    cx: &Cx,
) -> Result<Created, ClientError> {
    registration
        .check(&cx.app.config.issuer)
        .map_err(ClientError::Invalid)?;
    rank::check(&registration, cx).map_err(ClientError::Above)?;
    let has_secret = registration.auth_method.has_secret();
    let secret = has_secret.then(random::token);
    let mut client = Client {
        id: ClientId::new(),
        version: 1,
        registration,
        secrets: Vec::new(),
        created_at: cx.now,
        updated_at: cx.now,
    };
    store::insert(&client, &mut *tx)
        .await
        .on_constraint(&UNIQUE)?;
    if let Some(secret) = &secret {
        let stored = StoredSecret::new(TokenHash::of(secret.expose()), cx.now);
        store::insert_secret(&client.id, &stored, &mut *tx).await?;
        client.secrets.push(stored);
    }
    let change = Change::made(client.view());
    let target = Target::Client(&client.id);
    audit::record(Action::ClientCreated, target, change, &mut *tx, cx).await?;
    db::forget(Topic::Client, client.id.as_str(), &mut *tx).await?;
    Ok(Created { client, secret })
}

/// Changes a client where it is at a version that `if_match` allows. A change that changes nothing writes nothing. A client that no
/// longer proves itself with a secret has none any more.
pub(crate) async fn update(
    id: &ClientId,
    update: Update,
    if_match: &IfMatch,
    cx: &Cx,
) -> Result<Client, ClientError> {
    let mut tx = cx.begin().await?;
    let before = find_to_change(id, &mut tx, cx).await?;
    let registration = apply(&before, update)?;
    registration
        .check(&cx.app.config.issuer)
        .map_err(ClientError::Invalid)?;
    rank::check(&registration, cx).map_err(ClientError::Above)?;
    let (was, is) = (before.registration.to_json(), registration.to_json());
    if was == is {
        return if if_match.allows(before.version) {
            Ok(before)
        } else {
            Err(ClientError::Stale)
        };
    }
    let version = store::update(id, &registration, if_match.versions(), cx.now, &mut tx)
        .await
        .on_constraint(&UNIQUE)?
        .ok_or(ClientError::Stale)?;
    let mut secrets = before.secrets;
    if !registration.auth_method.has_secret() {
        store::end_secrets(id, Some(cx.now), cx.now, &mut tx).await?;
        secrets.clear();
    }
    let (was, is) = object::differing(&was, &is);
    let change = Change::between(Value::Object(was), Value::Object(is));
    let target = Target::Client(id);
    audit::record(Action::ClientUpdated, target, change, &mut tx, cx).await?;
    db::forget(Topic::Client, id.as_str(), &mut tx).await?;
    tx.commit().await?;
    cx.app.clients.forget(id.as_str());
    Ok(Client {
        version,
        registration,
        secrets,
        updated_at: cx.now,
        ..before
    })
}

/// Gives the client a new secret beside the one that it has, which ends after `overlap` (`None`: when somebody ends it); of requests with
/// the same claim the first does.
pub(crate) async fn add_secret(
    id: &ClientId,
    overlap: Option<Span>,
    claim: Option<&Claim>,
    cx: &Cx,
) -> Result<Made, ClientError> {
    let mut tx = cx.begin().await?;
    let client = find_to_change(id, &mut tx, cx).await?;
    if let Some(claim) = claim
        && let Some(view) = claim.redeem(&mut tx, cx).await?
    {
        return Ok(Made {
            view,
            earlier: true,
        });
    }
    if !client.registration.auth_method.has_secret() {
        return Err(ClientError::NoSecrets);
    }
    let live = client.secrets.iter().filter(|s| s.is_live(cx.now)).count();
    let ends_at_once = overlap.is_some_and(|overlap| overlap.whole_seconds() == 0);
    if live >= MOST_SECRETS && !ends_at_once {
        return Err(ClientError::TooManySecrets);
    }
    let end = overlap.map(|overlap| cx.now + overlap.time());
    store::end_secrets(id, end, cx.now, &mut tx).await?;
    let secret = random::token();
    let stored = StoredSecret::new(TokenHash::of(secret.expose()), cx.now);
    store::insert_secret(id, &stored, &mut tx).await?;
    store::touch(id, cx.now, &mut tx).await?;
    let change = Change::made(json!({
        "secret_id": stored.id,
        "others_end_at": end.map(crate::kernel::clock::rfc3339),
    }));
    let target = Target::Client(id);
    audit::record(Action::ClientSecretRotated, target, change, &mut tx, cx).await?;
    db::forget(Topic::Client, id.as_str(), &mut tx).await?;
    let mut view = stored.view();
    view["client_secret"] = Value::from(secret.expose().as_str());
    if let Some(claim) = claim {
        claim.keep(&view, None, &mut tx, cx).await?;
    }
    tx.commit().await?;
    cx.app.clients.forget(id.as_str());
    Ok(Made {
        view,
        earlier: false,
    })
}

/// Ends one of the client's secrets.
pub(crate) async fn end_secret(id: &ClientId, secret: Uuid, cx: &Cx) -> Result<(), ClientError> {
    let mut tx = cx.begin().await?;
    find_to_change(id, &mut tx, cx).await?;
    if !store::delete_secret(id, secret, &mut tx).await? {
        return Err(ClientError::Unknown);
    }
    store::touch(id, cx.now, &mut tx).await?;
    let change = Change::ended(json!({ "secret_id": secret }));
    let target = Target::Client(id);
    audit::record(Action::ClientSecretEnded, target, change, &mut tx, cx).await?;
    db::forget(Topic::Client, id.as_str(), &mut tx).await?;
    tx.commit().await?;
    cx.app.clients.forget(id.as_str());
    Ok(())
}

/// Deletes a client; within a second no replica lets it or its tokens in.
pub(crate) async fn delete(id: &ClientId, if_match: &IfMatch, cx: &Cx) -> Result<(), ClientError> {
    let mut tx = cx.begin().await?;
    let client = find_to_change(id, &mut tx, cx).await?;
    if !if_match.allows(client.version) {
        return Err(ClientError::Stale);
    }
    store::delete(id, &mut tx).await?;
    let change = Change::ended(client.view());
    let target = Target::Client(id);
    audit::record(Action::ClientDeleted, target, change, &mut tx, cx).await?;
    db::forget(Topic::Client, id.as_str(), &mut tx).await?;
    tx.commit().await?;
    cx.app.clients.forget(id.as_str());
    Ok(())
}

/// A client, locked until the transaction ends, that the actor may change.
async fn find_to_change(
    id: &ClientId,
    tx: &mut PgConnection,
    cx: &Cx,
) -> Result<Client, ClientError> {
    store::lock(id, &mut *tx)
        .await?
        .ok_or(ClientError::Unknown)?;
    let client = store::find(id, &mut *tx)
        .await?
        .ok_or(ClientError::Unknown)?;
    rank::check(&client.registration, cx).map_err(ClientError::Above)?;
    Ok(client)
}

/// The registration after the update. The server's own members may be repeated as they are, not changed.
fn apply(before: &Client, update: Update) -> Result<Registration, ClientError> {
    let (sent, document) = match update {
        Update::Revise(revise) => return revise(before).map_err(ClientError::Invalid),
        Update::Merge(patch) => {
            let mut document = before.registration.to_json();
            let further = object::without(&patch, &OWNED);
            // Of the two ways to publish keys, the one that is sent takes the other's place.
            for (sent, other) in [("jwks", "jwks_uri"), ("jwks_uri", "jwks")] {
                if further.get(sent).is_some_and(|v| !v.is_null()) && !further.contains_key(other) {
                    document.remove(other);
                }
            }
            // The assertions' algorithm belongs to the method.
            if further.contains_key("token_endpoint_auth_method") {
                document.remove("token_endpoint_auth_signing_alg");
            }
            object::merge(&mut document, further);
            (patch, document)
        }
        Update::Replace(whole) => {
            let document = object::without(&whole, &OWNED);
            (whole, document)
        }
    };
    let present = before.to_json();
    let changed = OWNED.iter().filter(|name| {
        sent.get(**name)
            .is_some_and(|value| present.get(**name) != Some(value))
    });
    let mut wrong: Vec<RegistrationError> = changed
        .map(|name| RegistrationError {
            part: (*name).into(),
            detail: "The server sets this member; it can't be changed.".to_owned(),
        })
        .collect();
    match Registration::from_json(document) {
        Ok(registration) if wrong.is_empty() => Ok(registration),
        Ok(_) => Err(ClientError::Invalid(wrong)),
        Err(more) => {
            wrong.extend(more);
            Err(ClientError::Invalid(wrong))
        }
    }
}
