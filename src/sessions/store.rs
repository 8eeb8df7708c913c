//! The session table, as tower-sessions' store and as what a person sees of it. Only hashes of ids are kept, and time is the clock's.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use sqlx::{PgConnection, PgPool};
use time::{Duration, OffsetDateTime};
use tower_sessions::SessionStore;
use tower_sessions::session::{Id, Record};
use tower_sessions::session_store::{Error, Result};
use uuid::Uuid;

use super::SessionData;
use crate::config::Sessions;
use crate::db::SWEEP_BATCH;
use crate::kernel::clock::Clock;
use crate::kernel::{Fault, TokenHash, UserId, random};

/// A session's last use is written at most so often.
const TOUCH_EVERY: Duration = Duration::minutes(1);

/// tower-sessions' view of the table.
#[derive(Clone)]
pub(crate) struct SessionTable {
    pub(crate) pool: PgPool,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) settings: Sessions,
}

impl fmt::Debug for SessionTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionTable")
    }
}

fn backend(cause: sqlx::Error) -> Error {
    Error::Backend(Fault::from(cause).to_string())
}

fn hash(id: &Id) -> TokenHash {
    TokenHash::of(&id.to_string())
}

fn data_of(record: &Record) -> Result<SessionData> {
    let value = record
        .data
        .get(SessionData::KEY)
        .cloned()
        .ok_or_else(|| Error::Encode("a session without a sign-in".to_owned()))?;
    serde_json::from_value(value).map_err(|e| Error::Encode(e.to_string()))
}

#[async_trait]
impl SessionStore for SessionTable {
    /// Writes a new session under a new id.
    async fn create(&self, record: &mut Record) -> Result<()> {
        record.id = Id(i128::from_le_bytes(random::bytes()));
        let (now, data, hash) = (self.clock.now(), data_of(record)?, hash(&record.id));
        let (idle, absolute) = if data.admin {
            (self.settings.admin_idle, self.settings.admin_absolute)
        } else {
            (self.settings.idle, self.settings.absolute)
        };
        let mut connection = self.pool.acquire().await.map_err(backend)?;
        sqlx::query!(
            "
            insert into session (id_hash, public_id, user_id, data, ip, user_agent, idle_seconds, created_at, last_seen_at, expires_at)
            values ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9)",
            hash.as_bytes(),
            data.public_id,
            data.user_id.0,
            serde_json::to_value(&record.data).map_err(|e| Error::Encode(e.to_string()))?,
            data.ip,
            data.user_agent,
            i32::try_from(idle.whole_seconds()).unwrap_or(i32::MAX),
            now,
            now + absolute.time(),
        )
        .execute(&mut *connection)
        .await
        .map_err(backend)?;
        Ok(())
    }

    /// Changes a session that is there; one that was ended meanwhile stays ended.
    async fn save(&self, record: &Record) -> Result<()> {
        let hash = hash(&record.id);
        sqlx::query!(
            "update session set data = $2 where id_hash = $1",
            hash.as_bytes(),
            serde_json::to_value(&record.data).map_err(|e| Error::Encode(e.to_string()))?,
        )
        .execute(&self.pool)
        .await
        .map_err(backend)?;
        Ok(())
    }

    /// A session within its idle and its absolute life. That it is used, [`find_visitor`] notes.
    async fn load(&self, id: &Id) -> Result<Option<Record>> {
        let (now, hash) = (self.clock.now(), hash(id));
        let row = sqlx::query!(
            "
            select data, expires_at
              from session
             where id_hash = $1
               and expires_at > $2
               and last_seen_at + make_interval(secs => idle_seconds) > $2",
            hash.as_bytes(),
            now,
        )
        .fetch_optional(&self.pool)
        .await
        .map_err(backend)?;
        let Some(row) = row else { return Ok(None) };
        let data = serde_json::from_value(row.data).map_err(|e| Error::Decode(e.to_string()))?;
        Ok(Some(Record {
            id: *id,
            data,
            expiry_date: row.expires_at,
        }))
    }

    async fn delete(&self, id: &Id) -> Result<()> {
        let hash = hash(id);
        sqlx::query!("delete from session where id_hash = $1", hash.as_bytes())
            .execute(&self.pool)
            .await
            .map_err(backend)?;
        Ok(())
    }
}

/// A session within its idle and its absolute life, and who sits at its browser.
pub(super) struct VisitorRow {
    pub(super) data: SessionData,
    pub(super) user_id: UserId,
    pub(super) status: String,
    pub(super) admin: bool,
    pub(super) email: Option<String>,
    pub(super) username: Option<String>,
    pub(super) name: Option<String>,
    pub(super) password_hash: Option<String>,
    pub(super) password_change_required: bool,
    pub(super) tokens_valid_from: OffsetDateTime,
}

