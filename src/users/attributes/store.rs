//! The SQL of the schemas that attributes are declared by.

use serde_json::Value;
use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::kernel::Fault;

/// The version of the newest schema of attributes.
pub(super) async fn newest_version(db: &mut PgConnection) -> Result<Option<i64>, Fault> {
    Ok(
        sqlx::query_scalar!("select max(version) from attribute_schema")
            .fetch_one(db)
            .await?,
    )
}

/// The newest schema of attributes.
pub(super) async fn newest(
    db: &mut PgConnection,
) -> Result<Option<(i64, Value, OffsetDateTime)>, Fault> {
    let row = sqlx::query!(
        "
        select version, schema, created_at
          from attribute_schema
         order by version desc
         limit 1"
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| (row.version, row.schema, row.created_at)))
}

/// Of racing declarations of one version the constraint takes one.
pub(super) async fn insert(
    version: i64,
    schema: &Value,
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "
        insert into attribute_schema (version, schema, created_at)
        values ($1, $2, $3)",
        version,
        schema,
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}
