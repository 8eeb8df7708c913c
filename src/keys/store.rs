//! The signing keys' SQL.

use serde_json::Value;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{SigningKey, Step};
use crate::db::locks;
use crate::kernel::{Fault, UserId};

struct Row {
    kid: String,
    alg: String,
    step: String,
    public_jwk: Value,
    sealed_private: Vec<u8>,
    created_at: OffsetDateTime,
    current_at: Option<OffsetDateTime>,
    retiring_at: Option<OffsetDateTime>,
    gone_at: Option<OffsetDateTime>,
}

impl TryFrom<Row> for SigningKey {
    type Error = Fault;

    fn try_from(row: Row) -> Result<Self, Fault> {
        let strange = || Fault::internal("reading a signing key's row", format!("kid {}", row.kid));
        Ok(Self {
            alg: row.alg.parse().map_err(|_| strange())?,
            step: Step::parse(&row.step).ok_or_else(strange)?,
            public: row.public_jwk.as_object().cloned().ok_or_else(strange)?,
            kid: row.kid,
            sealed_private: row.sealed_private,
            created_at: row.created_at,
            current_at: row.current_at,
            retiring_at: row.retiring_at,
            gone_at: row.gone_at,
        })
    }
}

/// All keys, oldest first.
pub(crate) async fn list(db: &mut PgConnection) -> Result<Vec<SigningKey>, Fault> {
    let rows = sqlx::query_as!(
        Row,
        "
        select kid, alg, step, public_jwk, sealed_private, created_at, current_at, retiring_at, gone_at
          from signing_key
         order by created_at, kid"
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

pub(super) async fn insert(key: &SigningKey, db: &mut PgConnection) -> Result<(), Fault> {
    sqlx::query!(
        "
        insert into signing_key (kid, alg, step, public_jwk, sealed_private, created_at, current_at, retiring_at, gone_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        key.kid,
        key.alg.as_str(),
        key.step.as_str(),
        Value::Object(key.public.clone()),
        key.sealed_private,
        key.created_at,
        key.current_at,
        key.retiring_at,
        key.gone_at,
    )
    .execute(db)
    .await?;
    Ok(())
}

pub(super) async fn retire(
    kid: &str,
    now: OffsetDateTime,
    gone_at: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<(), Fault> {
    sqlx::query!(
        "
        update signing_key
           set step = 'retiring', retiring_at = $2, gone_at = $3
         where kid = $1
           and step = 'current'",
        kid,
        now,
        gone_at,
    )
    .execute(db)
    .await?;
    Ok(())
}

pub(super) async fn make_current(
    kid: &str,
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<(), Fault> {
    sqlx::query!(
        "
        update signing_key
           set step = 'current', current_at = $2
         where kid = $1
           and step = 'next'",
        kid,
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

pub(super) async fn delete(kid: &str, db: &mut PgConnection) -> Result<(), Fault> {
    sqlx::query!("delete from signing_key where kid = $1", kid)
        .execute(db)
        .await?;
    Ok(())
}

/// `false` where another replica is changing keys right now.
pub(super) async fn try_lock(db: &mut PgConnection) -> Result<bool, Fault> {
    let mine = sqlx::query_scalar!(
        r#"select pg_try_advisory_xact_lock($1) as "mine!""#,
        locks::SIGNING_KEYS
    )
    .fetch_one(db)
    .await?;
    Ok(mine)
}

/// Waits until no other replica is changing keys; the lock lasts as long as the transaction.
pub(super) async fn lock(db: &mut PgConnection) -> Result<(), Fault> {
    sqlx::query!(
        r#"select pg_advisory_xact_lock($1) as "locked!: ()""#,
        locks::SIGNING_KEYS
    )
    .fetch_one(db)
    .await?;
    Ok(())
}

pub(super) async fn find_person_key(
    id: UserId,
    db: &mut PgConnection,
) -> Result<Option<Vec<u8>>, Fault> {
    let sealed = sqlx::query_scalar!(
        "
        select sealed_key
          from person_key
         where user_id = $1",
        id.0,
    )
    .fetch_optional(db)
    .await?;
    Ok(sealed)
}

/// `false` where the person has a key already, or does not exist: then nothing is written.
pub(super) async fn insert_person_key(
    id: UserId,
    sealed: &[u8],
    name: &[u8; 8],
    db: &mut PgConnection,
) -> Result<bool, Fault> {
    let inserted = sqlx::query!(
        r#"
        insert into person_key (user_id, sealed_key, sealed_under)
        select id, $2, $3
          from "user"
         where id = $1
            on conflict (user_id) do nothing"#,
        id.0,
        sealed,
        name.as_slice(),
    )
    .execute(db)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// People's keys under these sealing keys, locked: other replicas take others meanwhile.
pub(super) async fn lock_person_keys(
    sealed_under: &[Vec<u8>],
    limit: i64,
    db: &mut PgConnection,
) -> Result<Vec<(UserId, Vec<u8>)>, Fault> {
    let rows = sqlx::query!(
        r#"
        select user_id as "user_id: UserId", sealed_key
          from person_key
         where sealed_under = any ($1)
         limit $2
           for update skip locked"#,
        sealed_under,
        limit,
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.user_id, row.sealed_key))
        .collect())
}

pub(super) async fn update_person_keys(
    ids: &[Uuid],
    sealed: &[Vec<u8>],
    name: &[u8; 8],
    db: &mut PgConnection,
) -> Result<(), Fault> {
    sqlx::query!(
        "
        update person_key
           set sealed_key = new.sealed_key, sealed_under = $3
          from unnest($1::uuid[], $2::bytea[]) as new (user_id, sealed_key)
         where person_key.user_id = new.user_id",
        ids,
        sealed,
        name.as_slice(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The names of the sealing keys that people's keys are under. Each costs one look into the index, however many people there are.
pub(super) async fn list_sealed_under(db: &mut PgConnection) -> Result<Vec<Vec<u8>>, Fault> {
    let names = sqlx::query_scalar!(
        r#"
        with recursive used as (
            (select sealed_under as name from person_key order by sealed_under limit 1)
            union all
            select (select sealed_under from person_key where sealed_under > used.name order by sealed_under limit 1)
              from used
             where used.name is not null
        )
        select name as "name!"
          from used
         where name is not null"#
    )
    .fetch_all(db)
    .await?;
    Ok(names)
}

/// Gives up everybody's key, and with it what was sealed under them; gives how many.
pub(super) async fn delete_person_keys(db: &mut PgConnection) -> Result<u64, Fault> {
    let gone = sqlx::query!("delete from person_key").execute(db).await?;
    Ok(gone.rows_affected())
}
