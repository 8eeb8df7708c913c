//! The real program, as an operator runs it.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin, Command};

/// What a command answered.
#[derive(Debug)]
pub(crate) struct Output {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    /// The one JSON document on standard output of a command that succeeded.
    pub(crate) fn json(&self) -> serde_json::Value {
        assert_eq!(self.status, 0, "{}", self.stderr);
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {}", self.stdout))
    }
}

/// The program with nothing in its environment but these settings.
pub(crate) fn doorward(url: &str, keys_dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
    command
        .env_clear()
        .env("DATABASE_URL", url)
        .env("DOORWARD_KEYS_DIR", keys_dir)
        .env("PATH", "/usr/bin:/bin");
    command.current_dir(keys_dir).kill_on_drop(true);
    command
}

/// Runs `doorward ARGS…` with `stdin`.
pub(crate) async fn run(args: &[&str], stdin: &str, url: &str, keys_dir: &Path) -> Output {
    let (child, pipe) = start(args, stdin, url, keys_dir).await;
    drop(pipe);
    ended(child).await
}

/// The same with standard input left open, as a terminal's is.
pub(crate) async fn type_to(args: &[&str], line: &str, url: &str, keys_dir: &Path) -> Output {
    let (child, _pipe) = start(args, line, url, keys_dir).await;
    tokio::time::timeout(Duration::from_secs(60), ended(child))
        .await
        .expect("the program does not wait for more")
}

async fn start(args: &[&str], stdin: &str, url: &str, keys_dir: &Path) -> (Child, ChildStdin) {
    let mut child = doorward(url, keys_dir)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let mut pipe = child.stdin.take().expect("piped");
    let _ = pipe.write_all(stdin.as_bytes()).await;
    (child, pipe)
}

async fn ended(child: Child) -> Output {
    let output = child.wait_with_output().await.expect("the program ends");
    Output {
        status: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}
