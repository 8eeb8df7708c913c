//! The SQL of deliveries: people whose change was not taken, and how far each webhook is, with who delivers it.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::kernel::{Fault, UserId};
use crate::webhooks::model::{DOWN, Letter};

/// Has what was given up tried once more; gives how many people's changes that are.
pub(in crate::webhooks) async fn revive(
    id: Uuid,
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<i64, Fault> {
    sqlx::query!("update webhook set replays = replays + 1 where id = $1", id)
        .execute(&mut *db)
        .await?;
    let done = sqlx::query!(
        "
        update webhook_letter
           set dead_at = null, attempts = 0, next_attempt_at = $2
         where webhook_id = $1
           and dead_at is not null",
        id,
        now,
    )
    .execute(db)
    .await?;
    Ok(i64::try_from(done.rows_affected()).unwrap_or(i64::MAX))
}

struct LetterRow {
    user_id: UserId,
    attempts: i32,
    failed_at: OffsetDateTime,
    next_attempt_at: OffsetDateTime,
    dead_at: Option<OffsetDateTime>,
    error: String,
}

impl From<LetterRow> for Letter {
    fn from(row: LetterRow) -> Self {
        Self {
            user: row.user_id,
            attempts: row.attempts,
            failed_at: row.failed_at,
            next_attempt_at: row.next_attempt_at,
            dead_at: row.dead_at,
            error: row.error,
        }
    }
}

/// At most `limit` people whose change was given up, after this one.
pub(in crate::webhooks) async fn dead(
    id: Uuid,
    after: Option<UserId>,
    limit: i64,
    db: &mut PgConnection,
) -> Result<Vec<Letter>, Fault> {
    let rows = sqlx::query_as!(
        LetterRow,
        r#"
        select user_id as "user_id: UserId", attempts, failed_at, next_attempt_at, dead_at, error
          from webhook_letter
         where webhook_id = $1
           and dead_at is not null
           and ($2::uuid is null or user_id > $2)
         order by user_id
         limit $3"#,
        id,
        after.map(|user| user.0),
        limit,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// Whose letters there are, and whether each was given up.
pub(super) async fn letters(id: Uuid, db: &mut PgConnection) -> Result<Vec<(UserId, bool)>, Fault> {
    let rows = sqlx::query!(
        r#"
        select user_id as "user_id: UserId", dead_at is not null as "dead!"
          from webhook_letter
         where webhook_id = $1"#,
        id,
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.user_id, row.dead))
        .collect())
}

pub(super) async fn letter(
    id: Uuid,
    user: UserId,
    db: &mut PgConnection,
) -> Result<Option<Letter>, Fault> {
    let row = sqlx::query_as!(
        LetterRow,
        r#"
        select user_id as "user_id: UserId", attempts, failed_at, next_attempt_at, dead_at, error
          from webhook_letter
         where webhook_id = $1
           and user_id = $2"#,
        id,
        user.0,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(Into::into))
}

/// At most `limit` people whose letters are due next, without those who are `busy`, and when.
pub(super) async fn next_letters(
    id: Uuid,
    busy: &[UserId],
    limit: i64,
    db: &mut PgConnection,
) -> Result<Vec<(UserId, OffsetDateTime)>, Fault> {
    let rows = sqlx::query!(
        r#"
        select user_id as "user_id: UserId", next_attempt_at
          from webhook_letter
         where webhook_id = $1
           and dead_at is null
           and user_id <> all ($2)
         order by next_attempt_at
         limit $3"#,
        id,
        &busy.iter().map(|user| user.0).collect::<Vec<_>>(),
        limit,
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.user_id, row.next_attempt_at))
        .collect())
}

