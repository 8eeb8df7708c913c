//! Failures, counted over all replicas: by account, by address, by both together, and of everybody. An attempt is counted before its
//! hash, in statements that guard themselves, and given back when it succeeds.

use std::net::IpAddr;

use sha2::{Digest, Sha256};
use sqlx::{Connection, PgConnection};
use time::{Duration, OffsetDateTime};

use super::Via;
use crate::config::Throttle;
use crate::cx::Cx;
use crate::db::SWEEP_BATCH;
use crate::kernel::{Fault, UserId, network};
use crate::users;

/// What an account's growing wait ends at.
const LONGEST_WAIT: f64 = 3600.0;
/// How many times an address's budget a client of the password grant has: it speaks for many people.
const CLIENT_FACTOR: u32 = 100;
/// And a site of many networks.
const SITE_FACTOR: u32 = 10;
/// Rows that nobody touched for so long count for nothing.
const FORGET_AFTER: Duration = Duration::hours(48);
/// The same for accounts whose failures cost waits: pausing is no way around the hundred.
const FORGET_FAILURES_AFTER: Duration = Duration::days(180);

/// One attempt: everything that it is counted against.
pub(crate) struct Attempt {
    account: Vec<u8>,
    buckets: Vec<Bucket>,
}

/// So many at once, then one each `step` (GCRA).
struct Bucket {
    key: Vec<u8>,
    burst: i32,
    step: f64,
}

impl Bucket {
    fn new(parts: &[&[u8]], burst: u32, per_hour: u32, factor: u32) -> Self {
        let burst = i32::try_from(burst.saturating_mul(factor)).unwrap_or(i32::MAX);
        Self {
            key: key(parts),
            burst,
            step: 3600.0 / f64::from(per_hour.saturating_mul(factor)),
        }
    }
}

impl Attempt {
    /// An attempt at the account of `person`, or of whoever `identifier` would be: the unknown are counted like the known.
    pub(crate) fn of(person: Option<UserId>, identifier: &str, via: Via<'_>, cx: &Cx) -> Self {
        let s = &cx.app.config.throttle;
        let account = person.map_or_else(|| unknown_key(identifier), account_key);
        let mut buckets = vec![Bucket::new(
            &[b"everybody"],
            s.global_burst,
            s.global_per_hour,
            1,
        )];
        match (via, cx.origin.ip) {
            (Via::Grant(client), _) => buckets.push(Bucket::new(
                &[b"client", client.as_str().as_bytes()],
                s.address_burst,
                s.address_per_hour,
                CLIENT_FACTOR,
            )),
            (Via::Page, Some(ip)) => {
                let address = bytes(network::household(ip));
                buckets.push(Bucket::new(
                    &[b"address", &address],
                    s.address_burst,
                    s.address_per_hour,
                    1,
                ));
                if let Some(site) = network::site(ip).map(bytes) {
                    buckets.push(Bucket::new(
                        &[b"site", &site],
                        s.address_burst,
                        s.address_per_hour,
                        SITE_FACTOR,
                    ));
                }
                buckets.push(Bucket::new(
                    &[b"pair", &address, &account],
                    s.pair_burst,
                    s.pair_per_hour,
                    1,
                ));
            }
            (Via::Page, None) => {}
        }
        // Rows are taken in one order by everybody, so no two attempts can wait for each other.
        buckets.sort_by(|a, b| a.key.cmp(&b.key));
        Self { account, buckets }
    }
}

fn unknown_key(identifier: &str) -> Vec<u8> {
    key(&[b"unknown", users::fold(identifier).as_bytes()])
}

fn account_key(id: UserId) -> Vec<u8> {
    key(&[b"account", id.0.as_bytes()])
}

fn key(parts: &[&[u8]]) -> Vec<u8> {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().to_vec()
}

