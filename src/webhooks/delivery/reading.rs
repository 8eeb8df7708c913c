//! Where a webhook reads: in its feed, and in the stretch of it that is sent once more.

use std::time::{Duration, Instant};

use sqlx::{PgConnection, PgPool};

use super::queue::{Job, Queue, Source};
use super::store::Order;
use super::track::Track;
use crate::events::{Change, Reader};
use crate::kernel::{Fault, clock};

/// Changes that are read in one go.
const PAGE: i64 = 64;
/// Without news for so long, the feed is read all the same: words are good for speed, nothing depends on them.
const REREAD: Duration = Duration::from_secs(5);

pub(super) struct Reading {
    pub(super) reader: Reader,
    feed: Track,
    replay: Option<Replay>,
    /// Whether the feed held no more when it was last read, and when that was.
    at_end: bool,
    read_at: Instant,
}

struct Replay {
    track: Track,
    until: i64,
}

impl Replay {
    fn of(order: &Order) -> Option<Self> {
        let (position, until) = order.replay_position.zip(order.replay_until)?;
        let track = Track::from(position);
        Some(Self { track, until })
    }
}

impl Reading {
    pub(super) fn of(order: &Order, reader: Reader) -> Self {
        Self {
            reader,
            feed: Track::from(order.position),
            replay: Replay::of(order),
            at_end: false,
            read_at: clock::monotonic(),
        }
    }

    /// Reads another feed, from its beginning.
    pub(super) fn begin_anew(&mut self) {
        self.feed = Track::from(0);
        self.replay = None;
        self.at_end = false;
    }

    /// Reads what the order has sent once more.
    pub(super) fn replay(&mut self, order: &Order) {
        self.replay = Replay::of(order);
    }

    /// How far the feed and the replay were read.
    pub(super) fn read_to(&self) -> (i64, Option<i64>) {
        let replay = self.replay.as_ref().map(|replay| replay.track.read_to());
        (self.feed.read_to(), replay)
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at_end
    }

    /// There is more in the feed.
    pub(super) fn heard(&mut self) {
        self.at_end = false;
    }

    /// Reads on in the feed, else in what is replayed, into the queue; gives whether there was anything.
    pub(super) async fn read(&mut self, queue: &mut Queue, pool: &PgPool) -> Result<bool, Fault> {
        if !self.at_end || self.read_at.elapsed() >= REREAD {
            let from = self.feed.read_to();
            let page = self
                .reader
                .read(from, PAGE, &mut *pool.acquire().await?)
                .await?;
            self.at_end = page.at_end;
            self.read_at = clock::monotonic();
            let places = page.changes.iter().map(|change| change.position);
            self.feed.read(places, page.next);
            queue.extend(page.changes, Source::Feed);
            return Ok(true);
        }
        let Some(Replay { track, until }) = &mut self.replay else {
            return Ok(false);
        };
        let (from, until) = (track.read_to(), *until);
        if from >= until {
            if track.is_idle() {
                self.replay = None;
            }
            return Ok(false);
        }
        let mut page = self
            .reader
            .read(from, PAGE, &mut *pool.acquire().await?)
            .await?;
        page.changes.retain(|change| change.position <= until);
        let places = page.changes.iter().map(|change| change.position);
        track.read(places, page.next.min(until));
        queue.extend(page.changes, Source::Replay);
        Ok(true)
    }

    /// Reads one change of the feed.
    pub(super) async fn read_one(
        &mut self,
        db: &mut PgConnection,
    ) -> Result<Option<Change>, Fault> {
        let page = self.reader.read(self.feed.read_to(), 1, db).await?;
        let change = page.changes.into_iter().next();
        if let Some(change) = &change {
            self.feed.read([change.position], change.position);
        }
        Ok(change)
    }

    /// The change was received, is kept as a letter, or a newer one stands for it.
    pub(super) fn close(&mut self, job: &Job) {
        match job.source {
            Source::Feed => self.feed.close(job.change.position),
            Source::Replay => {
                if let Some(replay) = &mut self.replay {
                    replay.track.close(job.change.position);
                }
            }
            Source::Letter => {}
        }
    }

    /// Forgets what was read and is still open: it is read anew.
    pub(super) fn rewind(&mut self) {
        self.feed.rewind();
        if let Some(replay) = &mut self.replay {
            replay.track.rewind();
        }
        self.at_end = false;
    }

    /// Writes into the order what is done with.
    pub(super) fn note(&self, order: &mut Order) {
        order.position = self.feed.done_to();
        order.replay_position = self.replay.as_ref().map(|replay| replay.track.done_to());
        order.replay_until = self.replay.as_ref().map(|replay| replay.until);
    }
}
