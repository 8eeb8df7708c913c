//! `doorward keys …`.

use std::io::{Read, stdin};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::{Value, json};

use super::CliError;
use super::open::{self, Store};
use super::output::{self, Format};
use crate::app::App;
use crate::config::Config;
use crate::cx::{Actor, Cx};
use crate::jose::Alg;
use crate::kernel::Secret;
use crate::kernel::clock::{Clock, SystemClock, rfc3339};
use crate::keys::rotation::Abandoned;
use crate::keys::{self, RotateError, SigningKey, rotation};

/// Look at the signing keys and change them
#[derive(Subcommand)]
pub(super) enum KeysCommand {
    /// List all signing keys, oldest first
    List(Format),
    /// Let the next keys sign from now on
    Rotate {
        /// The algorithm whose key is rotated (repeats; default: all)
        #[arg(long = "alg", value_name = "ALG")]
        algs: Vec<String>,
        /// Without waiting until services know the next key; the present one is revoked at once
        #[arg(long)]
        emergency: bool,
        #[command(flatten)]
        format: Format,
    },
    /// Give up what was sealed under a sealing key that is lost: the next start makes new signing keys, every token that is out is refused,
    /// people's histories begin anew, and webhooks stand still until they get new secrets
    Abandon {
        /// It can't be undone
        #[arg(long, required = true)]
        yes: bool,
    },
    /// Take a private key in PEM as the next one of its algorithm
    Import {
        /// The file, or - for standard input
        file: PathBuf,
        /// ES256, RS256, PS256 or EdDSA
        #[arg(long, value_name = "ALG")]
        alg: String,
        #[command(flatten)]
        format: Format,
    },
}

pub(super) async fn run(command: KeysCommand, config: Config) -> Result<(), CliError> {
    match command {
        KeysCommand::Abandon { .. } => abandon(config).await,
        KeysCommand::List(format) => {
            open::with_app(config, async |app| list(&format, app).await).await
        }
        KeysCommand::Rotate {
            algs,
            emergency,
            format,
        } => {
            open::with_app(config, async |app| {
                rotate(&algs, emergency, &format, app).await
            })
            .await
        }
        KeysCommand::Import { file, alg, format } => {
            open::with_app(config, async |app| import(&file, &alg, &format, app).await).await
        }
    }
}

/// Works where nothing else does: the program itself does not start without its keys.
async fn abandon(config: Config) -> Result<(), CliError> {
    let store = Store::open(&config).await?;
    let result = rotation::abandon(&store.databases.direct, SystemClock.now()).await;
    store.close().await;
    let Abandoned {
        keys,
        people,
        webhooks,
    } = result?;
    output::line(format_args!(
        "{keys} signing keys are gone, and the histories of {people} people so far; {webhooks} webhooks are paused, and get new secrets when they go on"
    ))
}

async fn list(format: &Format, app: &App) -> Result<(), CliError> {
    let cx = Cx::internal(app, Actor::Operator);
    print(&keys::list(&mut *cx.connection().await?).await?, format)
}

async fn rotate(
    algs: &[String],
    emergency: bool,
    format: &Format,
    app: &App,
) -> Result<(), CliError> {
    let named: Vec<Alg> = algs
        .iter()
        .map(|alg| parse(alg))
        .collect::<Result<_, _>>()?;
    // Each once, however often it was named.
    let wanted = |alg: &Alg| named.is_empty() || named.contains(alg);
    let algs: Vec<Alg> = Alg::ALL.into_iter().filter(wanted).collect();
    let cx = Cx::internal(app, Actor::Operator);
    let signing = if emergency {
        rotation::rotate_in_emergency(&algs, &cx).await?
    } else {
        rotation::rotate(&algs, &cx).await?
    };
    print(&signing, format)
}

async fn import(file: &Path, alg: &str, format: &Format, app: &App) -> Result<(), CliError> {
    let alg = parse(alg)?;
    let pem = Secret::new(if file.as_os_str() == "-" {
        let mut pem = Vec::new();
        stdin().lock().read_to_end(&mut pem)?;
        pem
    } else {
        std::fs::read(file).map_err(|e| CliError::Refused(format!("{}: {e}", file.display())))?
    });
    let cx = Cx::internal(app, Actor::Operator);
    let key = rotation::import(alg, pem.expose(), &cx).await?;
    format.print(&document(&key))
}

fn parse(alg: &str) -> Result<Alg, CliError> {
    alg.parse().map_err(|_| {
        let known = Alg::ALL.map(Alg::as_str).join(", ");
        CliError::Refused(format!("--alg: expected one of {known}"))
    })
}

fn document(key: &SigningKey) -> Value {
    json!({
        "kid": key.kid,
        "alg": key.alg,
        "step": key.step,
        "created_at": rfc3339(key.created_at),
        "current_at": key.current_at.map(rfc3339),
        "retiring_at": key.retiring_at.map(rfc3339),
        "gone_at": key.gone_at.map(rfc3339),
    })
}

fn print(keys: &[SigningKey], format: &Format) -> Result<(), CliError> {
    let items: Vec<Value> = keys.iter().map(document).collect();
    format.print_list(&items, |key| {
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

impl From<RotateError> for CliError {
    fn from(error: RotateError) -> Self {
        match error {
            RotateError::TooEarly { alg, possible_at } => Self::Refused(format!(
                "the next {} key has not been published for long enough; possible from {} on. --emergency does not wait, and revokes the present key.",
                alg.as_str(),
                rfc3339(possible_at),
            )),
            RotateError::BadKey(expected) => Self::Refused(format!("expected {expected}")),
            RotateError::Known => Self::Refused("Doorward has this key already".to_owned()),
            RotateError::Fault(fault) => fault.into(),
        }
    }
}
