//! `doorward serve`: runs until it is told to stop.

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::open::Store;
use super::{CliError, first_start};
use crate::config::Config;
use crate::kernel::clock::SystemClock;
use crate::running::Running;

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
    let running = Running::start(
        config,
        store.databases.clone(),
        Arc::new(SystemClock),
        listener,
    )
    .await?;
    if let Some(cluster) = store.cluster.clone() {
        running
            .app
            .tasks
            .spawn_until_stop(async move { cluster.supervise().await });
    }
    let issuer = running.app.config.issuer.as_str();
    tracing::info!(address = %running.address, issuer, "listening");
    let started = first_start::run(&running.app).await;
    if started.is_ok() {
        told_to_stop.await;
        tracing::info!("stopping: no new work, what is under way is finished");
    }
    running.stop().await;
    started
}
