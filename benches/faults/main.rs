//! `make faults`: three replicas and a PostgreSQL with production durability, under load, and everything under them broken, over and over.
//! Counts acknowledged writes that were lost, wrong tokens, failed requests, and how long it took to be ready again. `--rounds N` sets how
//! often all is broken; `--previous PROGRAM` is the release before, to run beside this one. The sum over all runs here is kept beside the build.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    reason = "it says what it expects, and measures by the real clock"
)]

mod copies;
mod load;
mod proxy;
mod total;
mod world;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use copies::{Copy, Kept, Manner, Receiver};
use load::Load;
use proxy::{Proxy, Wire};
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;
use total::Total;
use world::{Plan, Postgres, Replica, free_address};

/// How long anything may take to be ready again, before it counts as never.
const PATIENCE: Duration = Duration::from_secs(30);

struct Faults {
    postgres: Postgres,
    proxy: Proxy,
    plan: Plan,
    replicas: Vec<Replica>,
    load: Arc<Load>,
    /// Of each kind of fault: seconds until all were ready again, once for each time.
    recoveries: BTreeMap<&'static str, Vec<f64>>,
    /// Seconds until no replica whose database is away says that it is ready.
    flips: Vec<f64>,
    /// `/healthz` asked while something was broken, and not answered with 200 within a second.
    not_alive: u64,
    notes: Vec<String>,
}

#[tokio::main]
async fn main() {
    let args: Vec<String> = std::env::args().collect();
    let option = |name: &str| {
        let at = args.iter().position(|a| a == name)?;
        args.get(at + 1).cloned()
    };
    let rounds: usize = option("--rounds").map_or(10, |n| n.parse().expect("a number"));
    let mut faults = Faults::start().await;
    faults.starts(option("--previous").map(PathBuf::from)).await;
    let began = Instant::now();
    let mut workers = Vec::new();
    for writer in 0..32 {
        workers.push(tokio::spawn(faults.load.clone().write(writer)));
    }
    for _ in 0..4 {
        workers.push(tokio::spawn(faults.load.clone().take()));
    }
    workers.push(tokio::spawn(copies::hang(faults.load.clone())));
    let mut copies = Vec::new();
    for (name, half_the_time) in [("feed", false), ("feed-half", true)] {
        let copy = faults.copy(name, half_the_time).await;
        copies.push(tokio::spawn(copy.keep(faults.load.clone())));
    }
    for (name, manner) in [
        ("webhook", Manner::TakesThem),
        ("webhook-half", Manner::DownHalfTheTime),
    ] {
        let receiver = faults.receiver(name, manner).await;
        copies.push(tokio::spawn(receiver.keep(faults.load.clone())));
    }
    // It hangs on until the others' copies are whole.
    let hanging = faults.receiver("webhook-hangs", Manner::Hangs).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    for round in 1..=rounds {
        eprintln!("round {round} of {rounds}");
        faults.round().await;
    }
    faults.clock().await;
    faults.rotation().await;
    faults.crowds().await;
    if let Some(previous) = option("--previous") {
        faults.beside(PathBuf::from(previous)).await;
    }
    if faults.postgres.can_be_full() {
        faults.disk_full().await;
    } else {
        faults
            .notes
            .push("the full disk was left out: it needs root".to_owned());
    }
    faults.load.stop.store(true, Ordering::SeqCst);
    for worker in workers {
        let _ = worker.await;
    }
    let mut kept = Vec::new();
    for copy in copies {
        kept.push(copy.await.expect("it ends"));
    }
    let good = faults.tell(&kept, hanging.hung(), began.elapsed()).await;
    drop(faults);
    std::process::exit(i32::from(!good));
}

