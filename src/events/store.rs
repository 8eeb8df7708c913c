//! The SQL of the outbox and the feeds.

use sqlx::PgConnection;
use time::OffsetDateTime;

use super::model::Event;
use crate::db::{NEWS, locks};
use crate::kernel::{Fault, FeedId, UserId};

/// A feed, as the sequencer sees it.
pub(super) struct Feed {
    pub(super) id: FeedId,
    /// The members that it shows; `None`: all.
    pub(super) sources: Option<Vec<String>>,
    /// How far it is filled; `None`: it takes each change as it is numbered.
    pub(super) filled_to: Option<i64>,
}

/// A change's place in a feed.
pub(super) struct Place {
    pub(super) feed: FeedId,
    pub(super) position: i64,
    pub(super) kind: String,
    pub(super) user: UserId,
    pub(super) version: i64,
    pub(super) occurred_at: OffsetDateTime,
}

/// The same without its feed, which is known where it is read.
struct PlaceRow {
    position: i64,
    kind: String,
    user: UserId,
    version: i64,
    occurred_at: OffsetDateTime,
}

impl PlaceRow {
    fn of(self, feed: FeedId) -> Place {
        Place {
            feed,
            position: self.position,
            kind: self.kind,
            user: self.user,
            version: self.version,
            occurred_at: self.occurred_at,
        }
    }
}

/// What a look at the outbox shows.
pub(super) struct Look {
    /// The first event after the place that was looked from.
    pub(super) first: Option<i64>,
    /// The last number that was drawn for an event, whether or not its transaction has committed.
    pub(super) drawn: i64,
    /// Whether there is a feed to fill.
    pub(super) filling: bool,
    /// The newest place.
    pub(super) head: i64,
}

/// Looks for something to number after `from`, or a feed to fill. By the index: the table is as long as all that an old snapshot still sees.
pub(super) async fn look(from: i64, db: &mut PgConnection) -> Result<Look, Fault> {
    let look = sqlx::query_as!(
        Look,
        r#"
        select (select id from event where id > $1 order by id limit 1) as first,
               (select case when is_called then last_value else 0 end from event_position_seq) as "drawn!",
               exists (select from feed f join consumer c on c.feed_id = f.id where f.filled_to is not null) as "filling!",
               (select position from feed_head) as "head!""#,
        from,
    )
    .fetch_one(db)
    .await?;
    Ok(look)
}

/// Whether this transaction is the one that may number.
pub(super) async fn try_lock(db: &mut PgConnection) -> Result<bool, Fault> {
    Ok(sqlx::query_scalar!(
        r#"select pg_try_advisory_xact_lock($1) as "mine!""#,
        locks::SEQUENCER
    )
    .fetch_one(db)
    .await?)
}

/// Takes at most `limit` committed events after `from` out of the outbox, in the order in which they were appended.
pub(super) async fn take(
    from: i64,
    limit: i64,
    db: &mut PgConnection,
) -> Result<Vec<Event>, Fault> {
    let rows = sqlx::query!(
        r#"
        with taken as (
            delete from event
             where id in (select id from event where id > $2 order by id limit $1)
            returning id, type, user_id, version, occurred_at, fields
        )
        select type, user_id as "user_id: UserId", version, occurred_at, fields
          from taken
         order by id"#,
        limit,
        from,
    )
    .fetch_all(db)
    .await?;
    let events = rows.into_iter().map(|row| Event {
        kind: row.r#type,
        user: row.user_id,
        version: row.version,
        occurred_at: row.occurred_at,
        fields: row.fields,
    });
    Ok(events.collect())
}

/// The feeds that somebody reads.
pub(super) async fn feeds(db: &mut PgConnection) -> Result<Vec<Feed>, Fault> {
    let rows = sqlx::query!(
        "
        select id, sources, filled_to
          from feed f
         where id = 0
            or exists (select from consumer c where c.feed_id = f.id)
         order by id"
    )
    .fetch_all(db)
    .await?;
    let feeds = rows.into_iter().map(|row| Feed {
        id: FeedId(row.id),
        sources: row.sources,
        filled_to: row.filled_to,
    });
    Ok(feeds.collect())
}

