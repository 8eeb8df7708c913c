//! The SQL of initial access tokens and of clients that registered themselves.

use sqlx::PgConnection;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{Allowance, InitialToken};
use crate::db::locks;
use crate::kernel::{ClientId, Fault, TokenHash};

/// Spent and expired tokens that go at once.
const SWEEP_BATCH: i64 = 1000;

pub(super) async fn insert_token(
    token: &InitialToken,
    hash: &TokenHash,
    db: &mut PgConnection,
) -> Result<(), Fault> {
    sqlx::query!(
        "
        insert into initial_access_token (id, token_hash, grants, require_pkce, uses_left, created_at, expires_at)
        values ($1, $2, $3, $4, $5, $6, $7)",
        token.id,
        hash.as_bytes(),
        &token.allowance.grants,
        token.allowance.require_pkce,
        token.uses_left,
        token.created_at,
        token.expires_at,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// All that are good, oldest first.
pub(crate) async fn list_tokens(
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<Vec<InitialToken>, Fault> {
    let rows = sqlx::query!(
        "
        select id, grants, require_pkce, uses_left, created_at, expires_at
          from initial_access_token
         where expires_at > $1
           and uses_left > 0
         order by created_at, id",
        now,
    )
    .fetch_all(db)
    .await?;
    let tokens = rows.into_iter().map(|row| InitialToken {
        id: row.id,
        allowance: Allowance {
            grants: row.grants,
            require_pkce: row.require_pkce,
        },
        uses_left: row.uses_left,
        created_at: row.created_at,
        expires_at: row.expires_at,
    });
    Ok(tokens.collect())
}

/// Deletes a token; whether there was one.
pub(super) async fn delete_token(id: Uuid, db: &mut PgConnection) -> Result<bool, Fault> {
    let done = sqlx::query!("delete from initial_access_token where id = $1", id)
        .execute(db)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// Spends one use of an initial access token. The guard is in the statement, so no race gets more uses than there are.
pub(super) async fn spend_use(
    hash: &TokenHash,
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<Option<(Uuid, Allowance)>, Fault> {
    let row = sqlx::query!(
        "
        update initial_access_token
           set uses_left = uses_left - 1
         where token_hash = $1
           and expires_at > $2
           and uses_left > 0
        returning id, grants, require_pkce",
        hash.as_bytes(),
        now,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| {
        let allowance = Allowance {
            grants: row.grants,
            require_pkce: row.require_pkce,
        };
        (row.id, allowance)
    }))
}

/// A client that registered itself.
pub(super) struct Registered<'a> {
    pub(super) client: &'a ClientId,
    pub(super) hash: &'a TokenHash,
    pub(super) initial_token: Option<Uuid>,
    /// Whence it came, where no token vouches for it.
    pub(super) household: Option<String>,
}

/// Bounds on the clients that register themselves.
pub(super) struct Bounds {
    pub(super) clients: i64,
    pub(super) of_household: i64,
    pub(super) within: Duration,
}

/// Notes that a client registered itself, within the bounds; whether there was room. Registrations follow one another.
pub(super) async fn insert_registered(
    registered: &Registered<'_>,
    bounds: &Bounds,
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<bool, Fault> {
    sqlx::query!(
        r#"select pg_advisory_xact_lock($1) as "locked!: ()""#,
        locks::REGISTRATION
    )
    .fetch_one(&mut *db)
    .await?;
    let done = sqlx::query!(
        "
        insert into registered_client (client_id, token_hash, initial_token_id, household, registered_at)
        select $1, $2, $3, $4, $5
         where (select count(*) from registered_client) < $6
           and ($4::text is null
                or (select count(*) from registered_client where household = $4 and registered_at > $7) < $8)",
        registered.client.as_str(),
        registered.hash.as_bytes(),
        registered.initial_token,
        registered.household,
        now,
        bounds.clients,
        now - bounds.within,
        bounds.of_household,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Which client a registration access token belongs to.
pub(super) async fn find_registered(
    hash: &TokenHash,
    db: &mut PgConnection,
) -> Result<Option<ClientId>, Fault> {
    let id = sqlx::query_scalar!(
        "select client_id from registered_client where token_hash = $1",
        hash.as_bytes()
    )
    .fetch_optional(db)
    .await?;
    let strange = |id: &str| Fault::internal("reading a registered client", id.to_owned());
    id.map(|id| id.parse().map_err(|_| strange(&id)))
        .transpose()
}

/// Deletes tokens that are spent or have expired, a batch at a time; gives how many.
pub(crate) async fn sweep(now: OffsetDateTime, db: &mut PgConnection) -> Result<u64, Fault> {
    let done = sqlx::query!(
        "
        delete from initial_access_token
         where id in (
               select id
                 from initial_access_token
                where expires_at <= $1
                   or uses_left = 0
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
