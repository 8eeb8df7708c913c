//! Changing people: JSON patch, idempotency keys, batches, and the whole list as a stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::api::{Api, USERS, path};
use crate::support::cluster::CLUSTER;
use crate::support::process::Home;
use crate::support::{Answer, Server, all, eventually};

const JSON_PATCH: (&str, &str) = ("content-type", "application/json-patch+json");
const NDJSON: (&str, &str) = ("accept", "application/x-ndjson");

#[tokio::test]
async fn a_json_patch_changes_what_it_has_tested() {
    // E26: what the patch makes is judged, not the patch.
    let server = Server::start().await;
    let api = Api::of(&server).await;
    let ada = json!({ "username": "ada", "email": "ada@example.com", "email_verified": true, "address": { "locality": "London" } });
    let ada = api.create(ada).await;
    let patch = async |operations: Value| {
        let path = path(&ada);
        api.call_with(Method::PATCH, &path, &[JSON_PATCH], operations)
            .await
    };
    let answer = patch(json!([
        { "op": "test", "path": "/version", "value": 1 },
        { "op": "test", "path": "/address/locality", "value": "London" },
        { "op": "move", "from": "/address/locality", "path": "/address/region" },
        { "op": "add", "path": "/external_ids", "value": { "a": "1" } },
        { "op": "copy", "from": "/external_ids/a", "path": "/external_ids/b" },
        { "op": "replace", "path": "/username", "value": "ada.l" },
    ]))
    .await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(
        answer.header("accept-patch"),
        "application/merge-patch+json, application/json-patch+json"
    );
    let changed = answer.json();
    assert_eq!(changed["address"], json!({ "region": "London" }));
    assert_eq!(changed["external_ids"], json!({ "a": "1", "b": "1" }));
    assert_eq!(
        (
            &changed["username"],
            &changed["email_verified"],
            &changed["version"]
        ),
        (&json!("ada.l"), &json!(true), &json!(2))
    );

    // All or nothing, and the operation that does not fit is named.
    for (operations, named) in [
        (
            json!([{ "op": "replace", "path": "/name", "value": "X" }]),
            "/0",
        ),
        (
            json!([{ "op": "add", "path": "/name", "value": "X" }, { "op": "test", "path": "/username", "value": "ada" }]),
            "/1",
        ),
        (
            json!([{ "op": "remove", "path": "/address/locality" }]),
            "/0",
        ),
    ] {
        let problem = patch(operations).await.problem(409, "patch-failed");
        assert_eq!(problem["errors"][0]["pointer"], named);
    }
    for (operations, named) in [
        (
            json!([{ "op": "replace", "path": "/version", "value": 9 }]),
            "/version",
        ),
        (
            json!([{ "op": "replace", "path": "/id", "value": "x" }]),
            "/id",
        ),
        (
            json!([{ "op": "add", "path": "/is_admin", "value": true }]),
            "/is_admin",
        ),
        (json!([{ "op": "replace", "path": "", "value": [] }]), ""),
        (json!([{ "op": "become", "path": "/name" }]), ""),
        (json!({ "op": "remove", "path": "/name" }), ""),
    ] {
        let problem = patch(operations).await.problem(422, "invalid");
        assert_eq!(problem["errors"][0]["pointer"], named);
    }
    // Another address is unverified, unless the patch itself says otherwise.
    let other = json!([{ "op": "replace", "path": "/email", "value": "a@example.com" }]);
    assert_eq!(patch(other).await.json()["email_verified"], false);
    let other = json!([{ "op": "replace", "path": "/email", "value": "b@example.com" }, { "op": "replace", "path": "/email_verified", "value": true }]);
    assert_eq!(patch(other).await.json()["email_verified"], true);
    let stale = [JSON_PATCH, ("if-match", "\"1\"")];
    let name = json!([{ "op": "add", "path": "/name", "value": "X" }]);
    api.call_with(Method::PATCH, &path(&ada), &stale, name)
        .await
        .problem(412, "precondition-failed");
    // Rank is that of the single change.
    let writer = server.token("users:write").await;
    let lesser = Api {
        server: &server,
        token: writer,
    };
    let admin = json!([{ "op": "replace", "path": "/admin", "value": true }]);
    lesser
        .call_with(Method::PATCH, &path(&ada), &[JSON_PATCH], admin)
        .await
        .problem(403, "forbidden");
    assert_eq!(
        api.call(Method::GET, &path(&ada), Value::Null).await.json()["version"],
        4
    );
}

