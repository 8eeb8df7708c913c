//! The sequencer gives each change its place in the feeds, after it has committed and outside its transaction.
//!
//! One worker at a time, whoever gets the lock, takes committed events out of the outbox in the order in which they were appended. A
//! person's event is appended under that person's row lock, so an older event of a person is always there to be taken before or with a
//! newer one; and what commits late is numbered late. Whoever reads by place misses nothing and never meets an older version of a person
//! after a newer one.
//!
//! What was taken out stays in PostgreSQL's way for as long as anybody holds a snapshot from before (`pg_dump`, a forgotten session), so a look
//! begins where nothing is left to be taken, and only now and then at the beginning ([`Shore`]).

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection};

use super::model::{concerns, newest};
use super::news::News;
use super::store::{self, Look, Place};
use crate::kernel::{Fault, clock};

/// Events in one go, where there are few feeds; and people that one new feed is filled with beside them.
const BATCH: i64 = 1000;
const FILL: i64 = 500;
/// Places that one round gives at most, whatever the number of feeds: each costs the making of a digest, and a round that did not end within
/// its time would be tried again as it was, for ever.
const PLACES: i64 = 4000;
/// Events after which the outbox's table is tidied: until then each look steps over what was taken.
const TIDY: usize = 20_000;
/// How long a change may take from its number to its commit and still be met by each look; later ones are met by the next from the beginning.
const SETTLED: Duration = Duration::from_secs(1);
/// Between two looks from the beginning, the part of all time that they may take, and how long what committed late waits for one at most: a look
/// that took long because the machine stood still says nothing of the next.
const WHOLE: Duration = Duration::from_secs(1);
const PART: u32 = 20;
const LONGEST: Duration = Duration::from_secs(15);

/// What came of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Round {
    /// There was nothing to do.
    Idle,
    /// Somebody else is at it.
    Elsewhere,
    /// All there was is numbered.
    Done,
    /// There is more.
    More,
}

/// Numbers what has been committed, round by round.
pub(crate) struct Sequencer {
    connection: PgConnection,
    taken: usize,
    shore: Shore,
}

impl Sequencer {
    pub(crate) fn over(connection: PgConnection) -> Self {
        Self {
            connection,
            taken: 0,
            shore: Shore::new(clock::monotonic()),
        }
    }

    /// One round. Readers of this replica are told of it at once, those of the others through the database.
    pub(crate) async fn round(&mut self, news: &News) -> Result<Round, Fault> {
        let began = clock::monotonic();
        let from = self.shore.begin(began);
        let look = store::look(from, &mut self.connection).await?;
        self.shore.saw(from, &look, began, began.elapsed());
        news.reached(look.head);
        if look.first.is_none() && !look.filling {
            if self.taken > TIDY {
                self.taken = 0;
                store::vacuum(&mut self.connection).await?;
            }
            return Ok(Round::Idle);
        }
        let mut tx = self.connection.begin().await?;
        if !store::try_lock(&mut tx).await? {
            return Ok(Round::Elsewhere);
        }
        let (taken, more, word) = number(from, &mut tx).await?;
        if let Some(word) = &word {
            store::tell(word, &mut tx).await?;
        }
        tx.commit().await?;
        self.taken += taken;
        if let Some(word) = word {
            news.hear(&word);
        }
        Ok(if more { Round::More } else { Round::Done })
    }
}

/// Numbers one batch and fills new feeds; gives how many events were taken, whether there may be more, and the word for the readers.
async fn number(from: i64, db: &mut PgConnection) -> Result<(usize, bool, Option<String>), Fault> {
    let feeds = store::feeds(db).await?;
    let batch = batch(feeds.len());
    let events = store::take(from, batch, db).await?;
    let taken = events.len();
    let mut more = taken as i64 == batch;
    let mut moved = BTreeSet::new();

    let events = newest(events);
    let before = store::head(db).await?;
    let head = before + events.len() as i64;
    let mut places = Vec::new();
    for (event, position) in events.iter().zip(before + 1..) {
        for feed in feeds.iter().filter(|feed| feed.filled_to.is_none()) {
            if concerns(feed.sources.as_deref(), event.fields.as_deref()) {
                moved.insert(feed.id);
                places.push(Place {
                    feed: feed.id,
                    position,
                    kind: event.kind.clone(),
                    user: event.user,
                    version: event.version,
                    occurred_at: event.occurred_at,
                });
            }
        }
    }
    if !places.is_empty() {
        store::place(&places, db).await?;
    }
    let mut left = PLACES;
    for (feed, from) in feeds.iter().filter_map(|f| Some((f.id, f.filled_to?))) {
        if left < FILL {
            more = true;
            break;
        }
        left -= FILL;
        let places = store::next_to_fill(feed, from, FILL, db).await?;
        let full = places.len() as i64 == FILL;
        let to = places.last().map(|last| last.position).filter(|_| full);
        if !places.is_empty() {
            store::place(&places, db).await?;
        }
        store::filled(feed, to, db).await?;
        more |= full;
        moved.insert(feed);
    }
    let word = (!moved.is_empty()).then(|| News::moved(before, head, &moved));
    Ok((taken, more, word))
}

