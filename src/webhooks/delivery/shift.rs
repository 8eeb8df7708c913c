//! Which replica delivers which webhook. One at a time does, so that people's changes keep their order.
//!
//! Whoever has a webhook raises its `beat` every second. Another replica takes over what has not moved for [`SILENCE`] by its own
//! stopwatch, so no clocks are compared; and whoever could not raise it for [`QUIET`] begins no delivery any more. A delivery ends within
//! the fetcher's five seconds, so the two never overlap. Nothing of the database is held meanwhile.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::PgConnection;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::store::{self, Order};
use super::worker;
use crate::app::App;
use crate::db;
use crate::kernel::{Fault, clock, id};

/// Between two looks at the webhooks; and where there are none.
const LOOK: Duration = Duration::from_millis(200);
const SELDOM: Duration = Duration::from_millis(500);
/// Between two beats.
const BEAT: Duration = Duration::from_secs(1);
/// Without a beat for so long, nothing more is begun.
const QUIET: Duration = Duration::from_secs(2);
/// Without a beat for so long, others take over: longer than [`QUIET`] and a delivery together.
const SILENCE: Duration = Duration::from_secs(8);
/// Between two tries to reach the database.
const RETRY: Duration = Duration::from_millis(250);
/// Between two looks at how far behind the webhooks are.
const GAUGE: Duration = Duration::from_secs(2);
/// How long a stop waits for deliveries under way.
const LAST_WORDS: Duration = Duration::from_millis(2_500);

/// Whether this replica's claims are good.
pub(super) struct Pulse(Mutex<Instant>, AtomicBool);

impl Pulse {
    fn new() -> Self {
        Self(Mutex::new(clock::monotonic()), AtomicBool::new(false))
    }

    /// Whether deliveries may be begun.
    pub(super) fn is_strong(&self) -> bool {
        !self.1.load(Ordering::Acquire) && self.felt().elapsed() < QUIET
    }

    fn felt(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn feel(&self, at: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }

    fn stop(&self) {
        self.1.store(true, Ordering::Release);
    }
}

/// When what is done now and then was last done.
#[derive(Default)]
struct Since {
    beaten: Option<Instant>,
    gauged: Option<Instant>,
}

/// A replica's share of the webhooks.
struct Shift {
    app: App,
    /// This replica, from its start to its end.
    worker: Uuid,
    pulse: Arc<Pulse>,
    /// What is worked here, with what is known of it.
    mine: HashMap<Uuid, watch::Sender<Order>>,
    workers: JoinSet<()>,
    /// What others have: their last beat, and when it was first seen.
    seen: HashMap<Uuid, (Option<Uuid>, i64, Instant)>,
}

/// Delivers until the program stops.
pub(crate) async fn keep(app: App) {
    let mut shift = Shift {
        worker: id::uuid_v7(app.clock.now()),
        pulse: Arc::new(Pulse::new()),
        mine: HashMap::new(),
        workers: JoinSet::new(),
        seen: HashMap::new(),
        app: app.clone(),
    };
    let stopped = app.tasks.stopped();
    tokio::pin!(stopped);
    loop {
        let result = tokio::select! {
            result = shift.work() => result,
            () = &mut stopped => break,
        };
        if let Err(fault) = result {
            tracing::warn!(cause = %fault, "webhooks lost the database; trying again");
        }
        sleep(RETRY).await;
    }
    shift.end().await;
}

impl Shift {
    /// Looks after the webhooks over a connection of its own until that breaks.
    async fn work(&mut self) -> Result<(), Fault> {
        let mut db = db::connect_standing(&self.app.direct).await?;
        let mut since = Since::default();
        loop {
            let pause = db::within(self.turn(&mut since, &mut db)).await?;
            sleep(pause).await;
        }
    }