#[tokio::test]
async fn a_patch_makes_nobody_too_deep_to_be_read() {
    // S-173: a short patch makes what no request could bring.
    let server = Server::start().await;
    let api = Api::of(&server).await;
    let schema = json!({ "type": "object" });
    let declared = api.call(Method::PUT, "/api/v1/users/schema", schema).await;
    assert_eq!(declared.status, 200, "{}", declared.text);
    let ada = api.create(json!({ "username": "ada" })).await;
    let patch = async |operations: Vec<Value>| {
        let operations = Value::Array(operations);
        api.call_with(Method::PATCH, &path(&ada), &[JSON_PATCH], operations)
            .await
    };
    let begin = json!({ "op": "add", "path": "/attributes", "value": { "a": {} } });
    let copy = |to: String| json!({ "op": "copy", "from": "/attributes/a", "path": to });
    let one_by_one = |n: usize| {
        let copies = (0..n).map(|_| copy("/attributes/a/a".to_owned()));
        [begin.clone()].into_iter().chain(copies).collect()
    };
    let doubled = (0..7).map(|n| copy(format!("/attributes/a{}", "/a".repeat(1 << n))));
    let doubled = [begin.clone()].into_iter().chain(doubled).collect();
    for operations in [one_by_one(150), one_by_one(30), doubled] {
        let problem = patch(operations).await.problem(409, "patch-failed");
        assert_eq!(problem["errors"][0]["detail"], "What it makes is too deep.");
    }
    // What is as deep as may be goes all ways: read, listed, sent back whole, in the feed, deleted and erased.
    let deepest = patch(one_by_one(29)).await;
    assert_eq!(deepest.status, 200, "{}", deepest.text);
    let read = api.call(Method::GET, &path(&ada), Value::Null).await;
    assert_eq!(read.json(), deepest.json());
    let back = api.call(Method::PUT, &path(&ada), read.json()).await;
    assert_eq!(back.status, 200, "{}", back.text);
    assert_eq!(api.list("limit=5").await.status, 200);
    let history = format!("{}/history", path(&ada));
    let history = api.call(Method::GET, &history, Value::Null).await;
    assert_eq!(history.status, 200, "{}", history.text);
    let gone = api.call(Method::DELETE, &path(&ada), Value::Null).await;
    assert_eq!(gone.status, 204, "{}", gone.text);
    let erased = format!("{}/erase", path(&ada));
    let erased = api.call(Method::POST, &erased, Value::Null).await;
    assert!(erased.status < 300, "{}", erased.text);
}

