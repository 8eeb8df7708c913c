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

/// Makes a person of each line, each by itself: what is wrong with one keeps no other back, and is told with the line's number.
pub(super) async fn import(asked: &Import, app: &App) -> Result<(), CliError> {
    let mut lines = open(&asked.file)?;
    let (mut number, mut created) = (0_u64, 0_u64);
    let mut refused = Vec::new();
    let mut under_way = JoinSet::new();
    loop {
        let line = next_line(&mut lines)?;
        number += u64::from(line.is_some());
        let at_end = line.is_none();
        if let Some(line) = line.filter(|line| !line.trim_ascii().is_empty()) {
            let (app, number) = (app.clone(), number);
            under_way.spawn(async move { (number, make(&line, &app).await) });
        }
        while under_way.len() >= if at_end { 1 } else { AT_ONCE } {
            let Some(done) = under_way.join_next().await else {
                break;
            };
            match done.map_err(std::io::Error::other)? {
                (_, Ok(())) => created += 1,
                (_, Err(CliError::Fault(fault))) => return Err(fault.into()),
                (number, Err(error)) => refused.push((number, error.to_string())),
            }
        }
        if at_end {
            break;
        }
    }
    refused.sort();
    if asked.format.json {
        let refused = refused
            .iter()
            .map(|(line, error)| json!({ "line": line, "error": error }));
        let refused: Vec<Value> = refused.collect();
        output::json(&json!({ "created": created, "refused": refused }))?;
    } else {
        output::line(format_args!("{created} people were made"))?;
    }
    if refused.is_empty() {
        return Ok(());
    }
    let told: Vec<String> = refused
        .iter()
        .map(|(line, error)| format!("line {line}: {}", error.replace('\n', "; ")))
        .collect();
    Err(CliError::Refused(told.join("\n")))
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
        let text = "a line has more than a megabyte; nothing after it was read";
        return Err(CliError::Refused(text.to_owned()));
    }
    Ok((read > 0).then_some(line))
}