/// Looks up a session and its person. Every page asks this, so it is one statement, which also notes the use.
pub(super) async fn find_visitor(
    id: &Id,
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> std::result::Result<Option<VisitorRow>, Fault> {
    let hash = hash(id);
    let row = sqlx::query!(
        r#"
        with used as (
            update session
               set last_seen_at = $2
             where id_hash = $1
               and expires_at > $2
               and last_seen_at + make_interval(secs => idle_seconds) > $2
               and last_seen_at <= $3
        )
        select s.data, u.id as "id: UserId", u.status, u.admin, u.email, u.username, u.name, u.password_hash, u.password_change_required,
               u.tokens_valid_from
          from session s
          join "user" u on u.id = s.user_id
         where s.id_hash = $1
           and s.expires_at > $2
           and s.last_seen_at + make_interval(secs => s.idle_seconds) > $2
           and u.deleted_at is null"#,
        hash.as_bytes(),
        now,
        now - TOUCH_EVERY,
    )
    .fetch_optional(db)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let data = row.data.get(SessionData::KEY).cloned().unwrap_or_default();
    let data =
        serde_json::from_value(data).map_err(|e| Fault::internal("reading a session's row", e))?;
    Ok(Some(VisitorRow {
        data,
        user_id: row.id,
        status: row.status,
        admin: row.admin,
        email: row.email,
        username: row.username,
        name: row.name,
        password_hash: row.password_hash,
        password_change_required: row.password_change_required,
        tokens_valid_from: row.tokens_valid_from,
    }))
}

/// A session as its owner sees it.
pub(crate) struct SessionRow {
    pub(crate) public_id: Uuid,
    pub(crate) ip: Option<String>,
    pub(crate) user_agent: Option<String>,
    pub(crate) last_seen_at: OffsetDateTime,
}

/// A person's live sessions, last used first.
pub(crate) async fn list(
    user: UserId,
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> std::result::Result<Vec<SessionRow>, Fault> {
    let rows = sqlx::query_as!(
        SessionRow,
        "
        select public_id, ip, user_agent, last_seen_at
          from session
         where user_id = $1
           and expires_at > $2
           and last_seen_at + make_interval(secs => idle_seconds) > $2
         order by last_seen_at desc, public_id",
        user.0,
        now,
    )
    .fetch_all(db)
    .await?;
    Ok(rows)
}

/// Ends one session of this person; `false` where they have no such session.
pub(super) async fn end_one(
    public_id: Uuid,
    user: UserId,
    db: &mut PgConnection,
) -> std::result::Result<bool, Fault> {
    let done = sqlx::query!(
        "delete from session where public_id = $1 and user_id = $2",
        public_id,
        user.0
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Ends the sessions that a person has beyond `most`, the oldest, and gives their public ids. `beside` does not count.
pub(super) async fn end_surplus(
    user: UserId,
    most: i64,
    beside: Uuid,
    db: &mut PgConnection,
) -> std::result::Result<Vec<Uuid>, Fault> {
    let ended = sqlx::query_scalar!(
        "
        delete from session
         where id_hash in (
               select id_hash
                 from session
                where user_id = $1
                  and public_id <> $3
                order by last_seen_at desc, id_hash
               offset $2
         )
        returning public_id",
        user.0,
        most,
        beside,
    )
    .fetch_all(db)
    .await?;
    Ok(ended)
}

/// Ends all sessions of a person.
pub(super) async fn end_all(user: UserId, db: &mut PgConnection) -> std::result::Result<(), Fault> {
    sqlx::query!("delete from session where user_id = $1", user.0)
        .execute(db)
        .await?;
    Ok(())
}

/// Sessions that ended together.
pub(super) struct Batch {
    /// The public ids, and whose they were.
    pub(super) ended: Vec<(Uuid, UserId)>,
    /// What the next batch comes after.
    pub(super) last: Option<Vec<u8>>,
}

/// Ends the first `most` sessions after `after` that began at `until` or before. What somebody else holds is passed over.
pub(super) async fn end_batch(
    after: &[u8],
    until: OffsetDateTime,
    most: i64,
    db: &mut PgConnection,
) -> std::result::Result<Batch, Fault> {
    let rows = sqlx::query!(
        r#"
        with due as (
            select id_hash
              from session
             where id_hash > $1
               and created_at <= $2
             order by id_hash
             limit $3
               for update skip locked
        )
        delete from session s
         using due
         where s.id_hash = due.id_hash
        returning s.id_hash, s.public_id, s.user_id as "user_id: UserId""#,
        after,
        until,
        most,
    )
    .fetch_all(db)
    .await?;
    let ended = rows
        .iter()
        .map(|row| (row.public_id, row.user_id))
        .collect();
    let last = rows.into_iter().map(|row| row.id_hash).max();
    Ok(Batch { ended, last })
}

/// Whether there is a session that began at `until` or before.
pub(super) async fn any_begun(
    until: OffsetDateTime,
    db: &mut PgConnection,
) -> std::result::Result<bool, Fault> {
    let any = sqlx::query_scalar!(
        r#"select exists (select from session where created_at <= $1) as "any!""#,
        until
    )
    .fetch_one(db)
    .await?;
    Ok(any)
}

/// Deletes sessions whose life is over, a batch at a time; gives how many.
pub(crate) async fn sweep(
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> std::result::Result<u64, Fault> {
    let done = sqlx::query!(
        "
        delete from session
         where id_hash in (
               select id_hash
                 from session
                where expires_at <= $1
                   or last_seen_at + make_interval(secs => idle_seconds) <= $1
                limit $2
                  for update skip locked
         )",
        now,
        SWEEP_BATCH,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}
