//! A wire to PostgreSQL that can be cut, and that can fall silent.

use std::path::PathBuf;
use std::sync::Arc;

use doorward::app::Databases;
use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;

use super::cluster::Database;

/// Passes connections on to the cluster's socket until it is cut.
pub(crate) struct Proxy {
    port: u16,
    database: String,
    cut: Arc<watch::Sender<bool>>,
    silence: Arc<watch::Sender<Silence>>,
}

/// Which connections pass nothing on any more, though both of their ends stay open: as if the other side had lost power.
#[derive(Clone, Default)]
struct Silence {
    /// Connections that were there before so many such silences.
    begun: u32,
    /// Connections over which one of these words has gone, from then on.
    after: Vec<&'static str>,
}

impl Proxy {
    pub(crate) async fn to(database: &Database) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let cut = Arc::new(watch::Sender::new(false));
        let silence = Arc::new(watch::Sender::new(Silence::default()));
        let socket = database.socket();
        tokio::spawn(pass(listener, socket, cut.clone(), silence.clone()));
        Self {
            port,
            database: database.name.clone(),
            cut,
            silence,
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

    /// Lets the connections that there are fall silent; new ones pass.
    pub(crate) fn silence(&self) {
        self.silence.send_modify(|silence| silence.begun += 1);
    }

    /// From now on lets each connection fall silent over which one of these words has gone.
    pub(crate) fn silence_after(&self, words: &[&'static str]) {
        let words = words.to_vec();
        self.silence.send_modify(|silence| silence.after = words);
    }
}

async fn pass(
    listener: TcpListener,
    socket: PathBuf,
    cut: Arc<watch::Sender<bool>>,
    silence: Arc<watch::Sender<Silence>>,
) {
    while let Ok((client, _)) = listener.accept().await {
        if *cut.borrow() {
            continue;
        }
        let (socket, mut cut) = (socket.clone(), cut.subscribe());
        let silence = silence.subscribe();
        tokio::spawn(async move {
            let Ok(server) = UnixStream::connect(socket).await else {
                return;
            };
            tokio::select! {
                () = until_silent(client, server, silence) => {}
                _ = cut.wait_for(|cut| *cut) => {}
            }
        });
    }
}

/// Passes on what both sides say until one of them goes; once it is silent, keeps both of their ends open for as long as the test lasts.
async fn until_silent(
    mut client: TcpStream,
    mut server: UnixStream,
    mut silence: watch::Receiver<Silence>,
) {
    let begun = silence.borrow().begun;
    let (mut said, mut answered) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        let silent = async { drop(silence.wait_for(|silence| silence.begun > begun).await) };
        tokio::select! {
            () = silent => break,
            Ok(n @ 1..) = client.read(&mut said) => {
                if server.write_all(&said[..n]).await.is_err() {
                    return;
                }
                let text = String::from_utf8_lossy(&said[..n]);
                if silence.borrow().after.iter().any(|word| text.contains(word)) {
                    break;
                }
            }
            Ok(n @ 1..) = server.read(&mut answered) => {
                if client.write_all(&answered[..n]).await.is_err() {
                    return;
                }
            }
            else => return,
        }
    }
    std::future::pending::<()>().await;
}
