//! What admins do with webhooks, each change in one transaction with its audit row.
//!
//! A webhook carries people's data out for as long as it stands, whoever made it: it is made and changed by callers who hold all of
//! Doorward's scopes (checklist 149).

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::delivery;
use super::message::Message;
use super::model::{Letter, MOST, Webhook};
use super::secrets::{is_lost, open, seal};
use super::signature::SigningSecret;
use super::store::{self, New};
use crate::audit::{self, Action, Change, Target};
use crate::cx::{Cx, ScopesMissing};
use crate::db::OnConstraint;
use crate::events::Reader;
use crate::fetch::{Destination, FetchError};
use crate::http::IfMatch;
use crate::idempotency::{Claim, ClaimError, Made};
use crate::kernel::id::uuid_v7;
use crate::kernel::{Fault, Secret, UserId, clock};

/// Why an operation on a webhook is refused.
#[derive(Debug)]
pub(crate) enum WebhookError {
    Unknown,
    /// The caller does not hold all of Doorward's scopes.
    ScopesMissing,
    Stale,
    /// The address is none that is permitted.
    Url(FetchError),
    UnknownConsumer,
    /// There are as many as there may be.
    TooMany,
    /// Its secret went with a sealing key.
    SecretLost,
    /// Nothing was changed in that time.
    NothingThere,
    Claim(ClaimError),
    Fault(Fault),
}

impl From<Fault> for WebhookError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<ScopesMissing> for WebhookError {
    fn from(_: ScopesMissing) -> Self {
        Self::ScopesMissing
    }
}

impl From<ClaimError> for WebhookError {
    fn from(error: ClaimError) -> Self {
        Self::Claim(error)
    }
}

impl From<sqlx::Error> for WebhookError {
    fn from(cause: sqlx::Error) -> Self {
        Self::Fault(cause.into())
    }
}

/// What a new webhook is to be.
pub(super) struct Wanted {
    pub(super) url: Destination,
    pub(super) description: Option<String>,
    pub(super) consumer: Option<String>,
    pub(super) paused: bool,
    /// With what there is already, or with what comes.
    pub(super) from_the_beginning: bool,
}

/// What of a webhook is to change; `None`: nothing.
#[derive(Default)]
pub(super) struct Changes {
    pub(super) url: Option<Destination>,
    pub(super) description: Option<Option<String>>,
    pub(super) paused: Option<bool>,
}

/// A webhook, with the one look at its secret where it has a new one.
pub(super) struct Shown {
    pub(super) webhook: Webhook,
    pub(super) secret: Option<Secret<String>>,
}

impl Shown {
    pub(super) fn view(&self) -> Value {
        let mut view = self.webhook.view();
        if let Some(secret) = &self.secret {
            view["secret"] = Value::String(secret.expose().clone());
        }
        view
    }
}

/// What is sent once more.
pub(super) enum Replay {
    /// The changes after the one place, up to the other where there is one.
    Places(i64, Option<i64>),
    /// Those that happened from the one time on, before the other.
    Times(Option<OffsetDateTime>, Option<OffsetDateTime>),
    /// What was given up.
    Dead,
}

/// What came of a test.
pub(super) struct Tried {
    pub(super) result: Result<u16, FetchError>,
    pub(super) took: Duration,
}

impl Webhook {
    /// As the API shows it. Never a secret.
    pub(super) fn view(&self) -> Value {
        let time = |at: Option<OffsetDateTime>| at.map(clock::rfc3339);
        let standing = &self.standing;
        json!({
            "id": self.id,
            "url": self.url,
            "description": self.description,
            "consumer": self.consumer,
            "paused": self.paused,
            "previous_secret_until": time(self.previous_until),
            "version": self.version,
            "created_at": clock::rfc3339(self.created_at),
            "updated_at": clock::rfc3339(self.updated_at),
            "status": {
                "state": self.state(),
                "position": standing.position,
                "behind_since": time(standing.behind_since),
                "replay": standing.replay.map(|(after, until)| json!({ "after": after, "until": until })),
                "failures": standing.failures,
                "next_attempt_at": time(standing.next_attempt_at),
                "last_error": standing.last_error,
                "last_error_at": time(standing.last_error_at),
                "last_delivered_at": time(standing.last_delivered_at),
                "waiting": standing.waiting,
                "dead": standing.dead,
            },
        })
    }

    /// What of it an audit row holds.
    fn audited(&self) -> Value {
        json!({ "url": self.url, "description": self.description, "consumer": self.consumer, "paused": self.paused })
    }
}

pub(super) async fn list(
    after: Option<Uuid>,
    limit: i64,
    cx: &Cx,
) -> Result<Vec<Webhook>, WebhookError> {
    Ok(store::list(None, after, limit, &mut *cx.connection().await?).await?)
}

pub(super) async fn find(id: Uuid, cx: &Cx) -> Result<Webhook, WebhookError> {
    found(id, &mut *cx.connection().await?).await
}

