//! What readers wait for, without a connection to the database: that a feed has moved on, or that a consumer has.

use std::collections::{BTreeSet, HashMap};

use tokio::sync::watch;

use crate::kernel::FeedId;

/// What this replica has heard of the feeds.
pub(crate) struct News(watch::Sender<Heard>);

#[derive(Default)]
struct Heard {
    /// The newest place that any feed may have reached.
    head: i64,
    /// The newest place in each feed that moved while somebody listened.
    feeds: HashMap<FeedId, i64>,
    /// For feeds of which nothing was heard one by one: what was missed may have moved them up to here.
    missed: i64,
    /// How far the consumers of the feeds said they are.
    acknowledged: HashMap<FeedId, i64>,
}

impl Heard {
    fn reach(&self, feed: FeedId) -> i64 {
        let one = self.feeds.get(&feed).copied().unwrap_or(0);
        one.max(self.missed)
    }
}

impl News {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(Heard::default()))
    }

    /// The word that these feeds have moved on from `before` to `head`, and no other.
    pub(super) fn moved(before: i64, head: i64, feeds: &BTreeSet<FeedId>) -> String {
        let mut word = format!("numbered {head} {before}");
        for feed in feeds {
            word.push(' ');
            word.push_str(&feed.0.to_string());
        }
        word
    }
    /// The word that the consumer of a feed has applied it up to `position`.
    pub(crate) fn acknowledged(feed: FeedId, position: i64) -> String {
        format!("acknowledged {position} {}", feed.0)
    }

    /// Takes in a word; what is none is passed over.
    pub(crate) fn hear(&self, word: &str) {
        let mut parts = word.split(' ');
        let kind = parts.next();
        let Some(position) = parts.next().and_then(|p| p.parse::<i64>().ok()) else {
            return;
        };
        self.0.send_modify(|heard| {
            let map = match kind {
                Some("numbered") => {
                    let Some(before) = parts.next().and_then(|p| p.parse().ok()) else {
                        return;
                    };
                    // A word between the last one and this one was missed: any feed may have moved.
                    if before > heard.head {
                        heard.missed = before;
                    }
                    heard.head = heard.head.max(position);
                    &mut heard.feeds
                }
                Some("acknowledged") => &mut heard.acknowledged,
                _ => return,
            };
            for feed in parts.filter_map(|id| id.parse().ok()).map(FeedId) {
                let known = map.entry(feed).or_insert(0);
                *known = position.max(*known);
            }
        });
    }

    /// The head was seen at `position`: where no word of that came, any feed may have moved.
    pub(super) fn reached(&self, position: i64) {
        self.0.send_if_modified(|heard| {
            let news = position > heard.head;
            if news {
                heard.head = position;
                heard.missed = position;
            }
            news
        });
    }

    /// Waits until the feed may hold something after `position`.
    pub(crate) async fn after(&self, feed: FeedId, position: i64) {
        let mut heard = self.0.subscribe();
        // The sender lives as long as the program.
        let _ = heard.wait_for(|heard| heard.reach(feed) > position).await;
    }
    /// Waits until the consumer of the feed has said that it applied `position`.
    pub(crate) async fn acknowledgement(&self, feed: FeedId, position: i64) {
        let mut heard = self.0.subscribe();
        let _ = heard
            .wait_for(|heard| {
                heard
                    .acknowledged
                    .get(&feed)
                    .is_some_and(|at| *at >= position)
            })
            .await;
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::task::{Context, Waker};

    use super::*;

    fn is_ready(future: impl Future) -> bool {
        let future = std::pin::pin!(future);
        future
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_ready()
    }

    #[test]
    fn a_reader_is_woken_by_its_own_feed() {
        let (news, a, b) = (News::new(), FeedId(1), FeedId(2));
        news.hear(&News::moved(0, 5, &BTreeSet::from([a])));
        assert!(is_ready(news.after(a, 4)));
        assert!(!is_ready(news.after(a, 5)));
        assert!(!is_ready(news.after(b, 4)), "another's change is none");
        news.reached(5);
        assert!(!is_ready(news.after(b, 4)), "that was heard of");
        news.reached(6);
        assert!(is_ready(news.after(b, 5)), "a word was missed");
        for nonsense in [
            "numbered x",
            "numbered 9",
            "numbered 9 x 1",
            "nonsense 9 1 1",
            "",
        ] {
            news.hear(nonsense);
        }
        assert!(!is_ready(news.after(a, 6)));
    }

    #[test]
    fn a_word_about_one_feed_hides_no_missed_word_about_another() {
        let (news, a, b) = (News::new(), FeedId(1), FeedId(2));
        let only = |feed| BTreeSet::from([feed]);
        news.hear(&News::moved(0, 5, &only(a)));
        // The word that b has moved on to 6 is lost.
        news.hear(&News::moved(6, 7, &only(a)));
        news.reached(7);
        assert!(is_ready(news.after(b, 5)));
        assert!(!is_ready(news.after(b, 6)));
        // Told twice, by this replica's sequencer and by the database.
        news.hear(&News::moved(6, 7, &only(a)));
        news.hear(&News::moved(7, 8, &only(a)));
        assert!(!is_ready(news.after(b, 6)));
    }

    #[test]
    fn an_acknowledgement_never_goes_back() {
        let (news, feed) = (News::new(), FeedId(1));
        assert!(!is_ready(news.acknowledgement(feed, 1)));
        news.hear(&News::acknowledged(feed, 7));
        news.hear(&News::acknowledged(feed, 3));
        assert!(is_ready(news.acknowledgement(feed, 7)));
        assert!(!is_ready(news.acknowledgement(feed, 8)));
    }
}
