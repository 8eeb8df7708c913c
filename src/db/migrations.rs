//! Bringing the schema up to this binary's.

use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use tokio::time::sleep;

use super::pool::unhurried;
use crate::kernel::Fault;

static MIGRATIONS: Migrator = sqlx::migrate!();

/// How long a migration waits for a table: whoever comes after it waits behind it, requests of the replicas that serve meanwhile too. One that
/// waited for a dump or a forgotten transaction to end would keep them all waiting for as long.
const LOCK_MS: &str = "1000";
/// Until it is tried again.
const PAUSE: Duration = Duration::from_secs(2);

/// Runs what has not been run, under PostgreSQL's advisory lock, so that any number of replicas may start at once; tried again for as long as
/// somebody holds what it needs. Migrations of a newer binary are left alone (readiness says so where they are too new for this one).
pub(crate) async fn migrate(direct: &PgConnectOptions) -> Result<(), Fault> {
    let options = unhurried(direct.clone()).options([("lock_timeout", LOCK_MS)]);
    loop {
        let mut connection = PgConnection::connect_with(&options).await?;
        let mut migrator = Migrator::with_migrations(MIGRATIONS.iter().cloned().collect());
        let ran = migrator.set_ignore_missing(true).run(&mut connection).await;
        connection.close().await?;
        let cause = match ran {
            Ok(()) => return Ok(()),
            Err(MigrateError::Execute(cause) | MigrateError::ExecuteMigration(cause, _)) => cause,
            Err(other) => return Err(Fault::internal("migrating the schema", other)),
        };
        if !is_held(&cause) {
            return Err(cause.into());
        }
        tracing::warn!(
            %cause,
            "somebody holds what a migration changes (another replica's migration, a dump, a forgotten transaction); trying again"
        );
        sleep(PAUSE).await;
    }
}

/// The newest migration that this binary knows.
pub(crate) fn newest_migration() -> i64 {
    MIGRATIONS.iter().map(|m| m.version).max().unwrap_or(0)
}

/// Whether it was the wait for a lock that ended.
fn is_held(cause: &sqlx::Error) -> bool {
    let database = cause.as_database_error();
    database.is_some_and(|e| e.code().as_deref() == Some("55P03"))
}
