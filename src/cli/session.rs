//! `doorward session …`.

use clap::Subcommand;
use serde_json::json;

use super::CliError;
use super::output::Format;
use crate::app::App;
use crate::cx::{Actor, Cx};
use crate::sessions::{self, EndAllError};

/// End people's sessions
#[derive(Subcommand)]
pub(super) enum SessionCommand {
    /// End every session that there is, until none is left: everybody signs in anew, and their applications are told. What has
    /// `offline_access` goes on
    End {
        /// All people's
        #[arg(long, required = true)]
        everybody: bool,
        /// It can't be undone
        #[arg(long, required = true)]
        yes: bool,
        #[command(flatten)]
        format: Format,
    },
}

pub(super) async fn run(command: SessionCommand, app: &App) -> Result<(), CliError> {
    let SessionCommand::End { format, .. } = command;
    let cx = Cx::internal(app, Actor::Operator);
    let done = sessions::end_everybodys(cx.now, None, &cx).await?;
    format.print(&json!({ "ended": done.ended, "left": done.left }))
}

impl From<EndAllError> for CliError {
    fn from(error: EndAllError) -> Self {
        match error {
            EndAllError::ScopesMissing => Self::Refused("that is for administrators".to_owned()),
            EndAllError::Fault(fault) => Self::Fault(fault),
        }
    }
}
