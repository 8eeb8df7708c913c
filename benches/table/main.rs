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

use rows::{Bench, Sizes, TOPICS};

/// Doorward's own, so that the constants answer under it too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
    let names: Vec<&str> = TOPICS.iter().map(|(name, _)| *name).collect();
    let picked = option("--rows").unwrap_or_else(|| names.join(","));
    let picked = picked.split(',').map(|name| {
        let topic = TOPICS.iter().find(|(known, _)| *known == name);
        topic.unwrap_or_else(|| panic!("--rows: expected some of {}", names.join(",")))
    });
    let picked: Vec<_> = picked.collect();
    let mut bench = Bench::new(Sizes {
        people: number("--people", 1_000_000),
        rounds: number("--rounds", 3),
        seconds: number("--seconds", 5) as u64,
        pairs: number("--pairs", 2000),
        tokens: number("--tokens", 10_000_000) as u64,
        overload: number("--overload", 60) as u64,
    });
    for (name, measure) in &picked {
        eprintln!("{name}");
        measure(&mut bench);
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
    println!("\nThe profile of each topic's rows, server, PostgreSQL and load together:\n");
    for (name, _) in &picked {
        println!(
            "    tools/bench --rows {name} --rounds 1 --seconds 20 & \
             until pgrep -f 'doorward serve' > /dev/null; do sleep 1; done; sleep 2; perf record -a -g -F 499 -- sleep 10; perf report --sort comm,symbol"
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
