//! The sequencer gives each change its place in the feeds, after it has committed and outside its transaction.
//!
//! One worker at a time, whoever gets the lock, takes committed events out of the outbox in the order in which they were appended. A
//! person's event is appended under that person's row lock, so an older event of a person is always there to be taken before or with a
//! newer one; and what commits late is numbered late. Whoever reads by place misses nothing and never meets an older version of a person
//! after a newer one.

use std::collections::BTreeSet;

use sqlx::{Connection, PgConnection};

use super::model::{concerns, newest};
use super::news::News;
use super::store::{self, Place};
use crate::kernel::Fault;

/// Events in one go, where there are few feeds; and people that one new feed is filled with beside them.
const BATCH: i64 = 1000;
const FILL: i64 = 500;
/// Places that one round gives at most, whatever the number of feeds: each costs the making of a digest, and a round that did not end within
/// its time would be tried again as it was, for ever.
const PLACES: i64 = 4000;
/// Events after which the outbox's table is tidied: until then each look steps over what was taken.
const TIDY: usize = 20_000;

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
}

impl Sequencer {
    pub(crate) fn over(connection: PgConnection) -> Self {
        Self {
            connection,
            taken: 0,
        }
    }

    /// One round. Readers of this replica are told of it at once, those of the others through the database.
    pub(crate) async fn round(&mut self, news: &News) -> Result<Round, Fault> {
        let (work, head) = store::look(&mut self.connection).await?;
        news.reached(head);
        if !work {
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
        let (taken, more, word) = number(&mut tx).await?;
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
async fn number(db: &mut PgConnection) -> Result<(usize, bool, Option<String>), Fault> {
    let feeds = store::feeds(db).await?;
    let batch = batch(feeds.len());
    let events = store::take(batch, db).await?;
    let taken = events.len();
    let mut more = taken as i64 == batch;
    let mut moved = BTreeSet::new();

    let events = newest(events);
    let head = store::advance(events.len() as i64, db).await?;
    let first = head + 1 - events.len() as i64;
    let mut places = Vec::new();
    for (event, position) in events.iter().zip(first..) {
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
    let word = (!moved.is_empty()).then(|| News::moved(first - 1, head, &moved));
    Ok((taken, more, word))
}

/// Events in one go, with so many feeds that each may have a place in.
fn batch(feeds: usize) -> i64 {
    let feeds = i64::try_from(feeds).unwrap_or(i64::MAX).max(1);
    (PLACES / feeds).clamp(1, BATCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_is_bounded_in_places() {
        assert_eq!([batch(1), batch(4), batch(51)], [1000, 1000, 78]);
        for feeds in 1..200 {
            assert!(batch(feeds) * feeds as i64 <= PLACES);
        }
    }
}
