//! Making, changing and deleting clients: each in one transaction with its audit row and the word to all caches.

use super::store;
use super::{Client, Registration, RegistrationError};
use crate::audit::{self, Action, Change, Target};
use crate::cx::Cx;
use crate::db::{self, OnConstraint, Topic};
use crate::kernel::span::Span;
use crate::kernel::{ClientId, Fault, Secret, TokenHash, random};

/// Why an operation on a client is refused.
#[derive(Debug)]
pub(crate) enum ClientError {
    Unknown,
    Refused(Vec<RegistrationError>),
    /// Another client serves that audience.
    ServesTaken,
    /// The client does not prove itself with a secret.
    NoSecrets,
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

/// Registers a client. The secret is told here and never again.
pub(crate) async fn create(registration: Registration, cx: &Cx) -> Result<Created, ClientError> {
    registration
        .check(&cx.app.config.issuer)
        .map_err(ClientError::Refused)?;
    let has_secret = registration.auth_method.has_secret();
    let secret = has_secret.then(random::token);
    let client = Client {
        id: ClientId::new(),
        version: 1,
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
    if !client.registration.auth_method.has_secret() {
        return Err(ClientError::NoSecrets);
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
