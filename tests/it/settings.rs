//! Settings, as an operator gives them to the real program.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use crate::support::command::doorward;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("doorward-settings-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, text: &str, mode: u32) -> String {
        let path = self.0.join("settings.toml");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path.display().to_string()
    }

    /// What `doorward migrate` complains of under these settings.
    async fn complaint(&self, args: &[&str], variables: &[(&str, &str)]) -> String {
        let mut command = doorward("postgres://nobody@127.0.0.1:1/none", &self.0);
        let output = command
            .args(args)
            .arg("migrate")
            .envs(variables.iter().copied())
            .output()
            .await
            .unwrap();
        assert!(!output.status.success());
        assert!(
            output.stdout.is_empty(),
            "standard output holds answers alone"
        );
        String::from_utf8(output.stderr).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn a_wrong_setting_is_named_with_its_source_and_what_is_expected() {
    let folder = Folder::new("wrong");
    let file = folder.file("[http]\nidle_timeout = \"soon\"\n", 0o644);
    let complaint = folder.complaint(&["--config", &file], &[]).await;
    for part in [
        "http.idle_timeout",
        "settings.toml",
        "expected a length of time",
    ] {
        assert!(complaint.contains(part), "{part}: {complaint}");
    }
    let complaint = folder
        .complaint(&[], &[("DOORWARD_PASSWORDS__QUEUE", "many")])
        .await;
    for part in ["passwords.queue", "environment", "expected a whole number"] {
        assert!(complaint.contains(part), "{part}: {complaint}");
    }
    for issuer in [
        "http://id.example.com",
        "https://id.example.com/",
        "https://id.example.com/auth",
    ] {
        let complaint = folder.complaint(&["--issuer", issuer], &[]).await;
        assert!(
            complaint.contains("issuer") && complaint.contains("expected an https URL"),
            "{issuer}: {complaint}"
        );
    }
}

#[tokio::test]
async fn lists_are_separated_by_commas_in_the_environment() {
    let folder = Folder::new("lists");
    let proxies = |value: &'static str| [("DOORWARD_HTTP__TRUSTED_PROXIES", value)];
    let complaint = folder
        .complaint(&[], &proxies("10.0.0.0/8, 192.0.2.7"))
        .await;
    assert!(
        complaint.contains("database") && !complaint.contains("proxies"),
        "taken: {complaint}"
    );
    let complaint = folder.complaint(&[], &proxies("10.0.0.0/8,nonsense")).await;
    assert!(
        complaint.contains("http.trusted_proxies") && complaint.contains("networks such as"),
        "{complaint}"
    );
}

#[tokio::test]
async fn a_line_that_is_no_toml_is_not_shown() {
    // S-165: it may hold a secret.
    let folder = Folder::new("toml");
    let file = folder.file("[database]\nurl = \"postgres://u:canary@h/db\n", 0o600);
    let complaint = folder.complaint(&["--config", &file], &[]).await;
    assert!(
        complaint.contains("TOML") && complaint.contains("settings.toml"),
        "{complaint}"
    );
    assert!(!complaint.contains("canary"), "{complaint}");
}

#[tokio::test]
async fn an_unknown_setting_stops_the_start() {
    let folder = Folder::new("unknown");
    let file = folder.file("[http]\nidle_timeuot = \"1m\"\n", 0o644);
    let complaint = folder.complaint(&["--config", &file], &[]).await;
    assert!(
        complaint.contains("idle_timeuot") && complaint.contains("idle_timeout"),
        "{complaint}"
    );
    let complaint = folder
        .complaint(&[], &[("DOORWARD_HTTP__IDLE_TIMEUOT", "1m")])
        .await;
    assert!(complaint.contains("http.idle_timeuot"), "{complaint}");
    let complaint = folder
        .complaint(&["--config", "no-such-file.toml"], &[])
        .await;
    assert!(complaint.contains("no-such-file.toml"), "{complaint}");
}

#[tokio::test]
async fn variables_that_are_no_settings_are_only_warned_of() {
    let folder = Folder::new("strangers");
    let complaint = folder
        .complaint(&[], &[("DOORWARD_PORT", "tcp://10.0.0.1:80")])
        .await;
    assert!(
        complaint.contains("DOORWARD_PORT is no setting"),
        "{complaint}"
    );
    assert!(
        complaint.contains("asking the database"),
        "it went on to the database: {complaint}"
    );
}

#[tokio::test]
async fn traces_that_lead_nowhere_are_warned_of() {
    let folder = Folder::new("traces");
    let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", "not an address")];
    let complaint = folder.complaint(&[], &variables).await;
    assert!(
        complaint.contains("traces can't be exported"),
        "{complaint}"
    );
}

#[tokio::test]
async fn rules_between_settings_are_checked() {
    let folder = Folder::new("rules");
    for (variable, value, setting) in [
        ("DOORWARD_SESSIONS__ABSOLUTE", "31d", "sessions.absolute"),
        (
            "DOORWARD_PASSWORDS__MEMORY_KIB",
            "8",
            "passwords.memory_kib",
        ),
        ("DOORWARD_KEYS__RSA_BITS", "1024", "keys.rsa_bits"),
        ("DOORWARD_LOG__FILTER", "verbose", "log.filter"),
        ("DOORWARD_LOG__FILTER", "doorward=loud", "log.filter"),
        (
            "DOORWARD_THROTTLE__MAX_FAILURES",
            "101",
            "throttle.max_failures",
        ),
    ] {
        let complaint = folder.complaint(&[], &[(variable, value)]).await;
        assert!(
            complaint.contains(setting) && complaint.contains("expected"),
            "{complaint}"
        );
    }
}

#[tokio::test]
async fn secrets_are_neither_shown_nor_taken_from_an_open_file() {
    // S-169
    let folder = Folder::new("secrets");
    let file = folder.file(
        "[database]\nurl = \"postgres://u:canary-1@127.0.0.1:1/x\"\n",
        0o644,
    );
    let complaint = folder.complaint(&["--config", &file], &[]).await;
    assert!(
        complaint.contains("database.url") && complaint.contains("chmod 640"),
        "{complaint}"
    );
    assert!(!complaint.contains("canary-1"), "{complaint}");
    let complaint = folder
        .complaint(&[], &[("DATABASE_URL", "nonsense://canary-2")])
        .await;
    assert!(
        complaint.contains("database.url") && !complaint.contains("canary-2"),
        "{complaint}"
    );
    let complaint = folder
        .complaint(&[], &[("DOORWARD_KEYS__SEALING_KEY", "12345678")])
        .await;
    assert!(
        complaint.contains("keys.sealing_key") && !complaint.contains("12345678"),
        "{complaint}"
    );
    let complaint = folder
        .complaint(&["--database-url", "postgres://x"], &[])
        .await;
    assert!(
        complaint.contains("--database-url"),
        "there is no such flag: {complaint}"
    );
}
