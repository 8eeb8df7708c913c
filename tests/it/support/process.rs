//! The real program as a process of its own, on the embedded PostgreSQL or on a database of the run.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};

/// A data folder with the keys beside it, gone with the test.
pub(crate) struct Home {
    pub folder: PathBuf,
    pub port: u16,
}

/// A running `doorward serve`.
pub(crate) struct Process {
    pub url: String,
    pub child: Child,
    /// What it wrote so far.
    pub stdout: Arc<Mutex<String>>,
    pub stderr: Arc<Mutex<String>>,
}

impl Home {
    /// An empty folder that PostgreSQL's user may enter, and a free port.
    pub(crate) fn new(name: &str) -> Self {
        let folder =
            std::env::temp_dir().join(format!("doorward-home-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        Self { folder, port }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The program with this home and nothing else in its environment.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("DOORWARD_LISTEN", format!("127.0.0.1:{}", self.port))
            .env("DOORWARD_ISSUER", format!("http://localhost:{}", self.port))
            .env("DOORWARD_DATA_DIR", self.data())
            .env("DOORWARD_KEYS_DIR", self.folder.join("keys"))
            .current_dir(&self.folder)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Starts a server and waits until it is ready.
    pub(crate) async fn serve(&self) -> Process {
        self.serve_as(self.command(&["serve"])).await
    }

    pub(crate) async fn serve_as(&self, command: Command) -> Process {
        let process = self.start(command);
        process.ready().await;
        process
    }

    /// Starts a server that need not become ready.
    pub(crate) fn start(&self, mut command: Command) -> Process {
        let mut child = command.spawn().expect("the program runs");
        let stdout = collect(child.stdout.take().expect("piped"));
        let stderr = collect(child.stderr.take().expect("piped"));
        Process {
            url: format!("http://localhost:{}", self.port),
            child,
            stdout,
            stderr,
        }
    }

    /// The process id of the cluster's postmaster, while there is one.
    pub(crate) fn postmaster(&self) -> Option<i32> {
        let file = std::fs::read_to_string(self.data().join("postgres/postmaster.pid")).ok()?;
        file.lines().next()?.trim().parse().ok()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Some(postmaster) = self.postmaster().filter(|p| is_alive(*p)) {
            // Only a test that failed leaves one behind.
            signal(Signal::QUIT, postmaster);
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Process {
    pub(crate) async fn ready(&self) {
        let http = reqwest::Client::new();
        let ready = async {
            loop {
                let answer = http.get(format!("{}/readyz", self.url)).send().await;
                if answer.is_ok_and(|a| a.status() == 200) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let in_time = tokio::time::timeout(Duration::from_secs(60), ready).await;
        assert!(in_time.is_ok(), "not ready: {}", self.said());
    }

    pub(crate) fn signal(&self, name: Signal) {
        signal(name, self.child.id().expect("running").cast_signed());
    }

    /// Its exit status once it has ended, which it must within `bound`.
    pub(crate) async fn ended(&mut self, bound: Duration) -> ExitStatus {
        tokio::time::timeout(bound, self.child.wait())
            .await
            .expect("the server ends")
            .unwrap()
    }

    /// All it said, on both streams.
    pub(crate) fn said(&self) -> String {
        format!(
            "{}{}",
            self.stdout.lock().unwrap(),
            self.stderr.lock().unwrap()
        )
    }
}

pub(crate) fn signal(signal: Signal, pid: i32) {
    kill_process(Pid::from_raw(pid).expect("not ourselves"), signal)
        .expect("there is such a process");
}

pub(crate) fn is_alive(pid: i32) -> bool {
    let status = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status"));
    status.is_ok_and(|s| !s.contains("State:\tZ"))
}

fn collect(stream: impl AsyncRead + Send + Unpin + 'static) -> Arc<Mutex<String>> {
    let text = Arc::new(Mutex::new(String::new()));
    let all = text.clone();
    tokio::spawn(async move {
        let mut lines = BufReader::new(stream).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            all.lock().unwrap().push_str(&(line + "\n"));
        }
    });
    text
}
