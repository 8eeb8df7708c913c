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
use crate::{router, server};

/// Beyond the time that requests get to finish, for closing the rest.
const LAST_WORDS: Duration = Duration::from_secs(3);

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
    let result = serve(config, &store, listener, async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
    .await;
    store.close().await;
    result
}

async fn serve(
    config: Config,
    store: &Store,
    listener: TcpListener,
    told_to_stop: impl Future<Output = ()>,
) -> Result<(), CliError> {
    let app = App::build(config, store.databases.clone(), Arc::new(SystemClock)).await?;
    first_start::run(&app).await?;
    app.start_jobs();
    if let Some(cluster) = store.cluster.clone() {
        app.tasks
            .spawn_until_stop(async move { cluster.supervise().await });
    }
    let address = listener.local_addr()?;
    tracing::info!(%address, issuer = app.config.issuer.as_str(), "listening");

    let serving = server::run(app.clone(), router::build(&app), listener);
    tokio::pin!(serving);
    tokio::select! {
        () = told_to_stop => {}
        () = &mut serving => {}
    }
    tracing::info!("stopping: no new work, what is under way is finished");
    app.tasks.announce_stop();
    serving.await;
    app.tasks.stop(LAST_WORDS).await;
    app.close().await;
    Ok(())
}