/// Makes a webhook; of requests with the same claim the first makes one. Its secret is told here and never again.
pub(super) async fn create(
    wanted: Wanted,
    claim: Option<&Claim>,
    cx: &Cx,
) -> Result<Made, WebhookError> {
    // Before an earlier answer is given again, for it holds the secret.
    cx.all_scopes()?;
    check_url(&wanted.url, cx).await?;
    let id = uuid_v7(cx.now);
    let secret = SigningSecret::new();
    let sealed = seal(&cx.app.sealing, id, &secret);
    let reader = reader(wanted.consumer.as_deref(), cx).await?;
    let feed = reader.ok_or(WebhookError::UnknownConsumer)?.feed;
    let mut tx = cx.begin().await?;
    if let Some(claim) = claim
        && let Some(view) = claim.redeem(&mut tx, cx).await?
    {
        let earlier = true;
        return Ok(Made { view, earlier });
    }
    let new = New {
        id,
        url: wanted.url.as_str(),
        description: wanted.description.as_deref(),
        consumer: wanted.consumer.as_deref(),
        paused: wanted.paused,
        sealed_secret: &sealed,
        feed: feed.0,
        position: wanted.from_the_beginning.then_some(0),
    };
    let inserted = store::insert(&new, MOST, cx.now, &mut tx)
        .await
        .on_constraint(&[("webhook_consumer_fkey", || WebhookError::UnknownConsumer)])?;
    if !inserted {
        return Err(WebhookError::TooMany);
    }
    let webhook = found(id, &mut tx).await?;
    let (target, change) = (Target::Webhook(id), Change::made(webhook.audited()));
    audit::record(Action::WebhookCreated, target, change, &mut tx, cx).await?;
    let secret = Some(secret.text());
    let view = Shown { webhook, secret }.view();
    if let Some(claim) = claim {
        claim.keep(&view, None, &mut tx, cx).await?;
    }
    tx.commit().await?;
    let earlier = false;
    Ok(Made { view, earlier })
}

/// Changes a webhook. Another origin gets a new secret, and the old ones end at once: whoever is there now never learns what messages to
/// the old one were signed with, and can't sign any (checklist 151). So does one that goes on after its secret was lost.
pub(super) async fn update(
    id: Uuid,
    changes: Changes,
    if_match: &IfMatch,
    cx: &Cx,
) -> Result<Shown, WebhookError> {
    find_to_change(id, cx).await?;
    if let Some(url) = &changes.url {
        check_url(url, cx).await?;
    }
    let mut tx = cx.begin().await?;
    let mut webhook = locked(id, if_match, &mut tx).await?;
    let before = webhook.audited();
    let origin = webhook.url.origin();
    webhook.url = changes.url.unwrap_or(webhook.url);
    webhook.description = changes.description.unwrap_or(webhook.description);
    webhook.paused = changes.paused.unwrap_or(webhook.paused);
    store::update(&webhook, cx.now, &mut tx).await?;
    let sealed = store::secrets(id, &mut tx).await?;
    let sealed = sealed.ok_or(WebhookError::Unknown)?;
    let needs_another = webhook.url.origin() != origin
        || (!webhook.paused && is_lost(&cx.app.sealing, id, &sealed));
    let secret = needs_another.then(SigningSecret::new);
    if let Some(secret) = &secret {
        let sealed = seal(&cx.app.sealing, id, secret);
        store::set_secret(id, &sealed, None, cx.now, &mut tx).await?;
    }
    let after = webhook.audited();
    let (target, change) = (Target::Webhook(id), Change::between(before, after));
    audit::record(Action::WebhookUpdated, target, change, &mut tx, cx).await?;
    let webhook = found(id, &mut tx).await?;
    tx.commit().await?;
    Ok(Shown {
        webhook,
        secret: secret.map(|secret| secret.text()),
    })
}

/// Gives the webhook a new secret; messages are signed with the old one too until `overlap` has passed.
pub(super) async fn rotate_secret(
    id: Uuid,
    overlap: Duration,
    if_match: &IfMatch,
    cx: &Cx,
) -> Result<Shown, WebhookError> {
    find_to_change(id, cx).await?;
    let secret = SigningSecret::new();
    let sealed = seal(&cx.app.sealing, id, &secret);
    let mut tx = cx.begin().await?;
    locked(id, if_match, &mut tx).await?;
    let previous_until = (!overlap.is_zero()).then(|| cx.now + overlap);
    store::set_secret(id, &sealed, previous_until, cx.now, &mut tx).await?;
    let (target, change) = (Target::Webhook(id), Change::default());
    audit::record(Action::WebhookSecretRotated, target, change, &mut tx, cx).await?;
    let webhook = found(id, &mut tx).await?;
    tx.commit().await?;
    Ok(Shown {
        webhook,
        secret: Some(secret.text()),
    })
}

pub(super) async fn delete(id: Uuid, if_match: &IfMatch, cx: &Cx) -> Result<(), WebhookError> {
    find_to_change(id, cx).await?;
    let mut tx = cx.begin().await?;
    let webhook = locked(id, if_match, &mut tx).await?;
    store::delete(id, &mut tx).await?;
    let (target, change) = (Target::Webhook(id), Change::ended(webhook.audited()));
    audit::record(Action::WebhookDeleted, target, change, &mut tx, cx).await?;
    tx.commit().await?;
    Ok(())
}

