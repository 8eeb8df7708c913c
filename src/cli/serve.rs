//! `doorward serve`: runs until it is told to stop.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::open::Store;
use super::{CliError, first_start};
use crate::app::App;
use crate::config::Config;
use crate::kernel::clock::SystemClock;
use crate::kernel::fault::FaultKind;
use crate::running::Running;

/// Between two tries to reach a database that went away during the start.
const RETRY: Duration = Duration::from_millis(250);

pub(super) async fn run(config: Config) -> Result<(), CliError> {
    // Asked for before anything is started: whoever stops us meanwhile is heard.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let listener = TcpListener::bind(config.listen).await.map_err(|e| {
        CliError::Refused(format!(
            "listen: {} can't be listened on: {e}",
            config.listen
        ))
    })?;
    let store = Store::open(&config).await?;
    let told_to_stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let result = serve(config, &store, listener, told_to_stop).await;
    store.close().await;
    result
}

async fn serve(
    config: Config,
    store: &Store,
    listener: TcpListener,
    told_to_stop: impl Future<Output = ()>,
) -> Result<(), CliError> {
    tokio::pin!(told_to_stop);
    let databases = store.databases.clone();
    let running = tokio::select! {
        running = Running::start(config, databases, Arc::new(SystemClock), listener) => running?,
        // A migration may wait for somebody for long.
        () = &mut told_to_stop => {
            tracing::info!("stopping: the start was not done yet");
            return Ok(());
        }
    };
    if let Some(cluster) = store.cluster.clone() {
        running
            .app
            .tasks
            .spawn_until_stop(async move { cluster.supervise().await });
    }
    let issuer = running.app.config.issuer.as_str();
    tracing::info!(address = %running.address, issuer, "listening");
    let started = tokio::select! {
        started = make_first(&running.app) => started,
        () = &mut told_to_stop => return stop(running, Ok(())).await,
    };
    if started.is_ok() {
        told_to_stop.await;
    }
    stop(running, started).await
}

/// A database that goes away just now is no reason to end: it is asked again until it is back.
async fn make_first(app: &App) -> Result<(), CliError> {
    loop {
        match first_start::run(app).await {
            Err(CliError::Fault(fault)) if fault.kind == FaultKind::Unavailable => {
                tracing::warn!(cause = %fault, "the database went away during the start; trying again");
                tokio::time::sleep(RETRY).await;
            }
            other => return other,
        }
    }
}

async fn stop(running: Running, result: Result<(), CliError>) -> Result<(), CliError> {
    tracing::info!("stopping: no new work, what is under way is finished");
    running.stop().await;
    result
}
