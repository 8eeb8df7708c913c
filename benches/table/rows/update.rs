//! An update with outbox, audit, history and digest against the bare update of the same row, 8 writers.
//!
//! *Wall* is the database's: what is compared are the statements, so both sides are driven by pgbench over 8 connections, PostgreSQL and pgbench
//! on both cores. The one side sends the two statements that Doorward sends for a change (the look, and the one that writes the row, its event and
//! its audit row; their text is taken from `.sqlx/`, so that it can't be another than the program's), while a Doorward beside it gives each change
//! its place in the feeds and keeps a consumer's digests. The other sends the update alone, and nothing runs beside it.
//!
//! *CPU of the database* is of changes as they come, by the API: seconds of a core that all processes of PostgreSQL used, background ones
//! and what is done after the commit included, from the first change until the last has its place. The bare update is made at the same pace then,
//! for what a commit costs depends on how many there are at once.
//!
//! What a caller sees, HTTP, token, JSON and sealing included, is shown beside them: it is Doorward's work and not the database's, and the bare
//! update has none of it.

use std::time::Duration;

use serde_json::Value;

use super::{Bench, in_thousands, median, post};
use crate::load::{Pace, Report, drive, request};
use crate::machine::{BOTH, OTHER, SERVER, Server};

const WRITERS: usize = 8;
/// People who are changed, spread over all.
const CHANGED: usize = 10_000;
const MERGE_PATCH: &str = "application/merge-patch+json";
/// The look, and the write: what their texts hold and no other's.
const LOOK: &str = "sealed_key as \"sealed_key?\"";
const WRITE: &str = "select 'user.updated', $1, version, $15";
/// Columns of the audit row that are the write's parameters from the 21st on.
const AUDIT: [&str; 12] = [
    "action",
    "actor_kind",
    "actor_id",
    "client_id",
    "target_kind",
    "target_id",
    "sealed",
    "ip",
    "user_agent",
    "sealed_origin",
    "via",
    "request_id",
];

impl Bench {
    pub(super) fn update(&mut self) {
        let step = (self.sizes.people / CHANGED).max(1);
        let most = self.sizes.people / step;
        let people = self.postgres.sql(
            "bench",
            &format!(
                "select {} from generate_series(1, {most}) n order by md5(n::text)",
                id_of(&format!("n * {step}"))
            ),
        );
        let people: Vec<&str> = people.lines().collect();
        let server = self.server();
        self.keep_digests(&server);
        // A person's first change makes their key.
        let mut made = 0;
        while made < people.len() {
            made += self
                .changes(&server, &people, made, Duration::from_secs(1))
                .answered as usize;
        }
        self.until("not exists (select from event)");
        drop(server);
        let pick = format!("\\set n {step} * random(1, {most})\n\\set m random(1, 1000000000)\n");
        let bare = format!("{pick}{}", bare());
        let full = format!("{pick}{}", self.as_doorward());

        let seconds = self.sizes.seconds as u32;
        let (mut walls, mut cpus, mut by_api) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..self.sizes.rounds {
            let server = self.server();
            // Connections are made and statements planned before.
            let warm = Duration::from_secs(1);
            made += self.changes(&server, &people, made, warm).answered as usize;
            self.until("not exists (select from event)");
            let (changes, api_cpu) = self.cost(|bench| {
                let lasting = Duration::from_secs(bench.sizes.seconds);
                let report = bench.changes(&server, &people, made, lasting);
                made += report.answered as usize;
                (report.per_second(), report.answered as f64)
            });
            let pgbench = |bench: &Self, cores: &str, pace: Option<f64>, script: &str| {
                let writers = WRITERS as u32;
                let rate = bench
                    .postgres
                    .pgbench_on(cores, pace, script, writers, seconds);
                (rate, rate * f64::from(seconds))
            };
            let (_, paced_cpu) = self.cost(|bench| pgbench(bench, SERVER, Some(changes), &bare));
            self.postgres.move_to(BOTH);
            let (full, full_cpu) = self.cost(|bench| pgbench(bench, BOTH, None, &full));
            drop(server);
            let (bare, bare_cpu) = self.cost(|bench| pgbench(bench, BOTH, None, &bare));
            self.postgres.move_to(OTHER);
            walls.push([bare / full, full, bare]);
            cpus.push([api_cpu / paced_cpu, api_cpu, paced_cpu, full_cpu, bare_cpu]);
            by_api.push([changes / bare, changes]);
        }
        let wall = |at: usize| median(walls.iter().map(|wall| wall[at]).collect());
        let cpu = |at: usize| median(cpus.iter().map(|cpu| cpu[at]).collect());
        let api = |at: usize| median(by_api.iter().map(|by| by[at]).collect());
        self.at_most(
            "an update with outbox, audit, history and digest, 8 writers, both cores: wall",
            wall(0),
            "×",
            &format!(
                "{:.0}/s, the bare update {:.0}/s, both by pgbench",
                wall(1),
                wall(2)
            ),
            1.3,
        );
        self.at_most(
            "the same by the API: CPU of the database",
            cpu(0),
            "×",
            &format!(
                "{:.0} µs, the bare update at that pace {:.0} µs (both as fast as pgbench goes: {:.0} and {:.0} µs)",
                cpu(1) * 1e6,
                cpu(2) * 1e6,
                cpu(3) * 1e6,
                cpu(4) * 1e6
            ),
            2.0,
        );
        self.shown(
            "the same by the API, 8 connections",
            format!("{} updates/s", in_thousands(api(1))),
            format!("the bare update by pgbench: {}", in_thousands(wall(2))),
            api(0),
        );
    }

