//! What is broken: a PostgreSQL with production durability, and replicas of the program, each a process of its own.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

/// PostgreSQL on a disk of its own size, so that it can be full.
pub(crate) struct Postgres {
    pub(crate) folder: PathBuf,
    bin: PathBuf,
    mounted: bool,
}

impl Postgres {
    pub(crate) fn start() -> Self {
        let folder = std::env::temp_dir().join(format!("doorward-faults-{}", std::process::id()));
        fs::create_dir_all(folder.join("disk")).expect("a folder");
        let mut versions: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
            .expect("Debian's PostgreSQL")
            .map(|e| e.expect("an entry").path().join("bin"))
            .collect();
        versions.sort();
        let bin = versions.pop().expect("a version");
        let root = rustix::process::getuid().is_root();
        // A disk image, so that fsync is one and the disk can be full; without root that fault is left out.
        let mounted = root && mount(&folder);
        let this = Self {
            folder,
            bin,
            mounted,
        };
        if root {
            for path in [this.folder.clone(), this.folder.join("disk")] {
                run(std::process::Command::new("chown")
                    .arg("postgres")
                    .arg(path));
            }
        }
        run(this.tool("initdb").args([
            "-D",
            &this.data(),
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
        ]));
        this.up();
        this
    }

    pub(crate) fn can_be_full(&self) -> bool {
        self.mounted
    }

    fn data(&self) -> String {
        self.folder.join("disk/pg").display().to_string()
    }

    fn tool(&self, name: &str) -> std::process::Command {
        let mut command = if rustix::process::getuid().is_root() {
            let mut command = std::process::Command::new("setpriv");
            command.args([
                "--reuid",
                "postgres",
                "--regid",
                "postgres",
                "--init-groups",
            ]);
            command.arg(self.bin.join(name));
            command
        } else {
            std::process::Command::new(self.bin.join(name))
        };
        command.current_dir(&self.folder);
        command
    }