/// Has those letters tried now whose first failure is no older than that.
pub(super) async fn hurry_letters(
    id: Uuid,
    failed_since: OffsetDateTime,
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<(), Fault> {
    sqlx::query!(
        "
        update webhook_letter
           set next_attempt_at = $3
         where webhook_id = $1
           and dead_at is null
           and failed_at >= $2
           and next_attempt_at > $3",
        id,
        failed_since,
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

pub(super) async fn keep_letter(
    id: Uuid,
    letter: &Letter,
    db: &mut PgConnection,
) -> Result<(), Fault> {
    sqlx::query!(
        "
        insert into webhook_letter (webhook_id, user_id, attempts, failed_at, next_attempt_at, dead_at, error)
        select $1, $2, $3, $4, $5, $6, $7
         where exists (select from webhook where id = $1)
        on conflict (webhook_id, user_id) do update
           set attempts = excluded.attempts, next_attempt_at = excluded.next_attempt_at, dead_at = excluded.dead_at,
               error = excluded.error",
        id,
        letter.user.0,
        letter.attempts,
        letter.failed_at,
        letter.next_attempt_at,
        letter.dead_at,
        letter.error,
    )
    .execute(db)
    .await?;
    Ok(())
}

pub(super) async fn drop_letter(
    id: Uuid,
    user: UserId,
    db: &mut PgConnection,
) -> Result<(), Fault> {
    sqlx::query!(
        "delete from webhook_letter where webhook_id = $1 and user_id = $2",
        id,
        user.0
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A webhook as whoever delivers it needs it.
#[derive(Clone)]
pub(super) struct Order {
    pub(super) id: Uuid,
    pub(super) version: i64,
    pub(super) url: String,
    pub(super) consumer: Option<String>,
    pub(super) paused: bool,
    pub(super) feed_id: i32,
    pub(super) position: i64,
    pub(super) replay_position: Option<i64>,
    pub(super) replay_until: Option<i64>,
    pub(super) replays: i32,
    pub(super) failures: i32,
    pub(super) failing_since: Option<OffsetDateTime>,
    pub(super) next_attempt_at: Option<OffsetDateTime>,
    pub(super) last_error: Option<String>,
    pub(super) last_error_at: Option<OffsetDateTime>,
    pub(super) last_delivered_at: Option<OffsetDateTime>,
    pub(super) worker: Option<Uuid>,
    pub(super) beat: i64,
}

impl Order {
    /// Whether so much failed that the receiver is taken to be down.
    pub(super) fn is_down(&self) -> bool {
        self.failures >= DOWN
    }
}

pub(super) async fn orders(db: &mut PgConnection) -> Result<Vec<Order>, Fault> {
    let orders = sqlx::query_as!(
        Order,
        "
        select id, version, url, consumer, paused, feed_id, position, replay_position, replay_until, replays, failures, failing_since,
               next_attempt_at, last_error, last_error_at, last_delivered_at, worker, beat
          from webhook
         order by id"
    )
    .fetch_all(db)
    .await?;
    Ok(orders)
}

/// Says that this replica lives.
pub(super) async fn beat(worker: Uuid, db: &mut PgConnection) -> Result<(), Fault> {
    sqlx::query!(
        "update webhook set beat = beat + 1 where worker = $1",
        worker
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Takes over a webhook from whoever had it, if nothing was heard of them since; of several who try one succeeds.
pub(super) async fn claim(
    order: &Order,
    worker: Uuid,
    db: &mut PgConnection,
) -> Result<bool, Fault> {
    let done = sqlx::query!(
        "
        update webhook
           set worker = $4, beat = beat + 1
         where id = $1
           and worker is not distinct from $2
           and beat = $3",
        order.id,
        order.worker,
        order.beat,
        worker,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Leaves what this replica delivers to others.
pub(super) async fn release(worker: Uuid, db: &mut PgConnection) -> Result<(), Fault> {
    sqlx::query!("update webhook set worker = null where worker = $1", worker)
        .execute(db)
        .await?;
    Ok(())
}

/// Keeps how far a webhook is, while it is this replica's.
pub(super) async fn keep(order: &Order, worker: Uuid, db: &mut PgConnection) -> Result<(), Fault> {
    sqlx::query!(
        "
        update webhook
           set feed_id = $3, position = $4,
               replay_position = case when replays = $5 then $6 else replay_position end,
               replay_until = case when replays = $5 then $7 else replay_until end,
               failures = case when version = $8 then $9 else failures end,
               failing_since = case when version = $8 then $10 else failing_since end,
               next_attempt_at = case when version = $8 then $11 else next_attempt_at end,
               last_error = $12, last_error_at = $13, last_delivered_at = $14
         where id = $1
           and worker = $2",
        order.id,
        worker,
        order.feed_id,
        order.position,
        order.replays,
        order.replay_position,
        order.replay_until,
        order.version,
        order.failures,
        order.failing_since,
        order.next_attempt_at,
        order.last_error,
        order.last_error_at,
        order.last_delivered_at,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Since when each of a replica's webhooks is behind, and how many letters wait or were given up.
pub(super) struct Lag {
    pub(super) id: Uuid,
    pub(super) behind_since: Option<OffsetDateTime>,
    pub(super) waiting: i64,
    pub(super) dead: i64,
}

pub(super) async fn lags(worker: Uuid, db: &mut PgConnection) -> Result<Vec<Lag>, Fault> {
    let lags = sqlx::query_as!(
        Lag,
        r#"
        select w.id,
               (select c.occurred_at from change c where c.feed_id = w.feed_id and c.position > w.position order by c.position limit 1) as behind_since,
               (select count(*) from webhook_letter l where l.webhook_id = w.id and l.dead_at is null) as "waiting!",
               (select count(*) from webhook_letter l where l.webhook_id = w.id and l.dead_at is not null) as "dead!"
          from webhook w
         where w.worker = $1"#,
        worker,
    )
    .fetch_all(db)
    .await?;
    Ok(lags)
}