    /// What `work` gives, and seconds of the database's CPU for each of the changes that it says it made, until all have their places.
    fn cost(&self, work: impl FnOnce(&Self) -> (f64, f64)) -> (f64, f64) {
        let before = self.postgres.cpu();
        let (rate, changes) = work(self);
        self.until("not exists (select from event)");
        (rate, (self.postgres.cpu() - before) / changes)
    }

    /// Waits within one connection: to make one for each look would be a good part of what is measured.
    fn until(&self, holds: &str) {
        let wait = format!(
            "do $$ begin while not ({holds}) loop commit; perform pg_sleep(0.02); end loop; end $$"
        );
        self.postgres.sql("bench", &wait);
    }

    /// A consumer whose view holds what is changed, and everybody in its feed.
    fn keep_digests(&mut self, server: &Server) {
        self.postgres.sql(
            "bench",
            "insert into event (type, user_id, version, occurred_at)
             select 'user.created', id, version, created_at from \"user\" where not exists (select from change) order by id",
        );
        let made = self.json(&[
            "client",
            "create",
            "--name",
            "copy",
            "--grant",
            "client_credentials",
            "--scope",
            "users:read",
            "--json",
        ]);
        let token = format!("Bearer {}", self.token(server));
        let view = r#"{"mail":"email","name":"name","nick":"nickname"}"#;
        let body = format!(r#"{{"client_id":{},"fields":{view}}}"#, made["client_id"]);
        let request = request(
            "PUT",
            "/api/v1/consumers/update",
            &[("authorization", &token)],
            Some(("application/json", &body)),
        );
        let answer = post(server.address, &request).expect("an answer");
        assert_eq!(answer.0, 201, "{}", answer.1);
        self.until("not exists (select from event) and not exists (select from feed where filled_to is not null)");
        self.postgres.sql("bench", "vacuum analyze change");
    }

    /// Changes by the API for so long, over 8 connections, each another than the `made` before.
    fn changes(&self, server: &Server, people: &[&str], made: usize, lasting: Duration) -> Report {
        let token = format!("Bearer {}", self.token(server));
        let headers = [("authorization", token.as_str())];
        let report = drive(server.address, WRITERS, &Pace::Closed, lasting, |n| {
            let n = made + n as usize;
            let path = format!("/api/v1/users/{}", people[n % people.len()]);
            let body = format!(r#"{{"nickname":"n{n}"}}"#);
            request("PATCH", &path, &headers, Some((MERGE_PATCH, &body)))
        });
        assert_eq!(report.answered, report.by_class[2], "{:?}", report.by_class);
        report
    }

    /// Doorward's two statements, of the person `:n`. What does not differ from change to change is as in the last that the API made.
    fn as_doorward(&self) -> String {
        let (look, _) = statement(LOOK);
        // pgbench takes the columns for variables, so they have plain names.
        let look = look
            .replace("id as \"id: UserId\"", "id")
            .replace("\"sealed_key?\"", "sealed_key")
            .replace("$1", &id_of(":n"));
        let (write, types) = statement(WRITE);
        let of_person = [
            ":id",
            "array[:version]",
            ":status",
            ":admin",
            ":email",
            "lower(:email)",
            ":email_verified",
            ":username",
            "lower(:username)",
            "null",
            ":phone_number_verified",
            ":name",
            CLAIMS,
            "false",
            "clock_timestamp()",
            ":external_ids",
            ":attributes",
            "lower(:name)",
            "array['nickname']",
            UUID_V7,
        ];
        let columns = AUDIT
            .map(|column| format!("quote_nullable({column})"))
            .join(", ");
        let of_audit = self.postgres.sql(
            "bench",
            &format!("select unnest(array[{columns}]) from (select * from audit where action = 'user.updated' order by id desc limit 1) one"),
        );
        let values: Vec<&str> = of_person.into_iter().chain(of_audit.lines()).collect();
        assert_eq!(values.len(), types.len(), "the write has other parameters");
        let mut filled = write;
        for (at, (value, of_type)) in values.iter().zip(&types).enumerate().rev() {
            let of_type = of_type.replace("array", "[]");
            filled = filled.replace(&format!("${}", at + 1), &format!("({value})::{of_type}"));
        }
        format!("{look} \\gset\n{filled};\n")
    }
}

/// What is written to a person's claims.
const CLAIMS: &str = "jsonb_build_object('locale', 'en', 'nickname', 'n' || :m)";
/// Ids of audit rows begin with their time.
const UUID_V7: &str = "lpad(to_hex((extract(epoch from clock_timestamp()) * 1000)::bigint), 12, '0') || substr(gen_random_uuid()::text, 14)";

fn bare() -> String {
    let id = id_of(":n");
    format!(
        "update \"user\" set claims = {CLAIMS}, version = version + 1, updated_at = clock_timestamp() where id = {id};\n"
    )
}

/// The id of the n-th person, as they were filled in.
fn id_of(n: &str) -> String {
    format!(
        "(lpad(to_hex(1700000000000 + {n}), 12, '0') || '7' || substr(md5(({n})::text), 1, 3) || '8' || substr(md5(({n})::text), 4, 15))::uuid"
    )
}

/// The text of the program's one statement that holds this, and the types of its parameters.
fn statement(holds: &str) -> (String, Vec<String>) {
    let folder =
        std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.sqlx")).expect("a folder");
    let all = folder.map(|entry| {
        let text = std::fs::read_to_string(entry.expect("an entry").path()).expect("a query");
        serde_json::from_str::<Value>(&text).expect("JSON")
    });
    let mut those = all.filter(|query| {
        query["query"]
            .as_str()
            .is_some_and(|text| text.contains(holds))
    });
    let query = those
        .next()
        .unwrap_or_else(|| panic!("no statement holds {holds}"));
    assert!(those.next().is_none(), "several hold {holds}");
    let types = query["describe"]["parameters"]["Left"]
        .as_array()
        .expect("types");
    let types = types
        .iter()
        .map(|name| name.as_str().expect("a name").to_lowercase());
    (
        query["query"].as_str().expect("a text").to_owned(),
        types.collect(),
    )
}
