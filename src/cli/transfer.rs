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
    /// Lines of which it is not known whether their person was made, and why.
    in_doubt: Vec<(u64, String)>,
    /// The line at which it ended before the end of the file, and why.
    stopped: Option<(u64, String)>,
}

impl Tally {
    fn count(&mut self, number: u64, made: Result<(), CliError>) {
        match made {
            Ok(()) => self.created += 1,
            Err(CliError::Refused(why)) => self.refused.push((number, why)),
            Err(error) => {
                self.in_doubt.push((number, error.to_string()));
                self.stop(number, &error);
            }
        }
    }

    fn stop(&mut self, number: u64, why: &CliError) {
        self.stopped.get_or_insert((number, why.to_string()));
    }

    fn tell(mut self, format: &Format) -> Result<(), CliError> {
        self.refused.sort();
        self.in_doubt.sort();
        let lines = |told: &[(u64, String)]| -> Vec<Value> {
            let told = told.iter();
            told.map(|(line, error)| json!({ "line": line, "error": error }))
                .collect()
        };
        if format.json {
            output::json(&json!({
                "created": self.created,
                "refused": lines(&self.refused),
                "in_doubt": lines(&self.in_doubt),
                "read": self.read,
                "stopped_at": self.stopped.as_ref().map(|(line, _)| line),
            }))?;
        } else {
            output::line(format_args!("{} people were made", self.created))?;
        }
        let refused = self.refused.iter();
        let mut told: Vec<String> = refused
            .map(|(line, error)| format!("line {line}: {}", error.replace('\n', "; ")))
            .collect();
        told.extend(self.in_doubt.iter().map(|(line, error)| {
            format!("line {line}: it is not known whether its person was made: {error}")
        }));
        told.extend(self.stopped.iter().map(|(line, error)| {
            let read = self.read;
            format!("stopped at line {line}: {error}; no line after {read} was read")
        }));
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
                    tally.stop(tally.read + 1, &error);
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
        let text = "more than a megabyte";
        return Err(CliError::Refused(text.to_owned()));
    }
    Ok((read > 0).then_some(line))
}
