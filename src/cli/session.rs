//! `doorward session …`.

use clap::Subcommand;
use serde_json::json;

use super::CliError;
use super::output::Format;
use super::user::find;
use crate::app::App;
use crate::cx::{Actor, Cx};
use crate::sessions::{self, EverybodysError};
use crate::users;

/// End people's sessions
#[derive(Subcommand)]
pub(super) enum SessionCommand {
    /// End one person's sessions and all that they gave to applications; or every session that there is, until none is left: everybody signs in
    /// anew, and their applications are told, but what has `offline_access` goes on
    End {
        /// Their id, e-mail address or username
        #[arg(required_unless_present = "everybody", conflicts_with = "everybody")]
        person: Option<String>,
        /// All people's
        #[arg(long, requires = "yes")]
        everybody: bool,
        /// It can't be undone
        #[arg(long, requires = "everybody")]
        yes: bool,
        #[command(flatten)]
        format: Format,
    },
}

pub(super) async fn run(command: SessionCommand, app: &App) -> Result<(), CliError> {
    let SessionCommand::End { person, format, .. } = command;
    let cx = Cx::internal(app, Actor::Operator);
    if let Some(person) = person {
        let id = find(&person, &cx).await?;
        users::end_sessions(id, &cx).await?;
        return format.print(&json!({ "id": id }));
    }
    let done = sessions::end_everybodys(cx.now, None, &cx).await?;
    format.print(&json!({ "ended": done.ended, "left": done.left }))
}

impl From<EverybodysError> for CliError {
    fn from(error: EverybodysError) -> Self {
        match error {
            EverybodysError::ScopesMissing => {
                Self::Refused("that is for administrators".to_owned())
            }
            EverybodysError::Fault(fault) => Self::Fault(fault),
        }
    }
}
