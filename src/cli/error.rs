//! Why a command failed, in words for whoever typed it.

use std::fmt;

use crate::config::SettingsError;
use crate::db::embedded::EmbeddedError;
use crate::kernel::Fault;

#[derive(Debug)]
pub(crate) enum CliError {
    Settings(SettingsError),
    Embedded(EmbeddedError),
    Fault(Fault),
    Io(std::io::Error),
    /// What was asked for is refused: the sentence says why.
    Refused(String),
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Settings(e) => e.fmt(f),
            Self::Embedded(e) => e.fmt(f),
            Self::Fault(e) => e.fmt(f),
            Self::Io(e) => e.fmt(f),
            Self::Refused(why) => f.write_str(why),
        }
    }
}

impl From<SettingsError> for CliError {
    fn from(e: SettingsError) -> Self {
        Self::Settings(e)
    }
}

impl From<EmbeddedError> for CliError {
    fn from(e: EmbeddedError) -> Self {
        Self::Embedded(e)
    }
}

impl From<Fault> for CliError {
    fn from(e: Fault) -> Self {
        Self::Fault(e)
    }
}

impl From<std::io::Error> for CliError {
    fn from(e: std::io::Error) -> Self {
        Self::Io(e)
    }
}
