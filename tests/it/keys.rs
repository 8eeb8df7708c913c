//! Signing keys and the key that seals them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use doorward::config::Config;
use doorward::kernel::clock::SystemClock;
use doorward::running::Running;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::cluster::{CLUSTER, Database};
use crate::support::command;
use crate::support::webhook_sink::Sink;
use crate::support::{Answer, Browser, Server, TestClient, csrf, eventually};

#[tokio::test]
async fn jwks_has_public_members_alone() {
    // S-54
    let server = Server::start().await;
    let answer = server.get("/.well-known/jwks.json").await;
    assert_eq!(answer.header("content-type"), "application/jwk-set+json");
    assert_eq!(answer.header("cache-control"), "public, max-age=300");
    let body = answer.json();
    let keys = body["keys"].as_array().unwrap();
    let mut algs: Vec<&str> = keys
        .iter()
        .map(|key| key["alg"].as_str().unwrap())
        .collect();
    algs.sort_unstable();
    let each_twice = ["ES256", "EdDSA", "PS256", "RS256"].map(|alg| [alg, alg]);
    assert_eq!(algs, each_twice.concat(), "one signs, one is to come");
    let mut kids: Vec<&str> = keys
        .iter()
        .map(|key| key["kid"].as_str().unwrap())
        .collect();
    kids.sort_unstable();
    kids.dedup();
    assert_eq!(kids.len(), 8);
    for key in keys {
        let mut members: Vec<&str> = key
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        members.sort_unstable();
        let expected: &[&str] = match key["kty"].as_str().unwrap() {
            "EC" => &["alg", "crv", "kid", "kty", "use", "x", "y"],
            "OKP" => &["alg", "crv", "kid", "kty", "use", "x"],
            _ => &["alg", "e", "kid", "kty", "n", "use"],
        };
        assert_eq!(members, expected);
        assert_eq!(key["use"], "sig");
        if key["kty"] == "RSA" {
            assert!(key["n"].as_str().unwrap().len() >= 342, "S-52: 2048 bits");
        }
    }
    for accept in [
        "application/json",
        "text/html",
        "*/*",
        "application/x-private",
    ] {
        let again = crate::support::Answer::of(
            server
                .request(reqwest::Method::GET, "/.well-known/jwks.json")
                .header("accept", accept),
        )
        .await;
        assert_eq!(again.text, answer.text);
    }
    let etag = answer.header("etag").to_owned();
    let known = crate::support::Answer::of(
        server
            .request(reqwest::Method::GET, "/.well-known/jwks.json")
            .header("if-none-match", &etag),
    )
    .await;
    assert_eq!(
        (known.status, known.text.as_str(), known.header("etag")),
        (304, "", etag.as_str())
    );
}

#[tokio::test]
async fn keys_list_shows_them_and_no_secret() {
    let server = Server::start().await;
    let listed = server.cli(&["keys", "list", "--json"]).await.json();
    let items = listed["items"].as_array().unwrap();
    assert_eq!(items.len(), 8);
    let current = items.iter().filter(|key| key["step"] == "current");
    assert_eq!(current.count(), 4);
    assert!(
        items.iter().all(
            |key| ["current", "next"].contains(&key["step"].as_str().unwrap())
                && key["kid"].is_string()
                && key["created_at"].is_string()
        ),
        "{listed}"
    );
    assert!(listed["next"].is_null());
    assert_eq!(
        items[0].as_object().unwrap().keys().collect::<Vec<_>>(),
        [
            "kid",
            "alg",
            "step",
            "created_at",
            "current_at",
            "retiring_at",
            "gone_at"
        ]
    );
}

