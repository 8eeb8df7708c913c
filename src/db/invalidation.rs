//! What caches must forget, told to every replica.
//!
//! A change appends what it outdates in its own transaction ([`forget`]). One notifier at a time takes those rows and sends them
//! by `NOTIFY` ([`notify`]): a `NOTIFY` inside the changes themselves would serialise their commits. Taking and sending are one
//! transaction, so a crash loses nothing. Each round sends a heartbeat too; a replica that has heard nothing for a second
//! ([`Trust`]) asks the database instead of its caches.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use sqlx::{Connection, PgConnection};
use tokio::time::timeout;

use super::{locks, within};
use crate::kernel::{Fault, clock};

const CHANNEL: &str = "doorward";
/// Words that no cache depends on: who waits for something is told by them, and believes nothing because of them.
pub(crate) const NEWS: &str = "doorward_news";
/// How long a cache is trusted without a word.
const PATIENCE: Duration = Duration::from_millis(900);
/// Without a word for so long, not even the heartbeat, the connection is held to be dead.
const SILENCE: Duration = Duration::from_secs(3);

/// What kind of thing became outdated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Topic {
    Client,
    SigningKeys,
    /// An access token that was revoked, by its `jti`.
    Token,
    Consumers,
}

impl Topic {
    fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::SigningKeys => "signing_keys",
            Self::Token => "token",
            Self::Consumers => "consumers",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [
            Self::Client,
            Self::SigningKeys,
            Self::Token,
            Self::Consumers,
        ]
        .into_iter()
        .find(|topic| topic.as_str() == text)
    }
}

/// Appends, in the change's transaction, that caches must forget `key`.
pub(crate) async fn forget(topic: Topic, key: &str, db: &mut PgConnection) -> Result<(), Fault> {
    sqlx::query!(
        "insert into invalidation (topic, key) values ($1, $2)",
        topic.as_str(),
        key
    )
    .execute(db)
    .await?;
    Ok(())
}

/// One round of the notifier: whoever gets the lock sends what there is, and a heartbeat.
pub(crate) async fn notify(connection: &mut PgConnection) -> Result<(), Fault> {
    let mut tx = connection.begin().await?;
    let mine = sqlx::query_scalar!(
        r#"select pg_try_advisory_xact_lock($1) as "mine!""#,
        locks::NOTIFIER
    )
    .fetch_one(&mut *tx)
    .await?;
    if mine {
        sqlx::query!(
            r#"
            with taken as (
                delete from invalidation
                returning topic, key
            )
            select count(pg_notify($1, word)) as sent
              from (select topic || ' ' || key as word from taken union all select '') as words"#,
            CHANNEL,
        )
        .fetch_one(&mut *tx)
        .await?;
        tx.commit().await?;
    }
    Ok(())
}

/// When this replica last heard from the notifier.
pub(crate) struct Trust {
    started: Instant,
    heard_ms: AtomicU64,
}

impl Trust {
    pub(crate) fn new() -> Self {
        Self {
            started: clock::monotonic(),
            heard_ms: AtomicU64::new(0),
        }
    }

    /// Whether caches may be believed now: something was heard within the last second.
    pub(crate) fn holds(&self) -> bool {
        let heard = self.heard_ms.load(Ordering::Acquire);
        heard > 0 && self.elapsed_ms().saturating_sub(heard) < PATIENCE.as_millis() as u64
    }

    fn heard(&self) {
        self.heard_ms
            .store(self.elapsed_ms().max(1), Ordering::Release);
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "milliseconds of a process's life fit 64 bits"
    )]
    fn elapsed_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }
}

/// Listens until the connection breaks or falls silent, which it reports. `on_change` is called for each word; with `None` when words may have
/// been missed (at the start and after a break): then everything must be forgotten. `on_news` gets the words of [`NEWS`].
pub(crate) async fn listen(
    options: PgConnectOptions,
    trust: &Trust,
    on_change: impl Fn(Option<(Topic, &str)>),
    on_news: impl Fn(&str),
) -> Result<(), Fault> {
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(Duration::from_secs(1))
        .connect_lazy_with(options);
    let mut listener = PgListener::connect_with(&pool).await?;
    within(async { Ok(listener.listen_all([CHANNEL, NEWS]).await?) }).await?;
    on_change(None);
    loop {
        let word = timeout(SILENCE, listener.try_recv()).await;
        let word = word.map_err(|e| Fault::unavailable("listening to the database", e))?;
        let Some(word) = word? else {
            return Ok(());
        };
        if word.channel() == NEWS {
            on_news(word.payload());
            continue;
        }
        if let Some((topic, key)) = word.payload().split_once(' ') {
            on_change(Topic::parse(topic).map(|topic| (topic, key)));
        }
        trust.heard();
    }
}
