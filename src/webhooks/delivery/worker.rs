//! Delivers one webhook's changes: each person's in order, several people's at a time.
//!
//! Of one person there is never more than one message under way; a newer change waits until the older one is received or has failed. What
//! failed becomes a letter, and a letter is tried again with the person's newest change, so nothing newer is overtaken. Failures of one
//! person keep nobody else waiting; a receiver that takes nothing is tried with one message at a time, ever more seldom, and the feed waits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use uuid::Uuid;

use super::letters::Letters;
use super::outcome::Attempt;
use super::queue::{Job, Queue, Source};
use super::reading::Reading;
use super::shift::Pulse;
use super::store::{self, Order};
use crate::app::App;
use crate::cx::{Actor, Cx};
use crate::db;
use crate::fetch::Destination;
use crate::kernel::{Fault, UserId, clock};
use crate::webhooks::message::Message;
use crate::webhooks::model::probe_after;
use crate::webhooks::store::{Sealed, secrets as sealed_secrets};
use crate::webhooks::{operations, secrets};

/// Messages under way to one receiver.
const PLACES: usize = 16;
/// Between two looks at the clock and at what there is to keep.
const TICK: Duration = Duration::from_millis(100);
/// One webhook's deliveries, while they are this replica's.
pub(super) struct Worker {
    pub(super) app: App,
    replica: Uuid,
    pulse: Arc<Pulse>,
    /// As the database has it, with how far we are.
    pub(super) order: Order,
    url: Destination,
    sealed: Sealed,
    pub(super) reading: Reading,
    pub(super) letters: Letters,
    pub(super) queue: Queue,
    under_way: JoinSet<Attempt>,
    /// Whether there is something to keep, and when that was last done.
    pub(super) changed: bool,
    kept: Instant,
}

/// Delivers until the webhook is somebody else's, or the database is lost.
pub(super) async fn run(
    app: App,
    replica: Uuid,
    pulse: Arc<Pulse>,
    mut orders: watch::Receiver<Order>,
) -> Result<(), Fault> {
    let order = orders.borrow_and_update().clone();
    let begun = db::within(Worker::begin(app, replica, pulse, order)).await?;
    let Some(mut worker) = begun else {
        return Ok(());
    };
    let result = worker.work(&mut orders).await;
    // Whoever delivers next must not be overtaken by what is still under way.
    while worker.under_way.join_next().await.is_some() {}
    result
}

impl Worker {
    async fn begin(
        app: App,
        replica: Uuid,
        pulse: Arc<Pulse>,
        order: Order,
    ) -> Result<Option<Self>, Fault> {
        let cx = Cx::internal(&app, Actor::System);
        let Some(reader) = operations::reader(order.consumer.as_deref(), &cx).await? else {
            return Ok(None);
        };
        let mut db = app.pool.acquire().await?;
        let strange = || Fault::internal("reading a webhook's row", format!("id {}", order.id));
        let Some(sealed) = sealed_secrets(order.id, &mut db).await? else {
            return Ok(None);
        };
        let letters = Letters::read(order.id, app.clock.now(), &mut db).await?;
        drop(db);
        let mut worker = Self {
            url: order.url.parse().map_err(|_| strange())?,
            reading: Reading::of(&order, reader),
            letters,
            app,
            replica,
            pulse,
            sealed,
            queue: Queue::default(),
            under_way: JoinSet::new(),
            changed: false,
            kept: clock::monotonic(),
            order,
        };
        worker.heed_view();
        Ok(Some(worker))
    }

    /// A consumer whose view has changed is told everything anew: its feed is another.
    fn heed_view(&mut self) {
        let feed = self.reading.reader.feed;
        if self.order.feed_id != feed.0 {
            self.order.feed_id = feed.0;
            self.reading.begin_anew();
            self.queue.clear();
            self.changed = true;
        }
    }

