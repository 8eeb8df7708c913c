//! `/healthz`: the process is alive. `/readyz`: it can do its work now.

use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use sqlx::PgConnection;
use time::OffsetDateTime;
use tokio::time::{Instant, timeout_at};

use crate::app::App;
use crate::db;
use crate::kernel::Fault;
use crate::kernel::clock::{Clock, SystemClock};

/// How far this machine's clock may be from the database's.
const MAX_SKEW: time::Duration = time::Duration::seconds(5);
/// How long the database may take to answer.
const PATIENCE: Duration = Duration::from_millis(900);

/// Why a replica can't do its work now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NotReady {
    Draining,
    DatabaseAway,
    SchemaTooNew,
    ClockOff,
}

impl NotReady {
    fn as_str(self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::DatabaseAway => "database_away",
            Self::SchemaTooNew => "schema_too_new",
            Self::ClockOff => "clock_off",
        }
    }
}

/// 200 as long as the process answers: load or a database that is away never kill it.
#[utoipa::path(get, path = "/healthz", tag = "operators", responses((status = 200, description = "The process is alive", body = Object), (status = 405, description = "GET only")))]
pub(crate) async fn healthz() -> Response {
    no_store(StatusCode::OK, &json!({ "status": "alive" }))
}

/// 200, or 503 with the reason.
#[utoipa::path(get, path = "/readyz", tag = "operators", responses((status = 200, description = "It can do its work", body = Object), (status = 405, description = "GET only"), (status = 503, description = "It can not; `reason` says why", body = Object)))]
pub(crate) async fn readyz(State(app): State<App>) -> Response {
    match ready(&app).await {
        Ok(()) => no_store(StatusCode::OK, &json!({ "status": "ready" })),
        Err(reason) => {
            let mut response = no_store(
                StatusCode::SERVICE_UNAVAILABLE,
                &json!({ "status": "not_ready", "reason": reason.as_str() }),
            );
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            response
        }
    }
}

fn no_store(status: StatusCode, body: &serde_json::Value) -> Response {
    (
        status,
        [
            (header::CACHE_CONTROL, "no-store"),
            (header::CONTENT_TYPE, "application/json"),
        ],
        body.to_string(),
    )
        .into_response()
}

async fn ready(app: &App) -> Result<(), NotReady> {
    if app.tasks.is_stopping() {
        return Err(NotReady::Draining);
    }
    let began = Instant::now();
    let acquiring = app.pool.acquire();
    tokio::pin!(acquiring);
    let mut acquired = timeout_at(began + PATIENCE / 2, &mut acquiring).await;
    if acquired.is_err() {
        let before = app.handed_out.count();
        acquired = timeout_at(began + PATIENCE, &mut acquiring).await;
        // It stood in line all the while, and others were handed connections to the last, or nobody was. A replica at work that is taken
        // out of the load balancer's list leaves its work to the others, which are out next.
        if acquired.is_err() && app.handed_out.count() > before {
            return match app.watch.clock_is_off() {
                true => Err(NotReady::ClockOff),
                false => Ok(()),
            };
        }
    }
    let Ok(Ok(mut db)) = acquired else {
        return Err(NotReady::DatabaseAway);
    };
    match timeout_at(began + PATIENCE, ask(&mut db)).await {
        Ok(Ok((database_now, oldest_migration))) => judge(
            SystemClock.now(),
            database_now,
            oldest_migration,
            db::newest_migration(),
        ),
        Ok(Err(_)) | Err(_) => Err(NotReady::DatabaseAway),
    }
}

async fn ask(db: &mut PgConnection) -> Result<(OffsetDateTime, i64), Fault> {
    // The one place where the database's clock is asked: to hold ours against it.
    let row = sqlx::query!(
        r#"
        select clock_timestamp() as "now!", oldest_migration
          from schema_floor"#
    )
    .fetch_one(db)
    .await?;
    Ok((row.now, row.oldest_migration))
}

/// Whether this machine's clock is too far from the database's to be believed.
pub(crate) async fn clock_is_off(app: &App) -> Result<bool, Fault> {
    let (database_now, _) = ask(&mut *app.pool.acquire().await?).await?;
    Ok(is_off(SystemClock.now(), database_now))
}

fn is_off(ours: OffsetDateTime, databases: OffsetDateTime) -> bool {
    (ours - databases).abs() > MAX_SKEW
}

fn judge(
    ours: OffsetDateTime,
    databases: OffsetDateTime,
    oldest_migration: i64,
    newest_known: i64,
) -> Result<(), NotReady> {
    if oldest_migration > newest_known {
        Err(NotReady::SchemaTooNew)
    } else if is_off(ours, databases) {
        Err(NotReady::ClockOff)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_off_or_a_newer_schema_is_not_ready() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let after = |seconds| now + time::Duration::seconds(seconds);
        assert_eq!(judge(now, after(5), 7, 7), Ok(()));
        assert_eq!(judge(now, after(6), 7, 7), Err(NotReady::ClockOff));
        assert_eq!(judge(after(6), now, 7, 7), Err(NotReady::ClockOff));
        assert_eq!(judge(now, now, 8, 7), Err(NotReady::SchemaTooNew));
        assert_eq!(
            judge(now, now, 6, 7),
            Ok(()),
            "a newer binary works on an older schema's floor"
        );
    }
}
