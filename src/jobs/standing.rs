//! The standing jobs of each replica: telling caches, and hearing what to forget.

use std::time::Duration;

use sqlx::{Connection, PgConnection};
use tokio::time::sleep;

use crate::app::App;
use crate::credentials::throttle;
use crate::db::{self, Topic};
use crate::kernel::Fault;
use crate::sessions;

/// Between two rounds of the notifier: the longest that a change stays unheard, and the beat of the caches' trust.
const BEAT: Duration = Duration::from_millis(200);
/// Between two tries to reach the database.
const RETRY: Duration = Duration::from_millis(250);

/// Between two sweeps.
const SWEEP: Duration = Duration::from_secs(60);

/// Starts the standing jobs; they end when the program stops.
pub(crate) fn start(app: &App) {
    let notifier = app.clone();
    app.tasks.spawn_until_stop(async move {
        loop {
            if let Err(fault) = notify(&notifier).await {
                tracing::warn!(cause = %fault, "the notifier lost the database; trying again");
            }
            sleep(RETRY).await;
        }
    });
    let sweeper = app.clone();
    app.tasks
        .spawn_until_stop(async move { forget_old_things(&sweeper).await });
    let hearer = app.clone();
    app.tasks.spawn_until_stop(async move {
        loop {
            let result = db::listen(hearer.direct.clone(), &hearer.trust, |change| on_change(&hearer, change)).await;
            if let Err(fault) = result {
                tracing::warn!(cause = %fault, "the listener lost the database; caches are not trusted until it is back");
            }
            sleep(RETRY).await;
        }
    });
}

async fn forget_old_things(app: &App) {
    loop {
        sleep(SWEEP).await;
        if let Err(fault) = sweep(app).await {
            tracing::warn!(cause = %fault, "what has expired could not be deleted; trying again later");
        }
    }
}

async fn notify(app: &App) -> Result<(), Fault> {
    let mut connection = PgConnection::connect_with(&app.direct).await?;
    loop {
        db::notify(&mut connection).await?;
        sleep(BEAT).await;
    }
}

/// Forgets what another replica changed; with `None`, everything: words may have been missed.
fn on_change(app: &App, change: Option<(Topic, &str)>) {
    if !matches!(change, Some((Topic::SigningKeys, _))) {
        match change {
            Some((_, client)) => app.clients.forget(client),
            None => app.clients.forget_all(),
        }
    }
    if !matches!(change, Some((Topic::Client, _))) {
        let app = app.clone();
        app.clone().tasks.spawn_until_stop(async move {
            if let Err(fault) = reload_keys(&app).await {
                tracing::error!(cause = %fault, "the signing keys could not be read anew");
            }
        });
    }
}

async fn reload_keys(app: &App) -> Result<(), Fault> {
    app.keyring
        .reload(&app.sealing, &mut *app.pool.acquire().await?)
        .await
}

/// Deletes what has expired, in batches that disturb nobody.
async fn sweep(app: &App) -> Result<(), Fault> {
    let most_failures = app.config.throttle.max_failures;
    while sessions::sweep(app.clock.now(), &mut *app.pool.acquire().await?).await? > 0 {}
    while throttle::sweep(
        most_failures,
        app.clock.now(),
        &mut *app.pool.acquire().await?,
    )
    .await?
        > 0
    {}
    Ok(())
}
