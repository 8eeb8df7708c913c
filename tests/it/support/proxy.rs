//! A wire to PostgreSQL that can be cut.

use std::path::PathBuf;
use std::sync::Arc;

use doorward::app::Databases;
use sqlx::postgres::PgConnectOptions;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, UnixStream};
use tokio::sync::watch;

use super::cluster::Database;

/// Passes connections on to the cluster's socket until it is cut.
pub(crate) struct Proxy {
    port: u16,
    database: String,
    cut: Arc<watch::Sender<bool>>,
}

impl Proxy {
    pub(crate) async fn to(database: &Database) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let cut = Arc::new(watch::Sender::new(false));
        tokio::spawn(pass(listener, database.socket(), cut.clone()));
        Self {
            port,
            database: database.name.clone(),
            cut,
        }
    }

    pub(crate) fn databases(&self) -> Databases {
        let options = PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(self.port);
        let options = options.username("postgres").database(&self.database);
        Databases {
            pooled: options.clone(),
            direct: options,
        }
    }

    /// Breaks all connections and refuses new ones.
    pub(crate) fn cut(&self) {
        self.cut.send_replace(true);
    }

    pub(crate) fn mend(&self) {
        self.cut.send_replace(false);
    }
}

async fn pass(listener: TcpListener, socket: PathBuf, cut: Arc<watch::Sender<bool>>) {
    while let Ok((mut client, _)) = listener.accept().await {
        if *cut.borrow() {
            continue;
        }
        let (socket, mut cut) = (socket.clone(), cut.subscribe());
        tokio::spawn(async move {
            let Ok(mut server) = UnixStream::connect(socket).await else {
                return;
            };
            tokio::select! {
                _ = copy_bidirectional(&mut client, &mut server) => {}
                _ = cut.wait_for(|cut| *cut) => {}
            }
        });
    }
}
