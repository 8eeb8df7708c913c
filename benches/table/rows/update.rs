//! An update with outbox, audit, history and digest against the bare update of the same row, 8 writers.
//!
//! *Wall* is a writer's: of the same requests by the same program over 8 connections, load, Doorward and PostgreSQL on both cores. Bare is the
//! update where outbox and audit keep nothing ([`KEEP_NOTHING`]), so no change has a place in a feed, a history or a digest. What is compared is
//! keeping them: the audit row is made and sealed on both sides, and dropped on one.
//!
//! *CPU of the database* is against something smaller, the bare statement at the same pace by pgbench: seconds of a core that all processes of PostgreSQL
//! used, background ones and what is done after the commit included, from the first change until the last has its place. At the same pace, for
//! what a commit costs depends on how many there are at once.
//!
//! The last row is what of the wall is the database's: the two statements that Doorward sends for a change (the look, and the one that writes
//! the row, its event and its audit row; their text is taken from `.sqlx/`, so that it can't be another than the program's), while a Doorward beside
//! them gives each change its place, against the bare statement, both by pgbench as fast as it goes.

use std::time::Duration;

use serde_json::Value;

use super::{Bench, median, post};
use crate::load::{Pace, Report, drive, request};
use crate::machine::{BOTH, OTHER, SERVER, Server};

const WRITERS: usize = 8;
/// People who are changed, spread over all.
const CHANGED: usize = 10_000;
/// Tables of the same names stand before the outbox and the audit, with no index, and a trigger that drops what is written to them.
const KEEP_NOTHING: &str = "
    create schema bare;
    alter table event set schema bare;
    alter table audit set schema bare;
    create table event (like bare.event including identity);
    alter sequence event_id_seq rename to event_position_seq;
    create table audit (like bare.audit);
    create function bare.keep_nothing() returns trigger language plpgsql as 'begin return null; end';
    create trigger keeps_nothing before insert on event for each row execute function bare.keep_nothing();
    create trigger keeps_nothing before insert on audit for each row execute function bare.keep_nothing();";
const KEEP_AGAIN: &str = "
    drop table event, audit;
    alter table bare.event set schema public;
    alter table bare.audit set schema public;
    drop schema bare cascade;";
