//! Revoked access tokens.

use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::db::SWEEP_BATCH;
use crate::kernel::Fault;

/// Whether the access token with this `jti` was revoked.
pub(super) async fn is_revoked(jti: &str, db: &mut PgConnection) -> Result<bool, Fault> {
    let revoked = sqlx::query_scalar!(
        r#"select exists (select from revoked_token where jti = $1) as "revoked!""#,
        jti,
    )
    .fetch_one(db)
    .await?;
    Ok(revoked)
}

/// Revokes an access token; `false` where it was revoked before.
pub(super) async fn revoke(
    jti: &str,
    expires_at: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<bool, Fault> {
    let done = sqlx::query!(
        "
        insert into revoked_token (jti, expires_at)
        values ($1, $2)
        on conflict do nothing",
        jti,
        expires_at,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Forgets tokens that have expired by themselves, a batch at a time; gives how many.
pub(crate) async fn sweep(now: OffsetDateTime, db: &mut PgConnection) -> Result<u64, Fault> {
    let done = sqlx::query!(
        "
        delete from revoked_token
         where jti in (
               select jti
                 from revoked_token
                where expires_at <= $1
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
