//! `/api/v1/clients`: who may ask for tokens, and who may decide that.

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::Row;

use crate::support::api::{Api, pointers};
use crate::support::{Answer, Server, TestClient, eventually};

const CLIENTS: &str = "/api/v1/clients";

async fn make(api: &Api<'_>, body: Value) -> Value {
    let made = api.post(CLIENTS, body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    made.json()
}

fn path(client: &Value) -> String {
    format!("{CLIENTS}/{}", client["client_id"].as_str().unwrap())
}

fn machine(scope: &str) -> Value {
    json!({ "client_name": "machine", "grant_types": ["client_credentials"], "scope": scope, "audiences": ["https://a.example"] })
}

fn web() -> Value {
    json!({
        "client_name": "Shop", "grant_types": ["authorization_code", "refresh_token"], "scope": "openid email",
        "redirect_uris": ["https://shop.example/cb"],
    })
}

#[tokio::test]
async fn a_client_is_made_read_changed_and_deleted() {
    let server = Server::start().await;
    let api = Api::of(&server).await;
    let answer = api.post(CLIENTS, web()).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    let made = answer.json();
    assert_eq!(answer.header("location"), path(&made));
    assert_eq!(
        (answer.header("etag"), answer.header("cache-control")),
        ("\"1\"", "no-store")
    );
    insta::assert_json_snapshot!("a_client", made, {
        ".client_id" => "[id]", ".client_secret" => "[secret]", ".created_at" => "[time]", ".updated_at" => "[time]"
    });
    // S-35: at least 256 bits; S-150: told once.
    assert!(made["client_secret"].as_str().unwrap().len() >= 43);
    let read = api.get(&path(&made)).await;
    assert!(read.json().get("client_secret").is_none());
    assert_eq!(read.header("etag"), "\"1\"");

    let patch = json!({ "client_name": "New shop", "logo_uri": "https://shop.example/logo.png", "scope": null });
    let changed = api
        .call_with(
            Method::PATCH,
            &path(&made),
            &[("if-match", "\"1\"")],
            patch.clone(),
        )
        .await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    let client = changed.json();
    assert_eq!(changed.header("etag"), "\"2\"");
    assert_eq!(
        (&client["client_name"], &client["scope"], &client["version"]),
        (&json!("New shop"), &json!(""), &json!(2))
    );
    assert_eq!(client["redirect_uris"], made["redirect_uris"]);
    // Somebody else was quicker.
    api.call_with(
        Method::PATCH,
        &path(&made),
        &[("if-match", "\"1\"")],
        json!({ "client_name": "x" }),
    )
    .await
    .problem(412, "precondition-failed");
    api.call_with(
        Method::DELETE,
        &path(&made),
        &[("if-match", "\"1\"")],
        Value::Null,
    )
    .await
    .problem(412, "precondition-failed");
    // A change that changes nothing writes nothing; what was read may be sent back.
    let same = api.call(Method::PUT, &path(&made), client.clone()).await;
    assert_eq!(
        (same.status, same.json()),
        (200, client.clone()),
        "the same again"
    );
    let mut whole = web();
    whole["require_pkce"] = json!(false);
    let put = api.call(Method::PUT, &path(&made), whole).await.json();
    assert_eq!(
        (&put["logo_uri"], &put["require_pkce"], &put["version"]),
        (&Value::Null, &json!(false), &json!(3))
    );
    let gone = api
        .call_with(
            Method::DELETE,
            &path(&made),
            &[("if-match", "\"3\"")],
            Value::Null,
        )
        .await;
    assert_eq!(gone.status, 204, "{}", gone.text);
    api.get(&path(&made)).await.problem(404, "not-found");
    api.call(Method::DELETE, &path(&made), Value::Null)
        .await
        .problem(404, "not-found");
}

#[tokio::test]
async fn what_is_wrong_is_named_all_at_once() {
    // S-125, S-128, E21, S-163 through the API; the rules themselves are held in clients/uris.rs and clients/rules.rs.
    let server = Server::start().await;
    let api = Api::of(&server).await;
    let wrong = json!({
        "client_name": "", "grant_types": ["authorization_code"], "redirect_uris": ["javascript:alert(1)"], "colour": "red",
        "logo_uri": "data:x", "client_id": "c_mine", "default_max_age": "soon",
    });
    let problem = api.post(CLIENTS, wrong).await.problem(422, "invalid");
    assert_eq!(
        pointers(&problem),
        ["/client_id", "/colour", "/default_max_age"],
        "what can't be read comes first"
    );
    let wrong = json!({
        "client_name": "", "grant_types": ["authorization_code"], "redirect_uris": ["javascript:alert(1)"], "logo_uri": "data:x",
    });
    let problem = api.post(CLIENTS, wrong).await.problem(422, "invalid");
    assert_eq!(
        pointers(&problem),
        ["/client_name", "/logo_uri", "/redirect_uris"]
    );
    for uri in [
        "http://shop.example/cb",
        "https://shop.example/cb#x",
        "https://u@shop.example/cb",
        "https://*.shop.example/cb",
        "https://shop.example/a/../cb",
        "https://shop.example/%2e%2e/cb",
        "https://shop.example/cb?code=x",
        "shop:/cb",
        "com.example.shop:/cb",
        "DATA:text/html,x",
    ] {
        let mut body = web();
        body["redirect_uris"] = json!([uri]);
        let problem = api.post(CLIENTS, body).await.problem(422, "invalid");
        assert_eq!(pointers(&problem), ["/redirect_uris"], "{uri}");
    }
    // S-27: there is no implicit grant, and the password grant is nobody's by accident.
    for grant in ["implicit", "urn:x"] {
        let problem = api
            .post(
                CLIENTS,
                json!({ "client_name": "x", "grant_types": [grant] }),
            )
            .await
            .problem(422, "invalid");
        assert_eq!(pointers(&problem), ["/grant_types"]);
    }
    let mut public = machine("x");
    public["token_endpoint_auth_method"] = json!("none");
    let problem = api.post(CLIENTS, public).await.problem(422, "invalid");
    assert_eq!(pointers(&problem), ["/token_endpoint_auth_method"]);
    let mut serving = machine("x");
    serving["serves"] = json!("https://taken.example");
    make(&api, serving.clone()).await;
    let problem = api.post(CLIENTS, serving).await.problem(409, "conflict");
    assert_eq!(pointers(&problem), ["/serves"]);
    let made = make(&api, web()).await;
    let problem = api
        .call(Method::PATCH, &path(&made), json!({ "version": 7 }))
        .await
        .problem(422, "invalid");
    assert_eq!(pointers(&problem), ["/version"]);
}

#[tokio::test]
async fn the_list_goes_on_by_cursor() {
    let server = Server::start().await;
    let api = Api::of(&server).await;
    for n in 0..5 {
        let mut body = machine("x");
        body["client_name"] = json!(format!("machine {n}"));
        make(&api, body).await;
    }
    let (mut names, mut next) = (Vec::new(), format!("{CLIENTS}?limit=2"));
    for _ in 0..10 {
        let page = api.get(&next).await;
        assert_eq!(page.status, 200, "{}", page.text);
        assert!(!page.text.contains("secret\":"), "S-150: {}", page.text);
        let body = page.json();
        assert!(body["items"].as_array().unwrap().len() <= 2);
        for client in body["items"].as_array().unwrap() {
            names.push(client["client_name"].as_str().unwrap().to_owned());
        }
        let Some(cursor) = body["next"].as_str() else {
            break;
        };
        next = format!("{CLIENTS}?limit=2&after={cursor}");
        let link = page.header("link").to_owned();
        assert_eq!(link, format!("<{}{next}>; rel=\"next\"", server.url));
    }
    // The client that administers comes first.
    assert_eq!(names.len(), 6);
    assert_eq!(
        names[1..],
        (0..5).map(|n| format!("machine {n}")).collect::<Vec<_>>()
    );
    for bad in [
        "limit=0",
        "limit=201",
        "limit=+1",
        "after=x",
        "colour=red",
        "limit=1&limit=2",
    ] {
        api.get(&format!("{CLIENTS}?{bad}"))
            .await
            .problem(400, "invalid-query");
    }
}

/// The credentials of a client as the API answered its making.
fn held<'a>(server: &'a Server, made: &Value) -> TestClient<'a> {
    TestClient {
        server,
        id: made["client_id"].as_str().unwrap().to_owned(),
        secret: made["client_secret"].as_str().map(str::to_owned),
    }
}

