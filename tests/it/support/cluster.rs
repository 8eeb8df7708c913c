//! One PostgreSQL cluster for the run (fsync off), one migrated template, one database a test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use doorward::app::Databases;
use doorward::config::Config;
use doorward::kernel::clock::SystemClock;
use doorward::running::Running;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, Executor, PgConnection};

use super::{command, eventually};

/// The run's cluster: started by the first test that asks, gone with the process.
pub(crate) static CLUSTER: LazyLock<Cluster> = LazyLock::new(|| {
    let cluster = Cluster::start();
    // A runtime of its own: the template's connections must not outlive the test that happens to come first.
    std::thread::scope(|scope| {
        scope
            .spawn(|| cluster.fill_template())
            .join()
            .expect("the template is filled");
    });
    cluster
});

pub(crate) struct Cluster {
    folder: PathBuf,
    /// The sealing key that all servers of the run share.
    pub keys_dir: PathBuf,
    /// The client that administers: all of Doorward's scopes.
    admin: Mutex<Option<(String, String)>>,
    janitor: Sender<String>,
    /// Ends the cluster when its standard input closes, which it does with this process however that ends.
    _warden: Child,
}

static NEXT: AtomicU32 = AtomicU32::new(0);

impl Cluster {
    fn start() -> Self {
        let folder = std::env::temp_dir().join(format!("doorward-test-{}", std::process::id()));
        let keys_dir = folder.join("keys");
        fs::create_dir_all(&keys_dir).expect("a folder for the run");
        let warden = warden(&folder, "-c listen_addresses='' -c max_connections=400");
        let (janitor, leftovers) = channel::<String>();
        let options = PgConnectOptions::new_without_pgpass()
            .socket(&folder)
            .username("postgres")
            .database("postgres");
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            for name in leftovers {
                let drop = async {
                    let mut connection = PgConnection::connect_with(&options).await?;
                    connection
                        .execute(sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
                            "drop database {name} with (force)"
                        ))))
                        .await
                };
                let _ = runtime.block_on(drop);
            }
        });
        Self {
            folder,
            keys_dir,
            admin: Mutex::new(None),
            janitor,
            _warden: warden,
        }
    }

    /// Migrates the template, makes its keys, and registers the client that administers.
    fn fill_template(&self) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            self.execute("create database template_doorward").await;
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
                .await
                .expect("a port");
            let mut config = Config::default();
            config.keys_dir = self.keys_dir.clone();
            let running = Running::start(
                config,
                self.databases("template_doorward"),
                Arc::new(SystemClock),
                listener,
            );
            running
                .await
                .expect("a server on the template")
                .stop()
                .await;
            let args = [
                "client",
                "create",
                "--name",
                "administration",
                "--grant",
                "client_credentials",
            ];
            let scope = [
                "--scope",
                "users:read users:write clients:read clients:write",
                "--json",
            ];
            let made = command::run(
                &[&args[..], &scope[..]].concat(),
                "",
                &self.url("template_doorward"),
                &self.keys_dir,
            )
            .await;
            let made = made.json();
            let text = |name: &str| made[name].as_str().expect("a string").to_owned();
            *self.admin.lock().unwrap() = Some((text("client_id"), text("client_secret")));
        });
    }

    /// Id and secret of the client that administers.
    pub(crate) fn admin(&self) -> (String, String) {
        self.admin
            .lock()
            .unwrap()
            .clone()
            .expect("made with the template")
    }

    /// A database like the template.
    pub(crate) async fn database(&'static self) -> Database {
        let name = format!("t_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.execute(&format!(
            "create database {name} template template_doorward"
        ))
        .await;
        Database {
            name,
            cluster: self,
        }
    }

    /// A database with nothing in it.
    pub(crate) async fn empty_database(&'static self) -> Database {
        let name = format!("e_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.execute(&format!("create database {name}")).await;
        Database {
            name,
            cluster: self,
        }
    }

    fn options(&self, name: &str) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(&self.folder)
            .username("postgres")
            .database(name)
    }

    fn databases(&self, name: &str) -> Databases {
        Databases {
            pooled: self.options(name),
            direct: self.options(name),
        }
    }

    fn url(&self, name: &str) -> String {
        format!(
            "postgres:///{name}?host={}&user=postgres",
            self.folder.display()
        )
    }

    async fn execute(&self, sql: &str) {
        let mut connection = PgConnection::connect_with(&self.options("postgres"))
            .await
            .expect("the tests' PostgreSQL answers");
        connection
            .execute(sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())))
            .await
            .expect(sql);
    }
}

