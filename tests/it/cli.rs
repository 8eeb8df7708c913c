//! The command line, as scripts use it.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::Server;

#[tokio::test]
async fn commands_answer_with_one_document_and_nothing_else() {
    let server = Server::start().await;
    let made = server
        .cli_with(
            &[
                "user",
                "create",
                "--email",
                "ada@example.com",
                "--name",
                "Ada Lovelace",
                "--password-stdin",
                "--email-verified",
                "--json",
            ],
            "wordy rivers 77\r\n",
        )
        .await;
    let user = made.json();
    assert_eq!(
        (&user["email_verified"], &user["admin"], &user["name"]),
        (&true.into(), &false.into(), &"Ada Lovelace".into())
    );
    let id = user["id"].as_str().unwrap();
    assert_eq!(
        server.cli(&["user", "show", id, "--json"]).await.json(),
        user
    );
    let client = server
        .client()
        .grant("password")
        .audience("https://a.example")
        .register()
        .await;
    assert_eq!(
        client
            .password("ada@example.com", "wordy rivers 77", &[])
            .await
            .status,
        200,
        "the line's ending is no part of the password"
    );

    let changed = server
        .cli_with(
            &["user", "password", id, "--json"],
            "other rivers 78\nsecond line\n",
        )
        .await
        .json();
    assert!(changed["version"].as_i64() > user["version"].as_i64());
    assert_eq!(
        client
            .password("ada@example.com", "other rivers 78", &[])
            .await
            .status,
        200
    );
    client
        .password("ada@example.com", "wordy rivers 77", &[])
        .await
        .refused(400, "invalid_grant");

    let shown = server
        .cli(&["client", "show", &client.id, "--json"])
        .await
        .json();
    assert_eq!(
        (shown["client_id"].as_str(), shown["grant_types"].clone()),
        (Some(client.id.as_str()), serde_json::json!(["password"]))
    );
    let listed = server.cli(&["client", "list", "--json"]).await.json();
    assert!(
        listed["items"]
            .as_array()
            .unwrap()
            .iter()
            .any(|c| c["client_id"] == client.id.as_str())
    );
}

#[tokio::test]
async fn a_password_ends_with_its_line() {
    let server = Server::start().await;
    let create = ["user", "create", "--username", "ada", "--password-stdin"];
    let made = server.cli_typed(&create, "wordy rivers 77\n").await;
    assert_eq!(made.status, 0, "{}", made.stderr);
}

#[tokio::test]
async fn what_fails_says_why_and_leaves_standard_output_alone() {
    let server = Server::start().await;
    for (args, stdin, why) in [
        (
            &["user", "create", "--email", "nonsense", "--json"][..],
            "",
            "email",
        ),
        (&["user", "create", "--json"], "", "at least one"),
        (
            &[
                "user",
                "create",
                "--username",
                "a",
                "--password-stdin",
                "--json",
            ],
            "short\n",
            "at least 15",
        ),
        (
            &["user", "show", "nonsense", "--json"],
            "",
            "no such person",
        ),
        (
            &["user", "password", "01a20d93-7f03-7eb9-b696-a13790d686c1"],
            "wordy rivers 77\n",
            "no such person",
        ),
        (&["client", "show", "c_x", "--json"], "", "no such client"),
        (
            &["client", "delete", "nonsense", "--json"],
            "",
            "no such client",
        ),
        (&["client", "rotate-secret", "c_x"], "", "no such client"),
        (
            &[
                "client",
                "create",
                "--name",
                "x",
                "--grant",
                "client_credentials",
                "--audience",
                "not a uri",
                "--json",
            ],
            "",
            "audience",
        ),
        (
            &[
                "client",
                "create",
                "--name",
                "x",
                "--grant",
                "client_credentials",
                "--scope",
                "a\"b",
                "--json",
            ],
            "",
            "scope",
        ),
        (
            &[
                "client",
                "create",
                "--name",
                "x",
                "--grant",
                "client_credentials",
                "--signing-alg",
                "none",
            ],
            "",
            "ES256",
        ),
        (
            &["keys", "import", "no-such.pem", "--alg", "RS256"],
            "",
            "no-such.pem",
        ),
        (&["nonsense"], "", "nonsense"),
    ] {
        let output = server.cli_with(args, stdin).await;
        assert_ne!(output.status, 0, "{args:?}");
        assert!(
            output.stdout.is_empty() && output.stderr.contains(why),
            "{args:?}: {}",
            output.stderr
        );
    }
    let clash = [
        "client",
        "create",
        "--name",
        "x",
        "--serves",
        "https://a.example",
        "--json",
    ];
    assert_eq!(server.cli(&clash).await.status, 0);
    assert!(
        server
            .cli(&clash)
            .await
            .stderr
            .contains("another client serves")
    );
    server.user(serde_json::json!({ "username": "ada" })).await;
    assert!(
        server
            .cli(&["user", "create", "--username", "ADA"])
            .await
            .stderr
            .contains("somebody has it")
    );
}