#[tokio::test]
async fn a_secret_is_exchanged_without_an_outage() {
    // E6
    let server = Server::start().await;
    let api = Api::of(&server).await;
    let made = make(&api, machine("x")).await;
    let secrets = format!("{}/secrets", path(&made));
    let old = held(&server, &made);
    assert_eq!(old.client_credentials(&[]).await.status, 200);

    let second = api.call(Method::POST, &secrets, json!({})).await;
    assert_eq!(
        (second.status, second.header("cache-control")),
        (201, "no-store")
    );
    let second = second.json();
    let new = TestClient {
        secret: second["client_secret"].as_str().map(str::to_owned),
        ..old.clone()
    };
    let both_work = async || {
        new.client_credentials(&[]).await.status == 200
            && old.client_credentials(&[]).await.status == 200
    };
    eventually(
        std::time::Duration::from_secs(1),
        "both are good",
        both_work,
    )
    .await;
    // A third is one too many, whatever the promise.
    for body in [json!({}), json!({ "others_end_in": 60 })] {
        api.call(Method::POST, &secrets, body)
            .await
            .problem(409, "conflict");
    }
    for body in [
        json!({ "others_end_in": -1 }),
        json!({ "others_end_in": 7_776_001 }),
        json!({ "x": 1 }),
    ] {
        api.call(Method::POST, &secrets, body)
            .await
            .problem(422, "invalid");
    }
    // Both were seen in use, by no write of a request's own.
    let listed = async || {
        let listed = api.get(&secrets).await;
        assert!(!listed.text.contains("client_secret") && !listed.text.contains("hash"));
        listed.json()["items"].as_array().unwrap().clone()
    };
    let seen = async || listed().await.iter().all(|s| s["last_used_at"].is_string());
    eventually(std::time::Duration::from_secs(10), "seen in use", seen).await;
    let items = listed().await;
    assert_eq!(items.len(), 2);
    // The old one ends.
    let first = items.iter().find(|s| s["id"] != second["id"]).unwrap();
    let one = format!("{secrets}/{}", first["id"].as_str().unwrap());
    assert_eq!(
        api.call(Method::DELETE, &one, Value::Null).await.status,
        204
    );
    api.call(Method::DELETE, &one, Value::Null)
        .await
        .problem(404, "not-found");
    let ended = async || old.client_credentials(&[]).await.status == 401;
    eventually(
        std::time::Duration::from_secs(1),
        "the old one ended",
        ended,
    )
    .await;
    assert_eq!(new.client_credentials(&[]).await.status, 200);

    // With a promise: at the stated time the others end by themselves.
    let third = api
        .call(Method::POST, &secrets, json!({ "others_end_in": 60 }))
        .await
        .json();
    assert!(listed().await.iter().any(|s| s["expires_at"].is_string()));
    let third = TestClient {
        secret: third["client_secret"].as_str().map(str::to_owned),
        ..old.clone()
    };
    let good = async || third.client_credentials(&[]).await.status == 200;
    eventually(std::time::Duration::from_secs(1), "the third is good", good).await;
    assert_eq!(new.client_credentials(&[]).await.status, 200);
    server.clock.advance(time::Duration::seconds(60));
    new.client_credentials(&[])
        .await
        .refused(401, "invalid_client");
    assert_eq!(third.client_credentials(&[]).await.status, 200);

    // A client that proves itself otherwise has no secret any more, also when it comes back.
    let api = Api::of(&server).await;
    let key = json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" }] });
    let otherwise = json!({ "token_endpoint_auth_method": "private_key_jwt", "token_endpoint_auth_signing_alg": "EdDSA", "jwks": key });
    let changed = api.call(Method::PATCH, &path(&made), otherwise).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    api.call(Method::POST, &secrets, json!({}))
        .await
        .problem(409, "conflict");
    let back = json!({ "token_endpoint_auth_method": "client_secret_basic" });
    let back = api.call(Method::PATCH, &path(&made), back).await;
    assert_eq!(back.status, 200, "{}", back.text);
    assert!(listed().await.is_empty());
    third
        .client_credentials(&[])
        .await
        .refused(401, "invalid_client");
}

