//! Why there is no private cluster, in words for the operator.

use std::fmt;
use std::io;
use std::path::PathBuf;

#[derive(Debug)]
pub(crate) enum EmbeddedError {
    /// No PostgreSQL is installed.
    NoBinaries,
    /// The data was written by another major version than those that are installed.
    OtherVersion {
        data: u32,
        installed: Vec<u32>,
    },
    /// Doorward is root, and PostgreSQL must not be: there is no user `postgres` to run it as.
    NoUser,
    /// The user that PostgreSQL runs as can't enter this folder.
    Closed(PathBuf),
    /// `initdb` failed; what it said.
    Init(String),
    /// PostgreSQL ended or did not answer; where its log is.
    Start {
        log: PathBuf,
    },
    /// Somebody else starts or stops it and does not come to an end.
    Busy(PathBuf),
    Io(PathBuf, io::Error),
}

impl fmt::Display for EmbeddedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoBinaries => f.write_str(
                "no PostgreSQL is installed (looked under /usr/lib/postgresql and on the path). Install one with `apt-get install postgresql`, or set DATABASE_URL.",
            ),
            Self::OtherVersion { data, installed } => {
                let installed: Vec<String> = installed.iter().map(u32::to_string).collect();
                write!(
                    f,
                    "the data was written by PostgreSQL {data}, and installed is {}. Install it with `apt-get install postgresql-{data}`, or carry the data over (docs/operations.md, Upgrading).",
                    installed.join(", ")
                )
            }
            Self::NoUser => f.write_str(
                "PostgreSQL does not run as root, and there is no user postgres to run it as. Install Debian's postgresql package, start Doorward as another user, or set DATABASE_URL.",
            ),
            Self::Closed(folder) => write!(
                f,
                "PostgreSQL runs as the user postgres, who can't enter {}. Set DOORWARD_DATA_DIR to a folder that everybody may enter the way to, such as /var/lib/doorward.",
                folder.display()
            ),
            Self::Init(said) => write!(f, "initdb failed: {said}"),
            Self::Start { log } => write!(f, "PostgreSQL did not start; its log is {}", log.display()),
            Self::Busy(lock) => write!(f, "somebody else is starting or stopping the database and has not finished: {}", lock.display()),
            Self::Io(path, cause) => write!(f, "{}: {cause}", path.display()),
        }
    }
}

impl std::error::Error for EmbeddedError {}
