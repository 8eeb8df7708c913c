//! The consents' SQL.

use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::kernel::{ClientId, Fault, UserId};

/// Whether everything in `asked` was granted before.
pub(super) async fn covers(
    user: UserId,
    client: &ClientId,
    asked: &[String],
    db: &mut PgConnection,
) -> Result<bool, Fault> {
    let covered = sqlx::query_scalar!(
        r#"select exists (select from consent where user_id = $1 and client_id = $2 and granted @> $3) as "covered!""#,
        user.0,
        client.as_str(),
        asked as &[String],
    )
    .fetch_one(db)
    .await?;
    Ok(covered)
}

/// Adds to what was granted; gives whether that is new.
pub(super) async fn add(
    user: UserId,
    client: &ClientId,
    asked: &[String],
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<(), Fault> {
    sqlx::query!(
        r#"
        insert into consent (user_id, client_id, granted, granted_at)
        values ($1, $2, $3, $4)
        on conflict on constraint consent_pkey do update
           set granted = array(select distinct unnest(consent.granted || excluded.granted) order by 1),
               granted_at = excluded.granted_at"#,
        user.0,
        client.as_str(),
        asked as &[String],
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// What a person granted to one client.
pub(crate) struct ConsentRow {
    pub(crate) client_id: String,
    /// Scopes, and claims that were asked for by name (`claim:…`).
    pub(crate) granted: Vec<String>,
}

/// What a person granted, last granted first.
pub(crate) async fn list(user: UserId, db: &mut PgConnection) -> Result<Vec<ConsentRow>, Fault> {
    let rows = sqlx::query_as!(
        ConsentRow,
        "
        select client_id, granted
          from consent
         where user_id = $1
         order by granted_at desc, client_id
         limit 200",
        user.0,
    )
    .fetch_all(db)
    .await?;
    Ok(rows)
}

/// Forgets what was granted; `false` where there was nothing.
pub(super) async fn delete(
    user: UserId,
    client: &ClientId,
    db: &mut PgConnection,
) -> Result<bool, Fault> {
    let done = sqlx::query!(
        "delete from consent where user_id = $1 and client_id = $2",
        user.0,
        client.as_str(),
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() > 0)
}
