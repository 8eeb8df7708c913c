//! The consumers' SQL.

use std::sync::Arc;

use sqlx::PgConnection;
use time::OffsetDateTime;

use super::{Consumer, Lag, View};
use crate::db::{NEWS, locks};
use crate::kernel::{Fault, FeedId, UserId};

struct Row {
    name: String,
    client_id: String,
    feed_id: i32,
    names: Vec<String>,
    sources: Vec<String>,
    version: i64,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
}

impl TryFrom<Row> for Consumer {
    type Error = Fault;

    fn try_from(row: Row) -> Result<Self, Fault> {
        let strange = |_| Fault::internal("reading a consumer's row", "its client's id");
        Ok(Self {
            name: row.name,
            client_id: row.client_id.parse().map_err(strange)?,
            feed: FeedId(row.feed_id),
            view: Arc::new(View::new(row.names.into_iter().zip(row.sources))),
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

/// All consumers, by name.
pub(super) async fn all(db: &mut PgConnection) -> Result<Vec<Consumer>, Fault> {
    let rows = sqlx::query_as!(
        Row,
        "
        select name, client_id, feed_id, names, sources, version, created_at, updated_at
          from consumer
         order by name"
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// Whoever registers or removes consumers does it alone.
pub(super) async fn lock(db: &mut PgConnection) -> Result<(), Fault> {
    sqlx::query!("select pg_advisory_xact_lock($1)", locks::CONSUMERS)
        .fetch_one(db)
        .await?;
    Ok(())
}

/// A feed for a view. It is filled from everybody's by the sequencer.
pub(super) async fn insert_feed(view: &View, db: &mut PgConnection) -> Result<FeedId, Fault> {
    let id = sqlx::query_scalar!(
        "
        insert into feed (sources, digested, filled_to)
        values ($1, $2, 0)
        returning id",
        &view.sources(),
        &view.digested(),
    )
    .fetch_one(db)
    .await?;
    Ok(FeedId(id))
}

/// Writes a consumer in place of the one with its name. One whose feed is another begins anew.
pub(super) async fn put(consumer: &Consumer, db: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "
        insert into consumer (name, client_id, feed_id, names, sources, created_at, updated_at, version)
        values ($1, $2, $3, $4, $5, $6, $7, $8)
        on conflict (name) do update
           set version = excluded.version, client_id = excluded.client_id, names = excluded.names, sources = excluded.sources, updated_at = excluded.updated_at,
               position = case when consumer.feed_id = excluded.feed_id then consumer.position else 0 end,
               acknowledged_at = case when consumer.feed_id = excluded.feed_id then consumer.acknowledged_at end,
               feed_id = excluded.feed_id",
        consumer.name,
        consumer.client_id.as_str(),
        consumer.feed.0,
        &consumer.view.names(),
        &consumer.view.sources(),
        consumer.created_at,
        consumer.updated_at,
        consumer.version,
    )
    .execute(db)
    .await?;
    Ok(())
}

pub(super) async fn delete(name: &str, db: &mut PgConnection) -> Result<(), Fault> {
    sqlx::query!("delete from consumer where name = $1", name)
        .execute(db)
        .await?;
    Ok(())
}

/// The consumer of this feed has applied it up to `position`; it never goes back. Gives where it is then; `None`: there is no such consumer,
/// or its feed has not come as far.
pub(super) async fn acknowledge(
    feed: FeedId,
    position: i64,
    word: &str,
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<Option<i64>, Fault> {
    let at = sqlx::query_scalar!(
        r#"
        with moved as (
            update consumer
               set position = greatest(position, $2), acknowledged_at = $3
             where feed_id = $1
               and $2 <= (select coalesce(f.filled_to, h.position) from feed f cross join feed_head h where f.id = $1)
            returning position
        )
        select position as "position!"
          from moved, (select pg_notify($4, $5)) as told"#,
        feed.0,
        position,
        now,
        NEWS,
        word,
    )
    .fetch_optional(db)
    .await?;
    Ok(at)
}

/// Where a consumer stands.
pub(crate) struct Standing {
    /// Up to where it has acknowledged its feed, and when it last did.
    pub(crate) position: i64,
    pub(crate) acknowledged_at: Option<OffsetDateTime>,
    /// Whether its feed is there to its end.
    pub(crate) ready: bool,
    pub(crate) lag: Lag,
}

pub(super) async fn standing(
    name: &str,
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<Option<Standing>, Fault> {
    let row = sqlx::query!(
        r#"
        select c.position, c.acknowledged_at, f.filled_to is null as "ready!",
               (select count(*) from (select from change h where h.feed_id = c.feed_id and h.position > c.position limit $2) as counted) as "changes!",
               (select h.occurred_at from change h where h.feed_id = c.feed_id and h.position > c.position order by h.position limit 1) as oldest
          from consumer c
          join feed f on f.id = c.feed_id
         where c.name = $1"#,
        name,
        Lag::MOST,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| Standing {
        position: row.position,
        acknowledged_at: row.acknowledged_at,
        ready: row.ready,
        lag: Lag {
            changes: row.changes,
            seconds: row
                .oldest
                .map_or(0, |oldest| (now - oldest).whole_seconds().max(0)),
        },
    }))
}

/// How far a change of a person has come on its way to a consumer.
pub(super) struct Progress {
    /// The place of the newest change of all.
    pub(super) head: i64,
    /// Whether the change has a place.
    pub(super) numbered: bool,
    pub(super) ready: bool,
    /// The person's place in the consumer's feed, where they have one.
    pub(super) place: Option<i64>,
    pub(super) acknowledged: i64,
}

/// The progress of the change that made `version` of a person; `None`: there is no such consumer any more.
pub(super) async fn progress(
    name: &str,
    user: UserId,
    version: i64,
    db: &mut PgConnection,
) -> Result<Option<Progress>, Fault> {
    let row = sqlx::query!(
        r#"
        select h.position as "head!", f.filled_to is null as "ready!", c.position as acknowledged,
               exists (select from change n where n.feed_id = 0 and n.bucket = person_bucket($2) and n.user_id = $2 and n.version >= $3) as "numbered!",
               (select n.position from change n where n.feed_id = c.feed_id and n.bucket = person_bucket($2) and n.user_id = $2) as place
          from consumer c
          join feed f on f.id = c.feed_id
         cross join feed_head h
         where c.name = $1"#,
        name,
        user.0,
        version,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| Progress {
        head: row.head,
        numbered: row.numbered,
        ready: row.ready,
        place: row.place,
        acknowledged: row.acknowledged,
    }))
}

/// A part of the people, and what is shown of them in one number.
pub(crate) struct Bucket {
    pub(crate) bucket: i64,
    pub(crate) people: i64,
    pub(crate) digest: i64,
}

/// The digests of a feed by `buckets` buckets, those that hold somebody, and the place that they are of.
pub(super) async fn digests(
    feed: FeedId,
    buckets: i32,
    db: &mut PgConnection,
) -> Result<(i64, Vec<Bucket>), Fault> {
    let rows = sqlx::query!(
        r#"
        select coalesce(f.filled_to, h.position) as "position!", d.bucket as "bucket?", d.people as "people?", d.digest as "digest?"
          from feed_head h
          join feed f on f.id = $1
          left join lateral (
            select bucket::integer % $2 as bucket, sum(people) as people, bit_xor(digest) as digest
              from feed_digest
             where feed_id = $1
             group by 1
          ) d on true
         order by d.bucket"#,
        feed.0,
        buckets,
    )
    .fetch_all(db)
    .await?;
    let position = rows.first().map_or(0, |row| row.position);
    let found = rows.into_iter().filter_map(|row| {
        Some(Bucket {
            bucket: i64::from(row.bucket?),
            people: row.people?,
            digest: row.digest?,
        })
    });
    Ok((position, found.collect()))
}

/// A feed whose consumer is gone or has another one.
pub(crate) async fn orphan(db: &mut PgConnection) -> Result<Option<FeedId>, Fault> {
    let orphan = sqlx::query_scalar!(
        "
        select id
          from feed f
         where id <> 0
           and not exists (select from consumer c where c.feed_id = f.id)
         limit 1"
    )
    .fetch_optional(db)
    .await?;
    Ok(orphan.map(FeedId))
}

/// Deletes some of what is left of an orphan, on one replica at a time; gives how many rows. The sequencer passes such feeds over, so their
/// changes go without its lock, which is waited for in the end alone: a round that began before may still give places.
pub(crate) async fn sweep(orphan: FeedId, db: &mut PgConnection) -> Result<u64, Fault> {
    let mine = sqlx::query_scalar!(
        r#"select pg_try_advisory_xact_lock($1) as "mine!""#,
        locks::FEED_SWEEP
    )
    .fetch_one(&mut *db)
    .await?;
    if !mine {
        return Ok(0);
    }
    let changes = sweep_changes(orphan, db).await?;
    if changes > 0 {
        return Ok(changes);
    }
    sqlx::query!("select pg_advisory_xact_lock($1)", locks::SEQUENCER)
        .fetch_one(&mut *db)
        .await?;
    let late = sweep_changes(orphan, db).await?;
    if late > 0 {
        return Ok(late);
    }
    let digests = sqlx::query!("delete from feed_digest where feed_id = $1", orphan.0)
        .execute(&mut *db)
        .await?
        .rows_affected();
    let feeds = sqlx::query!("delete from feed where id = $1", orphan.0)
        .execute(&mut *db)
        .await?
        .rows_affected();
    Ok(digests + feeds)
}

async fn sweep_changes(feed: FeedId, db: &mut PgConnection) -> Result<u64, Fault> {
    let done = sqlx::query!(
        "
        delete from change
         where ctid = any (array(select ctid from change where feed_id = $1 limit 5000))",
        feed.0,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}
