//! `doorward keys …`.

use clap::Subcommand;
use serde_json::json;

use super::CliError;
use super::client::Format;
use crate::app::App;
use crate::cx::{Actor, Cx};
use crate::keys;
use crate::users::rfc3339;

/// Look at the signing keys
#[derive(Subcommand)]
pub(super) enum KeysCommand {
    /// List all signing keys, oldest first
    List(Format),
}

pub(super) async fn run(command: KeysCommand, app: &App) -> Result<(), CliError> {
    let cx = Cx::internal(app, Actor::Operator);
    let KeysCommand::List(format) = command;
    let keys = keys::list(&mut *cx.connection().await?).await?;
    let items = keys.iter().map(|key| {
        json!({
            "kid": key.kid,
            "alg": key.alg,
            "step": key.step,
            "created_at": rfc3339(key.created_at),
            "current_at": key.current_at.map(rfc3339),
            "retiring_at": key.retiring_at.map(rfc3339),
        })
    });
    format.print_list(&items.collect::<Vec<_>>(), |key| {
        let text = |name: &str| key[name].as_str().unwrap_or("").to_owned();
        format!(
            "{}  {:<5}  {:<8}  {}",
            text("kid"),
            text("alg"),
            text("step"),
            text("created_at")
        )
    })
}
