//! Bringing the schema up to this binary's.

use std::time::Duration;

use sqlx::migrate::{Migrate, MigrateError, Migrator};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use tokio::time::sleep;

use super::pool::unhurried;
use crate::kernel::Fault;
use crate::kernel::fault::{DEADLOCK, LOCK_NOT_AVAILABLE, sqlstate};

static MIGRATIONS: Migrator = sqlx::migrate!();

/// How long a migration waits for a table that somebody holds: whoever comes after it waits behind it, requests of the replicas that serve
/// meanwhile too. One that waited for a dump or a forgotten transaction to end would keep them all waiting for as long.
const PATIENTLY: &str = "set lock_timeout = '1s'";
/// Until it is tried again.
const PAUSE: Duration = Duration::from_secs(2);

/// Runs what has not been run, under PostgreSQL's advisory lock, so that any number of replicas may start at once; tried again for as long as
/// somebody holds what it needs. Migrations of a newer binary are left alone (readiness says so where they are too new for this one).
pub(crate) async fn migrate(direct: &PgConnectOptions) -> Result<(), Fault> {
    let mut connection = PgConnection::connect_with(&unhurried(direct.clone())).await?;
    // Whoever is at it already is waited for; the tables are not.
    connection.lock().await.map_err(fault)?;
    sqlx::query(PATIENTLY).execute(&mut connection).await?;
    let mut migrator = Migrator::with_migrations(MIGRATIONS.iter().cloned().collect());
    migrator.set_ignore_missing(true).set_locking(false);
    loop {
        match migrator.run(&mut connection).await {
            Ok(()) => return Ok(connection.close().await?),
            Err(error) if is_held(&error) => {
                tracing::warn!(
                    cause = %error,
                    "somebody holds a table that a migration changes (a dump, a forgotten transaction); trying again"
                );
                sleep(PAUSE).await;
            }
            Err(error) => return Err(fault(error)),
        }
    }
}

fn fault(error: MigrateError) -> Fault {
    match error {
        MigrateError::Execute(cause) | MigrateError::ExecuteMigration(cause, _) => cause.into(),
        other => Fault::internal("migrating the schema", other),
    }
}

/// Whether it was the wait for a lock that ended.
fn is_held(error: &MigrateError) -> bool {
    let (MigrateError::Execute(cause) | MigrateError::ExecuteMigration(cause, _)) = error else {
        return false;
    };
    matches!(
        sqlstate(cause).as_deref(),
        Some(LOCK_NOT_AVAILABLE | DEADLOCK)
    )
}

/// The newest migration that this binary knows.
pub(crate) fn newest_migration() -> i64 {
    MIGRATIONS.iter().map(|m| m.version).max().unwrap_or(0)
}
