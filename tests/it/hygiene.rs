//! What should not be there: rows that strangers make, traces of tests in the program, answers that take others down.

use std::process::Command;
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use doorward::config::Config;
use doorward::kernel::clock::SystemClock;
use doorward::router::table;
use doorward::running::Running;
use reqwest::Method;
use sqlx::{Postgres, QueryBuilder, Row};
use tokio::net::TcpListener;

use crate::support::cluster::CLUSTER;
use crate::support::{Answer, Browser, Server, TestClient};

#[tokio::test]
async fn strangers_make_a_bounded_number_of_rows() {
    // S-E33
    let server = Server::start().await;
    let rows = async || {
        let mut db = server.tables().await;
        let names = sqlx::query(
            "select table_name::text from information_schema.tables where table_schema = 'public'",
        )
        .fetch_all(&mut db)
        .await
        .unwrap();
        let (mut all, mut throttle) = (0, 0);
        for name in names {
            let name: String = name.get(0);
            let count: i64 = QueryBuilder::<Postgres>::new("select count(*) from \"")
                .push(&name)
                .push("\"")
                .build_query_scalar()
                .fetch_one(&mut db)
                .await
                .unwrap();
            if name == "throttle" {
                throttle = count;
            } else if name != "invalidation" {
                // What caches are told goes as soon as they are.
                all += count;
            }
        }
        (all, throttle)
    };
    let before = rows().await;
    for n in 0..60 {
        server.get("/login").await;
        server.get("/account").await;
        Browser::new(&server)
            .try_sign_in(&format!("nobody{n}"), "x")
            .await;
        let stranger = TestClient {
            server: &server,
            id: format!("c_{n}"),
            secret: Some("x".to_owned()),
        };
        stranger.client_credentials(&[]).await;
        server.call(Method::POST, "/api/v1/users", "x", None).await;
    }
    // And at every door there is.
    for route in table() {
        let path = route.path.replace(['{', '}'], "");
        let asked = server.request(route.method.clone(), &path);
        let asked = asked.form(&[("client_id", "c_x"), ("username", "nobody0")]);
        Answer::of(asked).await;
    }
    let after = rows().await;
    assert_eq!(after.0, before.0, "nothing but the throttle counts");
    // An address has 30 failures: no more names are written down, and both are swept.
    assert!(after.1 - before.1 <= 30 * 2 + 3, "{after:?}");
}

#[tokio::test]
async fn a_panic_is_one_requests_own() {
    // S-E34
    async fn panics() -> &'static str {
        panic!("on purpose, with a canary")
    }
    let database = CLUSTER.database().await;
    let mut config = Config::default();
    config.keys_dir = CLUSTER.keys_dir.clone();
    config.http.drain_timeout = "0s".parse().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let further = Router::new()
        .route("/api/panic", get(panics))
        .route("/oauth2/panic", get(panics))
        .route("/panic", get(panics));
    let databases = database.databases();
    let running = Running::start_with(further, config, databases, Arc::new(SystemClock), listener)
        .await
        .unwrap();
    let url = format!("http://{}", running.address);
    let http = reqwest::Client::new();
    for (path, shape) in [
        ("/api/panic", "docs/errors#internal"),
        ("/oauth2/panic", "server_error"),
        ("/panic", "<html"),
    ] {
        let answer = Answer::of(http.get(format!("{url}{path}"))).await;
        assert_eq!(answer.status, 500, "{path}");
        assert!(answer.text.contains(shape), "{path}: {}", answer.text);
        assert!(!answer.text.contains("canary"), "{}", answer.text);
        let next = Answer::of(http.get(format!("{url}/healthz"))).await;
        assert_eq!(next.status, 200, "the next request is answered");
    }
    running.stop().await;
}

#[tokio::test]
async fn the_program_holds_no_tests_and_no_defaults() {
    // S-E35: in the binary, and over HTTP.
    let program = std::fs::read(env!("CARGO_BIN_EXE_doorward")).unwrap();
    let holds = |text: &str| program.windows(text.len()).any(|w| w == text.as_bytes());
    assert!(holds("/oauth2/token"), "the search finds what is there");
    for text in [
        "wordy rivers",
        "/api/panic",
        "BEGIN RSA PRIVATE KEY-----\nMII",
        "canary-",
    ] {
        assert!(!holds(text), "{text}");
    }
    let server = Server::start().await;
    for path in [
        "/debug",
        "/debug/pprof",
        "/test",
        "/constant",
        "/admin",
        "/console",
        "/.env",
        "/.git/config",
        "/server-status",
        "/actuator",
    ] {
        assert_eq!(server.get(path).await.status, 404, "{path}");
    }
    for (name, password) in [("admin", "admin"), ("root", "root"), ("test", "test")] {
        let answer = Browser::new(&server).try_sign_in(name, password).await;
        assert_eq!(answer.status, 422, "{name}");
    }
}

#[test]
fn dependencies_are_pinned_and_held_to_rules() {
    // S-179: the lock file is committed, every build uses it, and what it names is checked at each change.
    let root = env!("CARGO_MANIFEST_DIR");
    let tracked = Command::new("git")
        .args(["-C", root, "ls-files", "Cargo.lock", ".deny.toml"])
        .output();
    let tracked = String::from_utf8(tracked.unwrap().stdout).unwrap();
    assert_eq!(tracked.lines().count(), 2, "{tracked}");
    for tool in ["run", "test", "bench", "faults", "walk", "demo", "sqlx"] {
        let text = std::fs::read_to_string(format!("{root}/tools/{tool}")).unwrap();
        let builds = text.lines().filter(|line| {
            let line = line.trim_start();
            [
                "cargo build",
                "cargo test",
                "cargo bench",
                "cargo clippy",
                "cargo check",
                "exec cargo",
            ]
            .iter()
            .any(|c| line.contains(c))
                && !line.starts_with('#')
        });
        for line in builds {
            assert!(line.contains("--locked"), "tools/{tool}: {line}");
        }
    }
    let test = std::fs::read_to_string(format!("{root}/tools/test")).unwrap();
    assert!(test.contains("tools/deny"));
    let deny = std::fs::read_to_string(format!("{root}/.deny.toml")).unwrap();
    for section in ["[licenses]", "[bans]", "[sources]", "[advisories]"] {
        assert!(deny.contains(section), "{section}");
    }
}
