//! The webhooks' SQL.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::model::{Standing, Webhook};
use crate::kernel::Fault;

struct Row {
    id: Uuid,
    version: i64,
    url: String,
    description: Option<String>,
    consumer: Option<String>,
    paused: bool,
    previous_until: Option<OffsetDateTime>,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
    position: i64,
    behind_since: Option<OffsetDateTime>,
    replay_position: Option<i64>,
    replay_until: Option<i64>,
    failures: i32,
    next_attempt_at: Option<OffsetDateTime>,
    last_error: Option<String>,
    last_error_at: Option<OffsetDateTime>,
    last_delivered_at: Option<OffsetDateTime>,
    waiting: i64,
    dead: i64,
}

impl TryFrom<Row> for Webhook {
    type Error = Fault;

    fn try_from(row: Row) -> Result<Self, Fault> {
        let strange = || Fault::internal("reading a webhook's row", format!("id {}", row.id));
        Ok(Self {
            id: row.id,
            version: row.version,
            url: row.url.parse().map_err(|_| strange())?,
            description: row.description,
            consumer: row.consumer,
            paused: row.paused,
            previous_until: row.previous_until,
            created_at: row.created_at,
            updated_at: row.updated_at,
            standing: Standing {
                position: row.position,
                behind_since: row.behind_since,
                replay: row.replay_position.zip(row.replay_until),
                failures: row.failures,
                next_attempt_at: row.next_attempt_at,
                last_error: row.last_error,
                last_error_at: row.last_error_at,
                last_delivered_at: row.last_delivered_at,
                waiting: row.waiting,
                dead: row.dead,
            },
        })
    }
}

