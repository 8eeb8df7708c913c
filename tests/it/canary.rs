//! Secrets that are used in every flow are looked for in everything the program leaves behind; and what strangers send can't forge a
//! line of the log.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};
use sqlx::{Postgres, QueryBuilder, Row};

use crate::support::cluster::CLUSTER;
use crate::support::process::{Home, Process};
use crate::support::{Answer, Browser, Server, TestClient, Wire, csrf};

const RIGHT: &str = "canary-right wordy rivers";
const SET: &str = "canary-set wordy rivers 2";
const CHOSEN: &str = "canary-chosen wordy rivers 3";
const EMAIL: &str = "canary-mail@example.com";

/// The real program with everything logged that can be logged.
async fn talkative(format: &str) -> (Home, Process, Server) {
    let database = Arc::new(CLUSTER.database().await);
    let home = Home::new(&format!("canary-{format}"));
    let mut command = home.command(&["serve"]);
    command
        .env("DATABASE_URL", database.url())
        .env("DOORWARD_KEYS_DIR", &CLUSTER.keys_dir)
        .env("DOORWARD_LOG__FORMAT", format)
        .env("DOORWARD_LOG__FILTER", "trace");
    let process = home.serve_as(command).await;
    let server = Server::outside(&process.url, database);
    (home, process, server)
}

/// Keeps the bodies of refusals.
#[derive(Default)]
struct Refusals(Mutex<String>);

impl Refusals {
    fn keep(&self, answer: Answer) -> Answer {
        if answer.status >= 400 {
            let mut kept = format!("{:?}\n{}\n", answer.headers, answer.text);
            if kept.contains("name=\"csrf\"") {
                // A refused form is shown again, with its token.
                kept = kept.replace(&csrf(&answer), "");
            }
            self.0.lock().unwrap().push_str(&kept);
        }
        answer
    }
}

#[tokio::test]
async fn no_secret_is_left_behind() {
    // S-150, S-165
    let (_home, mut process, server) = talkative("json").await;
    let refusals = Refusals::default();
    let mut canaries: Vec<String> = [RIGHT, SET, CHOSEN].map(str::to_owned).into();
    canaries.extend(machines(&server, &refusals).await);
    canaries.extend(people(&server, &refusals).await);

    process.signal(Signal::TERM);
    process.ended(std::time::Duration::from_secs(30)).await;
    let log = process.said();
    assert!(
        log.contains("\"status\":200"),
        "everything is logged: {log}"
    );
    let refused = refusals.0.lock().unwrap().clone();
    assert!(refused.len() > 1000, "refusals were kept");
    let tables = tables(&server).await;
    assert!(tables.contains(EMAIL), "the tables were read");
    for canary in &canaries {
        for (form, shape) in shapes(canary) {
            for (place, text) in [("log", &log), ("refusals", &refused), ("tables", &tables)] {
                assert!(
                    !text.contains(&shape),
                    "{canary} is in the {place}, {form}: {}",
                    around(text, &shape)
                );
            }
        }
    }
    for (form, shape) in shapes(EMAIL) {
        assert!(
            !log.contains(&shape),
            "an address is in the log, {form}: {}",
            around(&log, &shape)
        );
    }
}

pub(crate) fn around<'a>(text: &'a str, shape: &str) -> &'a str {
    let line = text.lines().find(|l| l.contains(shape));
    line.unwrap_or_default()
}

/// A secret as it might be found: as it is, encoded for a URL or a form, as a part of something in base64 wherever that begins, in
/// hexadecimal.
pub(crate) fn shapes(secret: &str) -> Vec<(&'static str, String)> {
    let mut shapes = vec![("raw", secret.to_owned())];
    let form: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    shapes.push(("percent-encoded", form.replace('+', "%20")));
    shapes.push(("form-encoded", form));
    shapes.push((
        "hexadecimal",
        secret.bytes().map(|b| format!("{b:02x}")).collect(),
    ));
    for skip in 0..3 {
        let inner = &secret.as_bytes()[skip..];
        let whole = &inner[..inner.len() / 3 * 3];
        shapes.push(("base64", STANDARD_NO_PAD.encode(whole)));
        shapes.push(("base64url", URL_SAFE_NO_PAD.encode(whole)));
    }
    shapes
}

#[test]
fn a_secret_within_base64_is_recognised() {
    for before in ["", "c_x:", "ab", "abc"] {
        let header = STANDARD_NO_PAD.encode(format!("{before}canary-secret-1 after"));
        assert!(
            shapes("canary-secret-1")
                .iter()
                .any(|(_, shape)| header.contains(shape)),
            "{before}"
        );
    }
}