impl Faults {
    async fn start() -> Self {
        let postgres = Postgres::start();
        postgres.sql("create database bench");
        let proxy = Proxy::to(postgres.socket()).await;
        let keys = postgres.folder.join("keys");
        std::fs::create_dir_all(&keys).expect("a folder");
        let issuer = "http://localhost:8080".to_owned();
        let plan = Plan {
            program: PathBuf::from(env!("CARGO_BIN_EXE_doorward")),
            url: format!("postgres://postgres@{}/bench", proxy.address),
            keys,
            issuer: issuer.clone(),
            // The receivers of the webhooks are on this machine.
            further: vec![(
                "DOORWARD_FETCH__ALLOWED_NETWORKS".to_owned(),
                "127.0.0.0/8".to_owned(),
            )],
        };
        let client = client(&plan, "users:read users:write clients:read clients:write").await;
        let load = Load::new(client, issuer);
        let mut this = Self {
            postgres,
            proxy,
            plan,
            replicas: Vec::new(),
            load,
            recoveries: BTreeMap::new(),
            flips: Vec::new(),
            not_alive: 0,
            notes: Vec::new(),
        };
        for _ in 0..3 {
            let replica = Replica::start(this.plan.clone(), free_address());
            this.load
                .replicas
                .lock()
                .expect("whole")
                .push(replica.address);
            this.replicas.push(replica);
        }
        this.ready("the first start").await;
        this
    }

    /// A system that keeps a copy, and is down half the time perhaps.
    async fn copy(&self, name: &'static str, half_the_time: bool) -> Copy {
        let client = client(&self.plan, "users:read").await;
        Copy::register(
            name,
            client,
            half_the_time,
            self.replicas[0].address,
            &self.load,
        )
        .await
    }

    /// A system that is told by webhook.
    async fn receiver(&self, name: &'static str, manner: Manner) -> Receiver {
        let client = client(&self.plan, "users:read").await;
        let at = self.replicas[0].address;
        Receiver::register(name, client, manner, at, &self.load).await
    }

    /// Waits until every replica is ready again after a fault, and takes down how long that took.
    async fn all_ready(&mut self, after: &'static str) {
        let took = self.ready(after).await;
        self.recoveries.entry(after).or_default().push(took);
    }

    /// Seconds until every replica is ready.
    async fn ready(&mut self, after: &'static str) -> f64 {
        let took = self.until(true).await.unwrap_or_else(|| {
            let text = format!("a replica was not ready {PATIENCE:?} after {after}");
            self.notes.push(text);
            PATIENCE.as_secs_f64()
        });
        eprintln!("  {after}: ready again after {took:.2} s");
        took
    }

    /// Waits until no replica says that it is ready, and takes down how long that took.
    async fn none_ready(&mut self) {
        match self.until(false).await {
            Some(took) => self.flips.push(took),
            None => self
                .notes
                .push("a replica without a database said that it was ready".to_owned()),
        }
    }

