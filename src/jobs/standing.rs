//! The standing jobs of each replica, each with its interval.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::app::App;
use crate::consumers;
use crate::credentials::throttle;
use crate::cx::{Actor, Cx};
use crate::db::{self, Topic, spend};
use crate::events::{Round, Sequencer};
use crate::kernel::{Fault, clock};
use crate::keys::{person, rotation};
use crate::ops::health;
use crate::{
    authorize, families, idempotency, logout, registration, sessions, token, users, webhooks,
};

/// Between two rounds of the notifier: the longest that a change stays unheard, and the beat of the caches' trust.
const BEAT: Duration = Duration::from_millis(200);
/// Between two tries to reach the database.
const RETRY: Duration = Duration::from_millis(250);

/// How long the signing keys are believed without a word.
const UNHEARD: Duration = Duration::from_secs(2);
/// Between two looks at how far behind consumers are.
const SURVEY: Duration = Duration::from_secs(5);
/// Between two looks at whether keys are due.
const TURN: Duration = Duration::from_secs(1);
/// Between two looks at the database's clock.
const GLANCE: Duration = Duration::from_secs(1);
/// Between two looks for changes that have no place in the feeds yet.
const OFTEN: Duration = Duration::from_millis(10);
const SELDOM: Duration = Duration::from_millis(40);
/// After a round that took long, so many times as long.
const RESTS: u32 = 3;
/// Between two notes of which secrets were used.
const JOT: Duration = Duration::from_secs(2);
/// Between two sweeps.
const SWEEP: Duration = Duration::from_secs(60);
/// Between two looks for feeds that nobody reads any more, and between two batches of what is deleted of one.
const CLEAR: Duration = Duration::from_secs(5);
const BREATH: Duration = Duration::from_millis(100);

/// Between two looks at whether an application is to be told of a logout.
const TELL: Duration = Duration::from_millis(500);

/// Starts the standing jobs; they end when the program stops.
pub(crate) fn start(app: &App) {
    app.tasks.spawn(webhooks::keep_delivering(app.clone()));
    keep(app, tell_caches);
    keep(app, hear_of_changes);
    keep(app, number_changes);
    keep(app, forget_old_things);
    keep(app, reseal);
    keep(app, clear_feeds);
    keep(app, keep_keys);
    keep(app, rotate_keys);
    keep(app, write_uses);
    keep(app, tell_of_logouts);
    keep(app, watch_the_clock);
    keep(app, index_people);
    keep(app, survey_consumers);
}

fn keep<J: Future<Output = ()> + Send + 'static>(app: &App, job: impl FnOnce(App) -> J) {
    app.tasks.spawn_until_stop(job(app.clone()));
}

/// Tells every replica's caches what is outdated.
async fn tell_caches(app: App) {
    loop {
        if let Err(fault) = notify(&app).await {
            tracing::warn!(cause = %fault, "the notifier lost the database; trying again");
        }
        sleep(RETRY).await;
    }
}

/// Hears what to forget.
async fn hear_of_changes(app: App) {
    loop {
        let result = db::listen(
            app.direct.clone(),
            &app.trust,
            |change| on_change(&app, change),
            |word| app.news.hear(word),
        )
        .await;
        if let Err(fault) = result {
            tracing::warn!(cause = %fault, "the listener lost the database; caches are not trusted until it is back");
        }
        sleep(RETRY).await;
    }
}

/// Gives changes their places in the feeds.
async fn number_changes(app: App) {
    loop {
        if let Err(fault) = sequence(&app).await {
            tracing::warn!(cause = %fault, "the sequencer lost the database; changes wait for their places");
        }
        sleep(RETRY).await;
    }
}

async fn forget_old_things(app: App) {
    loop {
        sleep(SWEEP).await;
        if let Err(fault) = sweep(&app).await {
            tracing::warn!(cause = %fault, "what has expired could not be deleted; trying again later");
        }
    }
}

/// Deletes what is left of feeds whose consumer is gone or has another view. A feed may be as large as the directory: nothing is in its way.
async fn clear_feeds(app: App) {
    loop {
        let pause = match db::within(clear_some(&app)).await {
            Ok(0) => CLEAR,
            Ok(_) => BREATH,
            Err(fault) => {
                tracing::warn!(cause = %fault, "a feed that nobody reads could not be deleted; trying again later");
                CLEAR
            }
        };
        sleep(pause).await;
    }
}

async fn clear_some(app: &App) -> Result<u64, Fault> {
    let orphan = consumers::orphan(&mut *app.pool.acquire().await?).await?;
    let Some(orphan) = orphan else { return Ok(0) };
    let mut tx = app.pool.begin().await?;
    let cleared = consumers::sweep(orphan, &mut tx).await?;
    tx.commit().await?;
    Ok(cleared)
}

/// People from before this release, and those whom a replica of an older one still makes, are found by search from then on.
async fn index_people(app: App) {
    loop {
        if let Err(fault) = users::index_older(&Cx::internal(&app, Actor::System)).await {
            tracing::warn!(cause = %fault, "people could not be indexed for searches; trying again later");
        }
        sleep(SWEEP).await;
    }
}

async fn notify(app: &App) -> Result<(), Fault> {
    let mut connection = db::connect_standing(&app.direct).await?;
    loop {
        db::within(db::notify(&mut connection)).await?;
        sleep(BEAT).await;
    }
}