/// S-149: a client is worth what it may do, and nobody makes or takes over more than they hold.
#[tokio::test]
async fn nobody_gives_or_takes_what_they_do_not_hold() {
    let server = Server::start().await;
    let admin = Api::of(&server).await;
    let registrar = Api::with(&server, "clients:write").await;
    let first_party = |mut body: Value| {
        body["first_party"] = json!(true);
        body
    };
    let password = |mut body: Value| {
        body["grant_types"] = json!(["password"]);
        body
    };
    let above = [
        machine("users:read"),
        machine("x users:write"),
        machine("clients:read"),
        machine("users:read users:write clients:read clients:write"),
        first_party(web()),
        password(machine("x")),
    ];
    for body in &above {
        // Made.
        registrar
            .post(CLIENTS, body.clone())
            .await
            .problem(403, "forbidden");
        // Taken over.
        let made = make(&admin, body.clone()).await;
        let secrets = format!("{}/secrets", path(&made));
        let secret = admin.get(&secrets).await.json()["items"][0]["id"].clone();
        let secret = format!("{secrets}/{}", secret.as_str().unwrap());
        let key = json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" }] });
        for (method, path, body) in [
            (Method::POST, secrets.as_str(), json!({})),
            (Method::POST, &secrets, json!({ "others_end_in": 0 })),
            (Method::DELETE, &secret, Value::Null),
            (Method::DELETE, &path(&made), Value::Null),
            (
                Method::PATCH,
                &path(&made),
                json!({ "client_name": "mine" }),
            ),
            (
                Method::PATCH,
                &path(&made),
                json!({ "redirect_uris": ["https://evil.example/cb"] }),
            ),
            (Method::PATCH, &path(&made), json!({ "jwks": key })),
            (
                Method::PATCH,
                &path(&made),
                json!({ "jwks_uri": "https://evil.example/jwks" }),
            ),
            // Also in the same stroke as what would make it theirs.
            (Method::PUT, &path(&made), machine("x")),
            (
                Method::PATCH,
                &path(&made),
                json!({ "scope": "x", "first_party": false, "grant_types": ["client_credentials"] }),
            ),
        ] {
            let refused = registrar.call(method.clone(), path, body.clone()).await;
            assert_eq!(
                refused.status, 403,
                "{method} {path} {body}: {}",
                refused.text
            );
        }
        assert_eq!(admin.get(&path(&made)).await.json()["version"], 1);
        assert!(
            held(&server, &made)
                .client_credentials(&[("scope", "nothing")])
                .await
                .status
                == 400,
            "the secret still holds"
        );
    }
    // Raised afterwards.
    let made = make(&registrar, machine("x")).await;
    for patch in [
        json!({ "scope": "x users:read" }),
        json!({ "scope": "clients:write clients:read" }),
        json!({ "grant_types": ["client_credentials", "password"] }),
    ] {
        registrar
            .call(Method::PATCH, &path(&made), patch)
            .await
            .problem(403, "forbidden");
    }
    let shop = make(&registrar, web()).await;
    registrar
        .call(Method::PATCH, &path(&shop), json!({ "first_party": true }))
        .await
        .problem(403, "forbidden");
    // What they hold they may give, and what holds nothing of Doorward's they may do with as they please.
    let given = make(&registrar, machine("clients:write")).await;
    assert_eq!(
        registrar
            .call(
                Method::POST,
                &format!("{}/secrets", path(&given)),
                json!({})
            )
            .await
            .status,
        201
    );
    let moved = json!({ "redirect_uris": ["https://new.example/cb"] });
    assert_eq!(
        registrar
            .call(Method::PATCH, &path(&shop), moved)
            .await
            .status,
        200
    );
    assert_eq!(
        registrar
            .call(Method::DELETE, &path(&made), Value::Null)
            .await
            .status,
        204
    );
    // The token counts, not the client that it was given to: this one is registered for all four.
    let held_by_client = Api::with(&server, "clients:write users:read").await;
    assert_eq!(
        held_by_client
            .post(CLIENTS, machine("users:read"))
            .await
            .status,
        201
    );
    held_by_client
        .post(CLIENTS, machine("users:write"))
        .await
        .problem(403, "forbidden");
    // A client can't raise itself.
    let client = held(&server, &given);
    let itself = Api {
        server: &server,
        token: client.token(&[("scope", "clients:write")]).await,
    };
    itself
        .call(
            Method::PATCH,
            &path(&given),
            json!({ "scope": "clients:write users:write" }),
        )
        .await
        .problem(403, "forbidden");
}