fn bytes(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

/// Counts the attempt. Where it is refused, nothing is counted and the answer is how many seconds to wait.
pub(crate) async fn count(attempt: &Attempt, cx: &Cx) -> Result<Option<u32>, Fault> {
    let s = &cx.app.config.throttle;
    let (free, most) = (
        i32::try_from(s.free_failures).unwrap_or(i32::MAX),
        i32::try_from(s.max_failures).unwrap_or(i32::MAX),
    );
    let mut connection = cx.connection().await?;
    if let Some(wait) = refused(attempt, most, cx.now, &mut connection).await? {
        return Ok(Some(wait));
    }
    let mut tx = connection.begin().await?;
    relax(&mut tx).await?;
    let counted = sqlx::query_scalar!(
        "
        insert into throttle as t (key, bucket, failures, blocked_until, updated_at)
        values ($1, false, 1, case when $3 > 1 then $2::timestamptz else $2::timestamptz + interval '1 second' end, $2)
        on conflict (key) do update
           set failures = t.failures + 1,
               blocked_until = case when t.failures + 1 < $3 then $2
                                    else $2::timestamptz + make_interval(secs => least(power(2, least(t.failures + 1 - $3, 20)), $5)) end,
               updated_at = $2
         where t.blocked_until <= $2
           and t.failures < $4
        returning failures",
        attempt.account,
        cx.now,
        free,
        most,
        LONGEST_WAIT,
    )
    .fetch_optional(&mut *tx)
    .await?;
    if counted.is_none() {
        return Ok(Some(account_wait(attempt, most, cx.now, &mut tx).await?));
    }
    let (keys, bursts, steps) = columns(attempt);
    let taken = sqlx::query_scalar!(
        "
        insert into throttle as t (key, bucket, failures, blocked_until, updated_at)
        select key, true, burst, $4::timestamptz + make_interval(secs => step), $4
          from unnest($1::bytea[], $2::integer[], $3::float8[]) as b (key, burst, step)
         order by key
        on conflict (key) do update
           set failures = excluded.failures,
               blocked_until = greatest(t.blocked_until, $4) + (excluded.blocked_until - $4::timestamptz),
               updated_at = $4
         where t.blocked_until <= $4::timestamptz + (excluded.blocked_until - $4::timestamptz) * (excluded.failures - 1)
        returning key",
        &keys,
        &bursts,
        &steps,
        cx.now,
    )
    .fetch_all(&mut *tx)
    .await?;
    if taken.len() < attempt.buckets.len() {
        let full: Vec<&Bucket> = attempt
            .buckets
            .iter()
            .filter(|b| !taken.contains(&b.key))
            .collect();
        return Ok(Some(bucket_wait(&full, cx.now, &mut tx).await?));
    }
    tx.commit().await?;
    Ok(None)
}

/// Gives the attempt back: after a success the account's failures are no longer consecutive, otherwise it was no attempt.
pub(crate) async fn give_back(attempt: &Attempt, success: bool, cx: &Cx) -> Result<(), Fault> {
    let mut connection = cx.connection().await?;
    let mut tx = connection.begin().await?;
    relax(&mut tx).await?;
    sqlx::query!(
        "
        update throttle
           set failures = case when $3 then 0 else greatest(failures - 1, 0) end, blocked_until = $2, updated_at = $2
         where key = $1",
        attempt.account,
        cx.now,
        success,
    )
    .execute(&mut *tx)
    .await?;
    let (keys, _, steps) = columns(attempt);
    sqlx::query!(
        "
        with taken as (
            select t.key, b.step
              from throttle t
              join unnest($1::bytea[], $2::float8[]) as b (key, step) on b.key = t.key
             order by t.key
               for update of t
        )
        update throttle t
           set blocked_until = t.blocked_until - make_interval(secs => taken.step)
          from taken
         where t.key = taken.key",
        &keys,
        &steps,
    )
    .execute(&mut *tx)
    .await?;
    Ok(tx.commit().await?)
}

/// Lifts what wrong passwords brought upon a person: an admin has set a new one.
pub(crate) async fn clear(user: UserId, db: &mut PgConnection) -> Result<(), Fault> {
    sqlx::query!("delete from throttle where key = $1", account_key(user))
        .execute(db)
        .await?;
    Ok(())
}

/// Forgets a person who is erased: as an account, and as what strangers called them while they were deleted.
pub(crate) async fn erase(
    user: UserId,
    identifiers: impl Iterator<Item = &String>,
    db: &mut PgConnection,
) -> Result<(), Fault> {
    let unknown = identifiers.map(|identifier| unknown_key(identifier));
    let keys: Vec<Vec<u8>> = unknown.chain([account_key(user)]).collect();
    sqlx::query!("delete from throttle where key = any ($1)", &keys)
        .execute(db)
        .await?;
    Ok(())
}

/// Forgets what no longer counts, a batch at a time; gives how many rows went. An account at its last failure stays refused.
pub(crate) async fn sweep(
    settings: &Throttle,
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<u64, Fault> {
    let done = sqlx::query!(
        "
        delete from throttle
         where key in (
               select key
                 from throttle
                where updated_at < $1
                  and blocked_until < $2
                  and (bucket or failures < $3 or (failures < $4 and updated_at < $5))
                limit $6
                  for update skip locked
         )",
        now - FORGET_AFTER,
        now,
        i32::try_from(settings.free_failures).unwrap_or(i32::MAX),
        i32::try_from(settings.max_failures).unwrap_or(i32::MAX),
        now - FORGET_FAILURES_AFTER,
        SWEEP_BATCH,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}

/// A count lost in a crash of the database lets one more try through: not worth a wait for the disk.
async fn relax(db: &mut PgConnection) -> Result<(), Fault> {
    sqlx::query!("set local synchronous_commit = off")
        .execute(db)
        .await?;
    Ok(())
}

/// Whether the attempt is refused as things stand: a look without a lock, so that whoever hammers at a full bucket costs no write and
/// makes nobody wait. The statements that count decide; this only spares them.
async fn refused(
    attempt: &Attempt,
    most: i32,
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<Option<u32>, Fault> {
    let (keys, bursts, steps) = columns(attempt);
    let stands = sqlx::query_scalar!(
        r#"
        select exists (
            select from throttle
             where key = $1
               and (blocked_until > $5::timestamptz or failures >= $6)
        ) or exists (
            select from throttle t
              join unnest($2::bytea[], $3::integer[], $4::float8[]) as b (key, burst, step) on b.key = t.key
             where t.blocked_until > $5::timestamptz + make_interval(secs => b.step) * (b.burst - 1)
        ) as "stands!""#,
        attempt.account,
        &keys,
        &bursts,
        &steps,
        now,
        most,
    )
    .fetch_one(&mut *db)
    .await?;
    if !stands {
        return Ok(None);
    }
    let account = account_wait(attempt, most, now, db).await?;
    let all: Vec<&Bucket> = attempt.buckets.iter().collect();
    let buckets = bucket_wait(&all, now, db).await?;
    Ok(Some(account.max(buckets)))
}

fn columns(attempt: &Attempt) -> (Vec<Vec<u8>>, Vec<i32>, Vec<f64>) {
    let b = &attempt.buckets;
    (
        b.iter().map(|b| b.key.clone()).collect(),
        b.iter().map(|b| b.burst).collect(),
        b.iter().map(|b| b.step).collect(),
    )
}

async fn account_wait(
    attempt: &Attempt,
    most: i32,
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<u32, Fault> {
    let row = sqlx::query!(
        "select failures, blocked_until from throttle where key = $1",
        attempt.account
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map_or(1, |row| {
        if row.failures >= most {
            3600
        } else {
            seconds(row.blocked_until - now)
        }
    }))
}

async fn bucket_wait(
    full: &[&Bucket],
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<u32, Fault> {
    let keys: Vec<Vec<u8>> = full.iter().map(|b| b.key.clone()).collect();
    let rows = sqlx::query!(
        "select key, blocked_until from throttle where key = any ($1)",
        &keys
    )
    .fetch_all(db)
    .await?;
    let waits = rows.iter().filter_map(|row| {
        let bucket = full.iter().find(|b| b.key == row.key)?;
        Some(seconds(
            row.blocked_until
                - now
                - Duration::seconds_f64(bucket.step * f64::from(bucket.burst - 1)),
        ))
    });
    Ok(waits.max().unwrap_or(1))
}

/// Whole seconds, rounded up, at least one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "between 1 and an hour or so"
)]
fn seconds(wait: Duration) -> u32 {
    wait.as_seconds_f64().ceil().clamp(1.0, 86_400.0) as u32
}
