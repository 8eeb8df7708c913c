//! The program as a process on its private PostgreSQL: first start, sharing, stopping, and being killed in the middle of writes.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::support::process::{Home, Process, is_alive, signal};
use crate::support::{Answer, Wire, eventually};

/// Until a server that is told to stop has ended, at most.
const STOPPED: Duration = Duration::from_secs(30);

#[tokio::test]
async fn the_first_start_tells_its_secrets_once() {
    // S-169
    let home = Home::new("first");
    let mut server = home.serve().await;
    eventually(Duration::from_secs(20), "the line to paste", async || {
        server.stdout.lock().unwrap().contains("curl ")
    })
    .await;
    let line = server.stdout.lock().unwrap().trim().to_owned();

    // The line really returns a token when it is pasted.
    let pasted = tokio::process::Command::new("sh")
        .args(["-c", &line])
        .output()
        .await
        .unwrap();
    let body: Value = serde_json::from_slice(&pasted.stdout).unwrap();
    assert_eq!(body["token_type"], "Bearer", "{line}\n{body}");

    let mut secrets = Vec::new();
    for name in ["first-admin.password", "first-client.secret"] {
        let path = home.data().join(name);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
        assert!(server.said().contains(name), "the log names the file");
        let secret = std::fs::read_to_string(path).unwrap();
        assert!(
            !server.said().contains(&secret),
            "the log does not tell the secret"
        );
        secrets.push(secret);
    }
    // The first admin is one by the ordinary operations: signs in, and is in the audit trail like everybody.
    let http = browser();
    let page = http
        .get(format!("{}/login", server.url))
        .send()
        .await
        .unwrap();
    let cookie = page.headers()["set-cookie"]
        .to_str()
        .unwrap()
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    let page = page.text().await.unwrap();
    let csrf = page
        .split("name=\"csrf\" value=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    let signed_in = http
        .post(format!("{}/login", server.url))
        .header("cookie", cookie)
        .form(&[
            ("csrf", csrf),
            ("username", "admin"),
            ("password", &secrets[0]),
        ])
        .send()
        .await
        .unwrap();
    assert_eq!(
        (
            signed_in.status().as_u16(),
            signed_in.headers()["location"].to_str().unwrap()
        ),
        (303, "/account")
    );

    // The last one out stops the cluster; the second start makes and tells nothing.
    server.signal(Signal::TERM);
    assert!(server.ended(STOPPED).await.success());
    assert_eq!(
        home.postmaster(),
        None,
        "PostgreSQL went with the last who used it"
    );
    let mut again = home.serve().await;
    assert_eq!(again.stdout.lock().unwrap().as_str(), "");
    let pasted = tokio::process::Command::new("sh")
        .args(["-c", &line])
        .output()
        .await
        .unwrap();
    assert!(
        String::from_utf8(pasted.stdout)
            .unwrap()
            .contains("access_token"),
        "data is still there tomorrow"
    );
    again.signal(Signal::INT);
    assert!(again.ended(STOPPED).await.success());
}

#[tokio::test]
async fn commands_share_the_cluster_with_a_server_and_work_without_one() {
    let home = Home::new("share");
    let alone = cli(
        &home,
        &[
            "client",
            "create",
            "--name",
            "a",
            "--grant",
            "client_credentials",
            "--scope",
            "users:read",
            "--json",
        ],
    )
    .await;
    assert_eq!(home.postmaster(), None, "the command was the last one out");
    let mut server = home.serve().await;
    let postmaster = home.postmaster().unwrap();
    let beside = cli(&home, &["client", "list", "--json"]).await;
    assert_eq!(beside["items"][0]["client_id"], alone["client_id"]);
    assert_eq!(
        home.postmaster(),
        Some(postmaster),
        "the server still uses it"
    );
    // It serves the client that was made before it.
    let token = token(&server, &alone).await;
    assert_eq!(token.status, 200, "{}", token.text);
    server.signal(Signal::TERM);
    assert!(server.ended(STOPPED).await.success());
    assert!(!is_alive(postmaster));
}

#[tokio::test]
async fn a_server_that_is_killed_loses_no_acknowledged_write() {
    let home = Home::new("kill-server");
    let client = writer(&home).await;
    let mut acknowledged = BTreeSet::new();
    for round in 0..3 {
        let mut server = home.serve().await;
        let written = write_until(&server, &client, round, || server.signal(Signal::KILL)).await;
        server.ended(STOPPED).await;
        assert!(
            home.postmaster().is_some_and(is_alive),
            "its PostgreSQL is left behind, and adopted at the next start"
        );
        acknowledged.extend(written);
    }
    let mut server = home.serve().await;
    assert_eq!(
        missing(&server, &client, &acknowledged).await,
        BTreeSet::new()
    );
    assert!(acknowledged.len() > 30, "{}", acknowledged.len());
    server.signal(Signal::TERM);
    assert!(server.ended(STOPPED).await.success());
    assert_eq!(home.postmaster(), None, "who adopted it stopped it");
}

#[tokio::test]
async fn a_postgresql_that_is_killed_comes_back_with_every_acknowledged_write() {
    let home = Home::new("kill-postgres");
    let client = writer(&home).await;
    let mut server = home.serve().await;
    let mut acknowledged = BTreeSet::new();
    for round in 0..2 {
        let postmaster = home.postmaster().unwrap();
        acknowledged.extend(
            write_until(&server, &client, round, || signal(Signal::KILL, postmaster)).await,
        );
        eventually(Duration::from_secs(30), "another PostgreSQL", async || {
            home.postmaster().is_some_and(|p| p != postmaster)
        })
        .await;
        server.ready().await;
    }
    assert_eq!(
        missing(&server, &client, &acknowledged).await,
        BTreeSet::new()
    );
    server.signal(Signal::TERM);
    assert!(server.ended(STOPPED).await.success());
}

#[tokio::test]
async fn both_killed_at_once_lose_no_acknowledged_write() {
    let home = Home::new("kill-both");
    let client = writer(&home).await;
    let mut server = home.serve().await;
    let postmaster = home.postmaster().unwrap();
    let acknowledged = write_until(&server, &client, 0, || {
        server.signal(Signal::KILL);
        signal(Signal::KILL, postmaster);
    })
    .await;
    server.ended(STOPPED).await;
    let mut server = home.serve().await;
    assert_eq!(
        missing(&server, &client, &acknowledged).await,
        BTreeSet::new()
    );
    server.signal(Signal::TERM);
    assert!(server.ended(STOPPED).await.success());
}

#[tokio::test]
async fn told_to_stop_it_finishes_what_is_under_way() {
    let home = Home::new("stop");
    let client = writer(&home).await;
    let mut server = home.serve().await;
    let http = reqwest::Client::new();
    let token = token(&server, &client).await.json();
    let token = token["access_token"].as_str().unwrap();
    // A request whose body is still on its way when the server is told to stop.
    let mut wire = Wire::to(&server.url).await;
    let body = "{\"username\": \"slow\"}";
    wire.send(format!(
        "POST /api/v1/users HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{}",
        body.len(),
        &body[..10],
    ))
    .await;
    // Once the next request is answered, this one has been taken too.
    assert_eq!(
        http.get(format!("{}/healthz", server.url))
            .send()
            .await
            .unwrap()
            .status(),
        200
    );
    server.signal(Signal::TERM);
    eventually(Duration::from_secs(5), "no new work is taken", async || {
        TcpStream::connect(("127.0.0.1", home.port)).await.is_err()
    })
    .await;
    wire.send(&body[10..]).await;
    let answer = wire.read_to_close(Duration::from_secs(10)).await;
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    assert!(server.ended(STOPPED).await.success());
}

/// A client that may write users, registered before any server runs.
async fn writer(home: &Home) -> Value {
    let args = [
        "client",
        "create",
        "--name",
        "writer",
        "--grant",
        "client_credentials",
    ];
    cli(
        home,
        &[&args[..], &["--scope", "users:read users:write", "--json"]].concat(),
    )
    .await
}

async fn cli(home: &Home, args: &[&str]) -> Value {
    let output = home.command(args).output().await.unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

async fn token(server: &Process, client: &Value) -> Answer {
    let text = |name: &str| client[name].as_str().unwrap().to_owned();
    let request = reqwest::Client::new()
        .post(format!("{}/oauth2/token", server.url))
        .basic_auth(text("client_id"), Some(text("client_secret")))
        .form(&[("grant_type", "client_credentials")]);
    Answer::of(request).await
}

fn browser() -> reqwest::Client {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap()
}

/// Writes from four sides, lets `blow` fall in the middle, and gives the ids of the people whose creation was acknowledged.
async fn write_until(
    server: &Process,
    client: &Value,
    round: u32,
    blow: impl FnOnce(),
) -> BTreeSet<String> {
    let token = token(server, client).await.json()["access_token"]
        .as_str()
        .unwrap()
        .to_owned();
    let acknowledged = Arc::new(Mutex::new(BTreeSet::new()));
    let over = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let (acknowledged, over, token) = (acknowledged.clone(), over.clone(), token.clone());
            let url = format!("{}/api/v1/users", server.url);
            tokio::spawn(async move {
                let http = reqwest::Client::new();
                for n in 0.. {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    let person = json!({ "username": format!("u-{round}-{writer}-{n}") });
                    let answer = http
                        .request(Method::POST, &url)
                        .bearer_auth(&token)
                        .json(&person)
                        .send()
                        .await;
                    // Refused or cut off: nothing was promised.
                    let Ok(answer) = answer else { continue };
                    if answer.status() == 201 {
                        let Ok(made) = answer.json::<Value>().await else {
                            continue;
                        };
                        acknowledged
                            .lock()
                            .unwrap()
                            .insert(made["id"].as_str().unwrap().to_owned());
                    }
                }
            })
        })
        .collect();
    eventually(
        Duration::from_secs(30),
        "writes are under way",
        async || acknowledged.lock().unwrap().len() >= 20,
    )
    .await;
    blow();
    tokio::time::sleep(Duration::from_millis(100)).await;
    over.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    std::mem::take(&mut *acknowledged.lock().unwrap())
}

/// Those of the acknowledged who are not there, by walking the whole list; each must have been written once, with its event.
async fn missing(
    server: &Process,
    client: &Value,
    acknowledged: &BTreeSet<String>,
) -> BTreeSet<String> {
    let token = token(server, client).await.json()["access_token"]
        .as_str()
        .unwrap()
        .to_owned();
    let http = reqwest::Client::new();
    let mut missing = acknowledged.clone();
    let mut next = Some("/api/v1/users?limit=200".to_owned());
    while let Some(path) = next {
        let answer = Answer::of(
            http.get(format!("{}{path}", server.url))
                .bearer_auth(&token),
        )
        .await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let page = answer.json();
        for person in page["items"].as_array().unwrap() {
            missing.remove(person["id"].as_str().unwrap());
        }
        next = page["next"]
            .as_str()
            .map(|after| format!("/api/v1/users?limit=200&after={after}"));
    }
    missing
}
