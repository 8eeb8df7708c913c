//! `doorward migrate`: brings the schema up to this program's and ends.

use super::CliError;
use super::open::Store;
use crate::config::Config;
use crate::db;

pub(super) async fn run(config: Config) -> Result<(), CliError> {
    let store = Store::open(&config).await?;
    let result = db::migrate(&store.databases.direct).await;
    store.close().await;
    Ok(result?)
}