#[tokio::test]
async fn changes_are_recorded_without_secrets_and_heard_everywhere() {
    let server = Server::start().await;
    let replica = server.replica().await;
    let api = Api::of(&server).await;
    let made = make(&api, machine("x")).await;
    let there = TestClient {
        server: &replica,
        ..held(&server, &made)
    };
    assert_eq!(
        there.client_credentials(&[("scope", "x")]).await.status,
        200
    );
    let secrets = format!("{}/secrets", path(&made));
    let second = api
        .call(Method::POST, &secrets, json!({ "others_end_in": 0 }))
        .await
        .json();
    let there = TestClient {
        secret: second["client_secret"].as_str().map(str::to_owned),
        ..there
    };
    api.call(Method::PATCH, &path(&made), json!({ "scope": "y" }))
        .await;
    let heard = async || there.client_credentials(&[("scope", "y")]).await.status == 200;
    eventually(std::time::Duration::from_secs(1), "heard", heard).await;
    there
        .client_credentials(&[("scope", "x")])
        .await
        .refused(400, "invalid_scope");
    let end = format!("{secrets}/{}", second["id"].as_str().unwrap());
    assert_eq!(
        api.call(Method::DELETE, &end, Value::Null).await.status,
        204
    );
    let heard = async || there.client_credentials(&[]).await.status == 401;
    eventually(std::time::Duration::from_secs(1), "heard", heard).await;
    api.call(Method::DELETE, &path(&made), Value::Null).await;

    let rows = sqlx::query(
        "select action, actor_kind, before, after from audit where target_id = $1 order by id",
    )
    .bind(made["client_id"].as_str().unwrap())
    .fetch_all(&mut server.tables().await)
    .await
    .unwrap();
    let actions: Vec<String> = rows.iter().map(|row| row.get("action")).collect();
    assert_eq!(
        actions,
        [
            "client.created",
            "client.secret_rotated",
            "client.updated",
            "client.secret_ended",
            "client.deleted"
        ]
    );
    let updated = &rows[2];
    assert_eq!(
        (
            updated.get::<Value, _>("before"),
            updated.get::<Value, _>("after")
        ),
        (json!({ "scope": "x" }), json!({ "scope": "y" }))
    );
    for row in &rows {
        let text = format!(
            "{:?} {:?}",
            row.get::<Option<Value>, _>("before"),
            row.get::<Option<Value>, _>("after")
        );
        for secret in [&made["client_secret"], &second["client_secret"]] {
            assert!(!text.contains(secret.as_str().unwrap()), "{text}");
        }
    }
}

