//! How far a webhook is: what was read of the feed, and what of that is still open.

use std::collections::BTreeSet;

/// A stretch of the feed on its way out. A change is open from being read to being received or kept as a letter.
pub(super) struct Track {
    read_to: i64,
    open: BTreeSet<i64>,
}

impl Track {
    pub(super) fn from(position: i64) -> Self {
        Self {
            read_to: position,
            open: BTreeSet::new(),
        }
    }

    /// Where reading goes on.
    pub(super) fn read_to(&self) -> i64 {
        self.read_to
    }

    /// These places were read, and the feed up to `next`.
    pub(super) fn read(&mut self, places: impl IntoIterator<Item = i64>, next: i64) {
        self.open.extend(places);
        self.read_to = next.max(self.read_to);
    }

    pub(super) fn close(&mut self, position: i64) {
        self.open.remove(&position);
    }

    /// All up to here is done with.
    pub(super) fn done_to(&self) -> i64 {
        self.open.first().map_or(self.read_to, |first| first - 1)
    }

    pub(super) fn is_idle(&self) -> bool {
        self.open.is_empty()
    }

    /// Forgets what was read and not sent: it is read anew.
    pub(super) fn rewind(&mut self) {
        self.read_to = self.done_to();
        self.open.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// In whatever order changes are closed, none that is open lies at or before the place that is kept.
        #[test]
        fn what_is_open_is_never_passed(gaps in prop::collection::vec(1..4_i64, 1..40), order in any::<prop::sample::Index>(), stride in 1..7_usize) {
            let mut places = Vec::new();
            for gap in gaps {
                places.push(places.last().unwrap_or(&10) + gap);
            }
            let end = places.last().unwrap() + 5;
            let mut track = Track::from(10);
            track.read(places.clone(), end);
            let mut open = places.clone();
            let mut at = order.index(open.len());
            let mut before = track.done_to();
            while !open.is_empty() {
                at = (at + stride) % open.len();
                track.close(open.remove(at));
                let done_to = track.done_to();
                prop_assert!(done_to >= before && open.iter().all(|place| *place > done_to));
                before = done_to;
            }
            prop_assert_eq!((track.done_to(), track.is_idle()), (end, true));
        }

        #[test]
        fn what_was_not_closed_is_read_anew(places in prop::collection::btree_set(11..60_i64, 1..20), closed in 0..20_usize) {
            let mut track = Track::from(10);
            track.read(places.clone(), 60);
            for place in places.iter().take(closed) {
                track.close(*place);
            }
            track.rewind();
            let again: Vec<i64> = places.iter().copied().filter(|p| *p > track.read_to()).collect();
            let open: Vec<i64> = places.iter().copied().skip(closed).collect();
            prop_assert_eq!(again, open);
        }
    }
}
