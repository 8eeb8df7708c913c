//! The kept answers' SQL.

use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::kernel::{Fault, UserId};

/// An answer that is kept.
pub(super) struct Kept {
    pub(super) key: Vec<u8>,
    pub(super) request: Vec<u8>,
    pub(super) sealed: Vec<u8>,
}

/// Whether this transaction alone has the key from now on, under all that it is known by, until it ends.
pub(super) async fn lock(keys: &[Vec<u8>], db: &mut PgConnection) -> Result<bool, Fault> {
    let number = |key: &Vec<u8>| {
        let first = key.first_chunk();
        first.map_or(0, |first| i64::from_be_bytes(*first))
    };
    let mut numbers: Vec<i64> = keys.iter().map(number).collect();
    // One at a time, in an order that all replicas share, and none after one that is taken: of two at once, one gets through.
    numbers.sort_unstable();
    for number in numbers {
        let ours =
            sqlx::query_scalar!(r#"select pg_try_advisory_xact_lock($1) as "ours!""#, number);
        if !ours.fetch_one(&mut *db).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

pub(super) async fn find(
    keys: &[Vec<u8>],
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<Option<Kept>, Fault> {
    Ok(sqlx::query_as!(
        Kept,
        "
        select key_mac as key, request_mac as request, sealed
          from idempotency
         where key_mac = any ($1)
           and expires_at > $2",
        keys,
        now,
    )
    .fetch_optional(db)
    .await?)
}

/// Keeps an answer in place of one that has expired.
pub(super) async fn insert(
    key: &[u8],
    request: &[u8],
    user: Option<UserId>,
    sealed: &[u8],
    expires_at: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<(), Fault> {
    sqlx::query!(
        "
        insert into idempotency (key_mac, request_mac, user_id, sealed, expires_at)
        values ($1, $2, $3, $4, $5)
            on conflict (key_mac) do update
           set request_mac = excluded.request_mac, user_id = excluded.user_id, sealed = excluded.sealed, expires_at = excluded.expires_at",
        key,
        request,
        user.map(|user| user.0),
        sealed,
        expires_at,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Deletes some of what has expired; gives how many that were.
pub(crate) async fn sweep(now: OffsetDateTime, db: &mut PgConnection) -> Result<u64, Fault> {
    let deleted = sqlx::query!(
        "
        delete from idempotency
         where key_mac in (select key_mac from idempotency where expires_at <= $1 limit 1000)",
        now,
    )
    .execute(db)
    .await?;
    Ok(deleted.rows_affected())
}
