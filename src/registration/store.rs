//! The SQL of initial access tokens and of clients that registered themselves.

use sqlx::PgConnection;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{Allowance, InitialToken};
use crate::db::{SWEEP_BATCH, locks};
use crate::kernel::{ClientId, Fault, TokenHash};

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
    /// Strangers' clients, and as many of those that a token vouches for.
    pub(super) clients: i64,
    pub(super) of_household: i64,
    pub(super) within: Duration,
}

/// Notes that a client registered itself, within the bounds; whether there was room. Registrations follow one another. A client that was
/// deleted takes no room, but its household registered it all the same.
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
         where (select count(*)
                  from registered_client
                 where client_id is not null
                   and (initial_token_id is null) = ($3::uuid is null)) < $6
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

/// Whose a registration access token is.
pub(super) struct Owner {
    pub(super) client: ClientId,
    /// Whose budget its changes are counted against.
    pub(super) holder: String,
}

/// Which client a registration access token belongs to.
pub(super) async fn find_registered(
    hash: &TokenHash,
    db: &mut PgConnection,
) -> Result<Option<Owner>, Fault> {
    let row = sqlx::query!(
        r#"
        select client_id as "client_id!", coalesce(household, client_id) as "holder!"
          from registered_client
         where token_hash = $1
           and client_id is not null"#,
        hash.as_bytes()
    )
    .fetch_optional(db)
    .await?;
    row.map(|row| {
        Ok(Owner {
            client: named(&row.client_id)?,
            holder: row.holder,
        })
    })
    .transpose()
}

/// Counts a change, of which a holder has `burst` at once and then one each `step`; whether there was one left. The guard is in the
/// statement.
pub(super) async fn spend_change(
    holder: &str,
    burst: i32,
    step: Duration,
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<bool, Fault> {
    let done = sqlx::query!(
        "
        insert into registration_budget as b (holder, whole_at)
        values ($1, $2::timestamptz + make_interval(secs => $3))
        on conflict (holder) do update
           set whole_at = greatest(b.whole_at, $2) + make_interval(secs => $3)
         where b.whole_at <= $2::timestamptz + make_interval(secs => $3) * ($4 - 1)",
        holder,
        now,
        step.as_seconds_f64(),
        burst,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Strangers' clients that nobody was seen to sign in to yet, the oldest first, each with the time of its registration.
pub(super) async fn list_unused(
    db: &mut PgConnection,
) -> Result<Vec<(ClientId, OffsetDateTime)>, Fault> {
    let rows = sqlx::query!(
        r#"
        select client_id as "client_id!", registered_at
          from registered_client
         where client_id is not null
           and initial_token_id is null
           and used_at is null
         order by registered_at, client_id
         limit $1"#,
        SWEEP_BATCH,
    )
    .fetch_all(db)
    .await?;
    let unused = rows
        .iter()
        .map(|row| Ok((named(&row.client_id)?, row.registered_at)));
    unused.collect()
}

/// Notes that these clients are not to be deleted for want of use.
pub(super) async fn note_used(
    clients: &[String],
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<(), Fault> {
    sqlx::query!(
        "
        update registered_client
           set used_at = $2
         where client_id = any ($1)
           and used_at is null",
        clients,
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

fn named(id: &str) -> Result<ClientId, Fault> {
    id.parse()
        .map_err(|_| Fault::internal("reading a registered client", id.to_owned()))
}

/// Deletes tokens that are spent or have expired, budgets that are whole, and what is left of clients that are gone and count no more, a
/// batch at a time; gives how many.
pub(super) async fn sweep(
    counted_since: OffsetDateTime,
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<u64, Fault> {
    let tokens = sqlx::query!(
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
    .execute(&mut *db)
    .await?;
    let budgets = sqlx::query!(
        "
        delete from registration_budget
         where holder in (
               select holder
                 from registration_budget
                where whole_at <= $1
                limit $2
                  for update skip locked
         )",
        now,
        SWEEP_BATCH,
    )
    .execute(&mut *db)
    .await?;
    let gone = sqlx::query!(
        "
        delete from registered_client
         where token_hash in (
               select token_hash
                 from registered_client
                where client_id is null
                  and registered_at <= $1
                limit $2
                  for update skip locked
         )",
        counted_since,
        SWEEP_BATCH,
    )
    .execute(db)
    .await?;
    Ok(tokens.rows_affected() + budgets.rows_affected() + gone.rows_affected())
}
