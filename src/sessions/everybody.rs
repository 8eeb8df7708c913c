//! Ending everybody's sessions, as on the night of an incident: a batch a transaction, so that nobody waits long for any of them.

use std::time::Duration;

use serde_json::json;
use time::OffsetDateTime;
use tokio::time::Instant;
use uuid::Uuid;

use super::{operations, store};
use crate::audit::{self, Action, Change, Target};
use crate::cx::{Cx, ScopesMissing};
use crate::families::{self, Record};
use crate::kernel::Fault;
use crate::kernel::clock::rfc3339;
use crate::kernel::fault::FaultKind;

/// Sessions that one transaction ends at most.
const BATCH: i64 = 100;
/// How long whoever holds what is left gets to let go of it, before it is tried again.
const PAUSE: Duration = Duration::from_millis(100);
/// Failures in a row that pass, after which the order gives up.
const PATIENT: u32 = 20;

/// What came of an order so far.
#[derive(Debug)]
pub(crate) struct EverybodysEnded {
    /// Sessions, those included that were idle for too long and of which something lived still.
    pub(crate) ended: u64,
    /// Time was over before the last one.
    pub(crate) left: bool,
}

/// Why an order is refused.
#[derive(Debug)]
pub(crate) enum EverybodysError {
    ScopesMissing,
    Fault(Fault),
}

impl From<ScopesMissing> for EverybodysError {
    fn from(_: ScopesMissing) -> Self {
        Self::ScopesMissing
    }
}

impl From<Fault> for EverybodysError {
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
) -> Result<EverybodysEnded, EverybodysError> {
    // Admins are among those whose sessions end.
    cx.all_scopes()?;
    let until = until.min(cx.now);
    let deadline = patience.map(|patience| Instant::now() + patience);
    let over = || deadline.is_some_and(|deadline| Instant::now() >= deadline);
    record_order(until, cx).await?;
    let mut ended = 0;
    let mut failures = 0;
    let left = loop {
        match sweep_through(&mut ended, until, &over, cx).await {
            Ok(false) => break false,
            Ok(true) => failures = 0,
            // Two that wait for each other, a fail-over: what is done stays done, and the rest is tried again.
            Err(fault) if fault.kind == FaultKind::Unavailable && failures < PATIENT => {
                tracing::warn!(cause = %fault, "ending everybody's sessions goes on");
                failures += 1;
            }
            Err(fault) => return Err(fault.into()),
        }
        if over() {
            break true;
        }
        tokio::time::sleep(PAUSE).await;
    };
    tracing::warn!(ended, left, until = %rfc3339(until), "everybody's sessions were ended by order");
    Ok(EverybodysEnded { ended, left })
}

/// Goes once through all sessions and counts those it ended; gives whether some are left.
async fn sweep_through(
    ended: &mut u64,
    until: OffsetDateTime,
    over: &impl Fn() -> bool,
    cx: &Cx,
) -> Result<bool, Fault> {
    let mut place = Place::Sessions(Vec::new());
    while !matches!(place, Place::End) && !over() {
        *ended += end_batch(&mut place, until, cx).await?;
    }
    any_left(until, cx).await
}

/// How far the order has come: past these sessions, and then past those of which something lives still: their record is gone, or it is
/// newer than they are, for whoever proves themselves again stays in their session.
enum Place {
    Sessions(Vec<u8>),
    Living(Uuid),
    End,
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
    let mut ended = 0;
    let next = match &*place {
        Place::Sessions(after) => {
            let batch = store::end_batch(after, until, BATCH, &mut tx).await?;
            for (session, user) in batch.ended {
                families::end_of_session(session, Record::Ended, user, cx.now, &mut tx).await?;
                operations::record_end(user, &mut tx, cx).await?;
                ended += 1;
            }
            batch
                .last
                .map_or(Place::Living(Uuid::nil()), Place::Sessions)
        }
        Place::Living(after) => {
            let batch = families::list_sessions(*after, until, BATCH, cx.now, &mut tx).await?;
            let last = batch.last().map(|(last, _)| *last);
            for (session, user) in batch {
                if operations::end(session, user, &mut tx, cx).await? {
                    operations::record_end(user, &mut tx, cx).await?;
                    ended += 1;
                }
            }
            last.map_or(Place::End, Place::Living)
        }
        Place::End => return Ok(0),
    };
    tx.commit().await?;
    *place = next;
    Ok(ended)
}

async fn any_left(until: OffsetDateTime, cx: &Cx) -> Result<bool, Fault> {
    let mut connection = cx.connection().await?;
    if store::any_begun(until, &mut connection).await? {
        return Ok(true);
    }
    let living = families::list_sessions(Uuid::nil(), until, 1, cx.now, &mut connection).await?;
    Ok(!living.is_empty())
}