/// What one server exports another imports; what is wrong with a line is told with its number, and keeps no other back.
#[tokio::test]
async fn people_are_taken_out_and_in() {
    let (from, to) = (Server::start().await, Server::start().await);
    for n in 0..3 {
        let ids = json!({ "crm": format!("{n}") });
        let person = json!({ "username": format!("u{n}"), "name": "Ä\"x", "status": "disabled", "external_ids": ids });
        from.user(person).await;
    }
    let exported = from.cli(&["user", "export"]).await;
    assert_eq!(exported.status, 0, "{}", exported.stderr);
    let listed = async |server: &Server| {
        let token = server.token("users:read").await;
        let path = "/api/v1/users?sort=name";
        let page = server.call(Method::GET, path, &token, None).await.json();
        page["items"].as_array().unwrap().clone()
    };
    let lines = exported.stdout.lines();
    let lines: Vec<Value> = lines.map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines, listed(&from).await);
    let whole = from.cli(&["user", "export", "--json"]).await.json();
    assert_eq!(whole["items"], json!(lines));

    let more = "\n{\"username\": \"U9\"}\nnonsense\n{\"username\": \"b\", \"x\": 1}\n{\"username\": \"last\"}";
    to.user(json!({ "username": "u9" })).await;
    let given = format!("{}{more}", exported.stdout);
    let done = to
        .cli_with(&["user", "import", "-", "--json"], &given)
        .await;
    assert_eq!(done.status, 1, "some lines were refused");
    let told: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(told["created"], 4);
    let refused = told["refused"].as_array().unwrap();
    let numbers: Vec<i64> = refused
        .iter()
        .map(|one| one["line"].as_i64().unwrap())
        .collect();
    assert_eq!(numbers, [5, 6, 7], "{told}");
    assert!(done.stderr.contains("line 5: username: somebody has it"));
    assert!(done.stderr.contains("line 7: x: "), "{}", done.stderr);
    let mut there = listed(&to).await;
    assert_eq!(there.len(), 5);
    there.retain(|person| person["username"].as_str().unwrap().starts_with('u'));
    there.sort_by_key(|person| person["username"].to_string());
    for (before, after) in lines.iter().zip(&there) {
        assert_ne!(before["id"], after["id"]);
        for name in ["username", "name", "status", "external_ids"] {
            assert_eq!(before[name], after[name]);
        }
    }
    let history = format!("/api/v1/users/{}/history", there[0]["id"].as_str().unwrap());
    let token = to.token("users:read").await;
    let history = to.call(Method::GET, &history, &token, None).await.json();
    assert_eq!(history["items"][0]["via"], "import");
    assert_eq!(history["items"][0]["actor"]["kind"], "operator");
    let missing = to.cli(&["user", "import", "nowhere.ndjson"]).await;
    assert!(missing.status == 1 && missing.stderr.contains("nowhere.ndjson can't be read"));
}

