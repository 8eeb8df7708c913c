//! What a row needs before it can measure: clients, people, servers, the raw limits as processes.

use std::io::Write;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::{Bench, FORM, PASSWORD, SIGNING_IN, Sizes, post};
use crate::load::{Pace, Report, drive, request};
use crate::machine::{Postgres, SERVER, Server, free_address, on};

impl Bench {
    pub(crate) fn new(sizes: Sizes) -> Self {
        let postgres = Postgres::start();
        postgres.sql("postgres", "create database bench");
        let keys = postgres.socket().join("keys");
        std::fs::create_dir_all(&keys).expect("a folder");
        let mut bench = Self {
            postgres,
            keys,
            sizes,
            worded: false,
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

    pub(super) fn command(&self, mut command: Command) -> Command {
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

    pub(super) fn json(&self, args: &[&str]) -> Value {
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
                                       claims, password_hash, password_change_required, tokens_valid_from, created_at, updated_at, name_folded)
                 select (lpad(to_hex(1700000000000 + n), 12, '0') || '7' || substr(md5(n::text), 1, 3) || '8' || substr(md5(n::text), 4, 15))::uuid,
                        case when n % 10 = 0 then 'disabled' else 'active' end, false, 'Person' || n || '@example.com', 'person' || n || '@example.com',
                        true, 'person' || n, 'person' || n, false, 'Person ' || n, '{{\"locale\":\"en\"}}'::jsonb, {hash}, false,
                        timestamptz '2026-01-01' + n * interval '1 second', timestamptz '2026-01-01' + n * interval '1 second',
                        timestamptz '2026-01-01' + n * interval '1 second', 'person ' || n
                   from generate_series({from}, {to}) n"
            ));
        };
        insert(1, SIGNING_IN, &format!("'{hash}'"));
        let mut at = SIGNING_IN;
        while at < self.sizes.people {
            let to = (at + 100_000).min(self.sizes.people);
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

    pub(super) fn server_on(&self, cores: &str, further: &[(&str, &str)]) -> Server {
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

    pub(super) fn server(&self) -> Server {
        self.server_on(SERVER, &[])
    }

    pub(super) fn limit(&self, kind: &str, bytes: usize) -> Server {
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

    pub(super) fn token_request(&self, name: &str, form: &str) -> Vec<u8> {
        request(
            "POST",
            "/oauth2/token",
            &[("authorization", &self.basic(name))],
            Some((FORM, form)),
        )
    }

    /// A client's `Authorization`.
    pub(super) fn basic(&self, name: &str) -> String {
        let (id, secret) = self.credentials(name);
        format!("Basic {}", base64(&format!("{id}:{secret}")))
    }

    pub(super) fn token(&self, server: &Server) -> String {
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
    pub(super) fn busy(&self, server: &Server, next: impl FnMut(u64) -> Vec<u8>) -> Report {
        self.all_well(server, &Pace::Busy, next)
    }

    pub(super) fn closed(&self, server: &Server, next: impl FnMut(u64) -> Vec<u8>) -> Report {
        self.all_well(server, &Pace::Closed, next)
    }

    fn all_well(&self, server: &Server, pace: &Pace, next: impl FnMut(u64) -> Vec<u8>) -> Report {
        let report = drive(
            server.address,
            32,
            pace,
            Duration::from_secs(self.sizes.seconds),
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
}

fn base64(text: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(text)
}
