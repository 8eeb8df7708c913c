//! The rows of the table: each measures Doorward and the raw limit that it is held against, in one run. A topic is a file; [`TOPICS`] lists them.

mod ask;
mod creates;
mod directory;
mod documents;
mod feed;
mod introspection;
mod memory;
mod pages;
mod passwords;
mod search;
mod setup;
mod sso;
mod start;
mod timing;
mod tokens;
mod update;
mod webhook;

use std::path::PathBuf;

pub(crate) use ask::get;
use ask::{in_thousands, median, post};

use crate::machine::Postgres;

/// Measures a topic and pushes its rows.
type Topic = fn(&mut Bench);

/// What `--rows` picks from, in the table's order.
pub(crate) const TOPICS: &[(&str, Topic)] = &[
    ("tokens", Bench::tokens),
    ("introspection", Bench::introspection),
    ("documents", Bench::documents),
    ("directory", Bench::directory),
    ("creates", Bench::creates),
    ("pages", Bench::pages),
    ("feed", Bench::feed),
    ("search", Bench::search),
    ("passwords", Bench::passwords),
    ("sso", Bench::sso),
    ("storm", Bench::storm),
    ("memory", Bench::memory),
    ("start", Bench::start_and_stop),
    ("overload", Bench::overload),
    ("timing", Bench::timing),
    ("webhook", Bench::webhook),
    // It leaves a consumer behind, whose feed costs every change.
    ("update", Bench::update),
];

const FORM: &str = "application/x-www-form-urlencoded";
const PASSWORD: &str = "wordy rivers 77";
/// People with a password, for the rows that sign in.
const SIGNING_IN: usize = 2_000;

/// One figure against its bound.
pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) figure: String,
    pub(crate) against: String,
    pub(crate) ratio: f64,
    pub(crate) bound: String,
    pub(crate) holds: bool,
}

/// How much of everything.
pub(crate) struct Sizes {
    pub(crate) people: usize,
    pub(crate) rounds: usize,
    /// How long a load lasts.
    pub(crate) seconds: u64,
    /// Pairs of a known and an unknown person.
    pub(crate) pairs: usize,
    /// Tokens until memory is looked at again.
    pub(crate) tokens: u64,
    /// Seconds of ten times too many logins.
    pub(crate) overload: u64,
}

pub(crate) struct Bench {
    postgres: Postgres,
    keys: PathBuf,
    sizes: Sizes,
    /// Whether people's words have been written.
    worded: bool,
    clients: Vec<(String, String, String)>,
    pub(crate) rows: Vec<Row>,
}

impl Bench {
    fn row(
        &mut self,
        what: &str,
        figure: f64,
        unit: &str,
        against: &str,
        limit: f64,
        at_least: f64,
    ) {
        let ratio = figure / limit;
        self.push(Row {
            what: what.to_owned(),
            figure: format!("{} {unit}", in_thousands(figure)),
            against: format!("{against}: {}", in_thousands(limit)),
            ratio,
            bound: format!("≥ {at_least:.2}"),
            holds: ratio >= at_least,
        });
    }

    /// Figure and limit measured in turns: the ratio is the median of theirs.
    fn in_turns(
        &mut self,
        what: &str,
        unit: &str,
        against: &str,
        turns: &[(f64, f64)],
        at_least: f64,
    ) {
        let of = |take: fn(&(f64, f64)) -> f64| median(turns.iter().map(take).collect());
        let ratio = of(|(figure, limit)| figure / limit);
        self.push(Row {
            what: what.to_owned(),
            figure: format!("{} {unit}", in_thousands(of(|turn| turn.0))),
            against: format!("{against}: {}", in_thousands(of(|turn| turn.1))),
            ratio,
            bound: format!("≥ {at_least:.2}"),
            holds: ratio >= at_least,
        });
    }

    /// A figure that may be at most so much.
    fn at_most(&mut self, what: &str, figure: f64, unit: &str, against: &str, most: f64) {
        self.push(Row {
            what: what.to_owned(),
            figure: format!("{figure:.1} {unit}"),
            against: against.to_owned(),
            ratio: if most > 0.0 { figure / most } else { figure },
            bound: format!("≤ {most:.1} {unit}"),
            holds: figure <= most,
        });
    }

    /// A figure that is held against nothing.
    fn shown(&mut self, what: &str, figure: String, against: String, ratio: f64) {
        self.push(Row {
            what: what.to_owned(),
            figure,
            against,
            ratio,
            bound: "shown".to_owned(),
            holds: true,
        });
    }

    fn push(&mut self, row: Row) {
        eprintln!(
            "  {:<66} {:>14}   {:<46} {:>6.2}  {} {}",
            row.what,
            row.figure,
            row.against,
            row.ratio,
            row.bound,
            if row.holds { "✓" } else { "✗" }
        );
        self.rows.push(row);
    }
}