/// What clients do, right and wrong; gives the secrets and tokens that came up.
async fn machines(server: &Server, refusals: &Refusals) -> Vec<String> {
    let admin = server.admin();
    let mut seen: Vec<String> = admin.secret.clone().into_iter().collect();
    let post = server
        .client()
        .grant("client_credentials")
        .scope("shop:read")
        .audience("https://shop.example")
        .auth_method("client_secret_post")
        .register()
        .await;
    let rotated = server
        .cli(&[
            "client",
            "rotate-secret",
            &admin.id,
            "--overlap",
            "1h",
            "--json",
        ])
        .await
        .json();
    seen.push(rotated["client_secret"].as_str().unwrap().to_owned());
    seen.extend(post.secret.clone());

    let wrong = TestClient {
        secret: Some("canary-wrong-basic-secret".to_owned()),
        ..admin.clone()
    };
    refusals
        .keep(wrong.client_credentials(&[]).await)
        .refused(401, "invalid_client");
    for secret in [post.secret.as_deref().unwrap(), "canary-wrong-post-secret"] {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", &post.id),
            ("client_secret", secret),
        ];
        let answer = Answer::of(server.request(Method::POST, "/oauth2/token").form(&form)).await;
        if let 200 = refusals.keep(answer.clone()).status {
            seen.push(answer.json()["access_token"].as_str().unwrap().to_owned());
        }
    }
    seen.extend(["canary-wrong-basic-secret", "canary-wrong-post-secret"].map(str::to_owned));

    let token = server.admin_token().await;
    for sent in [token.clone() + "x", "canary-no-token-at-all".to_owned()] {
        let answer = server.call(Method::GET, "/api/v1/users", &sent, None).await;
        assert_eq!(refusals.keep(answer).status, 401);
    }
    seen.push("canary-no-token-at-all".to_owned());
    seen.push(token.rsplit('.').next().unwrap().to_owned());
    seen.push(token);

    // Where a secret should never be: in a URL, in a body that can't be read, under a name that is not known.
    for path in [
        "/oauth2/token?client_secret=canary-in-the-query",
        "/login?password=canary-in-the-query",
        "/nowhere/canary-in-the-query?x=canary-in-the-query",
        "/api/v1/users?access_token=canary-in-the-query",
    ] {
        refusals.keep(server.get(path).await);
        let posted = server
            .request(Method::POST, path)
            .header("content-type", "application/x-www-form-urlencoded")
            .body("a=canary-in-a-body&a=%");
        refusals.keep(Answer::of(posted).await);
    }
    seen.extend(["canary-in-the-query", "canary-in-a-body"].map(str::to_owned));
    seen
}

/// What people do, right and wrong; gives the secrets and tokens that came up.
async fn people(server: &Server, refusals: &Refusals) -> Vec<String> {
    let token = server.admin_token().await;
    let user = server
        .user_with_password(json!({ "email": EMAIL, "username": "canary" }), RIGHT)
        .await;
    let path = format!("/api/v1/users/{}", user["id"].as_str().unwrap());
    let mut seen = Vec::new();

    let app = server
        .client()
        .grant("password")
        .scope("shop:read")
        .audience("https://shop.example")
        .register()
        .await;
    let answer = app.password(EMAIL, RIGHT, &[]).await;
    seen.push(answer.json()["access_token"].as_str().unwrap().to_owned());
    let wrong = "canary-wrong-password";
    refusals
        .keep(app.password(EMAIL, wrong, &[]).await)
        .refused(400, "invalid_grant");

    let mut browser = Browser::new(server);
    assert_eq!(
        refusals
            .keep(browser.try_sign_in(EMAIL, wrong).await)
            .status,
        422
    );
    seen.push(csrf(&browser.get("/login").await));
    seen.push(browser.cookies["doorward-login"].clone());
    browser.sign_in(EMAIL, RIGHT).await;
    seen.push(browser.cookies["doorward"].clone());
    let form = csrf(&browser.get("/account/password").await);
    for (present, new) in [(wrong, CHOSEN), (RIGHT, "canary-short"), (RIGHT, CHOSEN)] {
        let fields = [
            ("csrf", &*form),
            ("password", present),
            ("new_password", new),
        ];
        refusals.keep(browser.post("/account/password", &fields).await);
    }
    seen.push(form);
    seen.push(browser.cookies["doorward"].clone());
    assert_eq!(browser.account().await, 200);

    // An admin's hand: right, refused by the policy, and in fields where a password has no place.
    for (path, body) in [
        (format!("{path}/password"), json!({ "password": SET })),
        (
            format!("{path}/password"),
            json!({ "password": "canary-short" }),
        ),
        (path.clone(), json!({ "password": "canary-misplaced" })),
        (path.clone(), json!({ "email": "canary-misplaced" })),
    ] {
        let method = if path.ends_with("/password") {
            Method::PUT
        } else {
            Method::PATCH
        };
        refusals.keep(server.call(method, &path, &token, Some(body)).await);
    }
    seen.extend([wrong, "canary-short", "canary-misplaced"].map(str::to_owned));
    seen
}

