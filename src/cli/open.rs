//! Opens the store: the database that the settings name, or the private cluster.

use std::sync::Arc;

use super::CliError;
use crate::app::{App, Databases};
use crate::config::{Config, SettingsError};
use crate::db::{self, embedded::Cluster};
use crate::kernel::clock::SystemClock;
use crate::ops::health;

/// A reachable store, held open.
pub(super) struct Store {
    pub(super) databases: Databases,
    pub(super) cluster: Option<Arc<Cluster>>,
}

impl Store {
    pub(super) async fn open(config: &Config) -> Result<Self, CliError> {
        let settings = &config.database;
        let Some(url) = &settings.url else {
            let cluster = Cluster::open(&config.data_dir).await?;
            let options = cluster.connect_options();
            let databases = Databases {
                pooled: options.clone(),
                direct: options,
            };
            return Ok(Self {
                databases,
                cluster: Some(Arc::new(cluster)),
            });
        };
        let wrong = |setting, expected| SettingsError::expected(setting, expected);
        let pooled =
            db::options(url.expose()).map_err(|e| wrong("DATABASE_URL (database.url)", e))?;
        let direct = match &settings.direct_url {
            Some(url) => db::options(url.expose()).map_err(|e| wrong("database.direct_url", e))?,
            None => pooled.clone(),
        };
        Ok(Self {
            databases: Databases { pooled, direct },
            cluster: None,
        })
    }

    /// Lets go of the private cluster; whoever leaves it last stops it.
    pub(super) async fn close(self) {
        if let Some(cluster) = self.cluster.and_then(Arc::into_inner) {
            cluster.close().await;
        }
    }
}

/// Runs `command` with the program over its store, as the operator would: no server need be running, one may be.
pub(super) async fn with_app<T>(
    config: Config,
    command: impl AsyncFnOnce(&App) -> Result<T, CliError>,
) -> Result<T, CliError> {
    let store = Store::open(&config).await?;
    let result = match App::build(config, store.databases.clone(), Arc::new(SystemClock)).await {
        Ok(app) => {
            let result = match health::clock_is_off(&app).await {
                Ok(false) => command(&app).await,
                // What a command dates would be of another hour, and a rotation too early.
                Ok(true) => Err(CliError::Refused(
                    "this machine's clock is more than 5 s off the database's".to_owned(),
                )),
                Err(fault) => Err(fault.into()),
            };
            app.close().await;
            result
        }
        Err(fault) => Err(fault.into()),
    };
    store.close().await;
    result
}
