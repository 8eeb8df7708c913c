//! Starting, adopting, watching over and leaving the cluster.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;
use sha2::{Digest, Sha256};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use tokio::process::{Child, Command};
use tokio::sync::Mutex;
use tokio::time::sleep;

use super::owner::Owner;
use super::sharing::{Share, Turn};
use super::{EmbeddedError, binaries, processes};

/// The name of the superuser and of the database.
const NAME: &str = "doorward";
/// Between two looks at a PostgreSQL that starts or stops.
const BREATH: Duration = Duration::from_millis(20);
/// Between two looks at one that should be running.
const WATCH: Duration = Duration::from_millis(200);
/// How many breaths it gets to start (recovery included), to stop, and to let its dead be reaped.
const TO_START: u32 = 6_000;
const TO_STOP: u32 = 1_500;
const TO_REAP: u32 = 500;
/// Bytes of a socket's path that the kernel takes.
const SOCKET_PATH: usize = 107;
/// Size from which the log is begun anew, the old one kept beside it.
const LOG_BYTES: u64 = 10 * 1024 * 1024;

/// The running cluster under a data folder, held shared until [`Cluster::close`].
pub(crate) struct Cluster {
    place: Place,
    share: Share,
    /// The postmaster, where this process started it: then it is ours to reap.
    child: Mutex<Option<Child>>,
}

/// Where everything is.
struct Place {
    folder: PathBuf,
    data: PathBuf,
    socket: PathBuf,
    log: PathBuf,
    owner: Owner,
}

impl Cluster {
    /// Joins the cluster under `folder`; makes and starts it where need be.
    pub(crate) async fn open(folder: &Path) -> Result<Self, EmbeddedError> {
        let place = Place::prepare(folder)?;
        let turn = Turn::wait(&place.folder).await?;
        let share = Share::take(&place.folder, &turn)?;
        let child = match place.ensure_running().await {
            Ok(child) => child,
            Err(error) => {
                share.leave(&turn);
                return Err(error);
            }
        };
        Ok(Self {
            place,
            share,
            child: Mutex::new(child),
        })
    }

    pub(crate) fn connect_options(&self) -> PgConnectOptions {
        self.place.options(NAME)
    }

    /// Brings PostgreSQL back whenever it dies. Never ends.
    pub(crate) async fn supervise(&self) {
        loop {
            sleep(WATCH).await;
            // Reaps it where it is ours and dead.
            let died = self
                .child
                .lock()
                .await
                .as_mut()
                .is_some_and(|child| matches!(child.try_wait(), Ok(Some(_))));
            if !died && processes::postmaster(&self.place.data).is_some() {
                continue;
            }
            tracing::error!("PostgreSQL has died; starting it again");
            match self.revive().await {
                Ok(()) => tracing::info!("PostgreSQL is back"),
                Err(error) => {
                    tracing::error!(cause = %error, "PostgreSQL could not be started; trying again");
                }
            }
        }
    }

    async fn revive(&self) -> Result<(), EmbeddedError> {
        let _turn = Turn::wait(&self.place.folder).await?;
        let child = self.place.ensure_running().await?;
        *self.child.lock().await = child;
        Ok(())
    }

    /// Leaves the cluster; whoever is the last stops it.
    pub(crate) async fn close(self) {
        let Ok(turn) = Turn::wait(&self.place.folder).await else {
            return;
        };
        if self.share.leave(&turn) {
            self.place.stop(self.child.into_inner()).await;
        }
    }
}

impl Place {
    fn prepare(folder: &Path) -> Result<Self, EmbeddedError> {
        let io = |e| EmbeddedError::Io(folder.to_owned(), e);
        fs::create_dir_all(folder).map_err(io)?;
        let folder = folder.canonicalize().map_err(io)?;
        let owner = Owner::find()?;
        owner.can_enter(&folder)?;
        let data = folder.join("postgres");
        let socket = socket_folder(&data);
        Ok(Self {
            log: folder.join("postgres.log"),
            data,
            socket,
            folder,
            owner,
        })
    }

