//! What is recorded. Never a secret: `before` and `after` hold what the API shows of a thing.

use serde_json::Value;
use uuid::Uuid;

use crate::kernel::{ClientId, UserId};

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    UserCreated,
    UserUpdated,
    UserDeleted,
    UserRestored,
    UserErased,
    AttributesDeclared,
    PasswordSet,
    PasswordChanged,
    PasswordChangeRequired,
    SignedIn,
    NewPasswordDemanded,
    SignedOut,
    SessionEnded,
    EverybodysSessionsEnded,
    TokenRevoked,
    ConsentGranted,
    ConsentWithdrawn,
    TokenFamilyEnded,
    CodeChallengeRepeated,
    ClientCreated,
    ClientUpdated,
    ClientSecretRotated,
    ClientSecretEnded,
    ClientDeleted,
    ConsumerRegistered,
    ConsumerRemoved,
    InitialTokenCreated,
    InitialTokenDeleted,
    SigningKeyMade,
    SigningKeyImported,
    SigningKeyPromoted,
    SigningKeyRemoved,
    SigningKeyRevoked,
    WebhookCreated,
    WebhookUpdated,
    WebhookSecretRotated,
    WebhookDeleted,
    WebhookReplayed,
}

impl Action {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::UserCreated => "user.created",
            Self::UserUpdated => "user.updated",
            Self::UserDeleted => "user.deleted",
            Self::UserRestored => "user.restored",
            Self::UserErased => "user.erased",
            Self::AttributesDeclared => "attributes.declared",
            Self::PasswordSet => "password.set",
            Self::PasswordChanged => "password.changed",
            Self::PasswordChangeRequired => "password.change_required",
            Self::SignedIn => "session.signed_in",
            Self::NewPasswordDemanded => "session.new_password_demanded",
            Self::SignedOut => "session.signed_out",
            Self::SessionEnded => "session.ended",
            Self::EverybodysSessionsEnded => "session.everybodys_ended",
            Self::TokenRevoked => "token.revoked",
            Self::ConsentGranted => "consent.granted",
            Self::ConsentWithdrawn => "consent.withdrawn",
            Self::TokenFamilyEnded => "token_family.ended",
            Self::CodeChallengeRepeated => "code_challenge.repeated",
            Self::ClientCreated => "client.created",
            Self::ClientUpdated => "client.updated",
            Self::ClientSecretRotated => "client.secret_rotated",
            Self::ClientSecretEnded => "client.secret_ended",
            Self::ClientDeleted => "client.deleted",
            Self::ConsumerRegistered => "consumer.registered",
            Self::ConsumerRemoved => "consumer.removed",
            Self::InitialTokenCreated => "initial_access_token.created",
            Self::InitialTokenDeleted => "initial_access_token.deleted",
            Self::SigningKeyMade => "signing_key.made",
            Self::SigningKeyImported => "signing_key.imported",
            Self::SigningKeyPromoted => "signing_key.promoted",
            Self::SigningKeyRemoved => "signing_key.removed",
            Self::SigningKeyRevoked => "signing_key.revoked",
            Self::WebhookCreated => "webhook.created",
            Self::WebhookUpdated => "webhook.updated",
            Self::WebhookSecretRotated => "webhook.secret_rotated",
            Self::WebhookDeleted => "webhook.deleted",
            Self::WebhookReplayed => "webhook.replayed",
        }
    }
}

/// To whom or what it was done.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target<'a> {
    User(UserId),
    /// A person whom it changed, and the version that it made of them: this is their history.
    Changed(UserId, i64),
    Everybody,
    Client(&'a ClientId),
    Consumer(&'a str),
    InitialToken(Uuid),
    SigningKey(&'a str),
    /// Its version.
    AttributeSchema(i64),
    Webhook(Uuid),
}

impl Target<'_> {
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::User(_) | Self::Changed(..) => "user",
            Self::Everybody => "everybody",
            Self::Client(_) => "client",
            Self::Consumer(_) => "consumer",
            Self::InitialToken(_) => "initial_access_token",
            Self::SigningKey(_) => "signing_key",
            Self::AttributeSchema(_) => "attribute_schema",
            Self::Webhook(_) => "webhook",
        }
    }

    pub(super) fn user(&self) -> Option<UserId> {
        match self {
            Self::User(id) | Self::Changed(id, _) => Some(*id),
            _ => None,
        }
    }

    pub(super) fn version(&self) -> Option<i64> {
        match self {
            Self::Changed(_, version) => Some(*version),
            _ => None,
        }
    }

    pub(super) fn id(&self) -> String {
        match self {
            Self::User(id) | Self::Changed(id, _) => id.to_string(),
            Self::Everybody => "*".to_owned(),
            Self::Client(id) => id.to_string(),
            Self::Consumer(name) => (*name).to_owned(),
            Self::InitialToken(id) => id.to_string(),
            Self::SigningKey(kid) => (*kid).to_owned(),
            Self::AttributeSchema(version) => version.to_string(),
            Self::Webhook(id) => id.to_string(),
        }
    }
}

/// What the target was before and is after, or its changed fields, as the API shows them.
#[derive(Default)]
pub(crate) struct Change {
    pub(crate) before: Option<Value>,
    pub(crate) after: Option<Value>,
}

impl Change {
    pub(crate) fn made(after: Value) -> Self {
        Self {
            before: None,
            after: Some(after),
        }
    }

    pub(crate) fn ended(before: Value) -> Self {
        Self {
            before: Some(before),
            after: None,
        }
    }

    pub(crate) fn between(before: Value, after: Value) -> Self {
        Self {
            before: Some(before),
            after: Some(after),
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn operators_are_told_of_every_action() {
        let docs = include_str!("../../docs/operations.md");
        let lines = include_str!("model.rs").lines();
        let actions = lines.filter_map(|line| {
            let (_, word) = line.trim().strip_prefix("Self::")?.split_once(" => \"")?;
            word.strip_suffix("\",").filter(|word| word.contains('.'))
        });
        let missing: Vec<_> = actions
            .filter(|action| !docs.contains(&format!("`{action}`")))
            .collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
