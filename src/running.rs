//! A running server: the program, its listener and its jobs. The command line runs one, tests run many.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::app::{App, Databases};
use crate::config::{Config, Log};
use crate::kernel::Fault;
use crate::kernel::clock::Clock;
use crate::ops::{health, telemetry};
use crate::server::Doorkeeper;
use crate::{jobs, router, server};

/// Beyond the time that requests get to finish, for closing the rest.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// A server that takes requests until [`Running::stop`].
pub struct Running {
    pub(crate) app: App,
    pub address: SocketAddr,
    serving: JoinHandle<()>,
}

/// Logs as the program does, for what is built around Doorward, while what this gives is held.
pub fn log(settings: &Log) -> impl Sized + use<> {
    telemetry::start(settings)
}

impl Running {
    /// Builds the program and serves `listener`. Fails where the database does not answer or the keys can't be opened.
    pub async fn start(
        config: Config,
        databases: Databases,
        clock: Arc<dyn Clock>,
        listener: TcpListener,
    ) -> Result<Self, Fault> {
        Self::start_with(Router::new(), config, databases, clock, listener).await
    }

    /// The same with further routes within the same layers, for what is built around Doorward; the benchmarks' constant answer is one.
    pub async fn start_with(
        further: Router<App>,
        config: Config,
        databases: Databases,
        clock: Arc<dyn Clock>,
        listener: TcpListener,
    ) -> Result<Self, Fault> {
        let address = listener
            .local_addr()
            .map_err(|e| Fault::internal("asking for the listener's address", e))?;
        let doorkeeper = Doorkeeper::open(&config.tls)?;
        let ops = match config.ops.listen {
            Some(address) => Some(TcpListener::bind(address).await.map_err(|e| {
                let text = format!("ops.listen: {address} can't be listened on: {e}");
                Fault::internal("listening", text)
            })?),
            None => None,
        };
        let app = App::build(config, databases, clock).await?;
        // Before the first request: a replica whose clock is off gives nobody a token.
        app.watch.clock(health::clock_is_off(&app).await?);
        app.start_jobs();
        if let Some(doorkeeper) = doorkeeper.clone() {
            app.tasks
                .spawn_until_stop(async move { doorkeeper.follow().await });
        }
        if let Some(listener) = ops {
            let serving = server::run(app.clone(), router::build_ops(&app), listener, None);
            app.tasks.spawn(serving);
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "this is the task that `stop` waits for first"
        )]
        let serving = tokio::spawn(server::run(
            app.clone(),
            router::build(&app, further),
            listener,
            doorkeeper,
        ));
        Ok(Self {
            app,
            address,
            serving,
        })
    }

    /// Deletes what has expired, as happens each minute, at once: for whoever moves the clock.
    pub async fn sweep(&self) -> Result<(), Fault> {
        jobs::sweep(&self.app).await
    }

    /// Takes no new work, finishes what is under way, and ends in a bounded time.
    pub async fn stop(self) {
        self.app.tasks.announce_stop();
        let _ = self.serving.await;
        self.app.tasks.stop(LAST_WORDS).await;
        self.app.close().await;
    }
}