#[tokio::test]
async fn a_key_makes_one_person() {
    // S-157
    let server = Server::start().await;
    let api = Api::of(&server).await;
    let create = async |api: &Api<'_>, key: &str, body: Value| -> Answer {
        api.call_with(Method::POST, USERS, &[("idempotency-key", key)], body)
            .await
    };
    let body = json!({ "username": "ada", "email": "ada@example.com" });
    let made = create(&api, "k1", body.clone()).await;
    assert_eq!(
        (made.status, made.header("idempotency-replayed")),
        (201, "")
    );
    // The stored answer, though the person has changed since.
    api.call(Method::PATCH, &path(&made.json()), json!({ "name": "Ada" }))
        .await;
    let again = create(&api, "k1", body.clone()).await;
    assert_eq!((again.status, again.json()), (201, made.json()));
    for header in ["etag", "location", "cache-control"] {
        assert_eq!(again.header(header), made.header(header), "{header}");
    }
    assert_eq!(again.header("idempotency-replayed"), "true");
    create(&api, "k1", json!({ "username": "eve" }))
        .await
        .problem(422, "key-reused");
    // A refusal makes nothing, so it is not kept.
    create(&api, "k2", body.clone())
        .await
        .problem(409, "conflict");
    assert_eq!(
        create(&api, "k2", json!({ "username": "bob" }))
            .await
            .status,
        201
    );
    // The key is the caller's own.
    let other = server
        .client()
        .grant("client_credentials")
        .scope("users:write")
        .register()
        .await;
    let other = Api {
        server: &server,
        token: other.token(&[]).await,
    };
    assert_eq!(
        create(&other, "k1", json!({ "username": "carl" }))
            .await
            .status,
        201
    );
    for bad in ["", &"x".repeat(256)] {
        create(&api, bad, json!({ "username": "x" }))
            .await
            .problem(400, "malformed-request");
    }

    // Of many at once one makes the person, whatever the others are told.
    let racing = (0..8).map(|_| create(&api, "k3", json!({ "username": "racer" })));
    let mut made = 0;
    for answer in all(racing).await {
        match (answer.status, answer.header("idempotency-replayed")) {
            (201, "") => made += 1,
            (201, "true") => {}
            _ => _ = answer.problem(409, "request-in-flight"),
        }
    }
    assert_eq!(made, 1);

    // What is kept can't be read, and goes with the person.
    let kept: Vec<String> = sqlx::query_scalar("select idempotency::text from idempotency")
        .fetch_all(&mut server.tables().await)
        .await
        .unwrap();
    assert_eq!(kept.len(), 4);
    assert!(
        kept.iter()
            .all(|row| !row.contains("example.com") && !row.contains("k1"))
    );
    let mut db = server.tables().await;
    sqlx::query("delete from \"user\" where username = 'racer'")
        .execute(&mut db)
        .await
        .unwrap();
    let left: i64 = sqlx::query_scalar("select count(*) from idempotency")
        .fetch_one(&mut db)
        .await
        .unwrap();
    assert_eq!(left, 3);

    // For a day.
    server.clock.advance(time::Duration::hours(25));
    let api = Api::of(&server).await;
    create(&api, "k1", json!({ "username": "late" })).await;
    assert_eq!(
        api.list("username=late").await.json()["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

/// Killed while it makes people, and started again: whatever is sent again with its key is made once in all.
#[tokio::test]
async fn a_key_makes_one_person_over_a_crash() {
    // S-157
    let database = Arc::new(CLUSTER.database().await);
    let home = Home::new("keys-crash");
    let serve = async || {
        let mut command = home.command(&["serve"]);
        command.env("DATABASE_URL", database.url());
        command.env("DOORWARD_KEYS_DIR", &CLUSTER.keys_dir);
        home.serve_as(command).await
    };
    let mut process = serve().await;
    let server = Server::outside(&process.url, database.clone());
    let (rounds, at_a_time) = (4, 40);
    for round in 0..rounds {
        let made = AtomicUsize::new(0);
        let token = server.admin_token().await;
        let make = async |n: usize| {
            let request = server.request(Method::POST, USERS).bearer_auth(&token);
            let request = request.header("idempotency-key", format!("{round}-{n}"));
            let person = json!({ "phone_number": "+4930123456", "name": format!("{round}-{n}") });
            let answer = request.json(&person).send().await.ok()?;
            made.fetch_add(1, Ordering::SeqCst);
            Some(answer.status().as_u16())
        };
        let killed = async {
            eventually(Duration::from_secs(20), "some are made", async || {
                made.load(Ordering::SeqCst) > 5 * round
            })
            .await;
            process.signal(Signal::KILL);
        };
        let makers = all((0..at_a_time).map(&make));
        tokio::join!(makers, killed);
        process.ended(Duration::from_secs(10)).await;
        process = serve().await;
        for n in 0..at_a_time {
            // What was under way when the server died may hold its key until the database has noticed.
            eventually(Duration::from_secs(20), "it is made", async || {
                make(n).await == Some(201)
            })
            .await;
        }
    }
    let token = server.admin_token().await;
    let people = format!("{USERS}?limit=200");
    let people = server.call(Method::GET, &people, &token, None).await.json();
    let people = people["items"].as_array().unwrap();
    let mut names: Vec<_> = people.iter().map(|p| p["name"].to_string()).collect();
    names.sort();
    names.dedup();
    assert_eq!((people.len(), names.len()), (160, 160));
    process.signal(Signal::TERM);
    process.ended(Duration::from_secs(30)).await;
}

#[tokio::test]
async fn a_request_under_way_is_said_to_be() {
    // S-157
    let server = Server::start().await;
    let api = Api::of(&server).await;
    api.create(json!({ "username": "first" })).await;
    // Somebody holds up whoever makes people.
    let mut db = server.tables().await;
    sqlx::query("begin").execute(&mut db).await.unwrap();
    sqlx::query("lock table \"user\" in share mode")
        .execute(&mut db)
        .await
        .unwrap();
    let key = [("idempotency-key", "k")];
    let body = json!({ "username": "slow" });
    let call = || Box::pin(api.call_with(Method::POST, USERS, &key, body.clone()));
    let (mut one, mut other) = (call(), call());
    let (refused, made) = tokio::select! {
        answer = &mut one => (answer, other),
        answer = &mut other => (answer, one),
    };
    refused.problem(409, "request-in-flight");
    assert_eq!(refused.header("retry-after"), "1");
    sqlx::query("commit").execute(&mut db).await.unwrap();
    assert_eq!(made.await.status, 201);
    let again = api.call_with(Method::POST, USERS, &key, body).await;
    assert_eq!(again.header("idempotency-replayed"), "true");
}

#[tokio::test]
async fn a_batch_is_its_operations() {
    // S-155, E26, E27: each with the checks of the single request.
    let server = Server::start().await;
    let api = Api::of(&server).await;
    let ada = api.create(json!({ "username": "ada" })).await;
    let root = api
        .create(json!({ "username": "root", "admin": true }))
        .await;
    let id = |user: &Value| user["id"].clone();
    let lesser = Api {
        server: &server,
        token: server.token("users:write").await,
    };
    let batch = json!({ "operations": [
        { "op": "create", "user": { "username": "bob" } },
        { "op": "create", "user": { "username": "ADA" } },
        { "op": "create", "user": { "username": "a@b", "is_admin": true } },
        { "op": "create", "user": { "username": "x", "admin": true } },
        { "op": "update", "id": id(&ada), "if_match": "\"1\"", "user": { "name": "Ada" } },
        { "op": "update", "id": id(&ada), "if_match": "\"1\"", "user": { "name": "Eve" } },
        { "op": "replace", "id": id(&ada), "user": { "username": "ada", "nickname": "A" } },
        { "op": "update", "id": id(&root), "user": { "status": "disabled" } },
        { "op": "delete", "id": id(&root) },
        { "op": "delete", "id": "nobody" },
        { "op": "delete", "id": id(&ada), "if_match": "\"3\"" },
        { "op": "explode" },
        { "op": "create", "user": { "username": "y" }, "password": "x" },
        7,
    ] });
    let path = format!("{USERS}/batch");
    let answer = lesser.call(Method::POST, &path, batch).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let results = answer.json()["results"].as_array().unwrap().clone();
    let statuses: Vec<u64> = results
        .iter()
        .map(|r| r["status"].as_u64().unwrap())
        .collect();
    assert_eq!(
        statuses,
        [
            201, 409, 422, 403, 200, 412, 200, 403, 403, 404, 204, 422, 422, 422
        ]
    );
    assert_eq!(results[4]["etag"], "\"2\"");
    assert_eq!(
        results[5]["problem"]["type"],
        "/docs/errors#precondition-failed"
    );
    let wrong = results[2]["problem"]["errors"].as_array().unwrap();
    assert_eq!(wrong[0]["pointer"], "/user/is_admin");
    let bob = api.list("username=bob").await.json()["items"][0].clone();
    assert_eq!(
        results[0],
        json!({ "status": 201, "id": bob["id"], "etag": "\"1\"" })
    );
    assert_eq!(api.list("username=ada").await.json()["items"], json!([]));

    let one = json!({ "op": "create", "user": {} });
    for (wrong, pointer) in [
        (json!([]), ""),
        (json!({}), "/operations"),
        (json!({ "operations": [] }), "/operations"),
        (
            json!({ "operations": vec![one.clone(); 1001] }),
            "/operations",
        ),
        (json!({ "operations": [one], "atomic": true }), "/atomic"),
    ] {
        let problem = api
            .call(Method::POST, &path, wrong)
            .await
            .problem(422, "invalid");
        assert_eq!(problem["errors"][0]["pointer"], pointer);
    }
}

#[tokio::test]
async fn a_batch_sent_again_makes_nobody_twice() {
    // S-157
    let server = Server::start().await;
    let api = Api::of(&server).await;
    let path = format!("{USERS}/batch");
    let operations: Vec<Value> = (0..1000)
        .map(|n| json!({ "op": "create", "user": { "external_ids": { "crm": n.to_string() } } }))
        .collect();
    let batch = json!({ "operations": operations });
    let mut ids: Vec<Option<Value>> = vec![None; 1000];
    // A batch that runs out of time is sent again until all is done.
    while ids.iter().any(Option::is_none) {
        let answer = api
            .call_with(
                Method::POST,
                &path,
                &[("idempotency-key", "b")],
                batch.clone(),
            )
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        for (n, result) in answer.json()["results"]
            .as_array()
            .unwrap()
            .iter()
            .enumerate()
        {
            match result["status"].as_u64().unwrap() {
                201 => {
                    let id = ids[n].get_or_insert_with(|| result["id"].clone());
                    assert_eq!(*id, result["id"], "the same person as before");
                }
                status => assert_eq!(status, 503, "{result}"),
            }
        }
    }
    let first = ids[0].take().unwrap();
    let mut other = batch.clone();
    other["operations"][0]["user"] = json!({ "username": "other" });
    let other = json!({ "operations": [other["operations"][0]] });
    let answer = api
        .call_with(Method::POST, &path, &[("idempotency-key", "b")], other)
        .await
        .json();
    assert_eq!(
        answer["results"][0]["problem"]["type"],
        "/docs/errors#key-reused"
    );
    let found = api.list("external_id=crm:0").await.json();
    assert_eq!(found["items"][0]["id"], first);
}

#[tokio::test]
async fn a_whole_list_is_streamed() {
    let server = Server::with(|config| config.http.handler_timeout = "10m".parse().unwrap()).await;
    let api = Api::of(&server).await;
    let path = format!("{USERS}/batch");
    for part in 0..3 {
        let operations: Vec<Value> = (0..800)
            .map(|n| {
                let status = if n % 2 == 0 { "active" } else { "disabled" };
                let user = json!({ "username": format!("p{part}-{n}"), "name": format!("Ä\"Name{n}"), "status": status, "given_name": "A", "address": { "country": "DE" }, "external_ids": { "crm": format!("{part}-{n}") } });
                json!({ "op": "create", "user": user })
            })
            .collect();
        let made = api
            .call(Method::POST, &path, json!({ "operations": operations }))
            .await
            .json();
        assert!(
            made["results"]
                .as_array()
                .unwrap()
                .iter()
                .all(|r| r["status"] == 201)
        );
    }
    for query in [
        "",
        "status=disabled",
        "sort=-name",
        "q=%C3%A4+name1&status=active",
    ] {
        let stream = api
            .call_with(
                Method::GET,
                &format!("{USERS}?{query}"),
                &[NDJSON],
                Value::Null,
            )
            .await;
        assert_eq!(
            (
                stream.status,
                stream.header("content-type"),
                stream.header("cache-control")
            ),
            (200, "application/x-ndjson", "no-store")
        );
        let mut paged = Vec::new();
        let mut after = String::new();
        loop {
            let page = api.list(&format!("{query}&limit=200{after}")).await.json();
            paged.extend(
                page["items"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(Value::to_string),
            );
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => break,
            }
        }
        // To the byte what pages hold.
        let lines: Vec<&str> = stream.text.lines().collect();
        assert_eq!(lines, paged, "{query}");
        assert!(!lines.is_empty(), "{query}");
    }
    let refused = api
        .call_with(
            Method::GET,
            &format!("{USERS}?limit=5"),
            &[NDJSON],
            Value::Null,
        )
        .await;
    refused.problem(400, "invalid-query");
}

#[tokio::test]
async fn whoever_reads_slowly_holds_no_connection() {
    let server = Server::with(|config| config.database.max_connections = 2).await;
    let api = Api::of(&server).await;
    let mut db = server.tables().await;
    sqlx::query("insert into \"user\" (id, status, admin, email_verified, username, username_folded, phone_number_verified, name_folded, claims, password_change_required, tokens_valid_from, created_at, updated_at)
                 select gen_random_uuid(), 'active', false, false, 'u' || n, 'u' || n, false, '', jsonb_build_object('nickname', repeat('n', 250)), false, now(), now(), now() from generate_series(1, 60000) n")
        .execute(&mut db).await.unwrap();
    let address = server.url.strip_prefix("http://").unwrap();
    let mut readers = Vec::new();
    let other = server.client().grant("client_credentials");
    let other = other.scope("users:read").register().await;
    let tokens = [api.token.clone(), other.token(&[]).await];
    for n in 0..4 {
        let mut reader = tokio::net::TcpStream::connect(address).await.unwrap();
        let head = format!(
            "GET {USERS} HTTP/1.1\r\nhost: x\r\naccept: application/x-ndjson\r\nauthorization: Bearer {}\r\n\r\n",
            tokens[usize::from(n == 2)]
        );
        reader.write_all(head.as_bytes()).await.unwrap();
        let mut first = [0; 1000];
        reader.read_exact(&mut first).await.unwrap();
        assert!(String::from_utf8_lossy(&first).starts_with("HTTP/1.1 200"));
        readers.push(reader);
    }
    // They take nothing more; whoever asks has the database to themselves.
    for _ in 0..20 {
        assert_eq!(api.list("limit=1").await.status, 200);
    }
    let held: i64 = sqlx::query_scalar("select count(*) from pg_stat_activity where datname = current_database() and xact_start is not null and pid <> pg_backend_pid() and application_name = 'doorward' and state <> 'active'")
        .fetch_one(&mut db)
        .await
        .unwrap();
    assert_eq!(held, 0);
    // And whoever comes back gets the rest.
    let (bytes, whole) = rest(readers.pop().unwrap()).await;
    assert!(whole && bytes > 60_000 * 500, "{bytes}");
    // Unless they would not be let in any more: then it breaks off.
    let reader = readers.pop().unwrap();
    let gone = format!("/api/v1/clients/{}", other.id);
    let gone = api.call(Method::DELETE, &gone, Value::Null).await;
    assert_eq!(gone.status, 204, "{}", gone.text);
    let (bytes, whole) = rest(reader).await;
    assert!(!whole && bytes < 60_000 * 500, "{bytes}");
}

/// Reads to the end: how much that was, and whether the answer ended as HTTP says.
async fn rest(mut reader: tokio::net::TcpStream) -> (usize, bool) {
    let mut bytes = 0;
    let mut buffer = vec![0; 1 << 20];
    let mut end = Vec::new();
    let reading = async {
        loop {
            let n = reader.read(&mut buffer).await.unwrap_or(0);
            bytes += n;
            end.extend_from_slice(&buffer[..n]);
            end.drain(..end.len().saturating_sub(5));
            if n == 0 || end == b"0\r\n\r\n" {
                return end == b"0\r\n\r\n";
            }
        }
    };
    let whole = tokio::time::timeout(Duration::from_secs(60), reading)
        .await
        .unwrap();
    (bytes, whole)
}

#[tokio::test]
async fn a_stale_writer_is_told_what_has_changed() {
    // E27
    let server = Server::start().await;
    let api = Api::of(&server).await;
    let ada = api
        .create(json!({ "username": "ada", "name": "A", "nickname": "Countess" }))
        .await;
    let path = path(&ada);
    api.call(Method::PATCH, &path, json!({ "name": "Ada" }))
        .await;
    api.call(
        Method::PATCH,
        &path,
        json!({ "nickname": null, "locale": "en" }),
    )
    .await;
    let stale = async |version: &str, body: Value| {
        let answer = api
            .call_with(Method::PATCH, &path, &[("if-match", version)], body)
            .await;
        answer.problem(412, "precondition-failed")
    };
    let changed = |pointer: &str, present: Value| json!({ "pointer": pointer, "detail": "It has changed since.", "present": present });
    let problem = stale("\"1\"", json!({ "name": "Eve" })).await;
    let all = json!([
        changed("/locale", json!("en")),
        changed("/name", json!("Ada")),
        changed("/nickname", Value::Null)
    ]);
    assert_eq!(problem["errors"], all);
    let problem = stale("\"2\"", json!({ "name": "Ada" })).await;
    assert_eq!(
        problem["errors"],
        json!([
            changed("/locale", json!("en")),
            changed("/nickname", Value::Null)
        ])
    );
    // What was never a version of this person tells nothing.
    for none in ["\"9\"", "\"0\"", "W/\"1\"", "\"-1\""] {
        assert!(
            stale(none, json!({ "name": "Eve" }))
                .await
                .get("errors")
                .is_none(),
            "{none}"
        );
    }
    let problem = api
        .call_with(Method::DELETE, &path, &[("if-match", "\"2\"")], Value::Null)
        .await
        .problem(412, "precondition-failed");
    assert_eq!(problem["errors"][0], changed("/locale", json!("en")));
    // Nor does a caller learn anything who may not touch this person, or may not write.
    let root = api
        .create(json!({ "username": "root", "admin": true }))
        .await;
    let root = crate::support::api::path(&root);
    api.call(Method::PATCH, &root, json!({ "name": "Root" }))
        .await;
    for (scope, what) in [
        ("users:write", json!({ "status": "disabled" })),
        ("users:read", json!({ "name": "X" })),
    ] {
        let lesser = Api {
            server: &server,
            token: server.token(scope).await,
        };
        let answer = lesser
            .call_with(Method::PATCH, &root, &[("if-match", "\"1\"")], what)
            .await;
        assert!(answer.problem(403, "forbidden").get("errors").is_none());
    }
}

#[tokio::test]
async fn a_key_makes_one_client() {
    // S-157, S-150: the secret comes again to whoever lost the answer, and can't be read in the database.
    let server = Server::start().await;
    let api = Api::of(&server).await;
    let client = json!({ "client_name": "billing", "grant_types": ["client_credentials"], "scope": "a", "audiences": ["https://a.example"] });
    let create = async |body: &Value| {
        let key = [("idempotency-key", "c")];
        api.call_with(Method::POST, "/api/v1/clients", &key, body.clone())
            .await
    };
    let made = create(&client).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let again = create(&client).await;
    assert_eq!((again.status, again.json()), (201, made.json()));
    assert_eq!(
        (again.header("etag"), again.header("location")),
        (made.header("etag"), made.header("location"))
    );
    assert_eq!(again.header("idempotency-replayed"), "true");
    let mut other = client.clone();
    other["client_name"] = json!("other");
    create(&other).await.problem(422, "key-reused");
    let secrets = format!(
        "/api/v1/clients/{}/secrets",
        made.json()["client_id"].as_str().unwrap()
    );
    let add = async || {
        api.call_with(
            Method::POST,
            &secrets,
            &[("idempotency-key", "c")],
            json!({}),
        )
        .await
    };
    let (first, second) = (add().await, add().await);
    assert_eq!(
        (first.status, second.json()),
        (201, first.json()),
        "{}",
        first.text
    );
    // The same key for something else is another.
    let user = api
        .call_with(
            Method::POST,
            USERS,
            &[("idempotency-key", "c")],
            json!({ "username": "ada" }),
        )
        .await;
    assert_eq!(user.status, 201);
    let secret = made.json()["client_secret"].as_str().unwrap().to_owned();
    let kept: Vec<Vec<u8>> = sqlx::query_scalar("select sealed from idempotency")
        .fetch_all(&mut server.tables().await)
        .await
        .unwrap();
    assert!(
        kept.iter()
            .all(|row| !row.windows(secret.len()).any(|w| w == secret.as_bytes()))
    );
}