/// The newest place in any feed.
pub(super) async fn head(db: &mut PgConnection) -> Result<i64, Fault> {
    let head = sqlx::query_scalar!(r#"select position as "head!" from feed_head"#);
    Ok(head.fetch_one(db).await?)
}

/// Gives each of these people their newest place in the feed that it names, and brings that feed's digests up to it. A person has at
/// most one place in a feed here. What is older than what the feed has keeps the newer version, at the new place.
pub(super) async fn place(places: &[Place], db: &mut PgConnection) -> Result<(), Fault> {
    let of = |f: fn(&Place) -> i64| places.iter().map(f).collect::<Vec<_>>();
    sqlx::query!(
        r#"
        with written as (
            insert into change (feed_id, bucket, user_id, position, type, version, occurred_at, digest)
            select p.feed_id, person_bucket(p.user_id), p.user_id, p.position, p.type, p.version, p.occurred_at,
                   case when f.digested is not null then (select d.digest from digest_of(p.user_id, f.digested) d) end
              from unnest($1::integer[], $2::uuid[], $3::bigint[], $4::text[], $5::bigint[], $6::timestamptz[])
                   as p (feed_id, user_id, position, type, version, occurred_at)
              join feed f on f.id = p.feed_id
            on conflict (feed_id, bucket, user_id) do update
               set position = excluded.position,
                   type = case when excluded.version >= change.version then excluded.type else change.type end,
                   version = greatest(excluded.version, change.version),
                   occurred_at = greatest(excluded.occurred_at, change.occurred_at),
                   digest = excluded.digest,
                   digest_before = change.digest
            returning feed_id, bucket, digest, digest_before
        )
        insert into feed_digest (feed_id, bucket, people, digest)
        select feed_id, bucket, sum(num_nonnulls(digest) - num_nonnulls(digest_before)), bit_xor(coalesce(digest, 0) # coalesce(digest_before, 0))
          from written
         where digest is distinct from digest_before
         group by feed_id, bucket
        on conflict (feed_id, bucket) do update
           set people = feed_digest.people + excluded.people,
               digest = feed_digest.digest # excluded.digest"#,
        &places.iter().map(|p| p.feed.0).collect::<Vec<_>>(),
        &places.iter().map(|p| p.user.0).collect::<Vec<_>>(),
        &of(|p| p.position),
        &places.iter().map(|p| p.kind.clone()).collect::<Vec<_>>(),
        &of(|p| p.version),
        &places.iter().map(|p| p.occurred_at).collect::<Vec<_>>(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The next of everybody's changes for a feed that is being filled, which is at `from`.
pub(super) async fn next_to_fill(
    feed: FeedId,
    from: i64,
    limit: i64,
    db: &mut PgConnection,
) -> Result<Vec<Place>, Fault> {
    let rows = sqlx::query_as!(
        PlaceRow,
        r#"
        select position, type as kind, user_id as "user: UserId", version, occurred_at
          from change
         where feed_id = 0
           and position > $1
         order by position
         limit $2"#,
        from,
        limit,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| row.of(feed)).collect())
}

/// The feed is filled up to there; `None`: to the end.
pub(super) async fn filled(
    feed: FeedId,
    to: Option<i64>,
    db: &mut PgConnection,
) -> Result<(), Fault> {
    sqlx::query!("update feed set filled_to = $2 where id = $1", feed.0, to)
        .execute(db)
        .await?;
    Ok(())
}

/// Tells all replicas, when the transaction commits.
pub(super) async fn tell(word: &str, db: &mut PgConnection) -> Result<(), Fault> {
    sqlx::query!("select pg_notify($1, $2)", NEWS, word)
        .fetch_one(db)
        .await?;
    Ok(())
}

/// Frees the room of what was taken out.
pub(super) async fn vacuum(db: &mut PgConnection) -> Result<(), Fault> {
    sqlx::query("vacuum (skip_locked) event")
        .execute(db)
        .await?;
    Ok(())
}

/// At most `limit` changes of a feed after a place, of the people of these buckets of the 4,096 (`None`: of all), and how far the feed
/// reaches, as of one moment.
pub(super) async fn page(
    feed: FeedId,
    buckets: Option<&[i16]>,
    after: i64,
    limit: i64,
    db: &mut PgConnection,
) -> Result<(Vec<Place>, i64), Fault> {
    let rows = sqlx::query_as!(
        PageRow,
        r#"
        select coalesce(f.filled_to, h.position) as "head!", c.position as "position?", c.type as "kind?", c.user_id as "user_id?: UserId",
               c.version as "version?", c.occurred_at as "occurred_at?"
          from feed_head h
          join feed f on f.id = $1
          left join lateral (
            select position, type, user_id, version, occurred_at
              from change
             where feed_id = $1
               and position > $2
               and ($4::smallint[] is null or bucket = any ($4))
             order by position
             limit $3
          ) c on true"#,
        feed.0,
        after,
        limit,
        buckets,
    )
    .fetch_all(db)
    .await?;
    Ok(page_of(feed, after, rows))
}

struct PageRow {
    head: i64,
    position: Option<i64>,
    kind: Option<String>,
    user_id: Option<UserId>,
    version: Option<i64>,
    occurred_at: Option<OffsetDateTime>,
}

fn page_of(feed: FeedId, after: i64, rows: Vec<PageRow>) -> (Vec<Place>, i64) {
    let head = rows.first().map_or(after, |row| row.head);
    let places = rows.into_iter().filter_map(|row| {
        let place = PlaceRow {
            position: row.position?,
            kind: row.kind?,
            user: row.user_id?,
            version: row.version?,
            occurred_at: row.occurred_at?,
        };
        Some(place.of(feed))
    });
    (places.collect(), head)
}

/// The places of these people's newest changes in a feed.
pub(super) async fn newest_of(
    feed: FeedId,
    people: &[UserId],
    db: &mut PgConnection,
) -> Result<Vec<Place>, Fault> {
    let rows = sqlx::query_as!(
        PlaceRow,
        r#"
        select c.position, c.type as kind, c.user_id as "user: UserId", c.version, c.occurred_at
          from unnest($2::uuid[]) as wanted (user_id)
          join change c on c.feed_id = $1 and c.bucket = person_bucket(wanted.user_id) and c.user_id = wanted.user_id
         order by c.position"#,
        feed.0,
        &people.iter().map(|user| user.0).collect::<Vec<_>>(),
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| row.of(feed)).collect())
}