/// A database of one test, dropped with it.
pub(crate) struct Database {
    pub name: String,
    cluster: &'static Cluster,
}

impl Database {
    pub(crate) fn databases(&self) -> Databases {
        self.cluster.databases(&self.name)
    }

    /// For `DATABASE_URL`.
    pub(crate) fn url(&self) -> String {
        self.cluster.url(&self.name)
    }

    /// The folder of the cluster's socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.cluster.folder.join(".s.PGSQL.5432")
    }

    /// A connection for looking: tests read what the server wrote, they never write.
    pub(crate) async fn connect(&self) -> PgConnection {
        PgConnection::connect_with(&self.cluster.options(&self.name))
            .await
            .expect("the tests' PostgreSQL answers")
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let _ = self.cluster.janitor.send(std::mem::take(&mut self.name));
    }
}

/// Makes a cluster in `folder` and runs it with `options`; gone with its standard input, which closes with this process however that ends.
fn warden(folder: &Path, options: &str) -> Child {
    let data = folder.join("pg");
    let socket = folder.display().to_string();
    let binaries = newest_binaries();
    let script = format!(
        r#"
        set -e
        if [ "$(id -u)" = 0 ]; then chown postgres {socket}; as="runuser -u postgres --"; else as=""; fi
        $as {bin}/initdb -D {data} -U postgres -A trust -E UTF8 --locale=C.UTF-8 -N >/dev/null
        $as {bin}/pg_ctl -D {data} -w -s -l {socket}/log -o "-c fsync=off -c full_page_writes=off -c synchronous_commit=on -c unix_socket_directories={socket} {options}" start
        echo ready
        cat >/dev/null
        $as {bin}/pg_ctl -D {data} -s -m immediate stop
        cd /
        rm -rf {socket}
        "#,
        bin = binaries.display(),
        data = data.display(),
    );
    let mut warden = Command::new("sh")
        .args(["-c", &script])
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("sh runs");
    let mut ready = [0; 6];
    std::io::Read::read_exact(warden.stdout.as_mut().expect("piped"), &mut ready)
        .expect("PostgreSQL starts for the tests");
    warden
}

/// A cluster of one test's own, on loopback, for what the run's cluster can't be changed for.
pub(crate) struct OwnCluster {
    pub folder: PathBuf,
    pub port: u16,
    warden: Child,
}

impl OwnCluster {
    pub(crate) fn start(name: &str) -> Self {
        let folder =
            std::env::temp_dir().join(format!("doorward-test-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        drop(listener);
        let warden = warden(
            &folder,
            &format!("-c listen_addresses=localhost -c port={port}"),
        );
        Self {
            folder,
            port,
            warden,
        }
    }

    fn options(&self) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(&self.folder)
            .port(self.port)
            .username("postgres")
            .database("postgres")
    }

    /// Changes settings, and returns when new connections have them.
    pub(crate) async fn set(&self, settings: &[(&str, &str)]) {
        let connect = async || {
            PgConnection::connect_with(&self.options())
                .await
                .expect("it answers")
        };
        let mut connection = connect().await;
        for (name, value) in settings {
            let sql = format!("alter system set {name} = '{value}'");
            let sql = sqlx::raw_sql(sqlx::AssertSqlSafe(sql));
            connection.execute(sql).await.expect("it is set");
        }
        let reload = sqlx::raw_sql("select pg_reload_conf()");
        connection.execute(reload).await.expect("it is told");
        let (name, value) = settings.last().expect("something to set");
        eventually(Duration::from_secs(10), "the settings hold", async || {
            let shown: String = sqlx::query_scalar("select current_setting($1)")
                .bind(name)
                .fetch_one(&mut connect().await)
                .await
                .expect("a setting");
            shown == *value
        })
        .await;
    }
}

impl Drop for OwnCluster {
    fn drop(&mut self) {
        drop(self.warden.stdin.take());
        let _ = self.warden.wait();
    }
}

/// The newest of the distribution's PostgreSQL binaries, or those on the path.
fn newest_binaries() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let newest = versions
        .filter_map(|v| v.file_name().to_str().and_then(|v| v.parse::<u32>().ok()))
        .max();
    newest.map_or_else(
        || PathBuf::from("/usr/bin"),
        |v| PathBuf::from(format!("/usr/lib/postgresql/{v}/bin")),
    )
}