    pub(crate) fn up(&self) {
        let options = format!(
            "-c listen_addresses='' -c unix_socket_directories={} -c max_connections=200 -c recovery_init_sync_method=syncfs -c min_wal_size=32MB -c max_wal_size=128MB",
            self.folder.display()
        );
        for _ in 0..100 {
            let started = self
                .tool("pg_ctl")
                .args(["-D", &self.data(), "-w", "-s", "-l"])
                .arg(self.folder.join("log"))
                .args(["-o", &options, "start"])
                .stderr(Stdio::null())
                .stdout(Stdio::null())
                .status();
            if started.is_ok_and(|s| s.success()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("PostgreSQL does not come back");
    }

    pub(crate) fn is_up(&self) -> bool {
        let mut command = self.tool("pg_ctl");
        command.args(["-D", &self.data(), "status"]);
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|s| s.success())
    }

    /// `pg_ctl -m immediate`: as a crash, but its children are told.
    pub(crate) fn down(&self) {
        let mut command = self.tool("pg_ctl");
        command.args(["-D", &self.data(), "-s", "-m", "immediate", "stop"]);
        let _ = command.stderr(Stdio::null()).status();
    }

    pub(crate) fn kill(&self) {
        let pid = fs::read_to_string(Path::new(&self.data()).join("postmaster.pid"));
        let pid = pid.ok().and_then(|t| t.lines().next()?.parse().ok());
        if let Some(pid) = pid.and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }

    /// kill -9 of one process that serves a connection; PostgreSQL takes all others down with it, and comes back by itself.
    pub(crate) fn kill_backend(&self) {
        let pid = fs::read_to_string(Path::new(&self.data()).join("postmaster.pid"));
        let Some(pid) = pid.ok().and_then(|t| t.lines().next().map(str::to_owned)) else {
            return;
        };
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let serves = |child: &&str| {
            let line = fs::read_to_string(format!("/proc/{child}/cmdline"));
            line.is_ok_and(|l| l.starts_with("postgres: postgres bench"))
        };
        let children = children.unwrap_or_default();
        let backend = children.split_whitespace().find(serves);
        if let Some(pid) = backend.and_then(|b| Pid::from_raw(b.parse().ok()?)) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }

    /// Waits until it takes connections again: after a crash it first syncs all its files.
    pub(crate) fn back(&self) {
        let began = Instant::now();
        let answers = || {
            let mut psql = std::process::Command::new(self.bin.join("psql"));
            psql.args([
                "-X", "-q", "-U", "postgres", "-d", "postgres", "-c", "", "-h",
            ]);
            let status = psql.arg(&self.folder).stderr(Stdio::null()).status();
            status.is_ok_and(|s| s.success())
        };
        while !answers() {
            assert!(
                began.elapsed() < Duration::from_secs(60),
                "PostgreSQL does not come back"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Leaves not a byte on its disk.
    pub(crate) fn fill(&self) {
        let script = "fallocate -l $(($(df --output=avail -B1 . | tail -1) - 4194304)) filler; dd if=/dev/zero bs=64k oflag=append conv=notrunc of=filler";
        let _ = std::process::Command::new("sh")
            .args(["-c", script])
            .current_dir(self.folder.join("disk"))
            .stderr(Stdio::null())
            .status();
    }

    pub(crate) fn empty(&self) {
        let _ = fs::remove_file(self.folder.join("disk/filler"));
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.join(".s.PGSQL.5432")
    }

    pub(crate) fn direct(&self, database: &str) -> String {
        format!(
            "postgres:///{database}?host={}&user=postgres",
            self.folder.display()
        )
    }

    pub(crate) fn sql(&self, text: &str) {
        run(std::process::Command::new(self.bin.join("psql"))
            .args([
                "-X", "-q", "-U", "postgres", "-d", "postgres", "-c", text, "-h",
            ])
            .arg(&self.folder));
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.down();
        if self.mounted {
            let _ = std::process::Command::new("umount")
                .arg(self.folder.join("disk"))
                .status();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn mount(folder: &Path) -> bool {
    let image = folder.join("image");
    let script = format!(
        "truncate -s 2G {image} && mkfs.ext4 -q -F {image} && mount -o loop {image} {disk} && rmdir {disk}/lost+found",
        image = image.display(),
        disk = folder.join("disk").display()
    );
    let mut command = std::process::Command::new("sh");
    command.args(["-c", &script]).stderr(Stdio::null());
    command.status().is_ok_and(|s| s.success())
}

fn run(command: &mut std::process::Command) {
    let status = command.stdout(Stdio::null()).status().expect("it runs");
    assert!(status.success(), "{command:?}");
}

/// How a replica is started.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) program: PathBuf,
    pub(crate) url: String,
    pub(crate) keys: PathBuf,
    pub(crate) issuer: String,
    pub(crate) further: Vec<(String, String)>,
}

impl Plan {
    pub(crate) fn with(&self, name: &str, value: &str) -> Self {
        let mut plan = self.clone();
        plan.further.push((name.to_owned(), value.to_owned()));
        plan
    }

    /// For a release before this one, which may not know every setting.
    pub(crate) fn of_before(&self, program: PathBuf) -> Self {
        Self {
            program,
            further: Vec::new(),
            ..self.clone()
        }
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("DATABASE_URL", &self.url)
            .env("DOORWARD_KEYS_DIR", &self.keys)
            .env("DOORWARD_DATA_DIR", self.keys.join("data"))
            .env("DOORWARD_ISSUER", &self.issuer)
            .env("DOORWARD_LOG__FILTER", "warn")
            .env("DOORWARD_HTTP__MAX_CONNECTIONS_PER_ADDRESS", "5000")
            .envs(self.further.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        command
    }
}

/// A replica of the program.
pub(crate) struct Replica {
    plan: Plan,
    pub(crate) address: SocketAddr,
    child: Child,
}

impl Replica {
    pub(crate) fn start(plan: Plan, address: SocketAddr) -> Self {
        let child = spawn(&plan, address);
        Self {
            plan,
            address,
            child,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Seconds until it is ready, at most `bound`.
    pub(crate) async fn ready(&self, http: &reqwest::Client, bound: Duration) -> Option<f64> {
        let began = Instant::now();
        while began.elapsed() < bound {
            let asked = http.get(self.url("/readyz"));
            let answer = asked.timeout(Duration::from_secs(2)).send().await;
            if answer.is_ok_and(|a| a.status() == 200) {
                return Some(began.elapsed().as_secs_f64());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        None
    }

    pub(crate) async fn kill(&mut self) {
        let _ = self.child.kill().await;
    }

    /// SIGTERM; seconds until it has ended.
    pub(crate) async fn stop(&mut self) -> f64 {
        let began = Instant::now();
        let pid = self
            .child
            .id()
            .and_then(|id| Pid::from_raw(id.cast_signed()));
        if let Some(pid) = pid {
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = self.child.wait().await;
        began.elapsed().as_secs_f64()
    }

    /// The same place again, with a plan of its own.
    pub(crate) fn again(&mut self, plan: Plan) {
        self.child = spawn(&plan, self.address);
        self.plan = plan;
    }

    pub(crate) fn plan(&self) -> Plan {
        self.plan.clone()
    }
}

fn spawn(plan: &Plan, address: SocketAddr) -> Child {
    let mut command = plan.command();
    command.env("DOORWARD_LISTEN", address.to_string());
    command.arg("serve").spawn().expect("it starts")
}

pub(crate) fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("bound")
}
