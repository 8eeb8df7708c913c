//! The sum over all runs on this machine: a line of each run in a file beside the build.

use std::fmt;
use std::fs;
use std::io::Write;

const FILE: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/faults.tsv");

#[derive(Default)]
pub(crate) struct Total {
    pub(crate) runs: u64,
    pub(crate) injections: u64,
    pub(crate) writes: u64,
    pub(crate) lost: u64,
    pub(crate) tokens: u64,
    pub(crate) wrong: u64,
    pub(crate) failed: u64,
}

impl Total {
    fn fields(&mut self) -> [&mut u64; 7] {
        [
            &mut self.runs,
            &mut self.injections,
            &mut self.writes,
            &mut self.lost,
            &mut self.tokens,
            &mut self.wrong,
            &mut self.failed,
        ]
    }

    /// Appends this run, and gives the sum with all before it.
    pub(crate) fn add(mut self) -> Self {
        let line = self.fields().map(|n| n.to_string()).join("\t");
        let file = fs::OpenOptions::new().create(true).append(true).open(FILE);
        writeln!(file.expect("a file beside the build"), "{line}").expect("written");
        let mut sum = Self::default();
        for line in fs::read_to_string(FILE).expect("just written").lines() {
            for (field, number) in sum.fields().into_iter().zip(line.split('\t')) {
                *field += number.parse::<u64>().unwrap_or(0);
            }
        }
        sum
    }
}

impl fmt::Display for Total {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Over all runs here ({}): {} injections; of {} acknowledged writes {} lost; of {} tokens {} wrong; {} requests failed in any other way.",
            self.runs,
            self.injections,
            self.writes,
            self.lost,
            self.tokens,
            self.wrong,
            self.failed
        )
    }
}
