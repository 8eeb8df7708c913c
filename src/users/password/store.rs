//! The SQL of people's passwords.

use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::kernel::{Fault, Secret, UserId};

/// The person as the caller saw them: nothing is written where they have changed since.
pub(super) enum Seen<'a> {
    /// At one of these versions; `None`: at any.
    At(Option<&'a [i64]>),
    /// Active, and none of their sessions ended since this epoch: an admin's new password is not undone by somebody who knew the old one.
    Epoch(OffsetDateTime),
}

/// Sets a new password (`None`: leaves the one they have) and whether another is demanded at the next sign-in: ends all tokens given out
/// before, and gives the new version and the new epoch.
pub(super) async fn update_password(
    id: UserId,
    hash: Option<&Secret<String>>,
    change_required: bool,
    seen: Seen<'_>,
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<Option<(i64, OffsetDateTime)>, Fault> {
    let (versions, epoch) = match seen {
        Seen::At(versions) => (versions, None),
        Seen::Epoch(epoch) => (None, Some(epoch)),
    };
    let row = sqlx::query!(
        r#"
        update "user"
           set password_hash = coalesce($4, password_hash), password_change_required = $5,
               tokens_valid_from = greatest(tokens_valid_from + interval '1 microsecond', $6), version = version + 1, updated_at = $6
         where id = $1
           and deleted_at is null
           and ($2::bigint[] is null or version = any ($2))
           and ($3::timestamptz is null or (tokens_valid_from = $3 and status = 'active'))
        returning version, tokens_valid_from"#,
        id.0,
        versions as Option<&[i64]>,
        epoch,
        hash.map(Secret::expose),
        change_required,
        now,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| (row.version, row.tokens_valid_from)))
}

/// The same password under newer parameters; guarded by the old hash, so that a password set meanwhile stays.
pub(crate) async fn renew_password_hash(
    id: UserId,
    old: &Secret<String>,
    new: &Secret<String>,
    db: &mut PgConnection,
) -> Result<(), Fault> {
    sqlx::query!(
        r#"update "user" set password_hash = $3 where id = $1 and password_hash = $2"#,
        id.0,
        old.expose(),
        new.expose()
    )
    .execute(db)
    .await?;
    Ok(())
}
