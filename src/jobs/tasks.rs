//! Keeps hold of everything that runs beside the requests.

use std::future::Future;
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

/// The running tasks. They end when [`Tasks::stop`] is called: each is told by [`Tasks::stopped`] and then given a bounded time.
pub(crate) struct Tasks {
    running: Mutex<JoinSet<()>>,
    stopping: watch::Sender<bool>,
}

impl Tasks {
    pub(crate) fn new() -> Self {
        Self {
            running: Mutex::new(JoinSet::new()),
            stopping: watch::Sender::new(false),
        }
    }

    /// Runs `task` until it ends or the program stops.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Ok(mut running) = self.running.lock() {
            while running.try_join_next().is_some() {}
            running.spawn(task);
        }
    }

    /// Runs `task` until it ends or the program stops, whichever comes first.
    pub(crate) fn spawn_until_stop(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stopped = self.stopped();
        self.spawn(async move {
            tokio::select! {
                () = task => {}
                () = stopped => {}
            }
        });
    }

    /// Waits until the program stops.
    pub(crate) fn stopped(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut stopping = self.stopping.subscribe();
        async move {
            // The sender lives as long as the program; were it gone, the program would be too.
            let _ = stopping.wait_for(|stop| *stop).await.map(|_| ());
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Says that the program stops; nothing ends by this alone.
    pub(crate) fn announce_stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Tells every task to end, waits for at most `patience`, and ends those that still run.
    pub(crate) async fn stop(&self, patience: Duration) {
        self.announce_stop();
        let mut running = self
            .running
            .lock()
            .map(|mut r| std::mem::take(&mut *r))
            .unwrap_or_default();
        let all = async { while running.join_next().await.is_some() {} };
        if tokio::time::timeout(patience, all).await.is_err() {
            running.shutdown().await;
        }
    }
}