#[tokio::test]
async fn the_command_line_does_the_same() {
    let server = Server::start().await;
    let made = server
        .cli(&[
            "client",
            "create",
            "--name",
            "Shop",
            "--grant",
            "client_credentials",
            "--audience",
            "https://a.example",
            "--scope",
            "users:read",
            "--json",
        ])
        .await;
    assert_eq!(made.status, 0, "{}", made.stderr);
    let id = made.json()["client_id"].as_str().unwrap().to_owned();
    let updated = server
        .cli(&[
            "client",
            "update",
            &id,
            "--merge",
            r#"{"client_name": "New shop", "first_party": true}"#,
            "--json",
        ])
        .await
        .json();
    assert_eq!(
        (&updated["client_name"], &updated["version"]),
        (&json!("New shop"), &json!(2))
    );
    let refused = server
        .cli(&["client", "update", &id, "--merge", r#"{"serves": "x"}"#])
        .await;
    assert!(
        refused.status != 0 && refused.stderr.contains("serves"),
        "{}",
        refused.stderr
    );
    let rotate = ["client", "rotate-secret", &id, "--overlap", "1h", "--json"];
    let second = server.cli(&rotate).await.json();
    let third = server.cli(&rotate).await;
    assert!(
        third.status != 0 && third.stderr.contains("two secrets"),
        "{}",
        third.stderr
    );
    let shown = server.cli(&["client", "show", &id, "--json"]).await.json();
    assert_eq!(shown["secrets"].as_array().unwrap().len(), 2);
    let ended = server
        .cli(&[
            "client",
            "end-secret",
            &id,
            second["secret_id"].as_str().unwrap(),
            "--json",
        ])
        .await;
    assert_eq!(ended.status, 0, "{}", ended.stderr);
    let shown = server.cli(&["client", "show", &id, "--json"]).await.json();
    assert_eq!(shown["secrets"].as_array().unwrap().len(), 1);
}

/// S-149: the same caller with a token of less is not told the secret of what it made with more.
#[tokio::test]
async fn an_earlier_answer_is_for_who_may_still_have_it() {
    let server = Server::start().await;
    let api = Api::of(&server).await;
    let registrar = Api::with(&server, "clients:write").await;
    let send = async |api: &Api<'_>, path: &str, body: &Value| {
        let request = server.request(Method::POST, path).bearer_auth(&api.token);
        Answer::of(request.header("idempotency-key", "k").json(body)).await
    };
    let body = machine("users:read");
    let first = send(&api, CLIENTS, &body).await;
    let again = send(&api, CLIENTS, &body).await;
    assert_eq!((again.status, again.json()), (201, first.json()));
    let secrets = format!("{}/secrets", path(&first.json()));
    assert_eq!(send(&api, &secrets, &json!({})).await.status, 201);
    for (path, body) in [(CLIENTS, &body), (secrets.as_str(), &json!({}))] {
        let refused = send(&registrar, path, body).await;
        refused.problem(403, "forbidden");
    }
}
