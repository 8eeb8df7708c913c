//! What failed and is tried again: of each person one letter, sent with their newest change.

use std::collections::HashMap;

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::store;
use crate::fetch::FetchError;
use crate::kernel::{Fault, UserId, random};
use crate::webhooks::model::{Letter, retry_after};

/// Letters under way to one receiver.
const PLACES_FOR_LETTERS: usize = 4;

/// How a person's letter stands; the rest of it lies in the table.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Waiting,
    GivenUp,
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

/// A webhook's letters.
pub(super) struct Letters {
    webhook: Uuid,
    /// Whose there are: any number, so no more of them is held here.
    fates: HashMap<UserId, Fate>,
    /// When the next one is due; `None`: none is waiting.
    next_at: Option<OffsetDateTime>,
    under_way: usize,
}

impl Letters {
    pub(super) async fn read(
        webhook: Uuid,
        now: OffsetDateTime,
        db: &mut PgConnection,
    ) -> Result<Self, Fault> {
        let mut letters = Self {
            webhook,
            fates: HashMap::new(),
            next_at: None,
            under_way: 0,
        };
        letters.read_anew(now, db).await?;
        Ok(letters)
    }

    /// Reads whose letters there are after others have written some.
    pub(super) async fn read_anew(
        &mut self,
        now: OffsetDateTime,
        db: &mut PgConnection,
    ) -> Result<(), Fault> {
        let fate = |dead| if dead { Fate::GivenUp } else { Fate::Waiting };
        let letters = store::letters(self.webhook, db).await?.into_iter();
        self.fates = letters.map(|(user, dead)| (user, fate(dead))).collect();
        self.look_from(now);
        Ok(())
    }

    /// Looks for what is due from then on.
    pub(super) fn look_from(&mut self, at: OffsetDateTime) {
        self.next_at = Some(at);
    }

    pub(super) fn has(&self, user: UserId) -> bool {
        self.fates.contains_key(&user)
    }

    /// Whether the person's letter is tried again.
    pub(super) fn is_waiting(&self, user: UserId) -> bool {
        self.fates.get(&user) == Some(&Fate::Waiting)
    }

    pub(super) fn begun(&mut self) {
        self.under_way += 1;
    }

    pub(super) fn ended(&mut self) {
        self.under_way -= 1;
    }

    fn free(&self) -> usize {
        PLACES_FOR_LETTERS.saturating_sub(self.under_way)
    }

    /// Whether the time of one has come that there is room for.
    pub(super) fn are_due(&self, now: OffsetDateTime) -> bool {
        self.free() > 0 && self.next_at.is_some_and(|at| at <= now)
    }

    /// Some of those whose time has come, without people who are `busy`.
    pub(super) async fn due(
        &mut self,
        busy: &[UserId],
        now: OffsetDateTime,
        db: &mut PgConnection,
    ) -> Result<Vec<UserId>, Fault> {
        let free = self.free();
        let next = store::next_letters(self.webhook, busy, free as i64 + 1, db).await?;
        let mut next = next.into_iter().peekable();
        let mut due = Vec::new();
        while let Some((user, _)) = next.next_if(|(_, at)| due.len() < free && *at <= now) {
            due.push(user);
        }
        self.next_at = next.peek().map(|(_, at)| *at);
        Ok(due)
    }

    /// Whose is due next, whenever that is, without people who are `busy`.
    pub(super) async fn first(
        &self,
        busy: &[UserId],
        db: &mut PgConnection,
    ) -> Result<Option<UserId>, Fault> {
        let next = store::next_letters(self.webhook, busy, 1, db).await?.pop();
        Ok(next.map(|(user, _)| user))
    }

    /// Keeps that the person's message failed, with so many attempts `more`.
    pub(super) async fn failed(
        &mut self,
        user: UserId,
        more: i32,
        error: &FetchError,
        now: OffsetDateTime,
        db: &mut PgConnection,
    ) -> Result<(), Fault> {
        let before = if self.has(user) {
            store::letter(self.webhook, user, db).await?
        } else {
            None
        };
        let attempts = before.as_ref().map_or(0, |letter| letter.attempts) + more;
        let wait = retry_after(attempts, error.retry_after(), random::bytes::<1>()[0]);
        let letter = Letter {
            user,
            attempts,
            failed_at: before.map_or(now, |letter| letter.failed_at),
            next_attempt_at: now + wait.unwrap_or_default(),
            dead_at: wait.is_none().then_some(now),
            error: error.to_string(),
        };
        store::keep_letter(self.webhook, &letter, db).await?;
        let fate = Fate::of(&letter);
        if fate == Fate::Waiting {
            let due = letter.next_attempt_at;
            self.look_from(self.next_at.map_or(due, |at| at.min(due)));
        }
        self.fates.insert(user, fate);
        Ok(())
    }

    /// Nothing is left to tell of the person.
    pub(super) async fn remove(
        &mut self,
        user: UserId,
        db: &mut PgConnection,
    ) -> Result<(), Fault> {
        store::drop_letter(self.webhook, user, db).await?;
        self.fates.remove(&user);
        Ok(())
    }

    /// Has those tried now that failed since then.
    pub(super) async fn hurry(
        &mut self,
        failed_since: OffsetDateTime,
        now: OffsetDateTime,
        db: &mut PgConnection,
    ) -> Result<(), Fault> {
        store::hurry_letters(self.webhook, failed_since, now, db).await?;
        self.look_from(now);
        Ok(())
    }
}