    /// One look; gives how long until the next.
    async fn turn(&mut self, since: &mut Since, db: &mut PgConnection) -> Result<Duration, Fault> {
        let now = clock::monotonic();
        if since.beaten.is_none_or(|at| at.elapsed() >= BEAT) {
            store::beat(self.worker, db).await?;
            // As of before the statement: what others see is no older.
            self.pulse.feel(now);
            since.beaten = Some(now);
        }
        let orders = store::orders(db).await?;
        let pause = if orders.is_empty() { SELDOM } else { LOOK };
        self.forget_what_is_gone(&orders);
        self.follow(orders, db).await?;
        if since.gauged.is_none_or(|at| at.elapsed() >= GAUGE) {
            self.gauge(db).await?;
            since.gauged = Some(now);
        }
        Ok(pause)
    }

    fn forget_what_is_gone(&mut self, orders: &[Order]) {
        while self.workers.try_join_next().is_some() {}
        let worker = self.worker;
        let is_mine = |id: &Uuid| {
            let order = orders.iter().find(|order| order.id == *id);
            order.is_some_and(|order| order.worker == Some(worker))
        };
        for (id, _) in self.mine.iter().filter(|(id, _)| !is_mine(id)) {
            self.app.meters.webhook_gone(&id.to_string());
        }
        // A worker whose sender is gone finishes what is under way; one that has ended begins anew.
        self.mine
            .retain(|id, told| is_mine(id) && !told.is_closed());
        self.seen
            .retain(|id, _| orders.iter().any(|order| order.id == *id));
    }

    /// Tells the workers what is new, begins what is ours, and takes over some of what is nobody's.
    async fn follow(&mut self, orders: Vec<Order>, db: &mut PgConnection) -> Result<(), Fault> {
        let mut free = Vec::new();
        for order in orders {
            if order.worker == Some(self.worker) {
                match self.mine.get(&order.id) {
                    Some(told) => drop(told.send_replace(order)),
                    None => self.begin(order),
                }
            } else if self.is_free(&order) {
                free.push(order);
            }
        }
        // A part at a time, so that replicas share what there is.
        let part = free.len().div_ceil(4);
        for order in free.into_iter().take(part) {
            store::claim(&order, self.worker, db).await?;
        }
        Ok(())
    }

    fn is_free(&mut self, order: &Order) -> bool {
        let known = self
            .seen
            .entry(order.id)
            .and_modify(|seen| {
                if (seen.0, seen.1) != (order.worker, order.beat) {
                    *seen = (order.worker, order.beat, clock::monotonic());
                }
            })
            .or_insert_with(|| (order.worker, order.beat, clock::monotonic()));
        order.worker.is_none() || known.2.elapsed() > SILENCE
    }

    fn begin(&mut self, order: Order) {
        let id = order.id;
        let (told, orders) = watch::channel(order);
        let worker = worker::run(self.app.clone(), self.worker, self.pulse.clone(), orders);
        self.workers.spawn(async move {
            if let Err(fault) = worker.await {
                tracing::warn!(cause = %fault, webhook.id = %id, "a webhook's deliveries broke off; they begin again where they were");
                sleep(RETRY).await;
            }
        });
        self.mine.insert(id, told);
    }

    async fn gauge(&self, db: &mut PgConnection) -> Result<(), Fault> {
        let now = self.app.clock.now();
        for lag in store::lags(self.worker, db).await? {
            let behind = lag.behind_since.map_or(0, |at| (now - at).whole_seconds());
            let id = lag.id.to_string();
            self.app
                .meters
                .webhook_lags(&id, behind.max(0), lag.waiting, lag.dead);
        }
        Ok(())
    }

    /// Lets what is under way finish, and leaves the rest to others.
    async fn end(mut self) {
        self.pulse.stop();
        self.mine.clear();
        let all = async { while self.workers.join_next().await.is_some() {} };
        if timeout(LAST_WORDS, all).await.is_ok() {
            let released = async {
                let mut db = db::connect_standing(&self.app.direct).await?;
                store::release(self.worker, &mut db).await
            };
            // Where that fails, others wait for the silence.
            let _ = timeout(RETRY * 2, released).await;
        }
    }
}
