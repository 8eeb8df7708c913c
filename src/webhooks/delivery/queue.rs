//! What was read and is to be sent: of each person one message at a time, and of what waits for its end the newest.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::events::Change;
use crate::kernel::UserId;

/// Where a message comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Feed,
    Replay,
    Letter,
}

/// A message to be sent.
pub(super) struct Job {
    pub(super) change: Change,
    pub(super) source: Source,
}

#[derive(Default)]
pub(super) struct Queue {
    jobs: VecDeque<Job>,
    /// People of whom a message is under way, and what waits for its end.
    busy: HashSet<UserId>,
    held: HashMap<UserId, Job>,
}

impl Queue {
    /// Whether there is nothing to begin; something may be held.
    pub(super) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    pub(super) fn extend(&mut self, changes: Vec<Change>, source: Source) {
        self.jobs
            .extend(changes.into_iter().map(|change| Job { change, source }));
    }

    pub(super) fn next(&mut self) -> Option<Job> {
        self.jobs.pop_front()
    }

    pub(super) fn put_back(&mut self, job: Job) {
        self.jobs.push_front(job);
    }

    /// A message of this person is under way.
    pub(super) fn begun(&mut self, user: UserId) {
        self.busy.insert(user);
    }

    pub(super) fn ended(&mut self, user: UserId) {
        self.busy.remove(&user);
    }

    pub(super) fn is_busy(&self, user: UserId) -> bool {
        self.busy.contains(&user)
    }

    pub(super) fn busy(&self) -> Vec<UserId> {
        self.busy.iter().copied().collect()
    }

    /// Holds it until the person's message has ended; gives the older one that it stands for.
    pub(super) fn hold(&mut self, job: Job) -> Option<Job> {
        self.held.insert(job.change.user_id, job)
    }

    pub(super) fn take_held(&mut self, user: UserId) -> Option<Job> {
        self.held.remove(&user)
    }

    /// Takes out what was read of this person before, which the newest stands for.
    pub(super) fn take_older(&mut self, newest: &Change) -> VecDeque<Job> {
        let is_older = |job: &Job| {
            job.change.user_id == newest.user_id && job.change.position <= newest.position
        };
        let (mut older, jobs): (VecDeque<Job>, _) = std::mem::take(&mut self.jobs)
            .into_iter()
            .partition(is_older);
        self.jobs = jobs;
        if self.held.get(&newest.user_id).is_some_and(is_older) {
            older.extend(self.held.remove(&newest.user_id));
        }
        older
    }

    /// Forgets what is not under way; gives whether there was any.
    pub(super) fn clear(&mut self) -> bool {
        let any = !self.jobs.is_empty() || !self.held.is_empty();
        self.jobs.clear();
        self.held.clear();
        any
    }

    /// Forgets what of a replay is not under way.
    pub(super) fn clear_replay(&mut self) {
        self.jobs.retain(|job| job.source != Source::Replay);
        self.held.retain(|_, job| job.source != Source::Replay);
    }
}
