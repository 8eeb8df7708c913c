//! `make bench`: one table, on any machine with two cores. The server has one core to itself (but where a row says both), load and PostgreSQL
//! the other; the raw limits are measured in the same run. `--rows NAME,…` picks some; `--people`, `--rounds`, `--seconds`, `--pairs`,
//! `--tokens` and `--overload` set the sizes.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::field_reassign_with_default,
    clippy::cast_possible_truncation,
    reason = "a bench says what it expects, and measures by the real clock"
)]

mod constant;
mod load;
mod machine;
mod rows;

use rows::Bench;

const ROWS: [&str; 11] = [
    "tokens",
    "documents",
    "directory",
    "creates",
    "pages",
    "passwords",
    "storm",
    "memory",
    "start",
    "overload",
    "timing",
];

fn main() {
    let args: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| a != "--bench")
        .collect();
    if args.first().is_some_and(|a| a == "--child") {
        return child(&args[1..]);
    }
    let option = |name: &str| {
        args.iter()
            .position(|a| a == name)
            .and_then(|at| args.get(at + 1).cloned())
    };
    let number = |name: &str, default: usize| {
        option(name).map_or(default, |text| text.parse().expect("a number"))
    };
    let picked = option("--rows").unwrap_or_else(|| ROWS.join(","));
    for row in picked.split(',') {
        assert!(
            ROWS.contains(&row),
            "--rows: expected some of {}",
            ROWS.join(",")
        );
    }
    let mut bench = Bench::new(
        number("--people", 1_000_000),
        number("--rounds", 3),
        number("--seconds", 5) as u64,
    );
    for row in picked.split(',') {
        eprintln!("{row}");
        match row {
            "tokens" => bench.tokens(),
            "documents" => bench.documents(),
            "directory" => bench.directory(),
            "creates" => bench.creates(),
            "pages" => bench.pages(),
            "passwords" => bench.passwords(),
            "storm" => bench.storm(),
            "memory" => bench.memory(number("--tokens", 2_000_000) as u64),
            "start" => bench.start_and_stop(),
            "overload" => bench.overload(number("--overload", 60) as u64),
            _ => bench.timing(number("--pairs", 2000)),
        }
    }
    println!(
        "| what | figure | against | ratio | bound | holds |\n| --- | --- | --- | --- | --- | --- |"
    );
    for row in &bench.rows {
        let holds = if row.holds { "yes" } else { "**no**" };
        println!(
            "| {} | {} | {} | {:.2} | {} | {holds} |",
            row.what, row.figure, row.against, row.ratio, row.bound
        );
    }
}

/// The raw limits, as processes of their own.
fn child(args: &[String]) {
    match args[0].as_str() {
        "hashes" => println!("{}", constant::hashes(args[1].parse().expect("seconds"))),
        kind => constant::serve(
            kind == "layers",
            args[1].parse().expect("an address"),
            args[2].parse().expect("bytes"),
            &args[3],
            &args[4],
        ),
    }
}