const MERGE_PATCH: &str = "application/merge-patch+json";
/// The look, and the write: what their texts hold and no other's.
const LOOK: &str = "sealed_key as \"sealed_key?\"";
const WRITE: &str = "select 'user.updated', $1, version, $8";
/// Columns of the audit row that are the write's parameters from the 11th on.
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
        let (full, row_alone) = self.as_doorward();
        let (full, row_alone) = (format!("{pick}{full}"), format!("{pick}{row_alone}"));

        let lasting = Duration::from_secs(self.sizes.seconds);
        let seconds = self.sizes.seconds as u32;
        let (mut walls, mut cpus, mut by_pgbench) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..self.sizes.rounds {
            let (changes, api_cpu) = self.by_api(&people, &mut made, OTHER, lasting);
            let pgbench = |bench: &Self, cores: &str, pace: Option<f64>, script: &str| {
                let writers = WRITERS as u32;
                let rate = bench
                    .postgres
                    .pgbench_on(cores, pace, script, writers, seconds);
                (rate, rate * f64::from(seconds))
            };
            let (_, paced_cpu) = self.cost(|bench| pgbench(bench, SERVER, Some(changes), &bare));
            cpus.push([api_cpu / paced_cpu, api_cpu, paced_cpu]);
            // What the one leaves to be tidied must not be the other's: all, none, none, all.
            let mut both = |bench: &Self| bench.by_api(&people, &mut made, BOTH, lasting);
            let first = both(self);
            self.postgres.sql("bench", KEEP_NOTHING);
            let without = mean(both(self), both(self));
            self.postgres.sql("bench", KEEP_AGAIN);
            let with_all = mean(first, both(self));
            walls.push([
                without.0 / with_all.0,
                with_all.0,
                without.0,
                with_all.1,
                without.1,
            ]);
            let server = self.server();
            self.postgres.move_to(BOTH);
            let (full, full_cpu) = self.cost(|bench| pgbench(bench, BOTH, None, &full));
            drop(server);
            let (bare, bare_cpu) = self.cost(|bench| pgbench(bench, BOTH, None, &bare));
            let (row_alone, _) = self.cost(|bench| pgbench(bench, BOTH, None, &row_alone));
            by_pgbench.push([
                bare / full,
                full,
                bare,
                full_cpu,
                bare_cpu,
                bare / row_alone,
            ]);
            self.postgres.move_to(OTHER);
        }
        let wall = |at: usize| median(walls.iter().map(|wall| wall[at]).collect());
        let cpu = |at: usize| median(cpus.iter().map(|cpu| cpu[at]).collect());
        let pgbench = |at: usize| median(by_pgbench.iter().map(|by| by[at]).collect());
        self.at_most(
            "an update that keeps outbox, audit, history and digest, by the API, 8 writers, both cores: wall",
            wall(0),
            "×",
            &format!(
                "{:.0}/s, where none of them is kept {:.0}/s (CPU of the database {:.0} and {:.0} µs)",
                wall(1),
                wall(2),
                wall(3) * 1e6,
                wall(4) * 1e6
            ),
            1.3,
        );
        self.at_most(
            "the same: CPU of the database",
            cpu(0),
            "×",
            &format!(
                "{:.0} µs, the bare statement at that pace {:.0} µs",
                cpu(1) * 1e6,
                cpu(2) * 1e6
            ),
            2.0,
        );
        self.at_most(
            "its statements by pgbench, both cores: wall",
            pgbench(0),
            "×",
            &format!(
                "{:.0}/s, the bare statement {:.0}/s (CPU of the database {:.0} and {:.0} µs); the look and the row alone: {:.1} ×",
                pgbench(1),
                pgbench(2),
                pgbench(3) * 1e6,
                pgbench(4) * 1e6,
                pgbench(5)
            ),
            1.3,
        );
    }

    /// Changes by the API a second as fast as 8 writers go, Doorward on the server's core and PostgreSQL on the other or both on both, and
    /// what one costs the database.
    fn by_api(
        &self,
        people: &[&str],
        made: &mut usize,
        cores: &str,
        lasting: Duration,
    ) -> (f64, f64) {
        let server = match cores {
            BOTH => self.server_on(BOTH, &[]),
            _ => self.server(),
        };
        // Connections are made and statements planned before.
        let warm = Duration::from_secs(1);
        *made += self.changes(&server, people, *made, warm).answered as usize;
        self.postgres.move_to(cores);
        self.until("not exists (select from event)");
        let cost = self.cost(|bench| {
            let report = bench.changes(&server, people, *made, lasting);
            *made += report.answered as usize;
            (report.per_second(), report.answered as f64)
        });
        self.postgres.move_to(OTHER);
        cost
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

    /// Doorward's two statements, of the person `:n`, and the same without event and audit row. What does not differ from change to change is as in the last that the API made.
    fn as_doorward(&self) -> (String, String) {
        let (look, _) = statement(LOOK);
        // pgbench takes the columns for variables, so they have plain names.
        let look = look
            .replace("id as \"id: UserId\"", "id")
            .replace("\"sealed_key?\"", "sealed_key")
            .replace("$1", &id_of(":n"));
        let (write, types) = statement(WRITE);
        let of_person = [
            ":id",
            ":version",
            ":status",
            ":email_verified",
            "null",
            ":phone_number_verified",
            CLAIMS,
            "clock_timestamp()",
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
        let (row, _) = filled.split_once("), told as (").expect("the row first");
        (
            format!("{look} \\gset\n{filled};\n"),
            format!("{look} \\gset\n{row}) select version from changed;\n"),
        )
    }
}

fn mean(one: (f64, f64), other: (f64, f64)) -> (f64, f64) {
    (f64::midpoint(one.0, other.0), f64::midpoint(one.1, other.1))
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
