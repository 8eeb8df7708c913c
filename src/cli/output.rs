//! Standard output holds a command's answer and nothing else.

use std::fmt::Display;
use std::io::{Write, stderr, stdout};

use serde::Serialize;

use super::CliError;

/// Prints one JSON document.
pub(crate) fn json(value: &impl Serialize) -> Result<(), CliError> {
    let text = serde_json::to_string_pretty(value).map_err(|e| CliError::Refused(e.to_string()))?;
    line(text)
}

/// Prints a line.
pub(crate) fn line(text: impl Display) -> Result<(), CliError> {
    Ok(writeln!(stdout().lock(), "{text}")?)
}

/// Says on standard error why a command failed.
pub(super) fn complain(error: &CliError) {
    let _ = writeln!(stderr().lock(), "doorward: {error}");
}
