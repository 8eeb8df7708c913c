//! The private cluster.
use std::fmt;
use std::path::Path;

use sqlx::postgres::PgConnectOptions;

pub(crate) struct Cluster;

#[derive(Debug)]
pub(crate) struct EmbeddedError;

impl fmt::Display for EmbeddedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("set DATABASE_URL")
    }
}

impl Cluster {
    pub(crate) async fn open(_data_dir: &Path) -> Result<Self, EmbeddedError> {
        Err(EmbeddedError)
    }

    pub(crate) fn connect_options(&self) -> PgConnectOptions {
        PgConnectOptions::new()
    }

    pub(crate) async fn supervise(&self) {
        std::future::pending().await
    }

    pub(crate) async fn close(self) {}
}
