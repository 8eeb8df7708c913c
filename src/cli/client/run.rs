//! The commands on clients.

use serde_json::{Value, json};

use super::args::{ClientCommand, EndSecret, One, Rotate, Update};
use crate::app::App;
use crate::cli::CliError;
use crate::cli::output::Format;
use crate::clients::{self, Client, ClientError, StoredSecret};
use crate::cx::{Actor, Cx};
use crate::http::IfMatch;
use crate::kernel::{ClientId, json as strict};
use crate::registration::{self, Allowance, InitialTokenError};

pub(in crate::cli) async fn run(command: ClientCommand, app: &App) -> Result<(), CliError> {
    let cx = Cx::internal(app, Actor::Operator);
    match command {
        ClientCommand::Create(create) => {
            let format = Format {
                json: create.format.json,
            };
            let made = clients::create(create.registration()?, &cx).await?;
            let mut document = made.client.view();
            if let Some(secret) = &made.secret {
                document["client_secret"] = json!(secret.expose());
            }
            format.print(&document)
        }
        ClientCommand::List(format) => {
            let all = clients::list(&mut *cx.connection().await?).await?;
            format.print_list(&all.iter().map(Client::view).collect::<Vec<_>>(), |c| {
                format!(
                    "{}  {}",
                    c["client_id"].as_str().unwrap_or(""),
                    c["client_name"].as_str().unwrap_or("")
                )
            })
        }
        ClientCommand::Show(One { id, format }) => {
            let client = clients::get(&parse(&id)?, &cx).await?;
            let mut document = client.view();
            document["secrets"] = client.secrets.iter().map(StoredSecret::view).collect();
            format.print(&document)
        }
        ClientCommand::Update(Update { id, merge, format }) => {
            let refused = |why: &str| CliError::Refused(format!("merge: {why}"));
            let patch = strict::parse(merge.as_bytes()).map_err(|e| refused(&e))?;
            let Value::Object(patch) = patch else {
                return Err(refused("expected an object"));
            };
            let update = clients::Update::Merge(patch);
            let client = clients::update(&parse(&id)?, update, &IfMatch::Any, &cx).await?;
            format.print(&client.view())
        }
        ClientCommand::RotateSecret(Rotate {
            id,
            overlap,
            format,
        }) => {
            let told = clients::add_secret(&parse(&id)?, Some(overlap), None, &cx).await?;
            format.print(&json!({
                "client_id": id,
                "client_secret": told.view["client_secret"],
                "secret_id": told.view["id"],
            }))
        }
        ClientCommand::EndSecret(EndSecret { id, secret, format }) => {
            clients::end_secret(&parse(&id)?, secret, &cx).await?;
            format.print(&json!({ "client_id": id, "secret_id": secret, "ended": true }))
        }
        ClientCommand::InitialToken(asked) => {
            let mut allowance = Allowance::of_strangers();
            if !asked.grants.is_empty() {
                let names = asked.grants.iter().map(|grant| grant.as_str().to_owned());
                allowance.grants = names.collect();
            }
            allowance.require_pkce = asked.require_pkce;
            let (uses, life) = (asked.uses, asked.expires_in);
            let told = registration::create_token(allowance, uses, life, None, &cx).await?;
            asked.format.print(&told.view)
        }
        ClientCommand::Delete(One { id, format }) => {
            clients::delete(&parse(&id)?, &IfMatch::Any, &cx).await?;
            format.print(&json!({ "client_id": id, "deleted": true }))
        }
    }
}

fn parse(id: &str) -> Result<ClientId, CliError> {
    Ok(id.parse().map_err(|_| ClientError::Unknown)?)
}

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Unknown => Self::Refused("there is no such client".to_owned()),
            ClientError::Invalid(wrong) => {
                let wrong: Vec<_> = wrong.iter().map(ToString::to_string).collect();
                Self::Refused(wrong.join("; "))
            }
            ClientError::ServesTaken => {
                Self::Refused("serves: another client serves that audience".to_owned())
            }
            ClientError::NoSecrets => {
                Self::Refused("the client does not prove itself with a secret".to_owned())
            }
            ClientError::TooManySecrets => Self::Refused(
                "two secrets are good already: end one, or rotate without --overlap".to_owned(),
            ),
            ClientError::Claim(_) => Self::Refused("that is for the REST API".to_owned()),
            ClientError::Stale => Self::Refused("somebody changed it meanwhile".to_owned()),
            ClientError::Above(_) => {
                Self::Refused("that is for whoever holds all of Doorward's scopes".to_owned())
            }
            ClientError::Fault(fault) => Self::Fault(fault),
        }
    }
}

impl From<InitialTokenError> for CliError {
    fn from(error: InitialTokenError) -> Self {
        match error {
            InitialTokenError::Invalid(wrong) => ClientError::Invalid(wrong).into(),
            InitialTokenError::Claim(_) => Self::Refused("that is for the REST API".to_owned()),
            InitialTokenError::Fault(fault) => Self::Fault(fault),
        }
    }
}
