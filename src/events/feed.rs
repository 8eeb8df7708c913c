//! Reading a feed: by place, a page at a time.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use serde_json::Value;
use sqlx::PgConnection;
use time::OffsetDateTime;

use super::EventKind;
use super::store::{self, Place};
use crate::consumers::View;
use crate::cx::Cx;
use crate::http::Problem;
use crate::kernel::{Fault, FeedId, UserId, clock};
use crate::users;

/// Who reads: which feed, and what is shown of people.
#[derive(Clone)]
pub(crate) struct Reader {
    pub(crate) feed: FeedId,
    /// `None`: all there is.
    pub(crate) view: Option<Arc<View>>,
    /// `None`: everybody.
    pub(crate) part: Option<Part>,
}

/// Some of the people: those whose bucket, the last twelve bits of the id, leaves `bucket` when it is divided by `of`, a power of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) bucket: i16,
    pub(crate) of: i16,
}

/// Buckets of all people.
pub(crate) const BUCKETS: i16 = 4096;

impl Part {
    /// Reads `3/64`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (bucket, of) = text.split_once('/')?;
        let part = Self {
            bucket: bucket.parse().ok()?,
            of: of.parse().ok()?,
        };
        let fits = (1..=BUCKETS).contains(&part.of)
            && part.of.count_ones() == 1
            && (0..part.of).contains(&part.bucket);
        (fits && part.to_string() == text).then_some(part)
    }

    fn buckets(self) -> Vec<i16> {
        let step = usize::try_from(self.of).unwrap_or(1);
        (self.bucket..BUCKETS).step_by(step).collect()
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.bucket, self.of)
    }
}

/// A change as a reader sees it.
pub(crate) struct Change {
    pub(crate) position: i64,
    /// `user.created` and so on; the newest of what happened to the person, so that of a person whom the reader never met too.
    pub(crate) kind: String,
    pub(crate) user_id: UserId,
    pub(crate) version: i64,
    pub(crate) occurred_at: OffsetDateTime,
    /// The person, at this version or a later one, as JSON; `None`: they are gone.
    pub(crate) user: Option<String>,
}

impl Change {
    /// The change as JSON (docs/specification.md, "Changes").
    pub(crate) fn write(&self, json: &mut String) {
        let (kind, id) = (&self.kind, self.user_id);
        let (position, version) = (self.position, self.version);
        let at = clock::rfc3339(self.occurred_at);
        let user = self.user.as_deref().unwrap_or("null");
        json.push_str(&format!(
            r#"{{"position":{position},"type":"{kind}","user_id":"{id}","version":{version},"occurred_at":"{at}","user":"#
        ));
        json.push_str(user);
        json.push('}');
    }
}

/// Some changes, in the order of their places.
pub(crate) struct Page {
    pub(crate) changes: Vec<Change>,
    /// Where to go on from.
    pub(crate) next: i64,
    /// Whether there was no more at the time.
    pub(crate) at_end: bool,
    /// Whether the feed has not come as far as the place that was read from: the database is an older one than the reader has met, and what
    /// comes at the places up to there would be passed over.
    pub(crate) is_behind: bool,
}

impl Reader {
    /// Those who are no registered consumer.
    pub(crate) fn everybodys() -> Self {
        Self {
            feed: FeedId::EVERYBODYS,
            view: None,
            part: None,
        }
    }

    /// At most `limit` changes after the place `after`; 0 is the beginning, where each person is met once, as a snapshot would have them.
    pub(crate) async fn read(
        &self,
        after: i64,
        limit: i64,
        db: &mut PgConnection,
    ) -> Result<Page, Fault> {
        let buckets = self.part.map(Part::buckets);
        let buckets = buckets.as_deref();
        let (places, head) = store::page(self.feed, buckets, after, limit, db).await?;
        let at_end = (places.len() as i64) < limit;
        let last = places.last().map_or(after, |place| place.position);
        Ok(Page {
            next: if at_end { head.max(last) } else { last },
            changes: self.with_people(places, db).await?,
            at_end,
            is_behind: after > head,
        })
    }

    /// The newest change of each of these people, in the order of their places.
    pub(crate) async fn newest_of(
        &self,
        people: &[UserId],
        db: &mut PgConnection,
    ) -> Result<Vec<Change>, Fault> {
        let places = store::newest_of(self.feed, people, db).await?;
        self.with_people(places, db).await
    }

    /// Joins the people as they are now: read after the places, they are at the version of their change or at a later one.
    async fn with_people(
        &self,
        places: Vec<Place>,
        db: &mut PgConnection,
    ) -> Result<Vec<Change>, Fault> {
        let there: Vec<UserId> = places
            .iter()
            .filter(|place| !is_tombstone(&place.kind))
            .map(|place| place.user)
            .collect();
        let mut people: HashMap<UserId, String> = match (&self.view, there.is_empty()) {
            (_, true) => HashMap::new(),
            (None, false) => users::documents(&there, db).await?,
            (Some(view), false) => {
                let people = users::find_many(&there, db).await?;
                let shown = people.iter().map(|user| {
                    (
                        user.id,
                        Value::Object(view.show(&user.to_json())).to_string(),
                    )
                });
                shown.collect()
            }
        };
        let changes = places.into_iter().map(|place| {
            let user = people.remove(&place.user);
            Change {
                position: place.position,
                // Gone since: the change that says so comes later, with a later version.
                kind: if user.is_none() && !is_tombstone(&place.kind) {
                    EventKind::Deleted.as_str().to_owned()
                } else {
                    place.kind
                },
                user_id: place.user,
                version: place.version,
                occurred_at: place.occurred_at,
                user,
            }
        });
        Ok(changes.collect())
    }
}

impl Reader {
    /// A cursor of this reader's feed; a consumer whose view has changed reads another feed and begins anew.
    pub(crate) fn cursor(&self, position: i64, cx: &Cx) -> String {
        cx.app.cursors.encode(&self.list(), &position)
    }

    /// The place that a cursor of this feed stands for.
    pub(crate) fn place_of(&self, cursor: &str, cx: &Cx) -> Result<i64, Problem> {
        let place = cx.app.cursors.decode(&self.list(), cursor);
        place.map_err(|_| not_of_this_feed())
    }

    fn list(&self) -> String {
        let part = self.part.map(|part| part.to_string());
        format!("changes {} {}", self.feed.0, part.unwrap_or_default())
    }
}

pub(super) fn not_of_this_feed() -> Problem {
    Problem::invalid_query(
        "after",
        "This is not a cursor of this feed. Where the view has changed, or the directory was restored from a backup, begin anew, without a cursor.",
    )
}

/// Whether the change says that the person is gone. `user.merged` is reserved: nothing makes it yet.
fn is_tombstone(kind: &str) -> bool {
    ["user.deleted", "user.merged", "user.erased"].contains(&kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_a_power_of_twos() {
        for good in ["0/1", "3/64", "4095/4096"] {
            assert_eq!(
                Part::parse(good).map(|part| part.to_string()).as_deref(),
                Some(good)
            );
        }
        for bad in [
            "", "3", "64/64", "-1/64", "3/63", "0/8192", "03/64", "+3/64", "3/64/1", "1/0",
        ] {
            assert_eq!(Part::parse(bad), None, "{bad}");
        }
        let all = (0..64).flat_map(|bucket| Part { bucket, of: 64 }.buckets());
        let mut all: Vec<i16> = all.collect();
        all.sort_unstable();
        assert_eq!(all, (0..BUCKETS).collect::<Vec<_>>());
    }
}