/// At most `limit` webhooks after this one, in the order of their making; with `only`, that one alone.
pub(super) async fn list(
    only: Option<Uuid>,
    after: Option<Uuid>,
    limit: i64,
    db: &mut PgConnection,
) -> Result<Vec<Webhook>, Fault> {
    let rows = sqlx::query_as!(
        Row,
        r#"
        select w.id, w.version, w.url, w.description, w.consumer, w.paused, w.previous_until, w.created_at, w.updated_at, w.position,
               w.replay_position, w.replay_until, w.failures, w.next_attempt_at, w.last_error, w.last_error_at, w.last_delivered_at,
               (select c.occurred_at from change c where c.feed_id = w.feed_id and c.position > w.position order by c.position limit 1) as behind_since,
               (select count(*) from webhook_letter l where l.webhook_id = w.id and l.dead_at is null) as "waiting!",
               (select count(*) from webhook_letter l where l.webhook_id = w.id and l.dead_at is not null) as "dead!"
          from webhook w
         where ($1::uuid is null or w.id = $1)
           and ($2::uuid is null or w.id > $2)
         order by w.id
         limit $3"#,
        only,
        after,
        limit,
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

pub(super) async fn find(id: Uuid, db: &mut PgConnection) -> Result<Option<Webhook>, Fault> {
    Ok(list(Some(id), None, 1, db).await?.pop())
}

/// Locks a webhook for a change; `None` where there is none.
pub(super) async fn lock(id: Uuid, db: &mut PgConnection) -> Result<Option<()>, Fault> {
    let row = sqlx::query_scalar!("select id from webhook where id = $1 for update", id)
        .fetch_optional(db)
        .await?;
    Ok(row.map(|_| ()))
}

/// What is written of a new webhook.
pub(super) struct New<'a> {
    pub(super) id: Uuid,
    pub(super) url: &'a str,
    pub(super) description: Option<&'a str>,
    pub(super) consumer: Option<&'a str>,
    pub(super) paused: bool,
    pub(super) sealed_secret: &'a [u8],
    pub(super) feed: i32,
    /// Where it begins; `None`: with what comes.
    pub(super) position: Option<i64>,
}

/// Inserts it unless there are `most` already; gives whether it did.
pub(super) async fn insert(
    new: &New<'_>,
    most: i64,
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "
        insert into webhook (id, url, description, consumer, paused, secret, feed_id, position, created_at, updated_at)
        select $1, $2, $3, $4, $5, $6, $7, coalesce($8, h.position), $9, $9
          from feed_head h
         where (select count(*) from webhook) < $10",
        new.id,
        new.url,
        new.description,
        new.consumer,
        new.paused,
        new.sealed_secret,
        new.feed,
        new.position,
        now,
        most,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Writes what admins change. Whoever changes something has it tried at once.
pub(super) async fn update(
    webhook: &Webhook,
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<(), Fault> {
    sqlx::query!(
        "
        update webhook
           set url = $2, description = $3, paused = $4, updated_at = $5, version = version + 1,
               failures = 0, failing_since = null, next_attempt_at = null
         where id = $1",
        webhook.id,
        webhook.url.as_str(),
        webhook.description,
        webhook.paused,
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The new secret signs; the one before it does too until then (`None`: no longer).
pub(super) async fn set_secret(
    id: Uuid,
    sealed: &[u8],
    previous_until: Option<OffsetDateTime>,
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<(), Fault> {
    sqlx::query!(
        "
        update webhook
           set previous_secret = case when $3::timestamptz is not null then secret end, previous_until = $3, secret = $2,
               updated_at = $4, version = version + 1
         where id = $1",
        id,
        sealed,
        previous_until,
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

pub(super) async fn delete(id: Uuid, db: &mut PgConnection) -> Result<(), Fault> {
    sqlx::query!("delete from webhook where id = $1", id)
        .execute(db)
        .await?;
    Ok(())
}

/// The secrets, sealed: the present one, and the one before while it is good.
pub(super) struct Sealed {
    pub(super) secret: Vec<u8>,
    pub(super) previous_secret: Option<Vec<u8>>,
    pub(super) previous_until: Option<OffsetDateTime>,
}

impl Sealed {
    /// The one before, while it is good.
    pub(super) fn previous(&self, now: OffsetDateTime) -> Option<&[u8]> {
        let previous = self.previous_secret.as_deref();
        previous.filter(|_| self.previous_until.is_some_and(|until| now < until))
    }
}

pub(super) async fn secrets(id: Uuid, db: &mut PgConnection) -> Result<Option<Sealed>, Fault> {
    let sealed = sqlx::query_as!(
        Sealed,
        "select secret, previous_secret, previous_until from webhook where id = $1",
        id
    )
    .fetch_optional(db)
    .await?;
    Ok(sealed)
}

/// Every webhook's.
pub(super) async fn all_secrets(db: &mut PgConnection) -> Result<Vec<(Uuid, Sealed)>, Fault> {
    let rows = sqlx::query!(
        "
        select id, secret, previous_secret, previous_until
          from webhook
         order by id"
    )
    .fetch_all(db)
    .await?;
    let sealed = rows.into_iter().map(|row| {
        let sealed = Sealed {
            secret: row.secret,
            previous_secret: row.previous_secret,
            previous_until: row.previous_until,
        };
        (row.id, sealed)
    });
    Ok(sealed.collect())
}

/// Puts these in the place of those, unless there are others meanwhile; gives whether it did.
pub(super) async fn replace_secrets(
    id: Uuid,
    old: &Sealed,
    new: &Sealed,
    db: &mut PgConnection,
) -> Result<bool, Fault> {
    let done = sqlx::query!(
        "
        update webhook
           set secret = $4, previous_secret = $5
         where id = $1
           and secret = $2
           and previous_secret is not distinct from $3",
        id,
        old.secret,
        old.previous_secret,
        new.secret,
        new.previous_secret,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Those that are not paused.
pub(super) async fn list_delivering(db: &mut PgConnection) -> Result<Vec<Uuid>, Fault> {
    let ids = sqlx::query_scalar!("select id from webhook where not paused")
        .fetch_all(db)
        .await?;
    Ok(ids)
}

/// Pauses those that are not; gives which.
pub(super) async fn pause_all(
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<Vec<Uuid>, Fault> {
    let ids = sqlx::query_scalar!(
        "
        update webhook
           set paused = true, updated_at = $1, version = version + 1
         where not paused
        returning id",
        now,
    )
    .fetch_all(db)
    .await?;
    Ok(ids)
}

/// The places of the changes that happened from `since` on and before `before`: the one before the first, and the last.
pub(super) async fn places_between(
    id: Uuid,
    since: Option<OffsetDateTime>,
    before: Option<OffsetDateTime>,
    db: &mut PgConnection,
) -> Result<Option<(i64, i64)>, Fault> {
    let row = sqlx::query!(
        "
        select min(c.position) - 1 as after, max(c.position) as until
          from change c
          join webhook w on w.feed_id = c.feed_id
         where w.id = $1
           and c.occurred_at >= coalesce($2::timestamptz, '-infinity')
           and c.occurred_at < coalesce($3::timestamptz, 'infinity')",
        id,
        since,
        before,
    )
    .fetch_one(db)
    .await?;
    Ok(row.after.zip(row.until))
}

/// Has the changes after the one place and up to the other sent once more; gives how many there are.
pub(super) async fn replay(
    id: Uuid,
    after: i64,
    until: i64,
    db: &mut PgConnection,
) -> Result<i64, Fault> {
    sqlx::query!(
        "
        update webhook
           set replay_position = $2, replay_until = $3, replays = replays + 1
         where id = $1",
        id,
        after,
        until,
    )
    .execute(&mut *db)
    .await?;
    let changes = sqlx::query_scalar!(
        r#"
        select count(*) as "changes!"
          from change c
          join webhook w on w.feed_id = c.feed_id
         where w.id = $1
           and c.position > $2
           and c.position <= $3"#,
        id,
        after,
        until,
    )
    .fetch_one(db)
    .await?;
    Ok(changes)
}
