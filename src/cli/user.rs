//! `doorward user …`.

use std::io::{BufRead, Read, stdin};

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::CliError;
use super::output::Format;
use super::transfer::{self, Export, Import};
use crate::app::App;
use crate::cx::{Actor, Cx};
use crate::http::IfMatch;
use crate::kernel::{Secret, UserId};
use crate::users::{self, SetPassword, UserError};

/// Make people, look at them, set their passwords, take them in and out
#[derive(Subcommand)]
pub(super) enum UserCommand {
    /// Make a person
    Create(Create),
    /// Show a person
    Show(One),
    /// Set a person's password, read from standard input; their sessions end
    Password(Password),
    /// Make many people, each a line of a file
    Import(Import),
    /// Print everybody, a person a line
    Export(Export),
}

#[derive(Args)]
pub(super) struct Create {
    #[arg(long)]
    email: Option<String>,
    #[arg(long)]
    username: Option<String>,
    #[arg(long)]
    name: Option<String>,
    /// The address is known to be theirs
    #[arg(long)]
    email_verified: bool,
    /// They may administer this Doorward
    #[arg(long)]
    admin: bool,
    /// Read one line from standard input: their password, without the line's ending
    #[arg(long)]
    password_stdin: bool,
    #[command(flatten)]
    format: Format,
}

#[derive(Args)]
pub(super) struct One {
    /// Their id, e-mail address or username
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    format: Format,
}

#[derive(Args)]
pub(super) struct Password {
    /// Their id, e-mail address or username
    #[arg(value_name = "ID")]
    id: String,
    /// Taken for granted: the password always comes from standard input
    #[arg(long)]
    password_stdin: bool,
    /// It is good for one sign-in, at which they choose their own
    #[arg(long)]
    change_required: bool,
    #[command(flatten)]
    format: Format,
}

pub(super) async fn run(command: UserCommand, app: &App) -> Result<(), CliError> {
    let cx = Cx::internal(app, Actor::Operator);
    match command {
        UserCommand::Create(create) => {
            let password = if create.password_stdin {
                Some(SetPassword {
                    password: line()?,
                    change_required: false,
                })
            } else {
                None
            };
            let mut document = Map::new();
            for (name, value) in [
                ("email", create.email),
                ("username", create.username),
                ("name", create.name),
            ] {
                if let Some(value) = value {
                    document.insert(name.to_owned(), json!(value));
                }
            }
            document.insert("email_verified".to_owned(), json!(create.email_verified));
            document.insert("admin".to_owned(), json!(create.admin));
            let made = users::create(document, password, None, &cx).await?;
            create.format.print(&Value::Object(made.person))
        }
        UserCommand::Show(One { id, format }) => format.print(&Value::Object(
            users::get(find(&id, &cx).await?, &cx).await?.to_json(),
        )),
        UserCommand::Password(Password {
            id,
            change_required,
            format,
            ..
        }) => {
            let set = SetPassword {
                password: line()?,
                change_required,
            };
            let user = users::set_password(find(&id, &cx).await?, set, &IfMatch::Any, &cx).await?;
            format.print(&Value::Object(user.to_json()))
        }
        UserCommand::Import(asked) => transfer::import(&asked, app).await,
        UserCommand::Export(asked) => transfer::export(&asked, app).await,
    }
}

/// An id as it is; an e-mail address or a username by whose it is.
pub(super) async fn find(who: &str, cx: &Cx) -> Result<UserId, CliError> {
    if let Ok(id) = who.parse() {
        return Ok(id);
    }
    let person = users::find_sign_in(who, &mut *cx.connection().await?).await?;
    Ok(person.ok_or(UserError::Unknown)?.id)
}

/// The first line on standard input; its ending is not part of it.
fn line() -> Result<Secret<String>, CliError> {
    let mut text = Secret::new(String::new());
    stdin()
        .lock()
        .take(64 * 1024)
        .read_line(text.expose_mut())?;
    let line = text.expose();
    let line = line.strip_suffix('\n').unwrap_or(line);
    Ok(Secret::new(
        line.strip_suffix('\r').unwrap_or(line).to_owned(),
    ))
}

impl From<UserError> for CliError {
    fn from(error: UserError) -> Self {
        match error {
            UserError::Unknown => Self::Refused("there is no such person".to_owned()),
            UserError::Invalid(wrong) => {
                let lines: Vec<_> = wrong
                    .iter()
                    .map(|w| format!("{}: {}", w.pointer.trim_start_matches('/'), w.detail))
                    .collect();
                Self::Refused(lines.join("\n"))
            }
            UserError::Taken(field) => Self::Refused(format!("{field}: somebody has it already")),
            UserError::Stale | UserError::Overtaken(_) => {
                Self::Refused("the person has changed meanwhile".to_owned())
            }
            UserError::NotDeleted => Self::Refused("the person is not deleted".to_owned()),
            UserError::HistoryLost => Self::Refused("that is not known any more".to_owned()),
            UserError::Patch(_) | UserError::Claim(_) => {
                Self::Refused("that is for the REST API".to_owned())
            }
            UserError::ScopesMissing => Self::Refused("that is for administrators".to_owned()),
            UserError::Password(policy) => Self::Refused(format!("password: {policy}")),
            UserError::Fault(fault) => Self::Fault(fault),
        }
    }
}
