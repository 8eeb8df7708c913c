//! Making, changing and deleting clients: each in one transaction with its audit row and the word to all caches.

use serde_json::{Value, json};

use super::store;
use super::{AuthMethod, Client, Registration, RegistrationError};
use crate::audit::{self, Action, Change, Target};
use crate::cx::Cx;
use crate::db::{self, OnConstraint, Topic};
use crate::kernel::span::Span;
use crate::kernel::{ClientId, Fault, Secret, TokenHash, random};

/// Why an operation on a client is refused.
#[derive(Debug)]
pub(crate) enum ClientError {
    Unknown,
    Refused(RegistrationError),
    /// Another client serves that audience.
    ServesTaken,
    /// A public client has no secret.
    Public,
    Fault(Fault),
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

/// A client that was just made, with the one look at its secret.
pub(crate) struct Created {
    pub(crate) client: Client,
    pub(crate) secret: Option<Secret<String>>,
}

impl Client {
    /// The client as the operator sees it: the names of RFC 7591 §2 where it has them. Never a secret.
    pub(crate) fn view(&self) -> Value {
        let r = &self.registration;
        let time = crate::kernel::clock::rfc3339;
        json!({
            "client_id": self.id,
            "client_name": r.name,
            "token_endpoint_auth_method": r.auth_method.as_str(),
            "grant_types": r.grants.iter().map(|grant| grant.as_str()).collect::<Vec<_>>(),
            "scope": r.scopes,
            "audiences": r.audiences,
            "serves": r.serves,
            "access_token_signing_alg": r.signing_alg,
            "access_token_lifetime": r.access_token_lifetime.map(Span::whole_seconds),
            "password_grant_until": r.password_grant_until.map(time),
            "created_at": time(self.created_at),
            "updated_at": time(self.updated_at),
        })
    }
}

/// Registers a client. The secret is told here and never again.
pub(crate) async fn create(registration: Registration, cx: &Cx) -> Result<Created, ClientError> {
    registration
        .check(&cx.app.config.issuer)
        .map_err(ClientError::Refused)?;
    let secret = (registration.auth_method != AuthMethod::None).then(random::token);
    let client = Client {
        id: ClientId::new(),
        registration,
        secrets: Vec::new(),
        created_at: cx.now,
        updated_at: cx.now,
    };
    let mut tx = cx.begin().await?;
    store::insert(&client, &mut tx)
        .await
        .on_constraint(&[("client_serves_key", || ClientError::ServesTaken)])?;
    if let Some(secret) = &secret {
        store::insert_secret(&client.id, &TokenHash::of(secret.expose()), cx.now, &mut tx).await?;
    }
    audit::record(
        Action::ClientCreated,
        Target::Client(&client.id),
        Change {
            before: None,
            after: Some(client.view()),
        },
        &mut tx,
        cx,
    )
    .await?;
    db::forget(Topic::Client, client.id.as_str(), &mut tx).await?;
    tx.commit().await?;
    cx.app.clients.forget(client.id.as_str());
    Ok(Created { client, secret })
}

/// Gives the client a new secret; those it has end after `overlap`.
pub(crate) async fn rotate_secret(
    id: &ClientId,
    overlap: Span,
    cx: &Cx,
) -> Result<Secret<String>, ClientError> {
    let secret = random::token();
    let mut tx = cx.begin().await?;
    store::lock(id, &mut tx)
        .await?
        .ok_or(ClientError::Unknown)?;
    let client = store::find(id, &mut tx)
        .await?
        .ok_or(ClientError::Unknown)?;
    if client.registration.auth_method == AuthMethod::None {
        return Err(ClientError::Public);
    }
    store::end_secrets(id, cx.now + overlap.time(), cx.now, &mut tx).await?;
    store::insert_secret(id, &TokenHash::of(secret.expose()), cx.now, &mut tx).await?;
    store::touch(id, cx.now, &mut tx).await?;
    audit::record(
        Action::ClientSecretRotated,
        Target::Client(id),
        Change::default(),
        &mut tx,
        cx,
    )
    .await?;
    db::forget(Topic::Client, id.as_str(), &mut tx).await?;
    tx.commit().await?;
    cx.app.clients.forget(id.as_str());
    Ok(secret)
}

/// Deletes a client; within a second no replica lets it or its tokens in.
pub(crate) async fn delete(id: &ClientId, cx: &Cx) -> Result<(), ClientError> {
    let mut tx = cx.begin().await?;
    store::lock(id, &mut tx)
        .await?
        .ok_or(ClientError::Unknown)?;
    let client = store::find(id, &mut tx)
        .await?
        .ok_or(ClientError::Unknown)?;
    store::delete(id, &mut tx).await?;
    audit::record(
        Action::ClientDeleted,
        Target::Client(id),
        Change {
            before: Some(client.view()),
            after: None,
        },
        &mut tx,
        cx,
    )
    .await?;
    db::forget(Topic::Client, id.as_str(), &mut tx).await?;
    tx.commit().await?;
    cx.app.clients.forget(id.as_str());
    Ok(())
}
