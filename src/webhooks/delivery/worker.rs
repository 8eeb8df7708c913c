//! Delivers one webhook's changes: each person's in order, several people's at a time.
//!
//! Of one person there is never more than one message under way; a newer change waits until the older one is received or has failed. What
//! failed becomes a letter, and a letter is tried again with the person's newest change, so nothing newer is overtaken. Failures of one
//! person keep nobody else waiting; a receiver that takes nothing is tried with one message at a time, ever more seldom, and the feed waits.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::PgConnection;
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use uuid::Uuid;

use super::shift::Pulse;
use super::store::{self, Order};
use super::track::Track;
use crate::app::App;
use crate::cx::{Actor, Cx};
use crate::db;
use crate::events::{Change, Reader};
use crate::fetch::{Destination, FetchError};
use crate::kernel::{Fault, UserId, clock, random};
use crate::webhooks::message::Message;
use crate::webhooks::model::{DOWN, Letter, probe_after, retry_after};
use crate::webhooks::store::{Sealed, secrets as sealed_secrets};
use crate::webhooks::{operations, secrets};

/// Messages under way to one receiver.
const PLACES: usize = 16;
/// Of these, messages that failed before.
const PLACES_FOR_LETTERS: usize = 4;
/// Changes that are read in one go.
const PAGE: i64 = 64;
/// Between two looks at the clock and at what there is to keep.
const TICK: Duration = Duration::from_millis(100);
/// Without news for so long, the feed is read all the same: words are good for speed, nothing depends on them.
const REREAD: Duration = Duration::from_secs(5);

/// Where a message comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Feed,
    Replay,
    Letter,
}

struct Job {
    change: Change,
    source: Source,
}

/// How a person's letter stands; the rest of it lies in the table.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Waiting,
    GivenUp,
}

struct Attempt {
    job: Job,
    /// Whether it was begun to see if a receiver that is down is back.
    probe: bool,
    result: Result<u16, FetchError>,
}

