//! Ending everybody's sessions, as on the night of an incident: a batch a transaction, so that nobody waits long for any of them.

use std::time::Duration;

use serde_json::json;
use sqlx::PgConnection;
use time::OffsetDateTime;
use tokio::time::Instant;
use uuid::Uuid;

use super::store;
use crate::audit::{self, Action, Change, Target};
use crate::cx::{Cx, ScopesMissing};
use crate::families::{self, Record};
use crate::kernel::clock::rfc3339;
use crate::kernel::{Fault, UserId};

/// Sessions that one transaction ends at most.
const BATCH: i64 = 100;
/// How long whoever holds what is left gets to let go of it, before it is tried again.
const PAUSE: Duration = Duration::from_millis(100);

/// What came of an order so far.
#[derive(Debug)]
pub(crate) struct EndedAll {
    /// Sessions, those included that were idle for too long and of which something lived still.
    pub(crate) ended: u64,
    /// Time was over before the last one.
    pub(crate) left: bool,
}

/// Why an order is refused.
#[derive(Debug)]
pub(crate) enum EndAllError {
    ScopesMissing,
    Fault(Fault),
}

impl From<ScopesMissing> for EndAllError {
    fn from(_: ScopesMissing) -> Self {
        Self::ScopesMissing
    }
}

impl From<Fault> for EndAllError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Ends every session that began at `until` or before, and what belongs to it, each as by [`super::end_one`]. A session that begins later
/// lives on, so this comes to an end; a time still to come is now. It takes no longer than `patience` and the batch that is under way
/// then; without a bound, until none is left. Sent again with the same `until` it goes on where it was.
pub(crate) async fn end_everybodys(
    until: OffsetDateTime,
    patience: Option<Duration>,
    cx: &Cx,
) -> Result<EndedAll, EndAllError> {
    // Admins are among those whose sessions end.
    cx.all_scopes()?;
    let until = until.min(cx.now);
    let deadline = patience.map(|patience| Instant::now() + patience);
    let over = || deadline.is_some_and(|deadline| Instant::now() >= deadline);
    record_order(until, cx).await?;
    let mut ended = 0;
    let left = loop {
        let mut place = Place::default();
        while !place.is_end() && !over() {
            ended += end_batch(&mut place, until, cx).await?;
        }
        if !any_left(until, cx).await? {
            break false;
        }
        if over() {
            break true;
        }
        tokio::time::sleep(PAUSE).await;
    };
    tracing::warn!(ended, left, until = %rfc3339(until), "everybody's sessions were ended by order");
    Ok(EndedAll { ended, left })
}

/// How far the order has come: past these sessions, and then past those whose record is gone.
enum Place {
    Sessions(Vec<u8>),
    Gone(Uuid),
    End,
}

impl Default for Place {
    fn default() -> Self {
        Self::Sessions(Vec::new())
    }
}

impl Place {
    fn is_end(&self) -> bool {
        matches!(self, Self::End)
    }
}

async fn record_order(until: OffsetDateTime, cx: &Cx) -> Result<(), Fault> {
    let change = Change::made(json!({ "begun_until": rfc3339(until) }));
    let mut tx = cx.begin().await?;
    audit::record(
        Action::EverybodysSessionsEnded,
        Target::Everybody,
        change,
        &mut tx,
        cx,
    )
    .await?;
    Ok(tx.commit().await?)
}

/// Ends the next few and gives how many; what somebody else holds at this moment is passed over.
async fn end_batch(place: &mut Place, until: OffsetDateTime, cx: &Cx) -> Result<u64, Fault> {
    let mut tx = cx.begin().await?;
    let (next, record, sessions) = match &*place {
        Place::Sessions(after) => {
            let batch = store::end_batch(after, until, BATCH, &mut tx).await?;
            let next = batch.last.map_or(Place::Gone(Uuid::nil()), Place::Sessions);
            (next, Record::Ended, batch.ended)
        }
        Place::Gone(after) => {
            let batch =
                families::list_without_session(*after, until, BATCH, cx.now, &mut tx).await?;
            let next = batch
                .last()
                .map_or(Place::End, |(last, _)| Place::Gone(*last));
            (next, Record::Gone, batch)
        }
        Place::End => return Ok(0),
    };
    let mut ended = 0;
    for (session, user) in sessions {
        ended += u64::from(end_in(session, record, user, &mut tx, cx).await?);
    }
    tx.commit().await?;
    *place = next;
    Ok(ended)
}

async fn end_in(
    session: Uuid,
    record: Record,
    user: UserId,
    db: &mut PgConnection,
    cx: &Cx,
) -> Result<bool, Fault> {
    let ended = families::end_of_session(session, record, user, cx.now, db).await?;
    if ended {
        let target = Target::User(user);
        audit::record(Action::SessionEnded, target, Change::default(), db, cx).await?;
    }
    Ok(ended)
}

async fn any_left(until: OffsetDateTime, cx: &Cx) -> Result<bool, Fault> {
    let mut connection = cx.connection().await?;
    if store::any_begun(until, &mut connection).await? {
        return Ok(true);
    }
    let gone =
        families::list_without_session(Uuid::nil(), until, 1, cx.now, &mut connection).await?;
    Ok(!gone.is_empty())
}
