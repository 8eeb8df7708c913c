//! Two locks in the data folder: everybody who uses the cluster holds one shared; whoever starts or stops it holds the other alone.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::sleep;

use super::EmbeddedError;

const BREATH: Duration = Duration::from_millis(20);
/// A recovery after a crash may take its time.
const BREATHS: u32 = 6_000;

/// A user's share in the running cluster; given back when the process ends, however it ends.
pub(super) struct Share {
    file: File,
}

/// The right to start or stop it.
pub(super) struct Turn(#[expect(dead_code, reason = "held, not read")] File);

fn open(path: &Path) -> Result<File, EmbeddedError> {
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .map_err(|e| EmbeddedError::Io(path.to_owned(), e))
}

impl Turn {
    /// Waits for the turn.
    pub(super) async fn wait(folder: &Path) -> Result<Self, EmbeddedError> {
        let path: PathBuf = folder.join("postgres.turn");
        let file = open(&path)?;
        for _ in 0..BREATHS {
            match file.try_lock() {
                Ok(()) => return Ok(Self(file)),
                Err(TryLockError::WouldBlock) => sleep(BREATH).await,
                Err(TryLockError::Error(e)) => return Err(EmbeddedError::Io(path, e)),
            }
        }
        Err(EmbeddedError::Busy(path))
    }
}

impl Share {
    /// Takes a share. Asks for the turn, which keeps those who leave from being alone meanwhile.
    pub(super) fn take(folder: &Path, _: &Turn) -> Result<Self, EmbeddedError> {
        let path = folder.join("postgres.users");
        let file = open(&path)?;
        file.lock_shared().map_err(|e| EmbeddedError::Io(path, e))?;
        Ok(Self { file })
    }

    /// Gives the share back; `true` for whoever was the last.
    pub(super) fn leave(self, _: &Turn) -> bool {
        let _ = self.file.unlock();
        self.file.try_lock().is_ok()
    }
}