    async fn work(&mut self, orders: &mut watch::Receiver<Order>) -> Result<(), Fault> {
        loop {
            // Where the database does not answer, a worker ends and begins anew from what was kept.
            db::within(self.send()).await?;
            db::within(self.keep_now_and_then()).await?;
            let (read_to, _) = self.reading.read_to();
            let news = self.app.news.after(self.reading.reader.feed, read_to);
            tokio::select! {
                Some(ended) = self.under_way.join_next(), if !self.under_way.is_empty() => {
                    // A task that panicked took its job along: all is read anew from what was kept.
                    let attempt = ended.map_err(|e| Fault::internal("delivering a webhook", e))?;
                    db::within(self.ended(attempt)).await?;
                }
                told = orders.changed() => {
                    if told.is_err() {
                        return db::within(self.finish()).await;
                    }
                    let order = orders.borrow_and_update().clone();
                    db::within(self.told(order)).await?;
                }
                () = news, if self.reading.is_at_end() => self.reading.heard(),
                () = sleep(TICK) => {}
            }
        }
    }

    /// Ends what is under way and keeps how far that is.
    async fn finish(&mut self) -> Result<(), Fault> {
        while let Some(ended) = self.under_way.join_next().await {
            let attempt = ended.map_err(|e| Fault::internal("delivering a webhook", e))?;
            self.ended(attempt).await?;
        }
        self.drop_queue();
        self.keep().await
    }

    /// Begins as many messages as may be under way.
    async fn send(&mut self) -> Result<(), Fault> {
        if self.order.paused || !self.pulse.is_strong() {
            self.drop_queue();
            return Ok(());
        }
        let now = self.app.clock.now();
        if self.order.is_down() {
            let due = self.order.next_attempt_at.is_none_or(|at| at <= now);
            if due && self.under_way.is_empty() {
                self.probe(now).await?;
            }
            return Ok(());
        }
        self.send_letters(now).await?;
        let began = clock::monotonic();
        while self.under_way.len() < PLACES {
            // Pages of nobody but people whose letters wait come one after the other; what was passed over is kept in between.
            if self.queue.is_empty() && (began.elapsed() > TICK || !self.read().await?) {
                break;
            }
            let Some(job) = self.queue.next() else {
                continue;
            };
            self.begin_or_hold(job).await?;
        }
        Ok(())
    }

    async fn read(&mut self) -> Result<bool, Fault> {
        let before = self.reading.read_to();
        let read = self.reading.read(&mut self.queue, &self.app.pool).await?;
        self.changed |= self.reading.read_to() != before;
        Ok(read)
    }

    /// A person whose letter waits is told with the letter; one of whom a message is under way, after that.
    async fn begin_or_hold(&mut self, job: Job) -> Result<(), Fault> {
        let user = job.change.user_id;
        if self.queue.is_busy(user) {
            if let Some(older) = self.queue.hold(job) {
                self.reading.close(&older);
            }
        } else if self.letters.is_waiting(user) {
            self.reading.close(&job);
        } else {
            self.begin_message(job)?;
        }
        Ok(())
    }

    fn begin_message(&mut self, job: Job) -> Result<(), Fault> {
        let now = self.app.clock.now();
        let secrets = secrets::open(&self.app.sealing, self.order.id, &self.sealed, now)?;
        let replay = (job.source == Source::Replay).then_some(self.order.replays);
        let message = Message::of(&job.change, self.reading.reader.feed, self.order.id, replay);
        let post = message.sign(&secrets, now);
        self.queue.begun(job.change.user_id);
        let (app, url) = (self.app.clone(), self.url.clone());
        let probe = self.order.is_down();
        self.under_way.spawn(async move {
            let result = app.fetcher.post(&url, post).await;
            Attempt { job, probe, result }
        });
        Ok(())
    }