struct Worker {
    app: App,
    replica: Uuid,
    pulse: Arc<Pulse>,
    /// As the database has it, with how far we are.
    order: Order,
    url: Destination,
    sealed: Sealed,
    reader: Reader,
    feed: Track,
    replay: Option<Track>,
    /// Whose letters there are: any number, so no more of them is held here.
    letters: HashMap<UserId, Fate>,
    /// When the next letter is due; `None`: none is waiting.
    next_letter_at: Option<OffsetDateTime>,
    queue: VecDeque<Job>,
    /// People of whom a message is under way, and what waits for its end.
    busy: HashSet<UserId>,
    held: HashMap<UserId, Job>,
    under_way: JoinSet<Attempt>,
    letters_under_way: usize,
    /// Whether the feed held no more when it was last read, and when that was.
    at_end: bool,
    read_at: Instant,
    /// Whether there is something to keep, and when that was last done.
    changed: bool,
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
        let letters = fates(order.id, &mut db).await?;
        drop(db);
        let mut worker = Self {
            url: order.url.parse().map_err(|_| strange())?,
            feed: Track::from(order.position),
            replay: order.replay_position.map(Track::from),
            next_letter_at: Some(app.clock.now()),
            letters,
            app,
            replica,
            pulse,
            sealed,
            reader,
            queue: VecDeque::new(),
            busy: HashSet::new(),
            held: HashMap::new(),
            under_way: JoinSet::new(),
            letters_under_way: 0,
            at_end: false,
            read_at: clock::monotonic(),
            changed: false,
            kept: clock::monotonic(),
            order,
        };
        worker.heed_view();
        Ok(Some(worker))
    }

    /// A consumer whose view has changed is told everything anew: its feed is another.
    fn heed_view(&mut self) {
        if self.order.feed_id != self.reader.feed.0 {
            self.order.feed_id = self.reader.feed.0;
            self.feed = Track::from(0);
            self.replay = None;
            self.queue.clear();
            self.held.clear();
            self.at_end = false;
            self.changed = true;
        }
    }

    async fn work(&mut self, orders: &mut watch::Receiver<Order>) -> Result<(), Fault> {
        loop {
            // Where the database does not answer, a worker ends and begins anew from what was kept.
            db::within(self.send()).await?;
            db::within(self.keep_now_and_then()).await?;
            let news = self.app.news.after(self.reader.feed, self.feed.read_to());
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
                () = news, if self.at_end => self.at_end = false,
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
        if self.order.failures >= DOWN {
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
            let Some(job) = self.queue.pop_front() else {
                continue;
            };
            self.begin_or_hold(job).await?;
        }
        Ok(())
    }

    /// Reads on in the feed, else in what is replayed; gives whether there was anything.
    async fn read(&mut self) -> Result<bool, Fault> {
        if !self.at_end || self.read_at.elapsed() >= REREAD {
            let from = self.feed.read_to();
            let mut db = self.app.pool.acquire().await?;
            let page = self.reader.read(from, PAGE, &mut db).await?;
            drop(db);
            self.at_end = page.at_end;
            self.read_at = clock::monotonic();
            self.changed |= page.next > from;
            let places = page.changes.iter().map(|change| change.position);
            self.feed.read(places, page.next);
            self.queue_up(page.changes, Source::Feed);
            return Ok(true);
        }
        let Some((track, until)) = self.replay.as_mut().zip(self.order.replay_until) else {
            return Ok(false);
        };
        let from = track.read_to();
        if from >= until {
            if track.is_idle() {
                self.replay = None;
                self.changed = true;
            }
            return Ok(false);
        }
        let mut db = self.app.pool.acquire().await?;
        let mut page = self.reader.read(from, PAGE, &mut db).await?;
        drop(db);
        page.changes.retain(|change| change.position <= until);
        let places = page.changes.iter().map(|change| change.position);
        track.read(places, page.next.min(until));
        self.changed = true;
        self.queue_up(page.changes, Source::Replay);
        Ok(true)
    }

    fn queue_up(&mut self, changes: Vec<Change>, source: Source) {
        self.queue
            .extend(changes.into_iter().map(|change| Job { change, source }));
    }

    /// A person whose letter waits is told with the letter; one of whom a message is under way, after that.
    async fn begin_or_hold(&mut self, job: Job) -> Result<(), Fault> {
        let user = job.change.user_id;
        if self.busy.contains(&user) {
            if let Some(older) = self.held.insert(user, job) {
                self.close(&older);
            }
        } else if self.letters.get(&user) == Some(&Fate::Waiting) {
            self.close(&job);
        } else {
            self.begin_message(job)?;
        }
        Ok(())
    }

    fn begin_message(&mut self, job: Job) -> Result<(), Fault> {
        let now = self.app.clock.now();
        let secrets = secrets::open(&self.app.sealing, self.order.id, &self.sealed, now)?;
        let replay = (job.source == Source::Replay).then_some(self.order.replays);
        let message = Message::of(&job.change, self.reader.feed, self.order.id, replay);
        let post = message.sign(&secrets, now);
        self.busy.insert(job.change.user_id);
        let (app, url) = (self.app.clone(), self.url.clone());
        let probe = self.order.failures >= DOWN;
        self.under_way.spawn(async move {
            let result = app.fetcher.post(&url, post).await;
            Attempt { job, probe, result }
        });
        Ok(())
    }

    /// Tries some of the letters whose time has come.
    async fn send_letters(&mut self, now: OffsetDateTime) -> Result<(), Fault> {
        let free = PLACES_FOR_LETTERS.saturating_sub(self.letters_under_way);
        if free == 0 || self.next_letter_at.is_none_or(|at| at > now) {
            return Ok(());
        }
        let mut next = self.next_letters(free + 1).await?.into_iter().peekable();
        let mut due = Vec::new();
        while let Some((user, _)) = next.next_if(|(_, at)| due.len() < free && *at <= now) {
            due.push(user);
        }
        self.next_letter_at = next.peek().map(|(_, at)| *at);
        if !due.is_empty() {
            self.begin_letters(&due).await?;
        }
        Ok(())
    }

    /// The letters that are due next, and when; without those of people of whom a message is under way.
    async fn next_letters(&self, limit: usize) -> Result<Vec<(UserId, OffsetDateTime)>, Fault> {
        let busy: Vec<UserId> = self.busy.iter().copied().collect();
        let mut db = self.app.pool.acquire().await?;
        store::next_letters(self.order.id, &busy, limit as i64, &mut db).await
    }

    async fn begin_letters(&mut self, users: &[UserId]) -> Result<(), Fault> {
        let mut db = self.app.pool.acquire().await?;
        let changes = self.reader.newest_of(users, &mut db).await?;
        for user in users {
            if !changes.iter().any(|change| change.user_id == *user) {
                // Nothing is left to tell of them.
                store::drop_letter(self.order.id, *user, &mut db).await?;
                self.letters.remove(user);
            }
        }
        drop(db);
        for change in changes {
            self.close_older(&change);
            self.letters_under_way += 1;
            let source = Source::Letter;
            self.begin_message(Job { change, source })?;
        }
        Ok(())
    }

    /// What was read of this person before stands for nothing any more: sent after their letter, it would be older after newer.
    fn close_older(&mut self, newest: &Change) {
        let is_older = |job: &Job| {
            job.change.user_id == newest.user_id && job.change.position <= newest.position
        };
        let (older, queue) = std::mem::take(&mut self.queue)
            .into_iter()
            .partition(is_older);
        self.queue = queue;
        let mut older: VecDeque<Job> = older;
        if self.held.get(&newest.user_id).is_some_and(is_older) {
            older.extend(self.held.remove(&newest.user_id));
        }
        for job in &older {
            self.close(job);
        }
    }

    /// Tries a receiver that is down with one message: the next of the feed, else the letter that has waited longest.
    async fn probe(&mut self, now: OffsetDateTime) -> Result<(), Fault> {
        self.drop_queue();
        let from = self.feed.read_to();
        let mut db = self.app.pool.acquire().await?;
        let page = self.reader.read(from, 1, &mut db).await?;
        drop(db);
        if let Some(change) = page.changes.into_iter().next() {
            self.feed.read([change.position], change.position);
            let source = Source::Feed;
            return self.begin_or_hold(Job { change, source }).await;
        }
        if let Some((user, _)) = self.next_letters(1).await?.pop() {
            return self.begin_letters(&[user]).await;
        }
        // Nothing to try it with: it is asked again when there is something.
        let wait = probe_after(self.order.failures, None, 128);
        self.order.next_attempt_at = Some(now + wait.min(Duration::from_secs(1)));
        Ok(())
    }

    /// What came of a message.
    async fn ended(&mut self, attempt: Attempt) -> Result<(), Fault> {
        let Attempt { job, result, .. } = &attempt;
        let (user, now) = (job.change.user_id, self.app.clock.now());
        self.busy.remove(&user);
        if job.source == Source::Letter {
            self.letters_under_way -= 1;
        }
        if matches!(result, Err(FetchError::Busy)) {
            self.put_back(attempt.job, now);
            return Ok(());
        }
        let id = self.order.id.to_string();
        self.app.meters.webhook_delivered(&id, result.is_ok());
        self.changed = true;
        match result {
            Ok(_) => self.received(user, now).await?,
            Err(error) => self.failed(&attempt, error, now).await?,
        }
        self.close(job);
        if result.is_err() {
            self.keep().await?;
        }
        if let Some(held) = self.held.remove(&user) {
            self.queue.push_front(held);
        }
        Ok(())
    }

    /// What found no place was no attempt, and says nothing about the receiver.
    fn put_back(&mut self, job: Job, now: OffsetDateTime) {
        let newer = self.held.remove(&job.change.user_id);
        if job.source == Source::Letter {
            self.next_letter_at = Some(now);
        } else if newer.is_some() {
            self.close(&job);
        } else {
            self.queue.push_front(job);
        }
        if let Some(newer) = newer {
            self.queue.push_front(newer);
        }
    }

    async fn received(&mut self, user: UserId, now: OffsetDateTime) -> Result<(), Fault> {
        self.order.last_delivered_at = Some(now);
        let was_down = self.order.failures >= DOWN;
        self.order.failures = 0;
        let failing_since = self.order.failing_since.take();
        self.order.next_attempt_at = None;
        if self.letters.remove(&user).is_some() {
            let mut db = self.app.pool.acquire().await?;
            store::drop_letter(self.order.id, user, &mut db).await?;
        }
        if was_down {
            // What failed because it was down is sent now.
            let since = failing_since.unwrap_or(now);
            let mut db = self.app.pool.acquire().await?;
            store::hurry_letters(self.order.id, since, now, &mut db).await?;
            self.next_letter_at = Some(now);
            tracing::info!(webhook.id = %self.order.id, "a webhook's receiver is back");
        }
        Ok(())
    }

    async fn failed(
        &mut self,
        Attempt { job, probe, .. }: &Attempt,
        error: &FetchError,
        now: OffsetDateTime,
    ) -> Result<(), Fault> {
        self.order.last_error = Some(error.to_string());
        self.order.last_error_at = Some(now);
        let was_down = self.order.failures >= DOWN;
        let asked = error.retry_after();
        // Of a receiver that is down only probes count: what was under way when it went down failed for the same reason, and must not
        // make the wait before the first probe as long as after so many of them.
        if *probe || (!was_down && job.source != Source::Letter) {
            self.order.failures = self.order.failures.saturating_add(1);
            self.order.failing_since.get_or_insert(now);
        }
        if self.order.failures >= DOWN {
            let wait = probe_after(self.order.failures, asked, random::bytes::<1>()[0]);
            self.order.next_attempt_at = Some(now + wait);
            if !was_down {
                tracing::warn!(webhook.id = %self.order.id, cause = %error, "a webhook's receiver is down");
            }
            self.drop_queue();
        }
        // A receiver that is down says nothing about one person.
        let user = job.change.user_id;
        let mut db = self.app.pool.acquire().await?;
        let before = if self.letters.contains_key(&user) {
            store::letter(self.order.id, user, &mut db).await?
        } else {
            None
        };
        let attempts = before.as_ref().map_or(0, |letter| letter.attempts) + i32::from(!was_down);
        let wait = retry_after(attempts, asked, random::bytes::<1>()[0]);
        let letter = Letter {
            user,
            attempts,
            failed_at: before.map_or(now, |letter| letter.failed_at),
            next_attempt_at: now + wait.unwrap_or_default(),
            dead_at: wait.is_none().then_some(now),
            error: error.to_string(),
        };
        store::keep_letter(self.order.id, &letter, &mut db).await?;
        drop(db);
        let fate = Fate::of(&letter);
        if fate == Fate::Waiting {
            let due = letter.next_attempt_at;
            self.next_letter_at = Some(self.next_letter_at.map_or(due, |at| at.min(due)));
        }
        self.letters.insert(user, fate);
        if error.is_gone() {
            let cx = Cx::internal(&self.app, Actor::System);
            operations::pause_because_gone(self.order.id, &cx).await?;
            self.order.paused = true;
        }
        Ok(())
    }

    /// The change was received, is kept as a letter, or a newer one stands for it.
    fn close(&mut self, job: &Job) {
        match job.source {
            Source::Feed => self.feed.close(job.change.position),
            Source::Replay => {
                if let Some(track) = &mut self.replay {
                    track.close(job.change.position);
                }
            }
            Source::Letter => {}
        }
    }

    /// Forgets what was read and is not under way: it is read anew when it is time, as it is then.
    fn drop_queue(&mut self) {
        if self.queue.is_empty() && self.held.is_empty() {
            return;
        }
        self.queue.clear();
        self.held.clear();
        // What is under way lies before it or among it; it may be sent twice.
        self.feed.rewind();
        if let Some(track) = &mut self.replay {
            track.rewind();
        }
        self.at_end = false;
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
            self.order.replay_until = order.replay_until;
            self.replay = order.replay_position.map(Track::from);
            self.queue.retain(|job| job.source != Source::Replay);
            self.held.retain(|_, job| job.source != Source::Replay);
            let mut db = self.app.pool.acquire().await?;
            self.letters = fates(order.id, &mut db).await?;
            self.next_letter_at = Some(self.app.clock.now());
        }
        if order.consumer.is_some() {
            let cx = Cx::internal(&self.app, Actor::System);
            if let Some(reader) = operations::reader(order.consumer.as_deref(), &cx).await? {
                self.reader = reader;
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

    async fn keep(&mut self) -> Result<(), Fault> {
        self.order.position = self.feed.done_to();
        self.order.replay_position = self.replay.as_ref().map(Track::done_to);
        if self.replay.is_none() {
            self.order.replay_until = None;
        }
        let mut db = self.app.pool.acquire().await?;
        store::keep(&self.order, self.replica, &mut db).await?;
        self.changed = false;
        self.kept = clock::monotonic();
        Ok(())
    }
}

impl Fate {
    fn of(letter: &Letter) -> Self {
        if letter.dead_at.is_none() {
            Self::Waiting
        } else {
            Self::GivenUp
        }
    }
}

async fn fates(id: Uuid, db: &mut PgConnection) -> Result<HashMap<UserId, Fate>, Fault> {
    let letters = store::letters(id, db).await?;
    let fate = |dead| if dead { Fate::GivenUp } else { Fate::Waiting };
    Ok(letters
        .into_iter()
        .map(|(user, dead)| (user, fate(dead)))
        .collect())
}
