//! `doorward client …`.

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{CliError, output};
use crate::app::App;
use crate::clients::{self, AuthMethod, Client, ClientError, Grant, Registration};
use crate::cx::{Actor, Cx};
use crate::jose::Alg;
use crate::kernel::span::Span;
use crate::kernel::{ClientId, ScopeSet};

/// Register services, and let them go
#[derive(Subcommand)]
pub(super) enum ClientCommand {
    /// Register a client; its secret is told once
    Create(Create),
    /// List all clients
    List(Format),
    /// Show one client
    Show(One),
    /// Give a client a new secret
    RotateSecret(Rotate),
    /// Delete a client; its tokens are refused within a second
    Delete(One),
}

#[derive(Args)]
pub(super) struct Create {
    /// A name for people
    #[arg(long)]
    name: String,
    /// What it may do at the token endpoint: client_credentials, password (repeats)
    #[arg(long = "grant", value_name = "GRANT")]
    grants: Vec<Grant>,
    /// The scopes it may have, separated by spaces
    #[arg(long, default_value = "")]
    scope: String,
    /// An audience that it may ask tokens for (repeats)
    #[arg(long = "audience", value_name = "URI")]
    audiences: Vec<String>,
    /// The audience that it is
    #[arg(long, value_name = "URI")]
    serves: Option<String>,
    /// How it proves itself: client_secret_basic, client_secret_post, none
    #[arg(long, default_value = "client_secret_basic", value_name = "METHOD")]
    auth_method: AuthMethod,
    /// What its access tokens are signed with: ES256, RS256, PS256, EdDSA
    #[arg(long, default_value = "ES256", value_name = "ALG", value_parser = |text: &str| text.parse::<Alg>().map_err(|_| "expected one of ES256, RS256, PS256, EdDSA"))]
    signing_alg: Alg,
    /// The life of its access tokens (default: tokens.access_token_lifetime)
    #[arg(long, value_name = "SPAN")]
    access_token_lifetime: Option<Span>,
    /// When its password grant ends, such as 2027-06-30T00:00:00Z
    #[arg(long, value_name = "TIME", value_parser = |text: &str| OffsetDateTime::parse(text, &Rfc3339).map_err(|_| "expected a time such as 2027-06-30T00:00:00Z"))]
    password_until: Option<OffsetDateTime>,
    #[command(flatten)]
    format: Format,
}

#[derive(Args)]
pub(super) struct One {
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    format: Format,
}

#[derive(Args)]
pub(super) struct Rotate {
    #[arg(value_name = "ID")]
    id: String,
    /// How long the secrets it has stay good beside the new one
    #[arg(long, default_value = "0s", value_name = "SPAN")]
    overlap: Span,
    #[command(flatten)]
    format: Format,
}

/// How the answer is written.
#[derive(Args)]
pub(super) struct Format {
    /// Print one JSON document
    #[arg(long)]
    pub(super) json: bool,
}

impl Format {
    /// The document, or its members one a line.
    pub(super) fn print(&self, document: &Value) -> Result<(), CliError> {
        if self.json {
            return output::json(document);
        }
        let Value::Object(members) = document else {
            return output::line(document);
        };
        for (name, value) in members {
            match value {
                Value::Null => {}
                Value::String(text) => output::line(format_args!("{name}: {text}"))?,
                other => output::line(format_args!("{name}: {other}"))?,
            }
        }
        Ok(())
    }

    /// A list: one document, or a line each.
    pub(super) fn print_list(
        &self,
        items: &[Value],
        line: impl Fn(&Value) -> String,
    ) -> Result<(), CliError> {
        if self.json {
            return output::json(&json!({ "items": items, "next": null }));
        }
        items.iter().try_for_each(|item| output::line(line(item)))
    }
}

pub(super) async fn run(command: ClientCommand, app: &App) -> Result<(), CliError> {
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
            let client = clients::find(&parse(&id)?, &mut *cx.connection().await?)
                .await?
                .ok_or(ClientError::Unknown)?;
            let mut document = client.view();
            let time = crate::kernel::clock::rfc3339;
            let secrets = client.secrets.iter().map(|s| json!({ "created_at": time(s.created_at), "expires_at": s.expires_at.map(time) }));
            document["secrets"] = secrets.collect();
            format.print(&document)
        }
        ClientCommand::RotateSecret(Rotate {
            id,
            overlap,
            format,
        }) => {
            let secret = clients::rotate_secret(&parse(&id)?, overlap, &cx).await?;
            format.print(&json!({ "client_id": id, "client_secret": secret.expose() }))
        }
        ClientCommand::Delete(One { id, format }) => {
            clients::delete(&parse(&id)?, &cx).await?;
            format.print(&json!({ "client_id": id, "deleted": true }))
        }
    }
}

fn parse(id: &str) -> Result<ClientId, CliError> {
    Ok(id.parse().map_err(|_| ClientError::Unknown)?)
}

impl Create {
    fn registration(self) -> Result<Registration, CliError> {
        let scopes = ScopeSet::parse(&self.scope).map_err(|_| {
            CliError::Refused("scope: expected names separated by spaces, 100 at most".to_owned())
        })?;
        // Each once, however often it was named.
        let grants = Grant::ALL
            .into_iter()
            .filter(|grant| self.grants.contains(grant))
            .collect();
        Ok(Registration {
            name: self.name,
            auth_method: self.auth_method,
            grants,
            scopes,
            audiences: self.audiences,
            serves: self.serves,
            signing_alg: self.signing_alg,
            access_token_lifetime: self.access_token_lifetime,
            password_grant_until: self.password_until,
        })
    }
}

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Unknown => Self::Refused("there is no such client".to_owned()),
            ClientError::Refused(why) => Self::Refused(why.to_string()),
            ClientError::ServesTaken => {
                Self::Refused("serves: another client serves that audience".to_owned())
            }
            ClientError::Public => Self::Refused("a public client has no secret".to_owned()),
            ClientError::Fault(fault) => Self::Fault(fault),
        }
    }
}