    /// Tries some of the letters whose time has come.
    async fn send_letters(&mut self, now: OffsetDateTime) -> Result<(), Fault> {
        if !self.letters.are_due(now) {
            return Ok(());
        }
        let mut db = self.app.pool.acquire().await?;
        let due = self.letters.due(&self.queue.busy(), now, &mut db).await?;
        drop(db);
        if !due.is_empty() {
            self.begin_letters(&due).await?;
        }
        Ok(())
    }

    async fn begin_letters(&mut self, users: &[UserId]) -> Result<(), Fault> {
        let mut db = self.app.pool.acquire().await?;
        let changes = self.reading.reader.newest_of(users, &mut db).await?;
        for user in users {
            if !changes.iter().any(|change| change.user_id == *user) {
                // Nothing is left to tell of them.
                self.letters.remove(*user, &mut db).await?;
            }
        }
        drop(db);
        for change in changes {
            // Sent after the letter, what was read before would be older after newer.
            for older in self.queue.take_older(&change) {
                self.reading.close(&older);
            }
            self.letters.begun();
            let source = Source::Letter;
            self.begin_message(Job { change, source })?;
        }
        Ok(())
    }

    /// Tries a receiver that is down with one message: the next of the feed, else the letter that has waited longest.
    async fn probe(&mut self, now: OffsetDateTime) -> Result<(), Fault> {
        self.drop_queue();
        let mut db = self.app.pool.acquire().await?;
        if let Some(change) = self.reading.read_one(&mut db).await? {
            drop(db);
            let source = Source::Feed;
            return self.begin_or_hold(Job { change, source }).await;
        }
        let letter = self.letters.first(&self.queue.busy(), &mut db).await?;
        drop(db);
        if let Some(user) = letter {
            return self.begin_letters(&[user]).await;
        }
        // Nothing to try it with: it is asked again when there is something.
        let wait = probe_after(self.order.failures, None, 128);
        self.order.next_attempt_at = Some(now + wait.min(Duration::from_secs(1)));
        Ok(())
    }

    /// Forgets what was read and is not under way: it is read anew when it is time, as it is then.
    pub(super) fn drop_queue(&mut self) {
        if self.queue.clear() {
            // What is under way lies before it or among it; it may be sent twice.
            self.reading.rewind();
        }
    }

    /// What admins have changed meanwhile.
    async fn told(&mut self, order: Order) -> Result<(), Fault> {
        if order.version != self.order.version {
            let strange = || Fault::internal("reading a webhook's row", format!("id {}", order.id));
            self.url = order.url.parse().map_err(|_| strange())?;
            let mut db = self.app.pool.acquire().await?;
            if let Some(sealed) = sealed_secrets(order.id, &mut db).await? {
                self.sealed = sealed;
            }
            self.order.version = order.version;
            self.order.url.clone_from(&order.url);
            self.order.paused = order.paused;
            self.order.failures = order.failures;
            self.order.failing_since = order.failing_since;
            self.order.next_attempt_at = order.next_attempt_at;
        }
        if order.replays != self.order.replays {
            self.order.replays = order.replays;
            self.reading.replay(&order);
            self.queue.clear_replay();
            let now = self.app.clock.now();
            let mut db = self.app.pool.acquire().await?;
            self.letters.read_anew(now, &mut db).await?;
        }
        if order.consumer.is_some() {
            let cx = Cx::internal(&self.app, Actor::System);
            if let Some(reader) = operations::reader(order.consumer.as_deref(), &cx).await? {
                self.reading.reader = reader;
                self.heed_view();
            }
        }
        Ok(())
    }

    async fn keep_now_and_then(&mut self) -> Result<(), Fault> {
        if self.changed && self.kept.elapsed() >= TICK {
            self.keep().await?;
        }
        Ok(())
    }

    pub(super) async fn keep(&mut self) -> Result<(), Fault> {
        self.reading.note(&mut self.order);
        let mut db = self.app.pool.acquire().await?;
        store::keep(&self.order, self.replica, &mut db).await?;
        self.changed = false;
        self.kept = clock::monotonic();
        Ok(())
    }
}
