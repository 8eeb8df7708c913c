//! The examples, run as the README says: one service calls, another checks, a third keeps a copy, three are told of changes.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::Row;
use tokio::process::{Child, Command};

use crate::support::{Server, TestClient, eventually};

const AUDIENCE: &str = "https://billing.example";

/// Cargo puts the examples beside the program.
pub(crate) fn example(name: &str) -> Command {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_doorward"));
    let path = program.parent().unwrap().join("examples").join(name);
    assert!(
        path.exists(),
        "{} is missing: `cargo test` with a filter does not build it, `cargo build --examples` does",
        path.display()
    );
    let mut command = Command::new(path);
    command.env_clear().kill_on_drop(true);
    command
}

async fn checking_service(server: &Server) -> (Child, String) {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let child = example("checking_service")
        .arg(address.to_string())
        .env("ISSUER", &server.url)
        .env("AUDIENCE", AUDIENCE)
        .spawn()
        .unwrap();
    eventually(Duration::from_secs(10), "it listens", async || {
        tokio::net::TcpStream::connect(address).await.is_ok()
    })
    .await;
    (child, format!("http://{address}/invoices"))
}

/// What the calling service prints after it called `url` twice as `client`.
async fn call(client: &TestClient<'_>, url: &str) -> String {
    let output = example("calling_service")
        .args([url, url])
        .env("ISSUER", &client.server.url)
        .env("CLIENT_ID", &client.id)
        .env("CLIENT_SECRET", client.secret.as_ref().unwrap())
        .stderr(Stdio::inherit())
        .output()
        .await
        .unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn one_service_calls_and_the_other_checks() {
    let server = Server::start().await;
    let (_service, url) = checking_service(&server).await;
    let register = async |scope: &str, audience: &str| {
        server
            .client()
            .grant("client_credentials")
            .scope(scope)
            .audience(audience)
            .register()
            .await
    };
    let shop = register("invoices:read", AUDIENCE).await;
    let welcome = format!("200 OK the invoices, for \"{}\"\n", shop.id);
    assert_eq!(call(&shop, &url).await, welcome.repeat(2));

    let other_alg = server
        .client()
        .grant("client_credentials")
        .scope("invoices:read")
        .audience(AUDIENCE)
        .option("--signing-alg", "RS256")
        .register()
        .await;
    assert!(call(&other_alg, &url).await.starts_with("200 OK"));

    for (scope, audience, told) in [
        ("invoices:write", AUDIENCE, "403 Forbidden \n"),
        (
            "invoices:read",
            "https://stock.example",
            "401 Unauthorized \n",
        ),
    ] {
        let other = register(scope, audience).await;
        assert_eq!(
            call(&other, &url).await,
            told.repeat(2),
            "{scope} {audience}"
        );
    }
    for token in ["", "x", "eyJhbGciOiJub25lIn0.e30."] {
        let answer = reqwest::Client::new()
            .get(&url)
            .bearer_auth(token)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 401, "{token}");
    }
}

/// It is killed at any time, writes go on meanwhile, and when it is back the copy is the directory.
#[tokio::test]
async fn a_copy_is_right_over_restarts() {
    let server = Server::start().await;
    let client = server
        .client()
        .grant("client_credentials")
        .scope("users:read")
        .register()
        .await;
    let consume = || {
        let secret = client.secret.as_ref().unwrap();
        let mut command = example("copy");
        // Its tables stand beside the server's: it looks at none of those.
        command
            .env("ISSUER", &server.url)
            .env("DATABASE_URL", server.database.url());
        command
            .env("CLIENT_ID", &client.id)
            .env("CLIENT_SECRET", secret);
        command.spawn().unwrap()
    };
    let token = server.admin_token().await;
    let mut people = Vec::new();
    let mut tables = server.tables().await;
    let mut copied = async || -> Vec<Value> {
        let rows = sqlx::query("select document from person order by id")
            .fetch_all(&mut tables)
            .await;
        let rows = rows.map(|rows| rows.iter().map(|row| row.get(0)).collect());
        // Before it first ran there is no table.
        rows.unwrap_or_default()
    };
    for round in 0..3 {
        let mut running = consume();
        for n in 0..20 {
            people.push(
                server
                    .user(json!({ "username": format!("u{round}-{n}") }))
                    .await,
            );
            let at = format!("/api/v1/users/{}", people[n]["id"].as_str().unwrap());
            let name = json!({ "name": format!("{round}-{n}") });
            server.call(Method::PATCH, &at, &token, Some(name)).await;
            if n == 7 * (round + 1) % 20 {
                running.kill().await.unwrap();
            }
        }
        running.kill().await.unwrap();
    }
    let gone = format!("/api/v1/users/{}", people[1]["id"].as_str().unwrap());
    server.call(Method::DELETE, &gone, &token, None).await;
    let _running = consume();
    let directory = server
        .call(Method::GET, "/api/v1/users?limit=200", &token, None)
        .await
        .json();
    assert_eq!(directory["items"].as_array().unwrap().len(), 59);
    eventually(
        Duration::from_secs(20),
        "the copy is the directory",
        async || Value::Array(copied().await) == directory["items"],
    )
    .await;
}

/// What `make demo` shows: each change arrives at those whose view shows it, and at nobody else.
#[tokio::test]
async fn a_change_arrives_at_three_consumers() {
    let server = Server::with(|config| {
        config.fetch.allowed_networks = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    let mut demo = example("three_consumers");
    demo.env("ISSUER", &server.url);
    let both =
        |client: &TestClient<'_>| format!("{}:{}", client.id, client.secret.as_ref().unwrap());
    demo.env("ADMIN", both(&server.admin()));
    for name in ["MARKETING", "BILLING", "SUPPORT"] {
        let client = server.client().grant("client_credentials");
        demo.env(name, both(&client.scope("users:read").register().await));
    }
    let output = demo.stderr(Stdio::inherit()).output().await.unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{shown}");
    let changes: Vec<&str> = shown.split("\n\n").skip(1).collect();
    let arrived = changes.iter().map(|change| {
        let lines = change.lines().skip(1).filter(|line| line.contains(" ms "));
        let mut names: Vec<&str> = lines.filter_map(|l| l.split_whitespace().next()).collect();
        names.sort_unstable();
        names.join(" ")
    });
    let expected = [
        "billing marketing support",
        "billing marketing support",
        "marketing",
        "billing",
        "billing support",
        "support",
        "billing marketing support",
    ];
    assert_eq!(arrived.collect::<Vec<_>>(), expected, "{shown}");
}
