//! The real program, as an operator runs it.

use std::path::Path;
use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

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
    let mut child = doorward(url, keys_dir)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let mut pipe = child.stdin.take().expect("piped");
    let _ = pipe.write_all(stdin.as_bytes()).await;
    drop(pipe);
    let output = child.wait_with_output().await.expect("the program ends");
    Output {
        status: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}
