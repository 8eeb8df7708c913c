//! The command line. Each command works beside a running server and without one; what it prints on standard output is its answer
//! alone, logs and complaints go to standard error, and the exit status is 0 only on success.

mod client;
mod error;
mod first_start;
mod keys;
mod migrate;
mod open;
mod output;
mod serve;
mod session;
mod transfer;
mod user;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::Flags;

pub(crate) use error::CliError;

/// The one place where a company's users live, and the one door that they and its services come in by.
#[derive(Parser)]
#[command(name = "doorward", version, disable_help_subcommand = true)]
struct Cli {
    #[command(flatten)]
    settings: SettingsFlags,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(clap::Args)]
struct SettingsFlags {
    /// The settings file (default: doorward.toml, where there is one)
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The address to listen on (default: 127.0.0.1:8080)
    #[arg(long, global = true, value_name = "ADDRESS")]
    listen: Option<String>,
    /// The issuer's URL (default: http://localhost:8080)
    #[arg(long, global = true, value_name = "URL")]
    issuer: Option<String>,
    /// Where the embedded PostgreSQL and generated secrets live (default: ./data)
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where the sealing key lives (default: ./keys)
    #[arg(long, global = true, value_name = "DIR")]
    keys_dir: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server (also without a subcommand)
    Serve,
    /// Bring the database's schema up to this program's
    Migrate,
    #[command(subcommand)]
    Client(client::ClientCommand),
    #[command(subcommand)]
    User(user::UserCommand),
    #[command(subcommand)]
    Session(session::SessionCommand),
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Print the description of the API (OpenAPI 3.1)
    Openapi,
}

/// Runs the program with the process's arguments.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let flags = Flags {
        config: cli.settings.config,
        listen: cli.settings.listen,
        issuer: cli.settings.issuer,
        data_dir: cli.settings.data_dir,
        keys_dir: cli.settings.keys_dir,
    };
    match run(cli.command.unwrap_or(Command::Serve), &flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command, flags: &Flags) -> Result<(), CliError> {
    let (config, warnings) = crate::config::load(flags)?;
    let _telemetry = crate::ops::telemetry::start(&config.log);
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(CliError::Io)?;
    let result = runtime.block_on(async {
        match command {
            Command::Serve => serve::run(config).await,
            Command::Migrate => migrate::run(config).await,
            Command::Client(command) => {
                open::with_app(config, async |app| client::run(command, app).await).await
            }
            Command::User(command) => {
                open::with_app(config, async |app| user::run(command, app).await).await
            }
            Command::Session(command) => {
                open::with_app(config, async |app| session::run(command, app).await).await
            }
            Command::Keys(command) => keys::run(command, config).await,
            Command::Openapi => {
                let text = crate::openapi::json();
                output::line(text.map_err(|e| CliError::Refused(e.to_string()))?)
            }
        }
    });
    // Whatever a library left running on the blocking pool must not hold up the exit.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a shell makes of a line: words, quoted ones whole.
    fn words(line: &str) -> Vec<String> {
        let mut words = vec![String::new()];
        let mut quote = None;
        for c in line.chars() {
            match (quote, c) {
                (Some(open), c) if c == open => quote = None,
                (None, '"' | '\'') => quote = Some(c),
                (None, ' ') => words.push(String::new()),
                _ => words.last_mut().into_iter().for_each(|word| word.push(c)),
            }
        }
        words.retain(|word| !word.is_empty());
        words
    }

    #[test]
    fn what_the_documentation_types_is_understood() {
        let pages = [
            include_str!("../../README.md"),
            include_str!("../../docs/operations.md"),
            include_str!("../../docs/sso.md"),
        ];
        let pages = pages.map(|page| page.replace("\\\n", ""));
        let lines = pages.iter().flat_map(|page| page.lines());
        let mut understood = 0;
        let commands =
            lines.filter(|line| line.starts_with("doorward ") && !line.starts_with("doorward ="));
        for line in commands {
            let line = line.replace("SECRET_ID", "01a20d93-7f03-7eb9-b696-a13790d686c1");
            let ends = [" #", " <", " >"].iter().filter_map(|end| line.find(end));
            let typed = &line[..ends.min().unwrap_or(line.len())];
            let parsed = Cli::try_parse_from(words(typed));
            assert!(
                parsed.is_ok(),
                "{line}: {:?}",
                parsed.err().map(|e| e.to_string())
            );
            understood += 1;
        }
        assert!(understood > 20, "{understood}");
    }
}
