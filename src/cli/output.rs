//! Standard output holds a command's answer and nothing else.

use std::fmt::Display;
use std::io::{Write, stderr, stdout};

use clap::Args;
use serde::Serialize;
use serde_json::Value;

use super::CliError;

/// How the answer is written.
#[derive(Args)]
pub(super) struct Format {
    /// Print one JSON document
    #[arg(long)]
    pub(super) json: bool,
}

impl Format {
    /// The document, or its members one a line.
    pub(super) fn print(&self, document: &Value) -> Result<(), CliError> {
        if self.json {
            return json(document);
        }
        let Value::Object(members) = document else {
            return line(document);
        };
        for (name, value) in members {
            match value {
                Value::Null => {}
                Value::String(text) => line(format_args!("{name}: {text}"))?,
                other => line(format_args!("{name}: {other}"))?,
            }
        }
        Ok(())
    }

    /// A list: one document, or a line each.
    pub(super) fn print_list(
        &self,
        items: &[Value],
        shown: impl Fn(&Value) -> String,
    ) -> Result<(), CliError> {
        if self.json {
            return json(&serde_json::json!({ "items": items, "next": null }));
        }
        items.iter().try_for_each(|item| line(shown(item)))
    }
}

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
