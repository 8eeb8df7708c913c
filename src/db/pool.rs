//! Connecting.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgSslMode};
use sqlx::{Connection, PgConnection};
use tokio::time::timeout;

use crate::config::Database;
use crate::kernel::Fault;

/// How often a pool has handed out a connection that somebody had before: one that still does is at work, however many wait for it.
#[derive(Clone, Default)]
pub(crate) struct HandedOut(Arc<AtomicU64>);

impl HandedOut {
    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How soon PostgreSQL gives up on a replica that has vanished without a word (power, network): by itself TCP takes two hours.
const VANISHED: [(&str, &str); 4] = [
    ("tcp_keepalives_idle", "5"),
    ("tcp_keepalives_interval", "2"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "10000"),
];
/// All statements are short, whatever PostgreSQL guesses of them: to compile one takes far longer than to run it.
const UNCOMPILED: (&str, &str) = ("jit", "off");
/// Nearly all that is asked is by key: a plan made while a table was small must not read it whole when it no longer is. What has no index is
/// read whole all the same.
const BY_KEY: (&str, &str) = ("enable_seqscan", "off");
/// How long a standing job waits for one answer, and for what it asks in one go.
const STATEMENT_MS: &str = "8000";
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a connection that lay idle may take to say that it is alive.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);

/// A pool that connects when it is first asked. A connection that lay idle is tried before it is handed out, so a restarted
/// PostgreSQL costs nobody an error.
pub(crate) fn connect(options: PgConnectOptions, settings: &Database) -> (PgPool, HandedOut) {
    let timeout_ms = settings
        .statement_timeout
        .time()
        .whole_milliseconds()
        .to_string();
    let options = options.application_name("doorward").options([
        ("statement_timeout", timeout_ms.as_str()),
        ("idle_in_transaction_session_timeout", "15000"),
        ("lock_timeout", timeout_ms.as_str()),
        UNCOMPILED,
        BY_KEY,
    ]);
    let options = options.options(VANISHED);
    let handed_out = HandedOut::default();
    let counter = handed_out.clone();
    let pool = PgPoolOptions::new()
        .max_connections(settings.max_connections)
        .acquire_timeout(settings.acquire_timeout.std())
        .idle_timeout(Duration::from_secs(600))
        .test_before_acquire(false)
        .before_acquire(move |connection, meta| {
            let counter = counter.clone();
            Box::pin(async move {
                if meta.idle_for > Duration::from_millis(500) {
                    let alive = timeout(SIGN_OF_LIFE, connection.ping()).await;
                    if !alive.is_ok_and(|alive| alive.is_ok()) {
                        return Ok(false);
                    }
                }
                counter.0.fetch_add(1, Ordering::Relaxed);
                Ok(true)
            })
        })
        .connect_lazy_with(options);
    (pool, handed_out)
}

/// How the standing jobs reach PostgreSQL, each over a connection of its own. What is set for the role does not hold for them: a job that is
/// lost in the middle of a round must give its lock back within seconds, for the others wait for it.
pub(crate) fn standing(options: PgConnectOptions) -> PgConnectOptions {
    let options = options.application_name("doorward").options([
        ("statement_timeout", STATEMENT_MS),
        ("idle_in_transaction_session_timeout", "3000"),
        ("lock_timeout", STATEMENT_MS),
        UNCOMPILED,
        BY_KEY,
    ]);
    options.options(VANISHED)
}

/// The same for what takes its time: migrations, and the first keys.
pub(crate) fn unhurried(options: PgConnectOptions) -> PgConnectOptions {
    let options = options.application_name("doorward").options([
        ("statement_timeout", "0"),
        ("idle_in_transaction_session_timeout", "0"),
        ("lock_timeout", "0"),
    ]);
    options.options(VANISHED)
}

/// A connection of a standing job's own.
pub(crate) async fn connect_standing(options: &PgConnectOptions) -> Result<PgConnection, Fault> {
    within(async { Ok(PgConnection::connect_with(options).await?) }).await
}

/// What a standing job asks, for as long as an answer may take. A database that has vanished answers nothing, not even that it is gone: the
/// job begins anew, with another connection.
pub(crate) async fn within<T>(asked: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    let answer = timeout(PATIENCE, asked).await;
    answer.unwrap_or_else(|e| Err(Fault::unavailable("waiting for the database", e)))
}

/// Reads a `postgres://` URL. The error never shows the URL: it holds a password.
pub(crate) fn options(url: &str) -> Result<PgConnectOptions, &'static str> {
    const EXPECTED: &str = "a URL like postgres://user:password@host:5432/database";
    let scheme = ["postgres://", "postgresql://"];
    if !scheme.iter().any(|scheme| url.starts_with(scheme)) {
        return Err(EXPECTED);
    }
    let options = PgConnectOptions::from_str(url).map_err(|_| EXPECTED)?;
    // PostgreSQL's own `require` encrypts for whoever answers. Whoever asks for TLS gets the server they named (checklist 172).
    Ok(match options.get_ssl_mode() {
        PgSslMode::Require | PgSslMode::VerifyCa => options.ssl_mode(PgSslMode::VerifyFull),
        _ => options,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_asks_for_tls_gets_the_server_they_named() {
        // S-172
        for (query, verified) in [
            ("?sslmode=require", true),
            ("?sslmode=verify-ca", true),
            ("?sslmode=verify-full", true),
            ("?sslmode=disable", false),
            ("", false),
        ] {
            let options = options(&format!("postgres://u@db.example/d{query}")).unwrap();
            let mode = options.get_ssl_mode();
            assert_eq!(matches!(mode, PgSslMode::VerifyFull), verified, "{query}");
        }
    }
}
