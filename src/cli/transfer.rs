//! `doorward user export` and `import`: people as NDJSON, one a line, however many they are.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write, stdin, stdout};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Map, Value, json};
use tokio::task::JoinSet;

use super::CliError;
use super::output::{self, Format};
use crate::app::App;
use crate::cx::{Actor, Cx};
use crate::kernel::json;
use crate::users::{self, Filter};

/// People that one look takes.
const BATCH: usize = 1000;
/// People who are being made at one time.
const AT_ONCE: usize = 4;
/// Bytes of a line; what the API takes.
const LONGEST: u64 = 1 << 20;

#[derive(Args)]
pub(super) struct Export {
    #[command(flatten)]
    format: Format,
}

#[derive(Args)]
pub(super) struct Import {
    /// People, one a line as the API takes them, or - for standard input. What the server sets itself (id, version, times) is passed over
    file: PathBuf,
    #[command(flatten)]
    format: Format,
}

/// Prints everybody, a person a line; with `--json` as one document.
pub(super) async fn export(asked: &Export, app: &App) -> Result<(), CliError> {
    let cx = Cx::internal(app, Actor::Operator);
    let mut out = stdout().lock();
    let mut after = None;
    let mut first = true;
    if asked.format.json {
        write!(out, "{{\"items\": [")?;
    }
    loop {
        let page = users::list(&Filter::default(), after, BATCH, &cx).await?;
        let mut lines = Vec::with_capacity(page.people.len() * 512);
        for person in &page.people {
            if asked.format.json && !std::mem::take(&mut first) {
                lines.push(b',');
            }
            person.write(&mut lines)?;
            lines.push(b'\n');
        }
        out.write_all(&lines)?;
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    if asked.format.json {
        writeln!(out, "]}}")?;
    }
    Ok(out.flush()?)
}

/// What came of the lines so far.
#[derive(Default)]
struct Tally {
    read: u64,
    created: u64,
    /// Lines that no person was made of, and why.
    refused: Vec<(u64, String)>,
    /// What ended it before the end of the file, and the line where it did: its person may have been made or not.
    stopped: Option<(u64, CliError)>,
}

impl Tally {
    fn count(&mut self, number: u64, made: Result<(), CliError>) {
        match made {
            Ok(()) => self.created += 1,
            Err(CliError::Refused(why)) => self.refused.push((number, why)),
            Err(error) if self.stopped.is_none() => self.stopped = Some((number, error)),
            Err(error) => self.refused.push((number, error.to_string())),
        }
    }

    fn tell(mut self, format: &Format) -> Result<(), CliError> {
        self.refused.sort();
        let stopped_at = self.stopped.as_ref().map(|(number, _)| *number);
        if format.json {
            let refused = self.refused.iter();
            let refused = refused.map(|(line, error)| json!({ "line": line, "error": error }));
            output::json(&json!({
                "created": self.created,
                "refused": refused.collect::<Vec<_>>(),
                "read": self.read,
                "stopped_at": stopped_at,
            }))?;
        } else {
            output::line(format_args!("{} people were made", self.created))?;
        }
        let refused = self.refused.iter();
        let mut told: Vec<String> = refused
            .map(|(line, error)| format!("line {line}: {}", error.replace('\n', "; ")))
            .collect();
        if let Some((line, error)) = self.stopped {
            let read = self.read;
            told.push(format!(
                "stopped at line {line}, of whose person it is not known whether they were made: {error}; no line after {read} was read"
            ));
        }
        if told.is_empty() {
            return Ok(());
        }
        Err(CliError::Refused(told.join("\n")))
    }
}

/// Makes a person of each line, each by itself: what is wrong with one keeps no other back, and is told with the line's number. Where the database
/// is lost, what was made until then is told all the same.
pub(super) async fn import(asked: &Import, app: &App) -> Result<(), CliError> {
    let mut lines = open(&asked.file)?;
    let mut tally = Tally::default();
    let mut under_way = JoinSet::new();
    let mut at_end = false;
    while !at_end || !under_way.is_empty() {
        at_end |= tally.stopped.is_some();
        if !at_end {
            match next_line(&mut lines) {
                Ok(None) => at_end = true,
                Ok(Some(line)) => {
                    tally.read += 1;
                    if !line.trim_ascii().is_empty() {
                        let (app, number) = (app.clone(), tally.read);
                        under_way.spawn(async move { (number, make(&line, &app).await) });
                    }
                }
                Err(error) => {
                    at_end = true;
                    tally.count(tally.read + 1, Err(error));
                }
            }
        }
        while under_way.len() >= if at_end { 1 } else { AT_ONCE } {
            let Some(done) = under_way.join_next().await else {
                break;
            };
            let (number, made) = done.map_err(std::io::Error::other)?;
            tally.count(number, made);
        }
    }
    tally.tell(&asked.format)
}

/// A request of its own, with the time that it is then.
async fn make(line: &[u8], app: &App) -> Result<(), CliError> {
    let cx = Cx::internal(app, Actor::Operator).via("import");
    let mut person = read(line).map_err(CliError::Refused)?;
    for owned in users::OWNED {
        person.remove(owned);
    }
    users::create(person, None, None, &cx).await?;
    Ok(())
}

fn read(line: &[u8]) -> Result<Map<String, Value>, String> {
    match json::parse(line)? {
        Value::Object(person) => Ok(person),
        _ => Err("expected an object".to_owned()),
    }
}

fn open(file: &Path) -> Result<Box<dyn BufRead>, CliError> {
    if file.as_os_str() == "-" {
        return Ok(Box::new(BufReader::new(stdin())));
    }
    let opened = File::open(file);
    let opened =
        opened.map_err(|e| CliError::Refused(format!("{} can't be read: {e}", file.display())))?;
    Ok(Box::new(BufReader::new(opened)))
}

fn next_line(lines: &mut Box<dyn BufRead>) -> Result<Option<Vec<u8>>, CliError> {
    let mut line = Vec::new();
    let read = lines.take(LONGEST).read_until(b'\n', &mut line)?;
    if read as u64 == LONGEST {
        let text = "more than a megabyte; nothing after it was read";
        return Err(CliError::Refused(text.to_owned()));
    }
    Ok((read > 0).then_some(line))
}