    /// Asks all replicas at once until each says that it is ready, or that it is not; seconds that took.
    async fn until(&self, ready: bool) -> Option<f64> {
        let began = Instant::now();
        let mut asking = JoinSet::new();
        for replica in &self.replicas {
            let (http, url) = (self.load.http.clone(), replica.url("/readyz"));
            asking.spawn(async move {
                while began.elapsed() < PATIENCE {
                    let asked = http.get(&url).timeout(Duration::from_secs(2)).send().await;
                    if asked.is_ok_and(|answer| answer.status() == 200) == ready {
                        return true;
                    }
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                false
            });
        }
        let all = asking.join_all().await.into_iter().all(|done| done);
        all.then(|| began.elapsed().as_secs_f64())
    }

    /// Asks every replica whether it lives: nothing that is broken under it may deny that.
    async fn all_alive(&mut self) {
        for replica in &self.replicas {
            let asked = self.load.http.get(replica.url("/healthz"));
            let answer = asked.timeout(Duration::from_secs(1)).send().await;
            let answer = answer.and_then(reqwest::Response::error_for_status);
            if let Err(error) = answer {
                self.not_alive += 1;
                let at = replica.address;
                self.notes
                    .push(format!("/healthz of {at} failed: {error:?}"));
            }
        }
    }

    /// Everything that is broken again and again.
    async fn round(&mut self) {
        for at in 0..self.replicas.len() {
            self.replicas[at].kill().await;
            let plan = self.replicas[at].plan();
            self.replicas[at].again(plan);
            self.all_ready("kill -9 of a replica").await;
        }
        self.postgres.kill();
        // Whoever looks after PostgreSQL starts it again.
        self.postgres.up();
        self.all_ready("kill -9 of PostgreSQL").await;
        self.postgres.kill_backend();
        self.postgres.back();
        self.all_ready("kill -9 of a process of PostgreSQL").await;
        self.postgres.down();
        self.postgres.up();
        self.all_ready("pg_ctl -m immediate").await;
        for (wire, name) in [
            (Wire::Cut, "connections cut"),
            (Wire::Slow, "connections delayed"),
            (Wire::Silent, "connections black-holed"),
        ] {
            self.proxy.set(wire);
            if wire != Wire::Slow {
                self.none_ready().await;
            }
            self.all_alive().await;
            tokio::time::sleep(Duration::from_millis(500)).await;
            self.proxy.set(Wire::Whole);
            self.all_ready(name).await;
        }
        // A replica and PostgreSQL at once, in the middle of writes.
        self.postgres.kill();
        self.replicas[0].kill().await;
        self.postgres.up();
        let plan = self.replicas[0].plan();
        self.replicas[0].again(plan);
        self.all_ready("kill -9 of both").await;
        for (size, name) in [("1", "a pool of one connection"), ("2", "a pool of two")] {
            self.replicas[1].stop().await;
            let plan = self.plan.with("DOORWARD_DATABASE__MAX_CONNECTIONS", size);
            self.replicas[1].again(plan);
            self.all_ready(name).await;
            tokio::time::sleep(Duration::from_millis(500)).await;
            self.all_alive().await;
            self.ready("half a second of load on it").await;
        }
        self.replicas[1].stop().await;
        let plan = self.plan.clone();
        self.replicas[1].again(plan);
        self.all_ready("SIGTERM under load").await;
    }

    /// Five at once on an empty database, and on one that the previous release left.
    async fn starts(&mut self, previous: Option<PathBuf>) {
        for (database, migrated_by) in [("empty", None), ("older", previous)] {
            if database == "older" && migrated_by.is_none() {
                self.notes.push(
                    "the start on an older schema was left out: --previous names no program"
                        .to_owned(),
                );
                continue;
            }
            self.postgres.sql(&format!("create database {database}"));
            let keys = self.postgres.folder.join(database);
            std::fs::create_dir_all(&keys).expect("a folder");
            let plan = Plan {
                url: self.postgres.direct(database),
                keys,
                ..self.plan.clone()
            };
            if let Some(program) = migrated_by {
                let older = plan.of_before(program);
                let done = older.command().args(["keys", "list"]).status().await;
                assert!(done.expect("it runs").success(), "the previous release");
            }
            let began = Instant::now();
            let five: Vec<Replica> = (0..5)
                .map(|_| Replica::start(plan.clone(), free_address()))
                .collect();
            let mut sets = Vec::new();
            for replica in &five {
                if replica.ready(&self.load.http, PATIENCE).await.is_none() {
                    self.notes.push(format!(
                        "of five on the {database} database one was not ready"
                    ));
                }
                let asked = self
                    .load
                    .http
                    .get(replica.url("/.well-known/jwks.json"))
                    .send()
                    .await;
                sets.push(asked.expect("an answer").text().await.expect("a body"));
            }
            let took = began.elapsed().as_secs_f64();
            let name = if database == "empty" {
                "five at once, empty database"
            } else {
                "five at once, a migration due"
            };
            self.recoveries.entry(name).or_default().push(took);
            sets.dedup();
            if sets.len() != 1 {
                self.notes.push(format!(
                    "five at once on the {database} database published {} key sets",
                    sets.len()
                ));
            }
        }
    }

    /// A replica whose clock is an hour off, asked past the load balancer: it must give no token.
    async fn clock(&mut self) {
        let Some(library) = faketime() else {
            self.notes.push(
                "the clock that is off was left out: libfaketime is not installed".to_owned(),
            );
            return;
        };
        for offset in ["+1h", "-1h"] {
            let plan = self
                .plan
                .with("LD_PRELOAD", &library)
                .with("FAKETIME", offset)
                .with("FAKETIME_DONT_FAKE_MONOTONIC", "1");
            let replica = Replica::start(plan, free_address());
            let mut tokens = 0;
            let mut said = String::new();
            let began = Instant::now();
            while began.elapsed() < Duration::from_secs(3) {
                if let Ok(answer) = self.load.http.get(replica.url("/readyz")).send().await {
                    said = answer.text().await.unwrap_or_default();
                    if self.load.token(replica.address).await.is_some() {
                        tokens += 1;
                    }
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            self.notes.push(format!(
                "clock {offset}: /readyz says {}, and {tokens} tokens were given",
                said.trim()
            ));
            self.all_ready("a clock an hour off").await;
        }
    }

    /// A key revoked in an emergency, under load: what is in JWKS everywhere, and when.
    async fn rotation(&mut self) {
        for _ in 0..3 {
            let done = self
                .plan
                .command()
                .args(["keys", "rotate", "--alg", "ES256", "--emergency"])
                .status()
                .await;
            assert!(done.expect("it runs").success());
            self.all_ready("an emergency rotation").await;
        }
    }

    /// Slow-loris, slow readers, and ten times the logins that can be hashed.
    async fn crowds(&mut self) {
        let at = self.replicas[2].address;
        let loris: Vec<_> = (0..200)
            .map(|_| {
                tokio::spawn(async move {
                    let Ok(mut stream) = tokio::net::TcpStream::connect(at).await else {
                        return;
                    };
                    let _ = stream
                        .write_all(b"GET /.well-known/jwks.json HTTP/1.1\r\nhost: x\r\n")
                        .await;
                    for _ in 0..20 {
                        tokio::time::sleep(Duration::from_millis(250)).await;
                        let _ = stream.write_all(b"x-slow: 1\r\n").await;
                    }
                })
            })
            .collect();
        // Who asks and never reads.
        let readers: Vec<_> = (0..100)
            .map(|_| {
                tokio::spawn(async move {
                    let Ok(mut stream) = tokio::net::TcpStream::connect(at).await else {
                        return;
                    };
                    let many = "GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n".repeat(40);
                    let _ = stream.write_all(many.as_bytes()).await;
                    tokio::time::sleep(Duration::from_secs(5)).await;
                })
            })
            .collect();
        let before = self.load.seen.tokens.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(4)).await;
        self.all_alive().await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let meanwhile = self.load.seen.tokens.load(Ordering::Relaxed) - before;
        self.notes.push(format!(
            "while 200 slow heads and 100 slow readers held a replica: {meanwhile} tokens in 5 s"
        ));
        for task in loris.into_iter().chain(readers) {
            task.abort();
        }
        self.all_ready("slow heads and slow readers").await;

        let (http, url) = (self.load.http.clone(), self.replicas[2].url("/login"));
        let storm: Vec<_> = (0..600)
            .map(|n| {
                let (http, url) = (http.clone(), url.clone());
                tokio::spawn(async move {
                    let page = http.get(&url).send().await.ok()?;
                    let cookie = page
                        .headers()
                        .get("set-cookie")?
                        .to_str()
                        .ok()?
                        .split(';')
                        .next()?
                        .to_owned();
                    let text = page.text().await.ok()?;
                    let csrf = text
                        .split("name=\"csrf\" value=\"")
                        .nth(1)?
                        .split('"')
                        .next()?
                        .to_owned();
                    let form = [
                        ("csrf", csrf),
                        ("username", format!("nobody{n}")),
                        ("password", "x".to_owned()),
                    ];
                    let answer = http
                        .post(&url)
                        .header("cookie", cookie)
                        .form(&form)
                        .send()
                        .await
                        .ok()?;
                    Some(answer.status().as_u16())
                })
            })
            .collect();
        self.all_alive().await;
        let mut answers: BTreeMap<u16, u32> = BTreeMap::new();
        for task in storm {
            *answers
                .entry(task.await.ok().flatten().unwrap_or(0))
                .or_default() += 1;
        }
        self.notes.push(format!("600 logins at once: {answers:?}"));
        self.all_ready("ten times the logins").await;
    }

    /// The previous release's program beside this one, on the same schema.
    async fn beside(&mut self, previous: PathBuf) {
        self.replicas[2].stop().await;
        let plan = self.plan.of_before(previous);
        self.replicas[2].again(plan);
        self.all_ready("the previous release beside this one").await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        self.replicas[2].stop().await;
        let plan = self.plan.clone();
        self.replicas[2].again(plan);
        self.ready("this one again").await;
    }

    async fn disk_full(&mut self) {
        for _ in 0..3 {
            self.postgres.fill();
            tokio::time::sleep(Duration::from_secs(3)).await;
            self.postgres.empty();
            if !self.postgres.is_up() {
                self.postgres.up();
            }
            self.all_ready("the database's disk full for 3 s").await;
        }
    }

    /// Says what came of it; whether nothing was lost and nothing wrong.
    async fn tell(&mut self, copies: &[Kept], hung: u64, lasted: Duration) -> bool {
        let mut lost = 0;
        for replica in &self.replicas {
            lost = lost.max(self.load.lost(replica.address).await);
        }
        let seen = &self.load.seen;
        let number = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::SeqCst);
        let this = Total {
            runs: 1,
            injections: self.recoveries.values().map(|took| took.len() as u64).sum(),
            writes: number(&seen.writes),
            lost,
            tokens: number(&seen.tokens),
            wrong: number(&seen.wrong_tokens),
            failed: number(&seen.failed),
        };
        println!(
            "| fault | times | ready again after, median | at most |\n| --- | --- | --- | --- |"
        );
        for (name, took) in &mut self.recoveries {
            took.sort_by(f64::total_cmp);
            let (median, most) = (took[took.len() / 2], took[took.len() - 1]);
            println!("| {name} | {} | {median:.2} s | {most:.2} s |", took.len());
        }
        self.flips.sort_by(f64::total_cmp);
        if let Some(most) = self.flips.last() {
            let median = self.flips[self.flips.len() / 2];
            println!(
                "\nThe database gone, `/readyz` said so after {median:.2} s, at most {most:.2} s ({} times). `/healthz` failed {} times.",
                self.flips.len(),
                self.not_alive
            );
        }
        let seconds = lasted.as_secs_f64();
        println!(
            "\n| in {} injections and {seconds:.0} s | |\n| --- | --- |",
            this.injections
        );
        for (what, count) in [
            ("acknowledged writes", this.writes),
            ("of them lost", lost),
            ("tokens", this.tokens),
            ("of them wrong", this.wrong),
            ("refused with 503 and `Retry-After`", number(&seen.refused)),
            (
                "connections broken or not taken (killed replicas)",
                number(&seen.unreachable),
            ),
            (
                "tokens refused after an emergency rotation, and taken anew",
                number(&seen.revoked),
            ),
            ("failed in any other way", this.failed),
        ] {
            println!("| {what} | {count} |");
        }
        copies::tell(copies, hung);
        println!();
        if this.failed > 0 {
            println!(
                "The last that failed: `{}`\n",
                seen.last_failure.lock().expect("whole")
            );
        }
        for note in &self.notes {
            println!("- {note}");
        }
        let whole = copies.iter().all(Kept::is_right);
        let good = lost == 0 && this.wrong == 0 && self.not_alive == 0 && whole;
        println!("\n{}", this.add());
        good
    }
}

/// A client with these scopes: its id and secret.
async fn client(plan: &Plan, scope: &str) -> (String, String) {
    let made = plan
        .command()
        .args(["client", "create", "--name", "faults", "--json"])
        .args(["--grant", "client_credentials", "--scope", scope])
        .stdout(std::process::Stdio::piped())
        .output()
        .await
        .expect("it runs");
    let made: serde_json::Value = serde_json::from_slice(&made.stdout).expect("JSON");
    let text = |name: &str| made[name].as_str().expect("a text").to_owned();
    (text("client_id"), text("client_secret"))
}

/// Debian's package `faketime`.
fn faketime() -> Option<String> {
    let folders = [
        "/usr/lib/x86_64-linux-gnu/faketime",
        "/usr/lib/aarch64-linux-gnu/faketime",
    ];
    let found = folders.iter().map(|f| format!("{f}/libfaketime.so.1"));
    found
        .into_iter()
        .find(|path| std::path::Path::new(path).exists())
}
