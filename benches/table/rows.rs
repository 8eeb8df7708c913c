//! The rows of the table: each measures Doorward and the raw limit that it is held against, in one run.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::load::{Pace, Report, drive, request};
use crate::machine::{BOTH, Postgres, SERVER, Server, free_address, on, openssl_signs};

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

pub(crate) struct Bench {
    pub(crate) postgres: Postgres,
    pub(crate) keys: std::path::PathBuf,
    pub(crate) people: usize,
    pub(crate) rounds: usize,
    pub(crate) seconds: u64,
    clients: Vec<(String, String, String)>,
    pub(crate) rows: Vec<Row>,
}

/// The body of `GET path`; `None` where nobody answers with 200.
pub(crate) fn get(address: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    stream
        .write_all(
            format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
                .as_bytes(),
        )
        .ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    head.starts_with("HTTP/1.1 200").then(|| body.to_owned())
}

fn post(address: SocketAddr, bytes: &[u8]) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .ok()?;
    stream.write_all(bytes).ok()?;
    let mut text = String::new();
    let mut chunk = [0; 8192];
    loop {
        let n = stream.read(&mut chunk).ok()?;
        text.push_str(&String::from_utf8_lossy(&chunk[..n]));
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .to_lowercase()
                .split("content-length: ")
                .nth(1)?
                .lines()
                .next()?
                .parse()
                .ok()?;
            if body.len() >= length {
                return Some((head.get(9..12)?.parse().ok()?, body.to_owned()));
            }
        }
        if n == 0 {
            return None;
        }
    }
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

fn in_thousands(value: f64) -> String {
    if value >= 10_000.0 {
        format!("{:.1} k", value / 1000.0)
    } else {
        format!("{value:.0}")
    }
}

impl Bench {
    pub(crate) fn new(people: usize, rounds: usize, seconds: u64) -> Self {
        let postgres = Postgres::start();
        postgres.sql("postgres", "create database bench");
        let keys = postgres.socket().join("keys");
        std::fs::create_dir_all(&keys).expect("a folder");
        let mut bench = Self {
            postgres,
            keys,
            people,
            rounds,
            seconds,
            clients: Vec::new(),
            rows: Vec::new(),
        };
        bench.cli(&["migrate"]);
        for alg in ["ES256", "EdDSA", "RS256"] {
            let made = bench.json(&[
                "client",
                "create",
                "--name",
                "bench",
                "--grant",
                "client_credentials",
                "--scope",
                "a b",
                "--audience",
                "https://a.example",
                "--signing-alg",
                alg,
                "--json",
            ]);
            bench.remember(alg, &made);
        }
        let made = bench.json(&[
            "client",
            "create",
            "--name",
            "api",
            "--grant",
            "client_credentials",
            "--scope",
            "users:read users:write clients:read clients:write",
            "--json",
        ]);
        bench.remember("api", &made);
        let made = bench.json(&[
            "client",
            "create",
            "--name",
            "grant",
            "--grant",
            "password",
            "--scope",
            "a",
            "--audience",
            "https://a.example",
            "--json",
        ]);
        bench.remember("password", &made);
        bench.fill();
        bench
    }

    fn remember(&mut self, name: &str, made: &Value) {
        let text = |member: &str| made[member].as_str().expect("a text").to_owned();
        self.clients
            .push((name.to_owned(), text("client_id"), text("client_secret")));
    }

    fn command(&self, mut command: Command) -> Command {
        command
            .env("DATABASE_URL", self.postgres.url())
            .env("DOORWARD_KEYS_DIR", &self.keys)
            .env("DOORWARD_HTTP__DRAIN_TIMEOUT", "0s")
            .env("DOORWARD_DATA_DIR", self.keys.join("data"));
        command
    }

