//! The first start on an empty store: a first admin and a first client, made by the ordinary operations and told once. Secrets go to a
//! terminal or to files that only their owner reads, never to a log.

use std::fs::{self, File, OpenOptions};
use std::io::{IsTerminal, Write, stdout};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Map, json};
use sqlx::{Connection, PgConnection};

use super::{CliError, output};
use crate::app::App;
use crate::clients::{self, Grant, Registration};
use crate::cx::{Actor, Cx};
use crate::db::locks;
use crate::kernel::{Fault, ScopeSet, Secret, random, scope};
use crate::users::{self, SetPassword};

const USERNAME: &str = "admin";

struct Made {
    client_id: String,
    client_secret: Secret<String>,
    password: Secret<String>,
}

/// Makes and tells the first admin and client where there is nobody yet.
pub(super) async fn run(app: &App) -> Result<(), CliError> {
    let mut connection = PgConnection::connect_with(&app.direct)
        .await
        .map_err(Fault::from)?;
    let mut lock = connection.begin().await.map_err(Fault::from)?;
    sqlx::query!(
        r#"select pg_advisory_xact_lock($1) as "locked!: ()""#,
        locks::FIRST_START
    )
    .fetch_one(&mut *lock)
    .await
    .map_err(Fault::from)?;
    let empty = !users::any(&mut lock).await? && !clients::any(&mut lock).await?;
    if empty {
        let place = Place::prepare(app)?;
        place.tell(&make(app).await?, app)?;
    }
    lock.commit().await.map_err(Fault::from)?;
    connection.close().await.map_err(Fault::from)?;
    Ok(())
}

async fn make(app: &App) -> Result<Made, CliError> {
    let cx = Cx::internal(app, Actor::System);
    let registration = Registration {
        grants: vec![Grant::ClientCredentials],
        scopes: ScopeSet::parse(&scope::OWN.join(" "))
            .map_err(|_| CliError::Refused("Doorward's own scopes are no scopes".to_owned()))?,
        ..Registration::new("First client")
    };
    let made = clients::create(registration, &cx).await?;
    let client_secret = made
        .secret
        .ok_or_else(|| CliError::Refused("a confidential client has no secret".to_owned()))?;

    let password = random::token();
    let mut document = Map::new();
    document.insert("username".to_owned(), json!(USERNAME));
    document.insert("name".to_owned(), json!("First admin"));
    document.insert("admin".to_owned(), json!(true));
    users::create(
        document,
        Some(SetPassword {
            password: password.clone(),
            change_required: false,
        }),
        None,
        &cx,
    )
    .await?;
    Ok(Made {
        client_id: made.client.id.to_string(),
        client_secret,
        password,
    })
}

/// Where the secrets are told. Made ready before the secrets are, so that a folder that can't be written stops the start while
/// nothing has been made.
enum Place {
    Terminal,
    Files {
        password: (PathBuf, File),
        secret: (PathBuf, File),
    },
}

impl Place {
    fn prepare(app: &App) -> Result<Self, CliError> {
        if stdout().is_terminal() {
            return Ok(Self::Terminal);
        }
        let folder = &app.config.data_dir;
        let wrong = |e: std::io::Error| {
            let folder = folder.display();
            CliError::Refused(format!(
                "data_dir: the first secrets can't be written to {folder}: {e}"
            ))
        };
        fs::create_dir_all(folder).map_err(wrong)?;
        let folder = folder.canonicalize().map_err(wrong)?;
        Ok(Self::Files {
            password: open(&folder, "first-admin.password").map_err(wrong)?,
            secret: open(&folder, "first-client.secret").map_err(wrong)?,
        })
    }

    fn tell(self, made: &Made, app: &App) -> Result<(), CliError> {
        let issuer = &app.config.issuer;
        let token = issuer.join("/oauth2/token");
        let login = issuer.join("/login");
        let id = &made.client_id;
        match self {
            Self::Terminal => output::line(format_args!(
                "
This is Doorward's first start, so it made a first admin and a first client. Their secrets are shown this once.

  sign in at    {login}
  username      {USERNAME}
  password      {password}

  client_id     {id}
  client_secret {secret}

A token:

  curl -sS -u '{id}:{secret}' -d grant_type=client_credentials {token}
",
                password = made.password.expose(),
                secret = made.client_secret.expose(),
            )),
            Self::Files { password, secret } => {
                let password = write(password, &made.password)?;
                let secret = write(secret, &made.client_secret)?;
                tracing::info!(username = USERNAME, password_file = %password.display(), login, "made the first admin");
                tracing::info!(client.id = %id, secret_file = %secret.display(), "made the first client");
                // On standard output, to be pasted: the line reads the secret from its file.
                let secret = secret.display().to_string().replace('\'', r"'\''");
                output::line(format_args!(
                    "curl -sS -u \"{id}:$(cat '{secret}')\" -d grant_type=client_credentials {token}"
                ))
            }
        }
    }
}

/// A new file of mode 0600; one that is left from an earlier life is replaced.
fn open(folder: &Path, name: &str) -> std::io::Result<(PathBuf, File)> {
    let path = folder.join(name);
    let _ = fs::remove_file(&path);
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)?;
    Ok((path, file))
}

fn write((path, mut file): (PathBuf, File), secret: &Secret<String>) -> Result<PathBuf, CliError> {
    file.write_all(secret.expose().as_bytes())?;
    file.sync_all()?;
    Ok(path)
}