/// Looks for changes often while there are some, less often the longer there are none.
async fn sequence(app: &App) -> Result<(), Fault> {
    let mut sequencer = Sequencer::over(db::connect_standing(&app.direct).await?);
    let mut pause = OFTEN;
    loop {
        let began = clock::monotonic();
        pause = match db::within(sequencer.round(&app.news)).await? {
            Round::More => continue,
            // Where writers keep the database busy, numbering leaves them most of it: more changes in fewer rounds.
            Round::Done => (began.elapsed() * RESTS).clamp(OFTEN, SELDOM),
            Round::Idle => SELDOM.min(pause + pause / 8),
            Round::Elsewhere => SELDOM,
        };
        sleep(pause).await;
    }
}

/// Forgets what another replica changed; with `None`, everything: words may have been missed.
fn on_change(app: &App, change: Option<(Topic, &str)>) {
    match change {
        Some((Topic::Client, id)) => {
            app.clients.forget(id);
            // Its consumer goes with a client.
            app.consumers.forget();
        }
        Some((Topic::Consumers, _)) => app.consumers.forget(),
        Some((Topic::SigningKeys, _)) => app.keyring.outdate(),
        Some((Topic::Token, jti)) => app.unrevoked.forget(jti),
        None => {
            app.clients.forget_all();
            app.consumers.forget();
            app.unrevoked.forget_all();
            app.keyring.outdate();
        }
    }
}

/// Reads the signing keys anew when they have changed, and now and then while nothing is heard: a key that was revoked must not
/// live on because a listener is away.
async fn keep_keys(app: App) {
    loop {
        let told = timeout(UNHEARD, app.keyring.outdated()).await.is_ok();
        if !told && app.trust.holds() {
            continue;
        }
        while let Err(fault) = reload_keys(&app).await {
            tracing::warn!(cause = %fault, "the signing keys could not be read anew; trying again");
            sleep(RETRY).await;
        }
    }
}

async fn reload_keys(app: &App) -> Result<(), Fault> {
    db::within(async {
        let mut connection = app.pool.acquire().await?;
        app.keyring.reload(&app.sealing, &mut connection).await
    })
    .await
}

/// Advances the signing keys when it is time, one replica for all. A replica whose clock is off leaves that to the others.
async fn rotate_keys(app: App) {
    loop {
        sleep(TURN).await;
        if app.watch.clock_is_off() {
            continue;
        }
        let cx = Cx::internal(&app, Actor::System);
        if let Err(fault) = rotation::advance(&cx).await {
            tracing::warn!(cause = %fault, "the signing keys could not be advanced; trying again");
        }
    }
}

/// Seals what is under an older sealing key under the newest: at the start, and again while a replica may be left that has not been told
/// of the newest.
async fn reseal(app: App) {
    loop {
        let cx = Cx::internal(&app, Actor::System);
        for (what, result) in [
            ("people's keys", person::reseal(&cx).await),
            ("webhooks' secrets", webhooks::reseal(&cx).await),
        ] {
            match result {
                Ok(0) => {}
                Ok(count) => {
                    tracing::info!(what, count, "sealed anew under the newest sealing key");
                }
                Err(fault) => {
                    tracing::warn!(cause = %fault, what, "could not be sealed anew; trying again later");
                }
            }
        }
        sleep(SWEEP).await;
    }
}

/// Writes down when clients' secrets were last used: never a request's own business.
async fn write_uses(app: App) {
    loop {
        sleep(JOT).await;
        if let Err(fault) = db::within(app.clients.write_uses(&app)).await {
            tracing::warn!(cause = %fault, "the uses of secrets could not be written down; trying again later");
        }
    }
}

/// Tells applications that sessions ended; all replicas share the work. One whose clock is off leaves it to the others.
async fn tell_of_logouts(app: App) {
    loop {
        let cx = Cx::internal(&app, Actor::System);
        let more = if app.watch.clock_is_off() {
            Ok(false)
        } else {
            logout::deliver(&cx).await
        };
        match more {
            Ok(true) => {}
            Ok(false) => sleep(TELL).await,
            Err(fault) => {
                tracing::warn!(cause = %fault, "applications could not be told of logouts; trying again");
                sleep(TELL).await;
            }
        }
    }
}

/// Holds this machine's clock against the database's.
async fn watch_the_clock(app: App) {
    loop {
        if let Ok(off) = db::within(health::clock_is_off(&app)).await {
            app.watch.clock(off);
        }
        sleep(GLANCE).await;
    }
}

/// Looks how far behind the consumers are, for the metrics.
async fn survey_consumers(app: App) {
    loop {
        sleep(SURVEY).await;
        let cx = Cx::internal(&app, Actor::System);
        if let Err(fault) = db::within(app.consumers.look(&cx)).await {
            tracing::debug!(cause = %fault, "how far behind the consumers are is not known");
        }
    }
}

/// Deletes what has expired, in batches that disturb nobody.
pub(crate) async fn sweep(app: &App) -> Result<(), Fault> {
    registration::sweep(&Cx::internal(app, Actor::System)).await?;
    let now = app.clock.now();
    while sessions::sweep(now, &mut *app.pool.acquire().await?).await? > 0 {}
    while token::sweep(now, &mut *app.pool.acquire().await?).await? > 0 {}
    while authorize::sweep(now, &mut *app.pool.acquire().await?).await? > 0 {}
    while families::sweep(now, &mut *app.pool.acquire().await?).await? > 0 {}
    let grace_ended = now - app.config.tokens.refresh_token_grace.time();
    while spend::sweep(grace_ended, now, &mut *app.pool.acquire().await?).await? > 0 {}
    while idempotency::sweep(now, &mut *app.pool.acquire().await?).await? > 0 {}
    while throttle::sweep(
        &app.config.throttle,
        app.clock.now(),
        &mut *app.pool.acquire().await?,
    )
    .await?
        > 0
    {}
    Ok(())
}