    fn cli(&self, args: &[&str]) -> String {
        let output = self
            .command(Command::new(env!("CARGO_BIN_EXE_doorward")))
            .args(args)
            .output()
            .expect("it runs");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.cli(args)).expect("JSON")
    }

    /// People, written past the server: making a million by the API is not what is measured.
    fn fill(&self) {
        let hash = {
            let made = self.cli_with(
                &[
                    "user",
                    "create",
                    "--username",
                    "first",
                    "--password-stdin",
                    "--json",
                ],
                PASSWORD,
            );
            let id = made["id"].as_str().expect("an id").to_owned();
            self.postgres.sql(
                "bench",
                &format!("select password_hash from \"user\" where id = '{id}'"),
            )
        };
        let insert = |from: usize, to: usize, hash: &str| {
            self.postgres.sql("bench", &format!(
                "insert into \"user\" (id, status, admin, email, email_folded, email_verified, username, username_folded, phone_number_verified, name,
                                       claims, password_hash, password_change_required, tokens_valid_from, created_at, updated_at)
                 select (lpad(to_hex(1700000000000 + n), 12, '0') || '7' || substr(md5(n::text), 1, 3) || '8' || substr(md5(n::text), 4, 15))::uuid,
                        case when n % 10 = 0 then 'disabled' else 'active' end, false, 'Person' || n || '@example.com', 'person' || n || '@example.com',
                        true, 'person' || n, 'person' || n, false, 'Person ' || n, '{{\"locale\":\"en\"}}'::jsonb, {hash}, false,
                        timestamptz '2026-01-01' + n * interval '1 second', timestamptz '2026-01-01' + n * interval '1 second',
                        timestamptz '2026-01-01' + n * interval '1 second'
                   from generate_series({from}, {to}) n"
            ));
        };
        insert(1, SIGNING_IN, &format!("'{hash}'"));
        let mut at = SIGNING_IN;
        while at < self.people {
            let to = (at + 100_000).min(self.people);
            insert(at + 1, to, "null");
            at = to;
        }
        self.postgres.sql(
            "bench",
            "update \"user\" set status = 'active' where password_hash is not null",
        );
        self.postgres.sql("bench", "vacuum analyze");
        self.postgres.sql("bench", "checkpoint");
    }

    fn cli_with(&self, args: &[&str], stdin: &str) -> Value {
        let mut child = self
            .command(Command::new(env!("CARGO_BIN_EXE_doorward")))
            .args(args)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("it runs");
        child
            .stdin
            .take()
            .expect("piped")
            .write_all(stdin.as_bytes())
            .expect("written");
        let output = child.wait_with_output().expect("it ends");
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    fn server_on(&self, cores: &str, further: &[(&str, &str)]) -> Server {
        let address = free_address();
        let mut command = self.command(on(cores, env!("CARGO_BIN_EXE_doorward")));
        command
            .env("DOORWARD_LISTEN", address.to_string())
            .arg("serve");
        command.env("DOORWARD_HTTP__MAX_CONNECTIONS_PER_ADDRESS", "5000");
        command.envs(further.iter().copied());
        let server = Server::start(command, address, "/readyz");
        // Until the caches have heard the notifier.
        std::thread::sleep(Duration::from_millis(600));
        server
    }

    fn server(&self) -> Server {
        self.server_on(SERVER, &[])
    }

    fn limit(&self, kind: &str, bytes: usize) -> Server {
        let address = free_address();
        let mut command = on(SERVER, std::env::current_exe().expect("this program"));
        command.args([
            "--child",
            kind,
            &address.to_string(),
            &bytes.to_string(),
            &self.postgres.url(),
        ]);
        command.arg(&self.keys);
        Server::start(command, address, "/constant")
    }

    fn credentials(&self, name: &str) -> (String, String) {
        let (_, id, secret) = self.clients.iter().find(|c| c.0 == name).expect("a client");
        (id.clone(), secret.clone())
    }

    fn token_request(&self, name: &str, form: &str) -> Vec<u8> {
        let (id, secret) = self.credentials(name);
        let basic = format!("Basic {}", base64(&format!("{id}:{secret}")));
        request(
            "POST",
            "/oauth2/token",
            &[("authorization", &basic)],
            Some((FORM, form)),
        )
    }

    fn token(&self, server: &Server) -> String {
        let (status, body) = post(
            server.address,
            &self.token_request("api", "grant_type=client_credentials"),
        )
        .expect("an answer");
        assert_eq!(status, 200, "{body}");
        let body: Value = serde_json::from_str(&body).expect("JSON");
        body["access_token"].as_str().expect("a token").to_owned()
    }

    /// For rows without PostgreSQL.
    fn busy(&self, server: &Server, next: impl FnMut(u64) -> Vec<u8>) -> Report {
        self.all_well(server, &Pace::Busy, next)
    }

    fn closed(&self, server: &Server, next: impl FnMut(u64) -> Vec<u8>) -> Report {
        self.all_well(server, &Pace::Closed, next)
    }

    fn all_well(&self, server: &Server, pace: &Pace, next: impl FnMut(u64) -> Vec<u8>) -> Report {
        let report = drive(
            server.address,
            32,
            pace,
            Duration::from_secs(self.seconds),
            next,
        );
        let failed = report.answered - report.by_class[2] + report.broken;
        assert_eq!(
            failed, 0,
            "every request is answered well: {:?}",
            report.by_class
        );
        report
    }

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

    /// A figure that may be at most so much.
    fn at_most(&mut self, what: &str, figure: f64, unit: &str, against: &str, most: f64) {
        self.push(Row {
            what: what.to_owned(),
            figure: format!("{figure:.1} {unit}"),
            against: against.to_owned(),
            ratio: figure / most,
            bound: format!("≤ {most:.1} {unit}"),
            holds: figure <= most,
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

    pub(crate) fn tokens(&mut self) {
        for (alg, speed, at_least) in [
            ("ES256", "ecdsap256", 0.45),
            ("EdDSA", "ed25519", 0.55),
            ("RS256", "rsa2048", 0.80),
        ] {
            let bytes = self.token_request(alg, "grant_type=client_credentials");
            let (mut rates, mut limits) = (Vec::new(), Vec::new());
            for _ in 0..self.rounds {
                let server = self.server();
                drive(
                    server.address,
                    32,
                    &Pace::Closed,
                    Duration::from_millis(500),
                    |_| bytes.clone(),
                );
                rates.push(self.busy(&server, |_| bytes.clone()).per_second());
                drop(server);
                limits.push(openssl_signs(speed, 2));
            }
            self.row(
                &format!("client credentials, {alg}, one core, 32 connections"),
                median(rates),
                "tokens/s",
                "openssl speed, signatures/s",
                median(limits),
                at_least,
            );
        }
    }

    pub(crate) fn documents(&mut self) {
        for path in [
            "/.well-known/jwks.json",
            "/.well-known/openid-configuration",
        ] {
            let (mut rates, mut layered, mut bare) = (Vec::new(), Vec::new(), Vec::new());
            for _ in 0..self.rounds {
                let server = self.server();
                let bytes = get(server.address, path).expect("it answers").len();
                rates.push(
                    self.busy(&server, |_| request("GET", path, &[], None))
                        .per_second(),
                );
                drop(server);
                for (kind, to) in [("layers", &mut layered), ("bare", &mut bare)] {
                    let server = self.limit(kind, bytes);
                    to.push(
                        self.busy(&server, |_| request("GET", "/constant", &[], None))
                            .per_second(),
                    );
                }
            }
            let (rate, layered, bare) = (median(rates), median(layered), median(bare));
            self.row(
                path,
                rate,
                "answers/s",
                "a constant behind the same layers",
                layered,
                0.9,
            );
            self.row(
                path,
                rate,
                "answers/s",
                "a constant of the bare framework",
                bare,
                0.45,
            );
        }
    }

    pub(crate) fn directory(&mut self) {
        let ids: Vec<String> = self
            .postgres
            .sql(
                "bench",
                "select id from \"user\" tablesample system (0.5) limit 4000",
            )
            .lines()
            .map(str::to_owned)
            .collect();
        let people = self.people as u64;
        let pick = move |n: u64| (n.wrapping_mul(2_654_435_761) % people) + 1;
        let (mut by_id, mut by_email, mut page, mut reads, mut email_reads, mut pages) =
            (vec![], vec![], vec![], vec![], vec![], vec![]);
        for _ in 0..self.rounds {
            let server = self.server();
            let token = format!("Bearer {}", self.token(&server));
            let headers = [("authorization", token.as_str())];
            by_id.push(
                self.closed(&server, |n| {
                    request(
                        "GET",
                        &format!("/api/v1/users/{}", ids[n as usize % ids.len()]),
                        &headers,
                        None,
                    )
                })
                .per_second(),
            );
            by_email.push(
                self.closed(&server, |n| {
                    request(
                        "GET",
                        &format!("/api/v1/users?email=person{}@example.com", pick(n)),
                        &headers,
                        None,
                    )
                })
                .per_second(),
            );
            page.push(
                self.closed(&server, |_| {
                    request("GET", "/api/v1/users?limit=50", &headers, None)
                })
                .per_second(),
            );
            drop(server);
            let seconds = self.seconds as u32;
            let columns = "id, version, status, admin, email, email_verified, username, phone_number, phone_number_verified, name, claims, \
                           password_change_required, created_at, updated_at";
            reads.push(self.postgres.pgbench(
                &format!("\\set n random(1, {people})\nselect {columns} from \"user\" where id = (lpad(to_hex(1700000000000 + :n), 12, '0') || '7' || substr(md5(:n::text), 1, 3) || '8' || substr(md5(:n::text), 4, 15))::uuid and deleted_at is null;\n"),
                32, seconds,
            ));
            email_reads.push(self.postgres.pgbench(
                &format!("\\set n random(1, {people})\nselect {columns} from \"user\" where email_folded = 'person' || :n || '@example.com' and deleted_at is null order by id limit 51;\n"),
                32, seconds,
            ));
            pages.push(self.postgres.pgbench(
                &format!("select {columns} from \"user\" where deleted_at is null order by id limit 51;\n"),
                32, seconds,
            ));
        }
        let (reads, email_reads, pages) = (median(reads), median(email_reads), median(pages));
        self.row(
            "user by id, 1 core, 32 connections",
            median(by_id),
            "answers/s",
            "pgbench, the same read",
            reads,
            0.35,
        );
        self.row(
            "user by e-mail",
            median(by_email),
            "answers/s",
            "pgbench, the same read",
            email_reads,
            0.18,
        );
        let rate = median(page);
        self.row(
            "list page of 50",
            rate,
            "answers/s",
            "pgbench, the same page",
            pages,
            0.18,
        );
    }

    pub(crate) fn creates(&mut self) {
        let (mut rates, mut commits) = (Vec::new(), Vec::new());
        for round in 0..self.rounds {
            let server = self.server();
            let token = format!("Bearer {}", self.token(&server));
            let headers = [("authorization", token.as_str())];
            let mut n = 0;
            let report = drive(
                server.address,
                32,
                &Pace::Closed,
                Duration::from_secs(self.seconds),
                |_| {
                    n += 1;
                    let body =
                        format!(r#"{{"email":"made-{round}-{n}@example.com","name":"Made {n}"}}"#);
                    request(
                        "POST",
                        "/api/v1/users",
                        &headers,
                        Some(("application/json", &body)),
                    )
                },
            );
            assert_eq!(report.answered, report.by_class[2], "{:?}", report.by_class);
            rates.push(report.per_second());
            drop(server);
            commits.push(self.postgres.pgbench(
                &format!(
                    "\\set n random(1, 1000000000)\nbegin;\n\
                     insert into \"user\" (id, status, admin, email, email_folded, email_verified, phone_number_verified, name, claims, password_change_required, tokens_valid_from, created_at, updated_at)\n \
                     values (gen_random_uuid(), 'active', false, 'pgb{round}-' || :n || '-' || random()::text, 'pgb{round}-' || :n || '-' || random()::text, false, false, 'Made', '{{}}', false, '2026-11-25', '2026-11-25', '2026-11-25');\n\
                     insert into event (type, user_id, version, occurred_at) values ('user.created', '00000000-0000-7000-8000-000000000000', 1, '2026-11-25');\n\
                     insert into audit (id, occurred_at, action, actor_kind, actor_id, target_kind, target_id, after, ip, request_id)\n \
                     values (gen_random_uuid(), '2026-11-25', 'user.created', 'client', 'c_pgbench', 'user', 'x', jsonb_build_object('email', 'made@example.com', 'name', 'Made', 'status', 'active', 'admin', false), '127.0.0.1', 'x');\n\
                     commit;\n"
                ),
                32, self.seconds as u32,
            ));
        }
        self.row(
            "create a user",
            median(rates),
            "commits/s",
            "pgbench, the same inserts",
            median(commits),
            0.35,
        );
        self.postgres.sql(
            "bench",
            "delete from \"user\" where email like 'made-%' or email like 'pgb%'",
        );
        self.postgres.sql("bench", "vacuum analyze \"user\"");
    }

    /// First and last pages of every filtered list, one connection, medians of many.
    pub(crate) fn pages(&mut self) {
        let server = self.server();
        let token = format!("Bearer {}", self.token(&server));
        let headers = [("authorization", token.as_str())];
        let since = "2026-01-01T00:00:00Z";
        let mut first_of_all = 0.0;
        for filter in [
            "",
            "status=active&",
            "status=disabled&",
            &format!("updated_since={since}&"),
            &format!("status=active&updated_since={since}&"),
        ] {
            let first = request(
                "GET",
                &format!("/api/v1/users?{filter}limit=50"),
                &headers,
                None,
            );
            // The last page: the cursor of a page that begins near the end is had by asking for what was changed last, so walk there by
            // pages of 200 from a late start where the filter allows it; otherwise through the whole list.
            let mut after = String::new();
            let mut last = first.clone();
            loop {
                let path = format!(
                    "/api/v1/users?{filter}limit=200{}",
                    if after.is_empty() {
                        String::new()
                    } else {
                        format!("&after={after}")
                    }
                );
                let (_, body) =
                    post(server.address, &request("GET", &path, &headers, None)).expect("a page");
                let page: Value = serde_json::from_str(&body).expect("JSON");
                match page["next"].as_str() {
                    Some(next) => {
                        after = next.to_owned();
                        last = request(
                            "GET",
                            &format!("/api/v1/users?{filter}limit=50&after={after}"),
                            &headers,
                            None,
                        );
                    }
                    None => break,
                }
            }
            let time = |bytes: &[u8]| {
                let mut report = drive(
                    server.address,
                    1,
                    &Pace::Closed,
                    Duration::from_secs(1),
                    |_| bytes.to_vec(),
                );
                assert_eq!(report.answered, report.by_class[2]);
                report.quantile_ms(0.5)
            };
            let (mut firsts, mut lasts) = (Vec::new(), Vec::new());
            for _ in 0..self.rounds {
                firsts.push(time(&first));
                lasts.push(time(&last));
            }
            let (first, last) = (median(firsts), median(lasts));
            if filter.is_empty() {
                first_of_all = first;
            }
            let name = if filter.is_empty() {
                "all"
            } else {
                filter.trim_end_matches('&')
            };
            self.at_most(
                &format!("last page against first, {name}"),
                last / first,
                "×",
                &format!("{first:.2} ms and {last:.2} ms"),
                1.6,
            );
        }
        drop(server);
        // The same at 10,000 people.
        self.postgres.sql("postgres", "create database small");
        let url = self.postgres.url().replace("/bench?", "/small?");
        let cli = self
            .command(Command::new(env!("CARGO_BIN_EXE_doorward")))
            .env("DATABASE_URL", &url)
            .arg("migrate")
            .status();
        assert!(cli.expect("it runs").success());
        drop(std::fs::remove_dir(self.keys.join("none")));
        let columns = "id, version, status, admin, email, email_folded, email_verified, username, username_folded, phone_number, phone_number_verified, name, claims, password_hash, password_change_required, tokens_valid_from, created_at, updated_at";
        let copy = format!(
            "set -e; {psql} bench -c \"copy (select {columns} from \\\"user\\\" order by id limit 10000) to stdout\" | {psql} small -c \"copy \\\"user\\\" ({columns}) from stdin\"; \
             for t in client client_secret signing_key; do {psql} bench -c \"copy $t to stdout\" | {psql} small -c \"copy $t from stdin\"; done; {psql} small -c 'vacuum analyze'",
            psql = format!(
                "psql -X -q -h {} -U postgres -d",
                self.postgres.socket().display()
            ),
        );
        crate::machine::run(Command::new("sh").args(["-c", &copy]));
        let server = self.server_on(SERVER, &[("DATABASE_URL", &url)]);
        let token = format!("Bearer {}", self.token(&server));
        let headers = [("authorization", token.as_str())];
        let bytes = request("GET", "/api/v1/users?limit=50", &headers, None);
        let times: Vec<f64> = (0..self.rounds)
            .map(|_| {
                drive(
                    server.address,
                    1,
                    &Pace::Closed,
                    Duration::from_secs(1),
                    |_| bytes.clone(),
                )
                .quantile_ms(0.5)
            })
            .collect();
        let small = median(times);
        self.at_most(
            "first page at all people against 10,000",
            first_of_all / small,
            "×",
            &format!("{small:.2} ms and {first_of_all:.2} ms"),
            1.5,
        );
    }

    fn grant(&self, person: u64, password: &str) -> Vec<u8> {
        let form = format!(
            "grant_type=password&username=person{}&password={}",
            person % SIGNING_IN as u64 + 1,
            password.replace(' ', "+")
        );
        self.token_request("password", &form)
    }

    pub(crate) fn passwords(&mut self) {
        let (mut rates, mut limits) = (Vec::new(), Vec::new());
        for _ in 0..self.rounds {
            let server = self.server_on(SERVER, &[("DOORWARD_PASSWORDS__THREADS", "1")]);
            let report = self.closed(&server, |n| self.grant(n, PASSWORD));
            rates.push(report.per_second());
            drop(server);
            let child = on(SERVER, std::env::current_exe().expect("this program"))
                .args(["--child", "hashes", &self.seconds.to_string()])
                .output();
            let said = String::from_utf8(child.expect("it runs").stdout).expect("UTF-8");
            limits.push(said.trim().parse().expect("a number"));
        }
        self.row(
            "password grant, one core",
            median(rates),
            "grants/s",
            "bare Argon2id on that core",
            median(limits),
            0.90,
        );
    }

    pub(crate) fn storm(&mut self) {
        let (mut quiet, mut stormy) = (Vec::new(), Vec::new());
        let seconds = Duration::from_secs(self.seconds.max(5));
        for _ in 0..self.rounds {
            let server = self.server_on(BOTH, &[]);
            let bytes = self.token_request("ES256", "grant_type=client_credentials");
            let tokens = || {
                drive(server.address, 64, &Pace::Open(2000.0), seconds, |_| {
                    bytes.clone()
                })
                .quantile_ms(0.99)
            };
            quiet.push(tokens());
            let logins = std::thread::scope(|scope| {
                let storm = scope.spawn(|| {
                    drive(server.address, 64, &Pace::Closed, seconds, |n| {
                        self.grant(n * 7, PASSWORD)
                    })
                });
                stormy.push(tokens());
                storm.join().expect("it ends")
            });
            eprintln!("    (logins meanwhile: {:.0}/s)", logins.per_second());
        }
        let (quiet, stormy) = (median(quiet), median(stormy));
        let most = (3.0 * quiet).max(10.0);
        self.at_most(
            "p99 of tokens at 2,000/s while 64 people log in",
            stormy,
            "ms",
            &format!("quiet: {quiet:.2} ms"),
            most,
        );
    }

    pub(crate) fn memory(&mut self, tokens: u64) {
        let server = self.server();
        std::thread::sleep(Duration::from_secs(2));
        let (idle, anonymous) = server.memory();
        self.at_most(
            "resident memory, idle",
            idle,
            "MiB",
            &format!("of it heap and stacks: {anonymous:.1} MiB"),
            30.0,
        );
        let bytes = self.token_request("ES256", "grant_type=client_credentials");
        let began = Instant::now();
        let mut done = 0;
        let mut after_a_minute = 0.0;
        while done < tokens || began.elapsed() < Duration::from_secs(60) {
            done += drive(
                server.address,
                32,
                &Pace::Closed,
                Duration::from_secs(10),
                |_| bytes.clone(),
            )
            .by_class[2];
            if after_a_minute == 0.0 && began.elapsed() >= Duration::from_secs(60) {
                after_a_minute = server.memory().0;
            }
        }
        let after = server.memory().0;
        self.at_most(
            "resident memory after a minute of full load",
            after_a_minute,
            "MiB",
            "no hashes: the pool's budget is untouched",
            60.0,
        );
        self.at_most(
            &format!("growth from then to {} tokens", in_thousands(done as f64)),
            after - after_a_minute,
            "MiB",
            &format!("{after:.1} MiB at the end"),
            2.0,
        );
    }

    pub(crate) fn start_and_stop(&mut self) {
        let mut starts = Vec::new();
        for _ in 0..self.rounds * 3 {
            let address = free_address();
            let bytes = self.token_request("ES256", "grant_type=client_credentials");
            let mut command = self.command(on(SERVER, env!("CARGO_BIN_EXE_doorward")));
            command
                .env("DOORWARD_LISTEN", address.to_string())
                .arg("serve");
            command
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null());
            let began = Instant::now();
            let mut child = command.spawn().expect("it starts");
            while post(address, &bytes).is_none_or(|(status, _)| status != 200) {
                assert!(began.elapsed() < Duration::from_secs(20));
                std::thread::sleep(Duration::from_micros(500));
            }
            starts.push(began.elapsed().as_secs_f64() * 1000.0);
            let _ = rustix::process::Pid::from_raw(child.id() as i32)
                .map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::TERM));
            let _ = child.wait();
        }
        self.at_most(
            "start to first token, migrated store",
            median(starts),
            "ms",
            "from fork to the token's last byte",
            150.0,
        );

        let mut server = self.server_on(SERVER, &[("DOORWARD_HTTP__DRAIN_TIMEOUT", "1s")]);
        let bytes = self.token_request("ES256", "grant_type=client_credentials");
        let address = server.address;
        let (took, report) = std::thread::scope(|scope| {
            let load = scope.spawn(move || {
                drive(address, 32, &Pace::Closed, Duration::from_secs(4), |_| {
                    bytes.clone()
                })
            });
            std::thread::sleep(Duration::from_secs(1));
            let began = Instant::now();
            server.terminate();
            server.wait();
            (began.elapsed().as_secs_f64(), load.join().expect("it ends"))
        });
        let failed = report.answered - report.by_class[2] + report.broken;
        self.at_most(
            "stop under load",
            took,
            "s",
            &format!("{} answered, {failed} failed", report.answered),
            10.0,
        );
        self.at_most("requests failed by the stop", failed as f64, "", "", 0.0);
    }

    pub(crate) fn overload(&mut self, seconds: u64) {
        let server = self.server_on(BOTH, &[]);
        let capacity = drive(
            server.address,
            32,
            &Pace::Closed,
            Duration::from_secs(8),
            |n| self.grant(n, PASSWORD),
        )
        .per_second();
        let mut report = drive(
            server.address,
            1500,
            &Pace::Open(capacity * 10.0),
            Duration::from_secs(seconds),
            |n| self.grant(n * 3, PASSWORD),
        );
        let (resident, _) = server.memory();
        let goodput = report.per_second();
        self.row(
            &format!("ten times overload of logins for {seconds} s: goodput"),
            goodput,
            "logins/s",
            "capacity",
            capacity,
            0.90,
        );
        let refused = report.by_class[5] + report.by_class[4];
        let (p50, p99) = (report.quantile_ms(0.5), report.quantile_ms(0.99));
        eprintln!(
            "    (answered {}, of them {refused} refused, {} broken; all: p50 {p50:.0} ms, p99 {p99:.0} ms)",
            report.answered, report.broken,
        );
        let share = refused as f64 / report.answered.max(1) as f64;
        // The refused are the quick ones: their slowest is at their share of all answers.
        let slowest = report.quantile_ms(share * 0.99);
        self.at_most(
            "  p99 of the refused",
            slowest,
            "ms",
            "answers in order of time, up to the refused's share",
            100.0,
        );
        self.at_most(
            "  resident memory",
            resident,
            "MiB",
            "30 + 60 MiB, and the pool's budget of 256",
            60.0 + 256.0,
        );
    }

    /// Known against unknown people, in interleaved pairs.
    pub(crate) fn timing(&mut self, pairs: usize) {
        let server = self.server_on(
            BOTH,
            &[
                ("DOORWARD_HTTP__TRUSTED_PROXIES", "127.0.0.0/8"),
                ("DOORWARD_THROTTLE__ADDRESS_BURST", "1000000"),
                ("DOORWARD_THROTTLE__GLOBAL_BURST", "10000000"),
            ],
        );
        for door in ["password grant", "login page"] {
            let mut times = [Vec::new(), Vec::new()];
            for n in 0..pairs * 2 {
                // Which of the pair comes first alternates.
                let known = (n % 2 == 0) ^ ((n / 2) % 2 == 0);
                let who = if known {
                    format!("person{}", n / 2 % SIGNING_IN + 1)
                } else {
                    format!("nobody{}", n / 2)
                };
                let address = format!("10.{}.{}.{}", n >> 16 & 255, n >> 8 & 255, n & 255);
                let bytes = if door == "login page" {
                    let Some((cookie, csrf)) = login_form(server.address) else {
                        continue;
                    };
                    let form = format!("csrf={csrf}&username={who}&password=not+the+password");
                    request(
                        "POST",
                        "/login",
                        &[("cookie", &cookie), ("x-forwarded-for", &address)],
                        Some((FORM, &form)),
                    )
                } else {
                    self.token_request(
                        "password",
                        &format!("grant_type=password&username={who}&password=not+the+password"),
                    )
                };
                let began = Instant::now();
                let (status, body) = post(server.address, &bytes).expect("an answer");
                let took = began.elapsed().as_secs_f64() * 1000.0;
                assert!([400, 422].contains(&status), "{status} {body}");
                times[usize::from(known)].push(took);
            }
            let [unknown, known] = times;
            let auc = area(&known, &unknown);
            let (known, unknown) = (median(known), median(unknown));
            let apart = (known - unknown).abs();
            let most = (0.02 * known).min(2.0);
            self.at_most(
                &format!("{door}: known against unknown person, {pairs} pairs"),
                apart,
                "ms",
                &format!("{known:.2} and {unknown:.2} ms, AUC {auc:.3}"),
                most,
            );
        }
    }
}

/// How well one sample tells the two apart: 0.5 not at all.
fn area(known: &[f64], unknown: &[f64]) -> f64 {
    let greater: f64 = known
        .iter()
        .map(|k| {
            unknown
                .iter()
                .map(|u| if k > u { 1.0 } else { 0.0 })
                .sum::<f64>()
        })
        .sum();
    let auc = greater / (known.len() * unknown.len()) as f64;
    auc.max(1.0 - auc)
}

fn login_form(address: SocketAddr) -> Option<(String, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream
        .write_all(b"GET /login HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let cookie = text
        .split("set-cookie: ")
        .nth(1)?
        .split(';')
        .next()?
        .to_owned();
    let csrf = text
        .split("name=\"csrf\" value=\"")
        .nth(1)?
        .split('"')
        .next()?
        .to_owned();
    Some((cookie, csrf))
}

fn base64(text: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(text)
}