/// The receiver said that it is gone for good: it is left alone until an admin resumes it.
pub(super) async fn pause_because_gone(id: Uuid, cx: &Cx) -> Result<(), Fault> {
    let mut tx = cx.begin().await?;
    let found = match store::lock(id, &mut tx).await? {
        Some(()) => store::find(id, &mut tx).await?,
        None => None,
    };
    let Some(mut webhook) = found.filter(|webhook| !webhook.paused) else {
        return Ok(());
    };
    let before = webhook.audited();
    webhook.paused = true;
    store::update(&webhook, cx.now, &mut tx).await?;
    let after = webhook.audited();
    let (target, change) = (Target::Webhook(id), Change::between(before, after));
    audit::record(Action::WebhookUpdated, target, change, &mut tx, cx).await?;
    tx.commit().await?;
    Ok(())
}

/// Has changes sent once more, each person's at its newest; gives the number of people.
pub(super) async fn replay(id: Uuid, what: Replay, cx: &Cx) -> Result<i64, WebhookError> {
    find_to_change(id, cx).await?;
    let mut tx = cx.begin().await?;
    let webhook = locked(id, &IfMatch::Any, &mut tx).await?;
    let (after, until) = match what {
        Replay::Places(after, until) => (after, until.unwrap_or(i64::MAX)),
        Replay::Times(since, before) => store::places_between(id, since, before, &mut tx)
            .await?
            .ok_or(WebhookError::NothingThere)?,
        Replay::Dead => (0, 0),
    };
    // What has not been sent yet is sent anyway.
    let until = until.min(webhook.standing.position);
    let people = if matches!(what, Replay::Dead) {
        delivery::revive(id, cx.now, &mut tx).await?
    } else if after < until {
        store::replay(id, after, until, &mut tx).await?
    } else {
        return Err(WebhookError::NothingThere);
    };
    let replayed = match what {
        Replay::Dead => json!({ "dead": true, "people": people }),
        _ => json!({ "after": after, "until": until, "people": people }),
    };
    let (target, change) = (Target::Webhook(id), Change::made(replayed));
    audit::record(Action::WebhookReplayed, target, change, &mut tx, cx).await?;
    tx.commit().await?;
    Ok(people)
}

/// Sends a message that tells of nothing, and says what came of it.
pub(super) async fn test(id: Uuid, cx: &Cx) -> Result<Tried, WebhookError> {
    let webhook = find_to_change(id, cx).await?;
    let sealed = store::secrets(id, &mut *cx.connection().await?).await?;
    let sealed = sealed.ok_or(WebhookError::Unknown)?;
    if is_lost(&cx.app.sealing, id, &sealed) {
        return Err(WebhookError::SecretLost);
    }
    let secrets = open(&cx.app.sealing, id, &sealed, cx.now)?;
    let post = Message::test(id, cx.now).sign(&secrets, cx.now);
    let started = clock::monotonic();
    let result = cx.app.fetcher.post(&webhook.url, post).await;
    Ok(Tried {
        result,
        took: started.elapsed(),
    })
}

/// People whose change was given up.
pub(super) async fn dead(
    id: Uuid,
    after: Option<UserId>,
    limit: i64,
    cx: &Cx,
) -> Result<Vec<Letter>, WebhookError> {
    find(id, cx).await?;
    Ok(delivery::dead(id, after, limit, &mut *cx.connection().await?).await?)
}

/// Who is told: the consumer of this name, or everybody; `None` where there is no such consumer.
pub(super) async fn reader(consumer: Option<&str>, cx: &Cx) -> Result<Option<Reader>, Fault> {
    let Some(name) = consumer else {
        return Ok(Some(Reader::everybodys()));
    };
    let consumer = cx.app.consumers.named(name, cx).await?;
    Ok(consumer.map(|consumer| consumer.reader()))
}

async fn check_url(url: &Destination, cx: &Cx) -> Result<(), WebhookError> {
    cx.app.fetcher.check(url).await.map_err(WebhookError::Url)
}

/// The webhook, for a caller who may change it.
async fn find_to_change(id: Uuid, cx: &Cx) -> Result<Webhook, WebhookError> {
    let webhook = find(id, cx).await?;
    cx.all_scopes()?;
    Ok(webhook)
}

/// The webhook as the condition has it, locked until the transaction ends.
async fn locked(
    id: Uuid,
    if_match: &IfMatch,
    db: &mut PgConnection,
) -> Result<Webhook, WebhookError> {
    store::lock(id, db).await?.ok_or(WebhookError::Unknown)?;
    let webhook = found(id, db).await?;
    if if_match.allows(webhook.version) {
        Ok(webhook)
    } else {
        Err(WebhookError::Stale)
    }
}

async fn found(id: Uuid, db: &mut PgConnection) -> Result<Webhook, WebhookError> {
    store::find(id, db).await?.ok_or(WebhookError::Unknown)
}
