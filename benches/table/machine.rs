//! The machine: which core is whose, processes in sessions of their own, PostgreSQL, and what the machine can do at best.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The core of the server; load and PostgreSQL have the other.
pub(crate) const SERVER: &str = "0";
pub(crate) const OTHER: &str = "1";
pub(crate) const BOTH: &str = "0,1";
/// Of `/proc/*/stat`, a second: Linux's own, whatever its kernel ticks at.
const TICKS: f64 = 100.0;

/// `program` on `cores` in a session of its own: kernels that group by session would let it share its core with the others' group.
pub(crate) fn on(cores: &str, program: impl AsRef<Path>) -> Command {
    let mut command = Command::new("setsid");
    command.args(["--wait", "taskset", "-c", cores]);
    command.arg(program.as_ref());
    command
}

pub(crate) fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("bound")
}

/// A PostgreSQL with production durability on the other core, gone with the bench.
pub(crate) struct Postgres {
    folder: PathBuf,
    bin: PathBuf,
}

impl Postgres {
    pub(crate) fn start() -> Self {
        let folder = std::env::temp_dir().join(format!("doorward-bench-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let mut versions: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
            .expect("Debian's PostgreSQL")
            .map(|e| e.expect("an entry").path().join("bin"))
            .collect();
        versions.sort();
        let bin = versions.pop().expect("a version");
        let this = Self { folder, bin };
        if rustix::process::getuid().is_root() {
            run(Command::new("chown").arg("postgres").arg(&this.folder));
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
        this.run_with("-c shared_buffers=1GB");
        this
    }

    fn run_with(&self, memory: &str) {
        let options = format!(
            "-c listen_addresses='' -c unix_socket_directories={} -c max_connections=200 {memory} -c max_wal_size=8GB \
             -c checkpoint_timeout=30min -c log_checkpoints=off",
            self.folder.display()
        );
        let mut start = self.tool("pg_ctl");
        start.args(["-D", &self.data(), "-w", "-s", "-l"]);
        start.arg(self.folder.join("log"));
        run(start.args(["-o", &options, "start"]));
        self.move_to(OTHER);
    }

    /// The same data on PostgreSQL as it comes: 128 MB of buffers.
    pub(crate) fn restart_with_default_memory(&self) {
        let mut stop = self.tool("pg_ctl");
        run(stop.args(["-D", &self.data(), "-w", "-s", "-m", "fast", "stop"]));
        self.run_with("");
    }

    /// Everything of PostgreSQL, present and to come, runs on these cores.
    pub(crate) fn move_to(&self, cores: &str) {
        for pid in self.processes() {
            // Some end by themselves meanwhile.
            let mut taskset = Command::new("taskset");
            taskset.args(["-a", "-p", "-c", cores, &pid]);
            let _ = taskset.stdout(Stdio::null()).stderr(Stdio::null()).status();
        }
    }

    /// Seconds of a core that all of its processes have used so far, those that have ended included.
    pub(crate) fn cpu(&self) -> f64 {
        let ticks = |(at, pid): (usize, String)| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
            let fields = after_name.split_whitespace().skip(11);
            // utime and stime; of the postmaster also cutime and cstime, which its ended children leave it.
            let fields = fields.take(if at == 0 { 4 } else { 2 });
            fields.filter_map(|n| n.parse::<u64>().ok()).sum::<u64>()
        };
        let ticks: u64 = self.processes().into_iter().enumerate().map(ticks).sum();
        ticks as f64 / TICKS
    }

    /// The postmaster, then its children.
    fn processes(&self) -> Vec<String> {
        let pid =
            fs::read_to_string(Path::new(&self.data()).join("postmaster.pid")).expect("it runs");
        let pid = pid.lines().next().expect("a pid").to_owned();
        let children = children(&pid);
        std::iter::once(pid).chain(children).collect()
    }

    fn data(&self) -> String {
        self.folder.join("pg").display().to_string()
    }

    fn tool(&self, name: &str) -> Command {
        let mut command = if rustix::process::getuid().is_root() {
            let mut command = Command::new("setpriv");
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
            Command::new(self.bin.join(name))
        };
        command.current_dir(&self.folder);
        command
    }

    pub(crate) fn url(&self) -> String {
        format!(
            "postgres:///bench?host={}&user=postgres",
            self.folder.display()
        )
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.folder
    }

    /// Runs SQL and drops what it prints.
    pub(crate) fn drain(&self, database: &str, text: &str) {
        run(Command::new(self.bin.join("psql"))
            .args([
                "-X", "-q", "-U", "postgres", "-d", database, "-c", text, "-h",
            ])
            .arg(&self.folder)
            .stdout(Stdio::null()));
    }

    /// Runs SQL and gives what it printed.
    pub(crate) fn sql(&self, database: &str, text: &str) -> String {
        let output = Command::new(self.bin.join("psql"))
            .args([
                "-X",
                "-q",
                "-A",
                "-t",
                "-v",
                "ON_ERROR_STOP=1",
                "-U",
                "postgres",
                "-d",
                database,
                "-c",
                text,
            ])
            .arg("-h")
            .arg(&self.folder)
            .output()
            .expect("psql runs");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout)
            .expect("UTF-8")
            .trim()
            .to_owned()
    }

    /// Transactions a second of this script by pgbench, which has the server's core, over `clients` connections.
    pub(crate) fn pgbench(&self, script: &str, clients: u32, seconds: u32) -> f64 {
        self.pgbench_on(SERVER, None, script, clients, seconds)
    }

    /// The same with pgbench on other cores, as fast as it goes or at a pace of so many a second.
    pub(crate) fn pgbench_on(
        &self,
        cores: &str,
        pace: Option<f64>,
        script: &str,
        clients: u32,
        seconds: u32,
    ) -> f64 {
        let file = self.folder.join("script.sql");
        fs::write(&file, script).expect("written");
        let output = on(cores, self.bin.join("pgbench"))
            .args(["-n", "-M", "prepared", "-j", "1", "-U", "postgres"])
            .args(pace.map(|pace| format!("--rate={pace:.0}")))
            .arg("-h")
            .arg(&self.folder)
            .args(["-c", &clients.to_string(), "-T", &seconds.to_string(), "-f"])
            .arg(&file)
            .arg("bench")
            .output()
            .expect("pgbench runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = said.lines().find(|l| l.starts_with("tps = "));
        let line =
            line.unwrap_or_else(|| panic!("{said}{}", String::from_utf8_lossy(&output.stderr)));
        line[6..]
            .split_whitespace()
            .next()
            .expect("a number")
            .parse()
            .expect("a number")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _ = self
            .tool("pg_ctl")
            .args(["-D", &self.data(), "-s", "-m", "immediate", "stop"])
            .status();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn children(pid: &str) -> Vec<String> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let text = fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().map(str::to_owned).collect()
}

pub(crate) fn run(command: &mut Command) {
    let status = command.stdout(Stdio::null()).status().expect("it runs");
    assert!(status.success(), "{command:?}");
}

/// A process that listens, stopped when it is dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts `command`, which listens at `address`, and waits until it answers `/healthz` or whatever `path` is.
    pub(crate) fn start(mut command: Command, address: SocketAddr, path: &str) -> Self {
        let child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let server = Self { child, address };
        let began = Instant::now();
        while super::rows::get(address, path).is_none() {
            assert!(
                began.elapsed() < Duration::from_secs(30),
                "{path} does not answer"
            );
            std::thread::sleep(Duration::from_millis(2));
        }
        server
    }

    /// The process behind `setsid --wait taskset …`: the youngest of the line.
    pub(crate) fn pid(&self) -> String {
        let mut pid = self.child.id().to_string();
        while let Some(child) = children(&pid).first() {
            pid.clone_from(child);
        }
        pid
    }

    /// Resident memory, MiB: all of it, and the anonymous part (heap and stacks).
    pub(crate) fn memory(&self) -> (f64, f64) {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let of = |name: &str| {
            let line = status.lines().find(|l| l.starts_with(name));
            let kib = line.and_then(|l| l.split_whitespace().nth(1)?.parse::<f64>().ok());
            kib.unwrap_or(f64::NAN) / 1024.0
        };
        (of("VmRSS:"), of("RssAnon:"))
    }

    pub(crate) fn terminate(&mut self) {
        let pid = self
            .pid()
            .parse()
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
    }

    pub(crate) fn wait(&mut self) {
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.terminate();
        self.wait();
    }
}

/// Signatures a second of one core, as `openssl speed` says.
pub(crate) fn openssl_signs(algorithm: &str, seconds: u32) -> f64 {
    let output = on(SERVER, "/usr/bin/openssl")
        .args(["speed", "-mr", "-seconds", &seconds.to_string(), algorithm])
        .output()
        .expect("openssl runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    // +F2:1:2048:seconds per sign:seconds per verify, and the like for ECDSA and EdDSA.
    let line = said
        .lines()
        .find(|l| ["+F2", "+F4", "+F6"].iter().any(|f| l.starts_with(f)));
    let fields: Vec<&str> = line
        .unwrap_or_else(|| panic!("{said}"))
        .split(':')
        .collect();
    let at = match fields[0] {
        "+F2" => 3,
        "+F6" => 4,
        _ => 3,
    };
    let value: f64 = fields[at].parse().expect("a number");
    if value < 1.0 { 1.0 / value } else { value }
}
