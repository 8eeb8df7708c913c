//! Finding people at all people, on PostgreSQL with default memory: prefixes at a rate, parts of words at their worst, the whole list as a stream.

use std::process::Command;
use std::time::{Duration, Instant};

use super::{Bench, median};
use crate::load::{Pace, drive, request};
use crate::machine::Server;

/// Parts of words that cost the most: of everybody; of nobody; frequent ones that are never together; ones that only the end of the list has; many
/// words; a filter that passes nearly everybody over. `{n}` changes with each request.
const WORST: [&str; 12] = [
    "q=example",
    "q=exa",
    "q=son",
    "q=com+son",
    "q=example+person+com",
    "q=zzzz{n}",
    "q=example+zz{n}",
    "q=example+person{n}",
    "q=111+999+777",
    "q=123+example+son{n}",
    "q=person+1+2+3+4+5+6+7",
    "q=rson&status=disabled",
];

impl Bench {
    /// What people are found by, written past the server as it would write it.
    pub(super) fn words(&mut self) {
        if self.worded {
            return;
        }
        self.worded = true;
        for statement in [
            "alter table user_word drop constraint user_word_pkey",
            "insert into user_word (suffix, user_id)
             select distinct substr(word, at), id
               from \"user\", lateral (values (username_folded), ('example'), ('com')) as listed (word), generate_series(1, length(word) - 2) at
              where username like 'person%'",
            "alter table user_word add constraint user_word_pkey primary key (suffix, user_id)",
            "vacuum analyze user_word",
            "checkpoint",
        ] {
            self.postgres.sql("bench", statement);
        }
    }

    pub(super) fn search(&mut self) {
        self.words();
        self.postgres.restart_with_default_memory();
        let server = self.server();
        let token = format!("Bearer {}", self.token(&server));
        let headers = [("authorization", token.as_str())];
        let people = self.sizes.people as u64;
        let ask = |query: &str| request("GET", &format!("/api/v1/users?{query}"), &headers, None);
        let mut rates = Vec::new();
        for _ in 0..self.sizes.rounds {
            let seconds = Duration::from_secs(self.sizes.seconds);
            let report = drive(server.address, 32, &Pace::Closed, seconds, |n| {
                ask(&format!("q=person{}&limit=10", scattered(n, people) / 100))
            });
            assert_eq!(report.answered, report.by_class[2], "{:?}", report.by_class);
            rates.push(report.per_second());
        }
        self.row(
            "prefix search, pages of 10",
            median(rates),
            "answers/s",
            "what is asked for",
            3000.0,
            1.0,
        );
        for query in WORST {
            let seconds = Duration::from_secs(self.sizes.seconds);
            let mut report = drive(server.address, 2, &Pace::Closed, seconds, |n| {
                ask(&query.replace("{n}", &scattered(n, people).to_string()))
            });
            assert_eq!(report.answered, report.by_class[2], "{query}");
            self.at_most(
                &format!("part of a word, p99, {query}"),
                report.quantile_ms(0.99),
                "ms",
                "the worst case",
                300.0,
            );
        }
        self.stream(&server, &token);
        drop(server);
        let size = "select pg_size_pretty(pg_total_relation_size('user_word')) || ', people ' || pg_size_pretty(pg_total_relation_size('\"user\"'))";
        eprintln!("  words take {}", self.postgres.sql("bench", size).trim());
    }

    /// Everybody as NDJSON against `COPY … TO` of the same columns as JSON.
    fn stream(&mut self, server: &Server, token: &str) {
        let url = format!("http://{}/api/v1/users", server.address);
        let columns = "id, email, username, phone_number, name, email_verified, phone_number_verified, status, admin, claims, external_ids, attributes, \
                       password_change_required, version, created_at, updated_at";
        let copy = format!(
            "copy (select row_to_json(person) from (select {columns} from \"user\" where deleted_at is null order by id) as person) to stdout"
        );
        let resident = || server.memory().1;
        let (before, mut most) = (resident(), 0.0_f64);
        let mut turns = Vec::new();
        for _ in 0..self.sizes.rounds {
            let began = Instant::now();
            let mut curl = Command::new("curl")
                .args([
                    "-sfS",
                    "-o",
                    "/dev/null",
                    "-H",
                    "accept: application/x-ndjson",
                    "-H",
                ])
                .arg(format!("authorization: {token}"))
                .arg(&url)
                .spawn()
                .expect("curl runs");
            while curl.try_wait().expect("curl").is_none() {
                most = most.max(resident());
                std::thread::sleep(Duration::from_millis(20));
            }
            assert!(curl.wait().expect("curl").success());
            let ours = began.elapsed().as_secs_f64();
            let began = Instant::now();
            self.postgres.drain("bench", &copy);
            turns.push((1.0 / ours, 1.0 / began.elapsed().as_secs_f64()));
        }
        let people = self.sizes.people as f64;
        let turns: Vec<(f64, f64)> = turns
            .iter()
            .map(|(a, b)| (a * people, b * people))
            .collect();
        self.in_turns(
            "everybody as NDJSON",
            "people/s",
            "COPY of the same as JSON",
            &turns,
            0.5,
        );
        self.at_most(
            "memory that a stream adds",
            most - before,
            "MiB",
            "it is constant",
            32.0,
        );
    }
}

/// Numbers all over the range.
fn scattered(n: u64, below: u64) -> u64 {
    (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20) % below
}
