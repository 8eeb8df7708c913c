//! The examples, run as the README says: one service calls, the other checks; a change arrives at three systems.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

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