#[tokio::test]
async fn private_keys_are_sealed_in_the_database() {
    // S-53
    let server = Server::start().await;
    let mut tables = server.tables().await;
    let sealed: Vec<Vec<u8>> = sqlx::query_scalar("select sealed_private from signing_key")
        .fetch_all(&mut tables)
        .await
        .unwrap();
    assert_eq!(sealed.len(), 8);
    for bytes in sealed {
        let text = String::from_utf8_lossy(&bytes);
        assert!(
            !text.contains("\"d\"") && !text.contains("PRIVATE") && !text.contains("kty"),
            "{text}"
        );
    }
}

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("doorward-keys-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

async fn start(database: &Database, keys: &Folder) -> Result<Running, String> {
    let mut config = Config::default();
    config.keys_dir = keys.0.clone();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    Running::start(
        config,
        database.databases(),
        Arc::new(SystemClock),
        listener,
    )
    .await
    .map_err(|e| e.to_string())
}

async fn kids(running: &Running) -> Vec<String> {
    let text = reqwest::get(format!("http://{}/.well-known/jwks.json", running.address))
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let body: Value = serde_json::from_str(&text).unwrap();
    let mut kids: Vec<String> = body["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| key["kid"].as_str().unwrap().to_owned())
        .collect();
    kids.sort();
    kids
}

#[tokio::test]
async fn replicas_starting_at_once_make_one_set() {
    // S-57: five on an empty database, which they migrate as well.
    let database = CLUSTER.empty_database().await;
    let folder = Folder::new("five");
    let (a, b, c, d, e) = tokio::join!(
        start(&database, &folder),
        start(&database, &folder),
        start(&database, &folder),
        start(&database, &folder),
        start(&database, &folder)
    );
    let running = [a, b, c, d, e].map(|r| r.unwrap());
    let first = kids(&running[0]).await;
    assert_eq!(first.len(), 8);
    for other in &running[1..] {
        assert_eq!(kids(other).await, first);
    }
    assert_eq!(
        fs::read_dir(&folder.0).unwrap().count(),
        1,
        "one sealing key and no draft of one"
    );
    for replica in running {
        replica.stop().await;
    }
}

#[tokio::test]
async fn a_lost_or_wrong_sealing_key_stops_the_start() {
    let database = CLUSTER.empty_database().await;
    let folder = Folder::new("lost");
    let running = start(&database, &folder).await.unwrap();
    let before = kids(&running).await;
    running.stop().await;
    let file = folder.0.join("sealing.key");
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let key = fs::read_to_string(&file).unwrap();

    fs::rename(&file, folder.0.join("elsewhere")).unwrap();
    let error = start(&database, &folder).await.err().unwrap();
    assert!(
        error.contains("sealing.key is missing") && error.contains("backup"),
        "{error}"
    );
    assert!(!file.exists(), "no new key takes the place of a lost one");

    let abandon = async |args: &[&str]| {
        let mut command = command::doorward(&database.url(), &folder.0);
        let output = command.args(["keys", "abandon"]).args(args).output().await;
        output.unwrap().status.success()
    };

    let other = Folder::new("other");
    start(&CLUSTER.empty_database().await, &other)
        .await
        .unwrap()
        .stop()
        .await;
    fs::copy(other.0.join("sealing.key"), &file).unwrap();
    let error = start(&database, &folder).await.err().unwrap();
    assert!(error.contains("sealed under another key"), "{error}");

    // Open to others, S-169.
    fs::write(&file, &key).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let error = start(&database, &folder).await.err().unwrap();
    assert!(error.contains("chmod 600"), "{error}");

    // A newer key above the old one seals from now on; the old one still opens.
    let new = fs::read_to_string(other.0.join("sealing.key")).unwrap();
    fs::write(&file, format!("{new}{key}")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let running = start(&database, &folder).await.unwrap();
    assert_eq!(kids(&running).await, before);
    running.stop().await;

    // Really lost: given up, and the next start makes all anew.
    fs::remove_file(&file).unwrap();
    assert!(!abandon(&[]).await, "not without a yes");
    assert!(start(&database, &folder).await.is_err());
    assert!(abandon(&["--yes"]).await);
    let running = start(&database, &folder).await.unwrap();
    let after = kids(&running).await;
    assert_eq!(after.len(), 8);
    assert!(after.iter().all(|kid| !before.contains(kid)));
    running.stop().await;
}

/// S-58: while a sealing key takes the other's place, each replica takes what the others made, before, between and after.
#[tokio::test]
async fn a_new_sealing_key_comes_in_without_a_refused_form() {
    let database = Arc::new(CLUSTER.empty_database().await);
    let folders = ["first", "second", "third"].map(Folder::new);
    let running = start(&database, &folders[0]).await.unwrap();
    let before = kids(&running).await;
    running.stop().await;
    let old = fs::read_to_string(folders[0].0.join("sealing.key")).unwrap();
    let new = "q4HSoR4nHmVH2v8gk1nVSZ8mZ0s0nUXc0T0cGzB3d2E\n";
    for (folder, keys) in [
        (&folders[1], format!("{old}{new}")),
        (&folders[2], format!("{new}{old}")),
    ] {
        let file = folder.0.join("sealing.key");
        fs::write(&file, keys).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let mut replicas = Vec::new();
    for folder in &folders {
        let keys = folder.0.clone();
        let server = Server::on(database.clone(), Arc::default(), None, None, |config| {
            config.keys_dir = keys;
        });
        replicas.push(server.await);
    }
    // Two neighbouring steps run side by side; the first and the third never do.
    for (made_by, taken_by) in [(0, 1), (1, 0), (1, 2), (2, 1)] {
        let mut browser = Browser::new(&replicas[made_by]);
        let token = csrf(&browser.get("/login").await);
        let form = [("csrf", &*token), ("username", "nobody"), ("password", "x")];
        let answer = browser.at(&replicas[taken_by]).post("/login", &form).await;
        assert_eq!(
            answer.status, 422,
            "{made_by} {taken_by}: wrong, not forged"
        );
        let answer = replicas[taken_by].get("/.well-known/jwks.json").await;
        for kid in &before {
            assert!(answer.text.contains(kid));
        }
    }
    let mut browser = Browser::new(&replicas[2]);
    let token = csrf(&browser.get("/login").await);
    let form = [("csrf", &*token), ("username", "nobody"), ("password", "x")];
    let answer = browser.at(&replicas[0]).post("/login", &form).await;
    assert_eq!(answer.status, 403, "a key that it does not have");
    // S-157: a key sent to both at once makes one person, whatever each of them knows it by.
    let scope = "users:read users:write";
    let args = [
        "client", "create", "--name", "a", "--json", "--scope", scope,
    ];
    let args = [&args[..], &["--grant", "client_credentials"]].concat();
    let made = command::run(&args, "", &database.url(), &folders[1].0).await;
    let made = made.json();
    let mut tokens = Vec::new();
    for server in &replicas[1..] {
        let client = TestClient {
            server,
            id: made["client_id"].as_str().unwrap().to_owned(),
            secret: made["client_secret"].as_str().map(str::to_owned),
        };
        tokens.push(client.token(&[]).await);
    }
    for round in 0..10 {
        let make = |n: usize| {
            let request = replicas[1 + n].request(Method::POST, "/api/v1/users");
            let request = request.header("idempotency-key", format!("round {round}"));
            let person = json!({ "phone_number": "+4930123456", "name": format!("{round}") });
            Answer::of(request.bearer_auth(&tokens[n]).json(&person))
        };
        let (one, other) = tokio::join!(make(0), make(1));
        assert!(one.status == 201 || other.status == 201, "round {round}");
        for answer in [one, other] {
            assert!([201, 409].contains(&answer.status), "{}", answer.text);
        }
    }
    let people = replicas[1].call(Method::GET, "/api/v1/users", &tokens[0], None);
    let people = people.await.json();
    assert_eq!(people["items"].as_array().unwrap().len(), 10, "{people}");
    for replica in replicas {
        replica.stop().await;
    }
}

#[tokio::test]
async fn peoples_keys_follow_the_sealing_key() {
    // S-53, S-58: sealed anew under the newest; missed when it goes too early; given up with it.
    let database = Arc::new(CLUSTER.empty_database().await);
    let folder = Folder::new("people");
    let file = folder.0.join("sealing.key");
    let serve = async || {
        let change = |config: &mut Config| config.keys_dir.clone_from(&folder.0);
        Server::on(database.clone(), Arc::default(), None, None, change).await
    };
    let server = serve().await;
    let args = [
        "client",
        "create",
        "--name",
        "a",
        "--grant",
        "client_credentials",
        "--json",
    ];
    let scope = ["--scope", "users:read users:write"];
    let made = command::run(
        &[&args[..], &scope[..]].concat(),
        "",
        &database.url(),
        &folder.0,
    )
    .await
    .json();
    let token = async |server: &Server| {
        let client = TestClient {
            server,
            id: made["client_id"].as_str().unwrap().to_owned(),
            secret: made["client_secret"].as_str().map(str::to_owned),
        };
        client.token(&[]).await
    };
    let call = async |server: &Server, method: Method, path: &str, body: Option<Value>| {
        let answer = server.call(method, path, &token(server).await, body).await;
        assert!(answer.status < 300, "{}", answer.text);
        answer.json()
    };
    let ada = call(
        &server,
        Method::POST,
        "/api/v1/users",
        Some(json!({ "username": "ada" })),
    )
    .await;
    let path = format!("/api/v1/users/{}", ada["id"].as_str().unwrap());
    call(
        &server,
        Method::PATCH,
        &path,
        Some(json!({ "name": "Ada" })),
    )
    .await;
    let history = format!("{path}/history");
    let told = call(&server, Method::GET, &history, None).await;
    assert_eq!(
        told["items"][0]["changes"],
        json!([{ "field": "name", "old": null, "new": "Ada" }])
    );
    let under = async || {
        let mut tables = database.connect().await;
        let names =
            sqlx::query_scalar::<_, Vec<u8>>("select distinct sealed_under from person_key");
        names.fetch_all(&mut tables).await.unwrap()
    };
    let first = under().await;
    server.stop().await;

    let old = fs::read_to_string(&file).unwrap();
    fs::write(
        &file,
        format!("q4HSoR4nHmVH2v8gk1nVSZ8mZ0s0nUXc0T0cGzB3d2E\n{old}"),
    )
    .unwrap();
    let server = serve().await;
    eventually(
        Duration::from_secs(10),
        "everybody's key is sealed anew",
        async || {
            let now = under().await;
            now.len() == 1 && now != first
        },
    )
    .await;
    assert_eq!(call(&server, Method::GET, &history, None).await, told);
    server.stop().await;

    // Without the key that they are under now: no start, and not one person's history lost in silence.
    fs::write(&file, &old).unwrap();
    let error = start(&database, &folder).await.err().unwrap();
    assert!(
        error.contains("people's keys were sealed under another key"),
        "{error}"
    );

    fs::remove_file(&file).unwrap();
    let gone = command::run(
        &["keys", "abandon", "--yes"],
        "",
        &database.url(),
        &folder.0,
    )
    .await;
    assert!(
        gone.stdout
            .contains("8 signing keys are gone, and the histories of 1 people"),
        "{}",
        gone.stdout
    );
    let server = serve().await;
    let lost = call(&server, Method::GET, &history, None).await;
    for (before, after) in told["items"]
        .as_array()
        .unwrap()
        .iter()
        .zip(lost["items"].as_array().unwrap())
    {
        assert_eq!(
            (&after["action"], &after["actor"]),
            (&before["action"], &before["actor"])
        );
        assert!(after["changes"].is_null());
    }
    let then = format!("{path}?at={}", ada["updated_at"].as_str().unwrap());
    server
        .call(Method::GET, &then, &token(&server).await, None)
        .await
        .problem(410, "history-lost");
    call(
        &server,
        Method::PATCH,
        &path,
        Some(json!({ "nickname": "A" })),
    )
    .await;
    let told = call(&server, Method::GET, &history, None).await;
    assert_eq!(
        told["items"][0]["changes"][0]["new"], "A",
        "it goes on under a new key"
    );
    server.stop().await;
}

#[tokio::test]
async fn webhooks_secrets_follow_the_sealing_key() {
    // S-53, S-58: sealed anew under the newest, unchanged for their receivers; missed when it goes too early; given up with it.
    let database = Arc::new(CLUSTER.empty_database().await);
    let folder = Folder::new("webhooks");
    let file = folder.0.join("sealing.key");
    let sink = Sink::start().await;
    let serve = async || {
        let change = |config: &mut Config| {
            config.keys_dir.clone_from(&folder.0);
            config.fetch.allowed_networks = vec!["127.0.0.0/8".parse().unwrap()];
        };
        Server::on(database.clone(), Arc::default(), None, None, change).await
    };
    let cli = async |args: &[&str]| command::run(args, "", &database.url(), &folder.0).await;
    let server = serve().await;
    let scope = "users:read users:write clients:read clients:write";
    let made = ["client", "create", "--name", "a", "--json"];
    let more = ["--grant", "client_credentials", "--scope", scope];
    let client = cli(&[&made[..], &more].concat()).await.json();
    let call = async |server: &Server, method: Method, path: &str, body: Option<Value>| {
        let client = TestClient {
            server,
            id: client["client_id"].as_str().unwrap().to_owned(),
            secret: client["client_secret"].as_str().map(str::to_owned),
        };
        let token = client.token(&[]).await;
        let answer = server.call(method, path, &token, body).await;
        assert!(answer.status < 300, "{}", answer.text);
        answer.json()
    };
    // Which secret the message of a new person is signed with, in this order.
    let told = async |server: &Server, name: &str, secrets: &[&str]| -> Vec<bool> {
        let person = json!({ "username": name });
        let person = call(server, Method::POST, "/api/v1/users", Some(person)).await;
        sink.knows(&person, 1).await;
        let message = sink.of(&person).pop().unwrap();
        secrets.iter().map(|s| message.is_signed_with(s)).collect()
    };
    let hook = json!({ "url": sink.url });
    let hook = call(&server, Method::POST, "/api/v1/webhooks", Some(hook)).await;
    let path = format!("/api/v1/webhooks/{}", hook["id"].as_str().unwrap());
    let rotate = format!("{path}/rotate-secret");
    let next = call(&server, Method::POST, &rotate, Some(json!({}))).await;
    let secrets = [&hook["secret"], &next["secret"]].map(|s| s.as_str().unwrap());
    let kept = async || {
        let mut tables = database.connect().await;
        let both = "select array[secret, previous_secret] from webhook";
        let both = sqlx::query_scalar::<_, Vec<Vec<u8>>>(both);
        both.fetch_one(&mut tables).await.unwrap()
    };
    let first = kept().await;
    server.stop().await;

    let old = fs::read_to_string(&file).unwrap();
    let new = "q4HSoR4nHmVH2v8gk1nVSZ8mZ0s0nUXc0T0cGzB3d2E\n";
    fs::write(&file, format!("{new}{old}")).unwrap();
    let server = serve().await;
    let bound = Duration::from_secs(10);
    eventually(bound, "both are sealed anew", async || {
        let now = kept().await;
        now.iter().zip(&first).all(|(now, first)| now != first)
    })
    .await;
    server.stop().await;
    for _ in 0..2 {
        cli(&["keys", "rotate", "--emergency"]).await;
    }
    fs::write(&file, new).unwrap();
    let server = serve().await;
    assert_eq!(told(&server, "ada", &secrets).await, [true, true]);
    server.stop().await;

    // Without the key that they are under now there is no start.
    fs::write(&file, &old).unwrap();
    let error = start(&database, &folder).await.err().unwrap();
    assert!(error.contains("webhooks' secrets were sealed"), "{error}");
    fs::remove_file(&file).unwrap();
    let gone = cli(&["keys", "abandon", "--yes"]).await;
    assert!(gone.stdout.contains("1 webhooks"), "{}", gone.stdout);
    let server = serve().await;
    let shown = call(&server, Method::GET, &path, None).await;
    assert_eq!(shown["status"]["state"], "paused");
    let on = json!({ "paused": false });
    let shown = call(&server, Method::PATCH, &path, Some(on)).await;
    let another = shown["secret"].as_str().unwrap();
    let secrets = [another, secrets[0], secrets[1]];
    assert_eq!(told(&server, "bob", &secrets).await, [true, false, false]);
    let again = json!({ "paused": false });
    let again = call(&server, Method::PATCH, &path, Some(again)).await;
    assert!(again.get("secret").is_none(), "told once");
    server.stop().await;
}

#[tokio::test]
async fn the_sealing_key_may_come_from_the_environment() {
    let database = CLUSTER.empty_database().await;
    let folder = Folder::new("environment");
    let run = async |key: &str| {
        let mut command = command::doorward(&database.url(), &folder.0);
        let output = command
            .env("DOORWARD_KEYS__SEALING_KEY", key)
            .args(["keys", "list", "--json"])
            .output()
            .await
            .unwrap();
        (
            output.status.success(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let key = "q4HSoR4nHmVH2v8gk1nVSZ8mZ0s0nUXc0T0cGzB3d2E";
    let (good, stderr) = run(key).await;
    assert!(good, "{stderr}");
    assert_eq!(
        fs::read_dir(&folder.0).unwrap().count(),
        0,
        "no file is made beside it"
    );
    let (good, stderr) = run("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").await;
    assert!(
        !good && stderr.contains("32 random bytes") && !stderr.contains("AAAA"),
        "{stderr}"
    );
}