/// Events in one go, with so many feeds that each may have a place in.
fn batch(feeds: usize) -> i64 {
    let feeds = i64::try_from(feeds).unwrap_or(i64::MAX).max(1);
    (PLACES / feeds).clamp(1, BATCH)
}

/// Up to where nothing is left in the outbox, and nothing will come that was not long on its way.
struct Shore {
    settled: i64,
    /// What looks have shown within [`SETTLED`]: up to where nothing was left.
    shown: VecDeque<(Instant, i64)>,
    /// When it is time to look from the beginning.
    whole_at: Instant,
}

impl Shore {
    fn new(now: Instant) -> Self {
        Self {
            settled: 0,
            shown: VecDeque::new(),
            whole_at: now,
        }
    }

    /// From where to look now.
    fn begin(&self, now: Instant) -> i64 {
        if now >= self.whole_at {
            0
        } else {
            self.settled
        }
    }

    /// What a look from there has shown, and how long it took.
    fn saw(&mut self, from: i64, look: &Look, now: Instant, took: Duration) {
        if from == 0 {
            self.whole_at = now + took + (took * PART).clamp(WHOLE, LONGEST);
        }
        while let Some((at, to)) = self.shown.front() {
            if now.duration_since(*at) < SETTLED {
                break;
            }
            self.settled = *to;
            self.shown.pop_front();
        }
        let last = self.shown.back().map(|(at, _)| now.duration_since(*at));
        if last.is_none_or(|last| last >= SETTLED / 8) {
            let to = look.first.map_or(look.drawn, |first| first - 1);
            self.shown.push_back((now, to));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(first: Option<i64>, drawn: i64) -> Look {
        Look {
            first,
            drawn,
            filling: false,
            head: 0,
        }
    }

    #[test]
    fn looks_begin_where_nothing_is_left_and_now_and_then_at_the_beginning() {
        let start = clock::monotonic();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let mut shore = Shore::new(start);
        let brief = Duration::from_millis(1);
        assert_eq!(shore.begin(start), 0);
        shore.saw(0, &look(Some(41), 90), start, brief);
        // Nothing is passed over that was there, or that may still commit.
        for ms in [100, 300, 900] {
            assert_eq!(shore.begin(at(ms)), 0);
            shore.saw(0, &look(None, 90 + ms as i64), at(ms), brief);
        }
        shore.whole_at = at(10_000);
        shore.saw(0, &look(None, 2_000), at(1_050), brief);
        shore.whole_at = at(10_000);
        assert_eq!(shore.begin(at(1_050)), 40);
        shore.saw(40, &look(None, 2_000), at(1_500), brief);
        assert_eq!(shore.begin(at(1_500)), 390);
        // What commits late is met from the beginning, and what lies after it is not passed over then.
        assert_eq!(shore.begin(at(10_000)), 0);
        shore.saw(0, &look(Some(7), 2_000), at(10_000), brief);
        shore.saw(2_000, &look(None, 2_000), at(11_000), brief);
        assert_eq!(shore.begin(at(10_500)), 6);
    }

    #[test]
    fn looks_from_the_beginning_take_a_small_part_of_all_time() {
        let start = clock::monotonic();
        let mut shore = Shore::new(start);
        shore.saw(0, &look(None, 1), start, Duration::from_millis(500));
        assert!(shore.whole_at >= start + Duration::from_secs(10));
        // And leave nobody waiting for long.
        shore.saw(0, &look(None, 1), start, Duration::from_secs(8));
        assert!(shore.whole_at <= start + Duration::from_secs(23));
        shore.saw(0, &look(None, 1), start, Duration::from_millis(2));
        assert!(shore.whole_at <= start + Duration::from_millis(1_010));
    }

    #[test]
    fn a_round_is_bounded_in_places() {
        assert_eq!([batch(1), batch(4), batch(51)], [1000, 1000, 78]);
        for feeds in 1..200 {
            assert!(batch(feeds) * feeds as i64 <= PLACES);
        }
    }
}