/// Every row of every table, as text.
pub(crate) async fn tables(server: &Server) -> String {
    let mut all = String::new();
    for rows in each_table(server).await.values() {
        all.push_str(rows);
        all.push('\n');
    }
    all
}

/// The same, table by table.
pub(crate) async fn each_table(server: &Server) -> BTreeMap<String, String> {
    let mut db = server.tables().await;
    let names = sqlx::query(
        "select table_name::text from information_schema.tables where table_schema = 'public'",
    )
    .fetch_all(&mut db)
    .await
    .unwrap();
    let mut all = BTreeMap::new();
    for name in names {
        let name: String = name.get(0);
        let rows: String = QueryBuilder::<Postgres>::new(
            "select coalesce(string_agg(t::text, E'\\n'), '') from \"",
        )
        .push(&name)
        .push("\" t")
        .build_query_scalar()
        .fetch_one(&mut db)
        .await
        .unwrap();
        all.insert(name, rows);
    }
    all
}

#[tokio::test]
async fn a_database_password_is_not_told() {
    // S-169
    let home = Home::new("canary-url");
    let output = home
        .command(&["user", "show", "nobody"])
        .env(
            "DATABASE_URL",
            "postgres://doorward:canary-database@127.0.0.1:1/doorward",
        )
        .env("DOORWARD_LOG__FILTER", "trace")
        .output()
        .await
        .unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(!output.status.success());
    assert!(said.contains("database"), "{said}");
    assert!(!said.contains("canary-database"), "{said}");
}

#[tokio::test]
async fn nobody_forges_a_line_of_the_log() {
    // S-167
    for format in ["json", "text"] {
        let (_home, mut process, server) = talkative(format).await;
        hostile(&server).await;
        process.signal(Signal::TERM);
        process.ended(std::time::Duration::from_secs(30)).await;
        let log = process.stderr.lock().unwrap().clone();
        assert!(log.contains("answered"), "{log}");
        for line in log.lines() {
            let level = if format == "json" {
                let line: Value =
                    serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
                assert!(line["timestamp"].is_string(), "{line}");
                line["level"].as_str().unwrap().to_owned()
            } else {
                let mut words = line.split_whitespace();
                assert!(words.next().unwrap().ends_with('Z'), "{line}");
                words.next().unwrap().to_owned()
            };
            assert!(
                ["TRACE", "DEBUG", "INFO", "WARN", "ERROR"].contains(&level.as_str()),
                "{line}"
            );
            assert!(!line.starts_with("FORGED"), "{line}");
            assert!(
                !line.contains(['\r', '\u{1b}', '\u{202e}', '\u{2066}', '\u{7f}']),
                "{line:?}"
            );
        }
    }
}

/// Everything a stranger may write, with line breaks, escape sequences and text that turns around.
async fn hostile(server: &Server) {
    let forged = "x\r\nFORGED {\"level\":\"ERROR\"}\u{1b}[31m\u{202e}\u{2066}\u{7f}";
    let token = server.admin_token().await;
    let mut browser = Browser::new(server);
    browser
        .headers
        .push(("user-agent", "agent \u{202e} \u{2066}".to_owned()));
    browser.try_sign_in(forged, forged).await;
    server
        .admin()
        .post(&[("grant_type", forged), (forged, forged)])
        .await;
    server
        .admin()
        .client_credentials(&[("scope", forged)])
        .await;
    let stranger = TestClient {
        server,
        id: forged.to_owned(),
        secret: Some(forged.to_owned()),
    };
    stranger.client_credentials(&[]).await;
    let named = json!({ "username": forged, "name": forged, "email": forged, forged: forged });
    server
        .call(Method::POST, "/api/v1/users", &token, Some(named))
        .await;
    let named = json!({ "username": "bidi", "name": "name \u{202e}\u{2066}" });
    server
        .call(Method::POST, "/api/v1/users", &token, Some(named))
        .await;
    let encoded: String = form_urlencoded::byte_serialize(forged.as_bytes()).collect();
    let encoded = encoded.replace('+', "%20");
    for path in [
        format!("/{encoded}?{encoded}={encoded}"),
        format!("/api/v1/users/{encoded}"),
        format!("/api/v1/users?after={encoded}&{encoded}=1"),
        format!("/assets/{encoded}"),
    ] {
        server.call(Method::GET, &path, &token, None).await;
    }
    for raw in [
        "GET /\u{1b}[31m\u{202e}FORGED HTTP/1.1\r\nhost: x\r\n\r\n",
        "FORGED\u{1b}[31m / HTTP/1.1\r\nhost: x\r\n\r\n",
        "FORGED-METHOD / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: \u{202e}\u{1b}\r\nx-forwarded-for: \u{202e}\r\nconnection: close\r\n\r\n",
    ] {
        let mut wire = Wire::open(server).await;
        wire.send(raw).await;
        wire.read_to_close(std::time::Duration::from_secs(20)).await;
    }
}
