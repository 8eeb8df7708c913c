//! What came of a message: what it says about the receiver, and what about the person.

use time::OffsetDateTime;

use super::queue::{Job, Source};
use super::worker::Worker;
use crate::cx::{Actor, Cx};
use crate::fetch::FetchError;
use crate::kernel::{Fault, UserId, random};
use crate::webhooks::model::probe_after;
use crate::webhooks::operations;

/// A message that was tried.
pub(super) struct Attempt {
    pub(super) job: Job,
    /// Whether it was begun to see if a receiver that is down is back.
    pub(super) probe: bool,
    pub(super) result: Result<u16, FetchError>,
}

impl Worker {
    pub(super) async fn ended(&mut self, attempt: Attempt) -> Result<(), Fault> {
        let Attempt { job, result, .. } = &attempt;
        let (user, now) = (job.change.user_id, self.app.clock.now());
        self.queue.ended(user);
        if job.source == Source::Letter {
            self.letters.ended();
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
        self.reading.close(job);
        if result.is_err() {
            self.keep().await?;
        }
        if let Some(held) = self.queue.take_held(user) {
            self.queue.put_back(held);
        }
        Ok(())
    }

    /// What found no place was no attempt, and says nothing about the receiver.
    fn put_back(&mut self, job: Job, now: OffsetDateTime) {
        let newer = self.queue.take_held(job.change.user_id);
        if job.source == Source::Letter {
            self.letters.look_from(now);
        } else if newer.is_some() {
            self.reading.close(&job);
        } else {
            self.queue.put_back(job);
        }
        if let Some(newer) = newer {
            self.queue.put_back(newer);
        }
    }

    async fn received(&mut self, user: UserId, now: OffsetDateTime) -> Result<(), Fault> {
        self.order.last_delivered_at = Some(now);
        let was_down = self.order.is_down();
        self.order.failures = 0;
        let failing_since = self.order.failing_since.take();
        self.order.next_attempt_at = None;
        if self.letters.has(user) {
            let mut db = self.app.pool.acquire().await?;
            self.letters.remove(user, &mut db).await?;
        }
        if was_down {
            // What failed because it was down is sent now.
            let since = failing_since.unwrap_or(now);
            let mut db = self.app.pool.acquire().await?;
            self.letters.hurry(since, now, &mut db).await?;
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
        let was_down = self.order.is_down();
        // Of a receiver that is down only probes count: what was under way when it went down failed for the same reason, and must not
        // make the wait before the first probe as long as after so many of them.
        if *probe || (!was_down && job.source != Source::Letter) {
            self.order.failures = self.order.failures.saturating_add(1);
            self.order.failing_since.get_or_insert(now);
        }
        if self.order.is_down() {
            let asked = error.retry_after();
            let wait = probe_after(self.order.failures, asked, random::bytes::<1>()[0]);
            self.order.next_attempt_at = Some(now + wait);
            if !was_down {
                tracing::warn!(webhook.id = %self.order.id, cause = %error, "a webhook's receiver is down");
            }
            self.drop_queue();
        }
        // A receiver that is down says nothing about one person.
        let more = i32::from(!was_down);
        let mut db = self.app.pool.acquire().await?;
        let user = job.change.user_id;
        self.letters.failed(user, more, error, now, &mut db).await?;
        drop(db);
        if error.is_gone() {
            let cx = Cx::internal(&self.app, Actor::System);
            operations::pause_because_gone(self.order.id, &cx).await?;
            self.order.paused = true;
        }
        Ok(())
    }
}
