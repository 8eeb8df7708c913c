//! The first start on an empty store: a first admin and a first client, made by the ordinary operations, and told once.

use super::CliError;
use crate::app::App;

pub(super) async fn run(_app: &App) -> Result<(), CliError> {
    Ok(())
}
