//! A wire to PostgreSQL that notes the statements which go over it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use doorward::app::Databases;
use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{TcpListener, UnixStream};

use super::cluster::Database;

/// What was asked since somebody last looked.
#[derive(Clone, Default)]
pub(crate) struct Statements(Arc<Mutex<Vec<String>>>);

impl Statements {
    /// Takes them out, without what the standing jobs ask.
    pub(crate) fn take(&self) -> Vec<String> {
        let all = std::mem::take(&mut *self.0.lock().unwrap());
        let jobs = [
            "clock_timestamp",
            "signing_key",
            "advisory",
            "schema_floor",
            "_sqlx_migrations",
            "event",
            "from feed f",
        ];
        all.into_iter()
            .filter(|sql| !sql.is_empty() && !jobs.iter().any(|job| sql.contains(job)))
            .collect()
    }

    /// The databases behind a new wire; migrations and LISTEN go past it.
    pub(crate) async fn wire(&self, database: &Database) -> Databases {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(pass(listener, database.socket(), self.clone()));
        let pooled = PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(port)
            .username("postgres")
            .database(&database.name);
        Databases {
            pooled,
            direct: database.databases().direct,
        }
    }
}

async fn pass(listener: TcpListener, socket: PathBuf, statements: Statements) {
    while let Ok((client, _)) = listener.accept().await {
        let Ok(server) = UnixStream::connect(&socket).await else {
            continue;
        };
        let (from_client, mut to_client) = client.into_split();
        let (mut from_server, to_server) = server.into_split();
        tokio::spawn(async move { copy(&mut from_server, &mut to_client).await });
        tokio::spawn(listen_in(from_client, to_server, statements.clone()));
    }
}

/// Passes what the client says on, message by message (PostgreSQL's protocol, §55.7): `Parse` names a statement, `Bind` uses one, `Query` is
/// one by itself.
async fn listen_in(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    statements: Statements,
) -> std::io::Result<()> {
    let mut named: HashMap<String, String> = HashMap::new();
    let mut first = true;
    loop {
        // Only the first message, which opens the connection, has no kind.
        let kind = if first { 0 } else { from.read_u8().await? };
        let length = from.read_u32().await?;
        let mut body = vec![0; length as usize - 4];
        from.read_exact(&mut body).await?;
        let mut texts = body
            .split(|b| *b == 0)
            .map(|text| String::from_utf8_lossy(text).into_owned());
        let mut text = || texts.next().unwrap_or_default();
        let asked = match kind {
            b'P' => {
                let name = text();
                named.insert(name, text());
                None
            }
            b'B' => {
                text();
                named.get(&text()).cloned()
            }
            b'Q' => Some(text()),
            _ => None,
        };
        statements.0.lock().unwrap().extend(asked);
        if !first {
            to.write_u8(kind).await?;
        }
        // Whoever asks for TLS is told that there is none, and begins anew.
        first = first && body == 80_877_103_u32.to_be_bytes();
        to.write_u32(length).await?;
        to.write_all(&body).await?;
    }
}