    fn options(&self, database: &str) -> PgConnectOptions {
        // Nothing of the environment's (PGPASSWORD, a password file) has a say here.
        PgConnectOptions::new_without_pgpass()
            .socket(&self.socket)
            .port(5432)
            .username(NAME)
            .database(database)
    }

    /// Starts the cluster unless it runs; gives the child where this process started it. The caller has the turn.
    async fn ensure_running(&self) -> Result<Option<Child>, EmbeddedError> {
        let binaries = binaries::find(&self.data)?;
        if !self.data.join("PG_VERSION").exists() {
            self.init(&binaries).await?;
        }
        if self.socket != self.data {
            self.make_socket_folder()?;
        }
        let child = if processes::postmaster(&self.data).is_some() {
            tracing::debug!("joining the PostgreSQL that runs already");
            None
        } else {
            self.clear_the_dead().await?;
            Some(self.spawn(&binaries)?)
        };
        self.wait_until_it_answers(child).await
    }

    /// The short folder for the socket; one that somebody else has put there is not taken.
    fn make_socket_folder(&self) -> Result<(), EmbeddedError> {
        let io = |e| EmbeddedError::Io(self.socket.clone(), e);
        match fs::create_dir(&self.socket) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            other => other.map_err(io)?,
        }
        let meta = fs::symlink_metadata(&self.socket).map_err(io)?;
        if !meta.is_dir() || !self.owner.is(meta.uid()) {
            return Err(io(io::ErrorKind::PermissionDenied.into()));
        }
        self.owner.take(&self.socket)
    }

    /// Waits until nobody of a postmaster that was killed works in the folder any more; only then are its lock files no longer true.
    /// PostgreSQL itself would believe them while their pid is somebody else's by now, or of a dead process that nobody has reaped.
    async fn clear_the_dead(&self) -> Result<(), EmbeddedError> {
        for _ in 0..TO_REAP {
            if processes::working_in(&self.data).is_empty() {
                let _ = fs::remove_file(self.data.join("postmaster.pid"));
                let _ = fs::remove_file(self.socket.join(".s.PGSQL.5432.lock"));
                return Ok(());
            }
            sleep(BREATH).await;
        }
        Err(EmbeddedError::Start {
            log: self.log.clone(),
        })
    }

    /// Makes the cluster beside its place and then moves it there: an `initdb` that was killed leaves no half of one.
    async fn init(&self, binaries: &Path) -> Result<(), EmbeddedError> {
        let draft = self.folder.join("postgres.new");
        let io = |e| EmbeddedError::Io(draft.clone(), e);
        let mut said = String::new();
        // Without C.UTF-8, plain C sorts the same way.
        for locale in ["C.UTF-8", "C"] {
            if draft.exists() {
                fs::remove_dir_all(&draft).map_err(io)?;
            }
            fs::create_dir(&draft).map_err(io)?;
            self.owner.take(&draft)?;
            let mut command = Command::new(binaries.join("initdb"));
            command
                .arg("-D")
                .arg(&draft)
                .args(["-U", NAME, "-A", "trust", "-E", "UTF8"])
                .arg(format!("--locale={locale}"));
            self.owner.run(&mut command);
            let output = command
                .current_dir(&draft)
                .stdin(Stdio::null())
                .output()
                .await
                .map_err(io)?;
            if output.status.success() {
                fs::rename(&draft, &self.data).map_err(io)?;
                return fs::File::open(&self.folder)
                    .and_then(|folder| folder.sync_all())
                    .map_err(io);
            }
            said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        }
        Err(EmbeddedError::Init(said))
    }

    fn spawn(&self, binaries: &Path) -> Result<Child, EmbeddedError> {
        let io = |e| EmbeddedError::Io(self.log.clone(), e);
        if fs::metadata(&self.log).is_ok_and(|meta| meta.len() > LOG_BYTES) {
            fs::rename(&self.log, self.log.with_extension("log.old")).map_err(io)?;
        }
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&self.log)
            .map_err(io)?;
        let mut command = Command::new(binaries.join("postgres"));
        command
            .arg("-D")
            .arg(&self.data)
            .arg("-k")
            .arg(&self.socket);
        for setting in [
            "listen_addresses=",
            "port=5432",
            "fsync=on",
            "synchronous_commit=on",
            "full_page_writes=on",
            "max_connections=100",
            "logging_collector=off",
            "log_destination=stderr",
            // Without the DETAIL that quotes what was in the row.
            "log_error_verbosity=terse",
        ] {
            command.arg("-c").arg(setting);
        }
        self.owner.run(&mut command);
        // In a group of its own: a Ctrl-C at our terminal is for us, who then stop it in good order.
        command
            .current_dir(&self.data)
            .process_group(0)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("LC_ALL", "C");
        let errors = log.try_clone().map_err(io)?;
        command
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .map_err(io)
    }

    async fn wait_until_it_answers(
        &self,
        mut child: Option<Child>,
    ) -> Result<Option<Child>, EmbeddedError> {
        for _ in 0..TO_START {
            if child
                .as_mut()
                .is_some_and(|child| matches!(child.try_wait(), Ok(Some(_)) | Err(_)))
            {
                break;
            }
            if let Ok(mut connection) = PgConnection::connect_with(&self.options("postgres")).await
            {
                let there = sqlx::query_scalar!(
                    r#"select exists (select from pg_database where datname = $1) as "there!""#,
                    NAME
                );
                // Nobody else makes it: we have the turn.
                let made = match there.fetch_one(&mut connection).await {
                    Ok(true) => Ok(()),
                    Ok(false) => sqlx::query("create database doorward")
                        .execute(&mut connection)
                        .await
                        .map(|_| ()),
                    Err(e) => Err(e),
                };
                let _ = connection.close().await;
                if made.is_ok() {
                    return Ok(child);
                }
            }
            sleep(BREATH).await;
        }
        if let Some(child) = &mut child {
            let _ = child.start_kill();
            let _ = child.wait().await;
        }
        Err(EmbeddedError::Start {
            log: self.log.clone(),
        })
    }

    /// Stops it in good order (PostgreSQL's fast shutdown), and without order where that does not come to an end.
    async fn stop(&self, child: Option<Child>) {
        let Some(pid) = processes::postmaster(&self.data) else {
            return;
        };
        let mut child = child.filter(|child| child.id() == Some(pid));
        for how in [Signal::INT, Signal::QUIT] {
            processes::signal(pid, how);
            for _ in 0..TO_STOP {
                let reaped = child
                    .as_mut()
                    .is_some_and(|child| matches!(child.try_wait(), Ok(Some(_))));
                if reaped || processes::working_in(&self.data).is_empty() {
                    return;
                }
                sleep(BREATH).await;
            }
        }
        tracing::error!(log = %self.log.display(), "PostgreSQL did not stop");
    }
}

/// The cluster's own folder, which only its owner may enter, or a short one where the kernel would not take the path.
fn socket_folder(data: &Path) -> PathBuf {
    if data.as_os_str().len() + "/.s.PGSQL.5432".len() <= SOCKET_PATH {
        return data.to_owned();
    }
    let hash: String = Sha256::digest(data.as_os_str().as_encoded_bytes())
        .iter()
        .take(8)
        .map(|b| format!("{b:02x}"))
        .collect();
    // Where we are root, nobody else writes to /run.
    let base = if rustix::process::geteuid().is_root() {
        "/run"
    } else {
        "/tmp"
    };
    PathBuf::from(format!("{base}/doorward-{hash}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_have_short_paths() {
        assert_eq!(
            socket_folder(Path::new("/data/postgres")),
            Path::new("/data/postgres")
        );
        let long = PathBuf::from(format!("/{}", "x".repeat(200)));
        assert!(socket_folder(&long).as_os_str().len() < 40);
        assert_ne!(socket_folder(&long), socket_folder(&long.join("y")));
    }
}