#[tokio::test]
async fn an_import_that_ends_early_tells_what_it_made() {
    let server = Server::start().await;
    let import = async |given: &str| {
        let args = ["user", "import", "-", "--json"];
        let done = server.cli_with(&args, given).await;
        assert_eq!(done.status, 1, "{}", done.stderr);
        (serde_json::from_str::<Value>(&done.stdout).unwrap(), done)
    };
    let long = "x".repeat(1 << 20);
    let given = format!(
        "{{\"username\": \"early\"}}\n\n{{\"name\": \"{long}\"}}\n{{\"username\": \"late\"}}\n"
    );
    let (told, done) = import(&given).await;
    assert_eq!((&told["created"], &told["read"]), (&json!(1), &json!(2)));
    assert_eq!(told["stopped_at"], 3);
    assert!(
        done.stderr
            .contains("stopped at line 3: more than a megabyte; no line after 2 was read"),
        "{}",
        done.stderr
    );
    let token = server.token("users:read").await;
    let page = server.call(Method::GET, "/api/v1/users", &token, None);
    let page = page.await.json();
    assert_eq!(page["items"].as_array().unwrap().len(), 1);
    assert_eq!(page["items"][0]["username"], "early");
    // A database that fails in the middle.
    sqlx::query("alter table event rename to elsewhere")
        .execute(&mut server.tables().await)
        .await
        .unwrap();
    let (told, done) = import("nonsense\n{\"username\": \"u\"}\n").await;
    assert_eq!(
        (&told["created"], &told["stopped_at"]),
        (&json!(0), &json!(2))
    );
    assert_eq!(told["refused"][0]["line"], 1);
    assert_eq!(told["in_doubt"][0]["line"], 2);
    assert!(done.stderr.contains("stopped at line 2"), "{}", done.stderr);
}

#[tokio::test]
async fn commands_are_audited_as_the_operators() {
    // S-154
    let server = Server::start().await;
    let client = server.client().machine().register().await;
    server.cli(&["client", "rotate-secret", &client.id]).await;
    server.cli(&["client", "delete", &client.id]).await;
    let mut tables = server.tables().await;
    let rows: Vec<(String, String)> =
        sqlx::query_as("select action, actor_kind from audit where target_id = $1 order by id")
            .bind(&client.id)
            .fetch_all(&mut tables)
            .await
            .unwrap();
    let operator = |action: &str| (action.to_owned(), "operator".to_owned());
    assert_eq!(
        rows,
        ["client.created", "client.secret_rotated", "client.deleted"].map(operator)
    );
    let seen: String =
        sqlx::query_scalar("select string_agg(to_jsonb(audit)::text, '') from audit")
            .fetch_one(&mut tables)
            .await
            .unwrap();
    assert!(!seen.contains(&client.secret.unwrap()));
}

#[tokio::test]
async fn an_application_that_people_sign_in_to_is_registered_in_one_command() {
    let server = Server::start().await;
    let shop = [
        "client",
        "create",
        "--name",
        "Shop",
        "--grant",
        "authorization_code",
        "--grant",
        "refresh_token",
        "--scope",
        "openid email",
        "--redirect-uri",
        "https://shop.example/cb",
        "--redirect-uri",
        "http://127.0.0.1/cb",
        "--post-logout-redirect-uri",
        "https://shop.example/bye",
        "--backchannel-logout-uri",
        "https://shop.example/logout",
        "--require-pkce",
        "false",
        "--default-max-age",
        "1h",
        "--contact",
        "ops@shop.example",
        "--json",
    ];
    let made = server.cli(&shop).await.json();
    let shown = server
        .cli(&[
            "client",
            "show",
            made["client_id"].as_str().unwrap(),
            "--json",
        ])
        .await
        .json();
    assert!(shown.get("client_secret").is_none());
    for (name, value) in [
        (
            "grant_types",
            json!(["authorization_code", "refresh_token"]),
        ),
        (
            "redirect_uris",
            json!(["https://shop.example/cb", "http://127.0.0.1/cb"]),
        ),
        ("response_modes", json!(["query", "form_post"])),
        (
            "post_logout_redirect_uris",
            json!(["https://shop.example/bye"]),
        ),
        (
            "backchannel_logout_uri",
            json!("https://shop.example/logout"),
        ),
        ("require_pkce", json!(false)),
        ("first_party", json!(false)),
        ("default_max_age", json!(3600)),
        ("id_token_signed_response_alg", json!("RS256")),
        ("contacts", json!(["ops@shop.example"])),
        ("version", json!(1)),
    ] {
        assert_eq!(shown[name], value, "{name}");
    }
    // S-125: the same rules as everywhere.
    let evil = ["--redirect-uri", "https://shop.example/../cb"];
    let refused = server.cli(&[&shop[..], &evil].concat()).await;
    assert_ne!(refused.status, 0);
    assert!(
        refused.stderr.contains("redirect_uris"),
        "{}",
        refused.stderr
    );
}
