//! Consumers: who may register one, what it sees, what it says of itself, and how it compares its copy.

use std::collections::BTreeMap;
use std::time::Duration;

use doorward::router::{Access, table};
use reqwest::Method;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use sqlx::{Executor, PgConnection, Row};

use crate::support::webhook_sink::{Message, Sink};
use crate::support::{Answer, Copy, Server, TestClient, all, eventually};

const SOON: Duration = Duration::from_secs(10);

async fn put(server: &Server, token: &str, name: &str, body: Value) -> Answer {
    let path = format!("/api/v1/consumers/{name}");
    server.call(Method::PUT, &path, token, Some(body)).await
}

async fn show(server: &Server, name: &str) -> Value {
    let path = format!("/api/v1/consumers/{name}");
    let token = server.token("clients:read").await;
    server.call(Method::GET, &path, &token, None).await.json()
}

/// A client that reads, registered as a consumer with this view.
async fn consumer<'a>(server: &'a Server, name: &str, fields: Value) -> TestClient<'a> {
    let client = server
        .client()
        .grant("client_credentials")
        .scope("users:read users:write clients:read clients:write")
        .register()
        .await;
    let token = server.admin_token().await;
    let made = put(
        server,
        &token,
        name,
        json!({ "client_id": client.id, "fields": fields }),
    )
    .await;
    assert_eq!(made.status, 201, "{}", made.text);
    eventually(SOON, "its feed is filled", async || {
        show(server, name).await["ready"] == true
    })
    .await;
    client
}

fn path(user: &Value) -> String {
    format!("/api/v1/users/{}", user["id"].as_str().unwrap())
}

async fn patch(server: &Server, user: &Value, body: Value) -> Answer {
    let token = server.admin_token().await;
    let answer = server
        .call(Method::PATCH, &path(user), &token, Some(body))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer
}

async fn acknowledge(server: &Server, copy: &Copy<'_>) -> Answer {
    let body = json!({ "next": copy.next });
    let path = "/api/v1/changes/position";
    server
        .call(Method::PUT, path, &copy.token, Some(body))
        .await
}

#[tokio::test]
async fn consumers_are_registered_by_callers_with_all_scopes() {
    // S-149, S-154, S-155
    let server = Server::start().await;
    let token = server.admin_token().await;
    let client = server
        .client()
        .grant("client_credentials")
        .scope("users:read")
        .register()
        .await;
    let billing = json!({ "client_id": client.id, "fields": { "mail": "email" } });
    for scope in ["clients:write", "clients:read clients:write users:read"] {
        let token = server.token(scope).await;
        put(&server, &token, "billing", billing.clone())
            .await
            .problem(403, "forbidden");
    }
    for (body, pointer) in [
        (json!([]), ""),
        (json!({ "fields": { "a": "email" } }), "/client_id"),
        (
            json!({ "client_id": "c_none", "fields": { "a": "email" } }),
            "/client_id",
        ),
        (json!({ "client_id": client.id }), "/fields"),
        (json!({ "client_id": client.id, "fields": {} }), "/fields"),
        (
            json!({ "client_id": client.id, "fields": { "a": "password_hash" } }),
            "/fields/a",
        ),
        (
            json!({ "client_id": client.id, "fields": { "a": "email" }, "position": 7 }),
            "/position",
        ),
    ] {
        let problem = put(&server, &token, "billing", body)
            .await
            .problem(422, "invalid");
        assert_eq!(problem["errors"][0]["pointer"], pointer);
    }
    put(&server, &token, "Billing", billing.clone())
        .await
        .problem(404, "not-found");

    let made = put(&server, &token, "billing", billing.clone()).await;
    assert_eq!(made.status, 201);
    assert_eq!(made.json()["fields"], json!({ "mail": "email" }));
    put(&server, &token, "other", billing.clone())
        .await
        .problem(409, "conflict");
    assert_eq!(put(&server, &token, "billing", billing).await.status, 200);
    let list = server
        .call(Method::GET, "/api/v1/consumers", &token, None)
        .await
        .json();
    assert_eq!(
        (&list["items"][0]["name"], &list["next"]),
        (&json!("billing"), &Value::Null)
    );

    // E27: of two who read it, one changes it.
    let path = "/api/v1/consumers/billing";
    let read = server.call(Method::GET, path, &token, None).await;
    assert_eq!(read.header("etag"), "\"2\"");
    let write = async |method: Method, name: &str, etag: &str| {
        let request = server.request(method, &format!("/api/v1/consumers/{name}"));
        let request = request.bearer_auth(&token).header("if-match", etag);
        let body = json!({ "client_id": client.id, "fields": { "mail": "email" } });
        Answer::of(request.json(&body)).await
    };
    let changed = write(Method::PUT, "billing", "\"2\"").await;
    assert_eq!((changed.status, changed.header("etag")), (200, "\"3\""));
    for (method, name) in [
        (Method::PUT, "billing"),
        (Method::PUT, "new"),
        (Method::DELETE, "billing"),
    ] {
        let stale = write(method, name, "\"2\"").await;
        stale.problem(412, "precondition-failed");
    }
    let some = server.token("clients:write").await;
    server
        .call(Method::DELETE, path, &some, None)
        .await
        .problem(403, "forbidden");
    assert_eq!(
        server.call(Method::DELETE, path, &token, None).await.status,
        204
    );
    server
        .call(Method::DELETE, path, &token, None)
        .await
        .problem(404, "not-found");
    let rows = sqlx::query("select action from audit where target_kind = 'consumer' and target_id = 'billing' order by id")
        .fetch_all(&mut server.tables().await)
        .await
        .unwrap();
    let actions: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(
        actions,
        [
            "consumer.registered",
            "consumer.registered",
            "consumer.registered",
            "consumer.removed"
        ]
    );
}

#[tokio::test]
async fn a_consumer_sees_its_view_wherever_it_looks() {
    // S-147, S-150: every route, with a token that has every scope.
    let server = Server::start().await;
    let hidden = [
        "Hidden",
        "+4930555",
        "hidden-user",
        "Hiddenburg",
        "hidden-key",
    ];
    let ada = server
        .user(json!({
            "email": "ada@example.com", "name": hidden[0], "phone_number": hidden[1], "username": hidden[2],
            "address": { "country": "UK", "locality": hidden[3] }, "external_ids": { "shop": hidden[4] },
        }))
        .await;
    let client = consumer(
        &server,
        "billing",
        json!({ "mail": "email", "country": "address.country" }),
    )
    .await;
    let token = client.token(&[]).await;
    let mut seen = Vec::new();
    for route in table()
        .into_iter()
        .filter(|route| matches!(route.access, Access::Scope(_)))
    {
        let at = route
            .path
            .replace("{id}", ada["id"].as_str().unwrap())
            .replace("{name}", "billing");
        let answer = server.call(route.method.clone(), &at, &token, None).await;
        for value in hidden {
            assert!(
                !answer.text.contains(value),
                "{} {at}: {}",
                route.method,
                answer.text
            );
        }
        if answer.status == 403 {
            let problem = answer.problem(403, "forbidden");
            assert!(
                problem["detail"]
                    .as_str()
                    .unwrap()
                    .contains("registered consumer")
            );
        } else {
            seen.push(format!("{} {}", route.method, route.path));
        }
    }
    let expected = [
        "GET /api/v1/users",
        "GET /api/v1/users/{id}",
        "GET /api/v1/users/digest",
        "GET /api/v1/changes",
        "PUT /api/v1/changes/position",
    ];
    seen.sort();
    let mut expected = expected.map(str::to_owned).to_vec();
    expected.sort();
    assert_eq!(seen, expected);

    let shown = json!({ "id": ada["id"], "country": "UK", "mail": "ada@example.com" });
    let get = async |path: &str| server.call(Method::GET, path, &token, None).await;
    assert_eq!(get(&path(&ada)).await.json(), shown);
    assert_eq!(
        get("/api/v1/users?limit=1").await.json(),
        json!({ "items": [shown], "next": null })
    );
    assert_eq!(
        get("/api/v1/changes").await.json()["items"][0]["user"],
        shown
    );
    assert_eq!(
        get("/api/v1/users?email=ada%40example.com").await.json()["items"][0],
        shown
    );
    // What it does not see it can't ask about.
    for oracle in [
        "username=hidden-user",
        "status=active",
        "updated_since=2020-01-01T00:00:00Z",
        "q=hidden",
        "external_id=shop%3Ahidden-key",
        "at=2026-01-01T00:00:00Z",
    ] {
        get(&format!("/api/v1/users?{oracle}"))
            .await
            .problem(400, "invalid-query");
    }
    get("/api/v1/users/01a20d93-7f03-7eb9-b696-a13790d686c1")
        .await
        .problem(404, "not-found");
}

#[tokio::test]
async fn a_change_outside_the_view_is_none() {
    let server = Server::start().await;
    let ada = server
        .user(json!({ "username": "ada", "email": "a@example.com" }))
        .await;
    let client = consumer(&server, "billing", json!({ "mail": "email" })).await;
    let mut copy = Copy::with(&server, client.token(&[]).await);
    copy.catch_up("").await;
    assert_eq!(
        copy.people[ada["id"].as_str().unwrap()],
        json!({ "id": ada["id"], "mail": "a@example.com" })
    );
    let read = copy.read;
    let known = async |etag: &str| {
        let request = server.request(Method::GET, &path(&ada));
        let request = request.bearer_auth(client.token(&[]).await);
        Answer::of(request.header("if-none-match", etag)).await
    };
    let first = known("").await.header("etag").to_owned();
    patch(&server, &ada, json!({ "name": "Ada" })).await;
    let same = known(&first).await;
    assert_eq!((same.status, same.header("etag")), (304, first.as_str()));
    let token = server.admin_token().await;
    let password = json!({ "password": "wordy rivers 77" });
    server
        .call(
            Method::PUT,
            &format!("{}/password", path(&ada)),
            &token,
            Some(password),
        )
        .await;
    patch(&server, &ada, json!({ "email": "b@example.com" })).await;
    assert_eq!(known(&first).await.json()["mail"], "b@example.com");
    assert_eq!(known("\"4\"").await.status, 200, "a version is no tag");
    eventually(SOON, "the address", async || {
        copy.page("").await;
        copy.read > read
    })
    .await;
    // The one change: what lay between was none.
    assert_eq!(
        (copy.read, copy.versions[ada["id"].as_str().unwrap()]),
        (read + 1, 4)
    );
    assert_eq!(
        copy.people[ada["id"].as_str().unwrap()]["mail"],
        "b@example.com"
    );
    // Another view is another feed: what was read of the old one is no place in it.
    let old = copy.next.clone().unwrap();
    let other = json!({ "client_id": client.id, "fields": { "login": "username" } });
    assert_eq!(put(&server, &token, "billing", other).await.status, 200);
    eventually(SOON, "the old cursor is refused", async || {
        let path = format!("/api/v1/changes?after={old}");
        server
            .call(Method::GET, &path, &copy.token, None)
            .await
            .status
            == 400
    })
    .await;
    eventually(SOON, "it begins anew", async || {
        let mut anew = Copy::with(&server, copy.token.clone());
        anew.catch_up("").await;
        anew.people.values().next() == Some(&json!({ "id": ada["id"], "login": "ada" }))
    })
    .await;
}

/// Declared attributes are members like all others: each under the consumer's own name for it, in whatever it is told, and nothing of the rest.
#[tokio::test]
async fn a_view_shows_declared_attributes_one_by_one() {
    // S-150
    let server = Server::with(|config| {
        config.fetch.allowed_networks = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    let admin = server.admin_token().await;
    let schema = json!({ "type": "object", "properties": {
        "plan": { "type": "string", "x-filter": true },
        "note": { "type": "string", "x-filter": true },
        "seats": { "type": "integer" },
    } });
    let at = "/api/v1/users/schema";
    let declared = server.call(Method::PUT, at, &admin, Some(schema)).await;
    assert_eq!(declared.status, 200, "{}", declared.text);
    let ada = server
        .user(json!({ "username": "ada", "attributes": { "plan": "paid", "seats": 3, "note": "hidden" } }))
        .await;
    let view = json!({ "tier": "attributes.plan", "Places": "attributes.seats" });
    let client = consumer(&server, "billing", view).await;
    let sink = Sink::start().await;
    let webhook = json!({ "url": sink.url, "consumer": "billing", "from": "beginning" });
    let at = "/api/v1/webhooks";
    let made = server.call(Method::POST, at, &admin, Some(webhook)).await;
    assert_eq!(made.status, 201, "{}", made.text);

    let mut copy = Copy::with(&server, client.token(&[]).await);
    let token = copy.token.clone();
    let get = async |path: &str| server.call(Method::GET, path, &token, None).await;
    let id = ada["id"].as_str().unwrap();
    let shown = |places: i64| json!({ "id": id, "Places": places, "tier": "paid" });
    copy.catch_up("").await;
    assert_eq!(copy.people[id], shown(3));
    assert_eq!(get(&path(&ada)).await.json(), shown(3));
    let found = get("/api/v1/users?attributes.plan=paid").await;
    assert_eq!(found.json()["items"], json!([shown(3)]));
    get("/api/v1/users?attributes.note=hidden")
        .await
        .problem(400, "invalid-query");
    sink.knows(&ada, 1).await;
    assert_eq!(sink.of(&ada)[0].body["data"]["user"], shown(3));
    // The recipe of docs/propagation.md by hand: the names in the order of their bytes.
    let digest = async |places: i64| {
        let text = format!("{id}1:{places}4:paid");
        let hash = Sha256::digest(text);
        let digest: String = hash[..8].iter().map(|b| format!("{b:02x}")).collect();
        let told = get("/api/v1/users/digest?buckets=1").await.json();
        (told["items"][0]["digest"] == digest, told)
    };
    let (same, told) = digest(3).await;
    assert!(same, "{told}");

    // What it does not see may change; what it sees is told, and one change alone.
    let (read, before) = (copy.read, get("/api/v1/users/digest").await.text);
    patch(&server, &ada, json!({ "attributes": { "note": "more" } })).await;
    patch(&server, &ada, json!({ "attributes": { "seats": 4 } })).await;
    eventually(SOON, "the seats", async || {
        copy.page("").await;
        copy.read > read
    })
    .await;
    assert_eq!((copy.read, copy.versions[id]), (read + 1, 3));
    assert_eq!(copy.people[id], shown(4));
    sink.knows(&ada, 3).await;
    let versions: Vec<i64> = sink.of(&ada).iter().map(Message::version).collect();
    assert_eq!(versions, [1, 3]);
    assert_ne!(get("/api/v1/users/digest").await.text, before);
    let (same, told) = digest(4).await;
    assert!(same, "{told}");
    for message in sink.sent() {
        assert!(!message.raw.contains("hidden") && !message.raw.contains("more"));
    }
}

/// Whatever the API shows of a person can be in a view.
#[tokio::test]
async fn a_view_may_show_each_member_of_a_person() {
    let server = Server::start().await;
    let described = server.get("/openapi.json").await.json();
    let members = described["components"]["schemas"]["User"]["properties"].clone();
    let members = members.as_object().unwrap().keys();
    let mut fields: Map<String, Value> = members.map(|m| (m.clone(), json!(m))).collect();
    assert!(fields.remove("id").is_some() && fields.len() > 20);
    consumer(&server, "billing", Value::Object(fields)).await;
}

#[tokio::test]
async fn there_are_fifty_consumers_at_most() {
    let server = Server::start().await;
    let token = server.admin_token().await;
    let mut bodies = Vec::new();
    for n in 0..51 {
        let client = json!({ "client_name": format!("c{n}"), "grant_types": ["client_credentials"], "scope": "users:read" });
        let at = "/api/v1/clients";
        let made = server.call(Method::POST, at, &token, Some(client)).await;
        assert_eq!(made.status, 201, "{}", made.text);
        bodies
            .push(json!({ "client_id": made.json()["client_id"], "fields": { "mail": "email" } }));
    }
    for (n, body) in bodies[..50].iter().enumerate() {
        let made = put(&server, &token, &format!("c{n}"), body.clone()).await;
        assert_eq!(made.status, 201, "{}", made.text);
    }
    let another = async || put(&server, &token, "c50", bodies[50].clone()).await;
    let problem = another().await.problem(409, "conflict");
    assert!(problem["detail"].as_str().unwrap().contains("50 consumers"));
    // One that is there may change all the same, and one that goes leaves its place.
    let again = put(&server, &token, "c0", bodies[0].clone()).await;
    assert_eq!(again.status, 200, "{}", again.text);
    let gone = server.call(Method::DELETE, "/api/v1/consumers/c1", &token, None);
    assert_eq!(gone.await.status, 204);
    assert_eq!(another().await.status, 201);
}

#[tokio::test]
async fn a_consumer_says_how_far_it_is() {
    // S-149: its own position, and no one else's.
    let server = Server::start().await;
    let client = consumer(&server, "billing", json!({ "mail": "email" })).await;
    for n in 0..3 {
        server
            .user(json!({ "email": format!("u{n}@example.com") }))
            .await;
    }
    let mut copy = Copy::with(&server, client.token(&[]).await);
    let mut first = None;
    eventually(SOON, "all are there", async || {
        copy.page("limit=2").await;
        first.get_or_insert(copy.next.clone());
        copy.people.len() == 3
    })
    .await;
    server.clock.advance(time::Duration::seconds(60));
    let token = client.token(&[]).await;
    copy.token.clone_from(&token);
    let behind = show(&server, "billing").await["lag"].clone();
    assert_eq!(behind["changes"], 3);
    assert!(behind["seconds"].as_i64().unwrap() >= 60);
    eventually(SOON, "it is on the metrics", async || {
        let text = server.get("/metrics").await.text;
        text.contains("doorward_consumer_lag_changes{consumer=\"billing\"} 3")
            && text.contains("doorward_consumer_lag_seconds{consumer=\"billing\"} 6")
    })
    .await;
    copy.catch_up("").await;
    let there = acknowledge(&server, &copy).await;
    assert_eq!(there.json(), json!({ "changes": 0, "seconds": 0 }));
    let position = show(&server, "billing").await["position"].clone();
    // It never goes back.
    copy.next = first.flatten();
    assert_eq!(acknowledge(&server, &copy).await.status, 200);
    assert_eq!(show(&server, "billing").await["position"], position);
    // A cursor of another feed is no position, and who is no consumer has none.
    let mut everybodys = Copy::of(&server).await;
    everybodys.catch_up("").await;
    copy.next.clone_from(&everybodys.next);
    acknowledge(&server, &copy).await.problem(422, "invalid");
    acknowledge(&server, &everybodys)
        .await
        .problem(404, "not-found");
    let digest = server
        .call(Method::GET, "/api/v1/users/digest", &everybodys.token, None)
        .await;
    digest.problem(404, "not-found");
}

/// Places are given by the thousand: each person's costs the same however many there are.
#[tokio::test]
async fn placing_many_looks_each_up_once() {
    let server = Server::start().await;
    let create = |n: usize| json!({ "op": "create", "user": { "username": format!("u{n}") } });
    let batch = json!({ "operations": (0..400).map(create).collect::<Vec<_>>() });
    let token = server.admin_token().await;
    let path = "/api/v1/users/batch";
    let made = server.call(Method::POST, path, &token, Some(batch)).await;
    assert_eq!(made.status, 200, "{}", made.text);
    let mut copy = Copy::of(&server).await;
    eventually(3 * SOON, "all have their places", async || {
        copy.catch_up("limit=1000").await;
        copy.people.len() == 400
    })
    .await;
    let mut tables = server.tables().await;
    let mut looked_up = async || {
        let sql = "select idx_scan from pg_stat_user_tables where relname = 'change'";
        let scans = sqlx::query_scalar::<_, i64>(sql).fetch_one(&mut tables);
        scans.await.unwrap()
    };
    let before = looked_up().await;
    consumer(&server, "billing", json!({ "name": "username" })).await;
    // PostgreSQL counts a second late.
    let mut since = 0;
    eventually(SOON, "all are looked up", async || {
        since = looked_up().await - before;
        since >= 400
    })
    .await;
    assert!(since < 40 * 400, "{since}");
}

/// A feed may be as large as the directory: deleting it waits for nobody's numbering, and no numbering waits for it.
#[tokio::test]
async fn what_is_left_of_a_feed_is_deleted_beside_the_numbering() {
    let server = Server::start().await;
    for n in 0..3 {
        server.user(json!({ "username": format!("u{n}") })).await;
    }
    let client = consumer(&server, "billing", json!({ "name": "username" })).await;
    let mut copy = Copy::with(&server, client.token(&[("scope", "users:read")]).await);
    eventually(SOON, "everybody is in it", async || {
        copy.page("").await;
        copy.people.len() == 3
    })
    .await;
    let mut tables = server.tables().await;
    let count = async |tables: &mut PgConnection, sql: &'static str| {
        sqlx::query_scalar::<_, i64>(sql)
            .fetch_one(tables)
            .await
            .unwrap()
    };
    // As a round that takes long would.
    let mut numbering = server.tables().await;
    sqlx::query("select pg_advisory_lock(x'646f6f720004'::bigint)")
        .execute(&mut numbering)
        .await
        .unwrap();
    let token = server.admin_token().await;
    let path = "/api/v1/consumers/billing";
    let removed = server.call(Method::DELETE, path, &token, None).await;
    assert_eq!(removed.status, 204);
    eventually(3 * SOON, "its changes are gone", async || {
        let sql = "select count(*) from change where feed_id <> 0";
        count(&mut tables, sql).await == 0
    })
    .await;
    sqlx::query("select pg_advisory_unlock(x'646f6f720004'::bigint)")
        .execute(&mut numbering)
        .await
        .unwrap();
    eventually(3 * SOON, "and then the feed", async || {
        let sql = "select (select count(*) from feed where id <> 0) + (select count(*) from feed_digest where feed_id <> 0)";
        count(&mut tables, sql).await == 0
    })
    .await;
}

#[tokio::test]
async fn a_writer_waits_until_a_consumer_has_the_change() {
    let server = Server::start().await;
    let other = server.replica().await;
    let ada = server.user(json!({ "email": "a@example.com" })).await;
    let client = consumer(&server, "billing", json!({ "mail": "email" })).await;
    let token = server.admin_token().await;
    let write =
        async |server: &Server, method: Method, at: &str, wait: &str, body: Option<Value>| {
            let request = server
                .request(method, at)
                .bearer_auth(&token)
                .header("prefer", wait);
            Answer::of(match body {
                Some(body) => request.json(&body),
                None => request,
            })
            .await
        };
    let at = format!("{}?wait=billing", path(&ada));
    // It does not have it in time: the write is done all the same, and says so.
    let pending = write(
        &server,
        Method::PATCH,
        &at,
        "wait=0",
        Some(json!({ "email": "b@example.com" })),
    )
    .await;
    assert_eq!(
        (pending.status, pending.header("doorward-wait")),
        (202, "billing; pending")
    );
    assert_eq!(
        (&pending.json()["email"], pending.header("etag")),
        (&json!("b@example.com"), "\"2\"")
    );
    // A change outside the view is nothing to wait for, once it has all before.
    let mut copy = Copy::with(&other, client.token(&[]).await);
    let consuming = async {
        loop {
            copy.page("wait=5").await;
            acknowledge(&other, &copy).await;
        }
    };
    let writing = async {
        for (method, at, body, status) in [
            (
                Method::PATCH,
                at.clone(),
                Some(json!({ "email": "c@example.com" })),
                200,
            ),
            (
                Method::PUT,
                at.clone(),
                Some(json!({ "email": "d@example.com" })),
                200,
            ),
            (
                Method::PATCH,
                at.clone(),
                Some(json!({ "name": "Ada" })),
                200,
            ),
            (
                Method::POST,
                "/api/v1/users?wait=billing".to_owned(),
                Some(json!({ "email": "bob@example.com" })),
                201,
            ),
            (Method::DELETE, at.clone(), None, 204),
        ] {
            let answer = write(&server, method.clone(), &at, "wait=30", body).await;
            assert_eq!(
                (answer.status, answer.header("doorward-wait")),
                (status, "billing; acknowledged"),
                "{method} {}",
                answer.text
            );
        }
    };
    let both = async {
        tokio::select! { () = writing => {}, () = consuming => {} }
    };
    tokio::time::timeout(Duration::from_secs(20), both)
        .await
        .expect("each comes in time");
    for wrong in ["nobody", "billing&wait=billing"] {
        let at = format!("/api/v1/users?wait={wrong}");
        let refused = write(
            &server,
            Method::POST,
            &at,
            "",
            Some(json!({ "username": "x" })),
        )
        .await;
        refused.problem(400, "invalid-query");
    }
    let refused = write(
        &server,
        Method::POST,
        "/api/v1/users?wait=billing",
        "",
        Some(json!({})),
    )
    .await;
    refused.problem(422, "invalid");
    let list = server
        .call(Method::GET, "/api/v1/users?username=x", &token, None)
        .await;
    assert_eq!(list.json()["items"], json!([]), "nothing was written");
}

#[tokio::test]
async fn an_erasure_is_waited_for_like_any_change() {
    let server = Server::start().await;
    let ada = server.user(json!({ "email": "a@example.com" })).await;
    let client = consumer(&server, "billing", json!({ "mail": "email" })).await;
    let token = server.admin_token().await;
    let mut copy = Copy::with(&server, client.token(&[]).await);
    let end = async |method: Method, rest: &str| {
        let at = format!("{}{rest}?wait=billing", path(&ada));
        let request = server.request(method, &at).bearer_auth(&token);
        let answer = Answer::of(request.header("prefer", "wait=0")).await;
        (answer.status, answer.header("doorward-wait").to_owned())
    };
    let pending = (202, "billing; pending".to_owned());
    assert_eq!(end(Method::DELETE, "").await, pending);
    eventually(SOON, "it is gone from the copy", async || {
        copy.page("").await;
        copy.versions.values().any(|version| *version == 2)
    })
    .await;
    acknowledge(&server, &copy).await;
    // It has the deletion, and not the erasure.
    assert_eq!(end(Method::POST, "/erase").await, pending);
}

/// The copy that the recipe is for, and the recipe itself, as docs/propagation.md publishes them.
fn recipe(name: &str) -> &'static str {
    let text = include_str!("../../docs/propagation.md");
    let begin = format!("```sql\n-- {name}");
    let at = text.find(&begin).unwrap_or_else(|| panic!("{name}")) + "```sql\n".len();
    text[at..].split("```").next().unwrap()
}

async fn store(copy: &Copy<'_>, tables: &mut PgConnection) {
    tables.execute("delete from person").await.unwrap();
    for person in copy.people.values() {
        sqlx::query("insert into person (id, country, mail, verified, customer) values ($1::uuid, $2, $3, $4, $5)")
            .bind(person["id"].as_str())
            .bind(person["country"].as_str())
            .bind(person["mail"].as_str())
            .bind(person["verified"].as_bool())
            .bind(person["customer"].as_str())
            .execute(&mut *tables)
            .await
            .unwrap();
    }
}

/// What the recipe says of the copy, by bucket.
async fn digests_of_copy(tables: &mut PgConnection) -> BTreeMap<i64, (i64, String)> {
    let rows = sqlx::query(recipe("PostgreSQL"))
        .fetch_all(tables)
        .await
        .unwrap();
    let rows = rows
        .iter()
        .map(|row| (i64::from(row.get::<i32, _>(0)), (row.get(1), row.get(2))));
    rows.collect()
}

/// What the directory says, without the empty buckets.
async fn digests(copy: &Copy<'_>) -> (i64, BTreeMap<i64, (i64, String)>) {
    let answer = copy
        .server
        .call(
            Method::GET,
            "/api/v1/users/digest?buckets=64",
            &copy.token,
            None,
        )
        .await;
    let document = answer.json();
    let items = document["items"].as_array().unwrap();
    assert_eq!(
        (items.len(), &document["buckets"]),
        (64, &json!(64)),
        "{}",
        answer.text
    );
    let digests = items.iter().map(|item| {
        let digest = item["digest"].as_str().unwrap().to_owned();
        (
            item["bucket"].as_i64().unwrap(),
            (item["people"].as_i64().unwrap(), digest),
        )
    });
    let mut digests: BTreeMap<_, _> = digests.collect();
    assert_eq!(
        document["people"],
        digests.values().map(|(people, _)| people).sum::<i64>()
    );
    for (people, digest) in digests.values() {
        assert!(*people > 0 || digest == "0000000000000000");
    }
    digests.retain(|_, (people, _)| *people > 0);
    (document["position"].as_i64().unwrap(), digests)
}

/// A digest's value of a member: texts as they are, all else as PostgreSQL writes it.
async fn written(value: &Value, tables: &mut PgConnection) -> String {
    let text = match value {
        Value::Null => return "-".to_owned(),
        Value::String(text) => text.clone(),
        other => sqlx::query_scalar("select $1::jsonb::text")
            .bind(other)
            .fetch_one(tables)
            .await
            .unwrap(),
    };
    format!("{}:{text}", text.len())
}

/// Numbers, booleans, whole objects and members of them, changed at random: kept up as they happen, the digests are those of the recipe.
#[tokio::test]
async fn digests_cover_every_kind_of_value() {
    let server = Server::start().await;
    let token = server.admin_token().await;
    let schema = json!({ "type": "object" });
    let at = "/api/v1/users/schema";
    server.call(Method::PUT, at, &token, Some(schema)).await;
    let view = [
        ("All", "attributes"),
        ("home", "address"),
        ("ids", "external_ids"),
        ("n", "attributes.n"),
        ("root", "admin"),
        ("zone", "zoneinfo"),
    ];
    let fields: Map<String, Value> = view
        .map(|(n, m)| (n.to_owned(), json!(m)))
        .into_iter()
        .collect();
    let mut people = Vec::new();
    for n in 0..4 {
        people.push(server.user(json!({ "username": format!("u{n}") })).await);
    }
    let client = consumer(&server, "billing", Value::Object(fields)).await;
    let mut copy = Copy::with(&server, client.token(&[]).await);
    let mut tables = server.tables().await;
    let mut chance = 1_u64;
    for round in 0..40_i64 {
        chance = chance
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let pick = usize::try_from(chance >> 33).unwrap();
        let body = match pick / 4 % 8 {
            0 => {
                json!({ "attributes": { "n": round, "deep": { "b": [1, 1.5, null], "a": "é\"" } } })
            }
            1 => json!({ "attributes": { "n": format!("{round}"), "deep": null } }),
            2 => json!({ "attributes": null }),
            3 => json!({ "address": { "country": "UK", "locality": format!("{round}:-") } }),
            4 => json!({ "address": null, "zoneinfo": "Europe/Berlin" }),
            5 => json!({ "external_ids": { "crm": format!("{round}") }, "admin": true }),
            6 => json!({ "external_ids": null, "admin": false }),
            _ => json!({ "attributes": { "n": -0.25, "flag": true }, "zoneinfo": null }),
        };
        patch(&server, &people[pick % 4], body).await;
        if round % 8 != 7 {
            continue;
        }
        eventually(SOON, "the digests are the recipe's", async || {
            copy.catch_up("").await;
            let mut expected: BTreeMap<i64, (i64, u64)> = BTreeMap::new();
            for (id, person) in &copy.people {
                let mut text = id.clone();
                for (name, _) in view {
                    text.push_str(&written(&person[name], &mut tables).await);
                }
                let hash = Sha256::digest(text);
                let hash = u64::from_be_bytes(hash[..8].try_into().unwrap());
                let bucket = i64::from_str_radix(&id[id.len() - 3..], 16).unwrap() % 64;
                let entry = expected.entry(bucket).or_default();
                *entry = (entry.0 + 1, entry.1 ^ hash);
            }
            let expected = expected
                .into_iter()
                .map(|(bucket, (people, hash))| (bucket, (people, format!("{hash:016x}"))));
            digests(&copy).await.1 == expected.collect()
        })
        .await;
    }
}

/// Many people, every kind of change, in a random order that a seed fixes; kept up as they happen, the digests are those of a copy
/// that is made from nothing, and of the recipe over it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn digests_kept_up_are_those_of_a_copy() {
    let server = Server::start().await;
    let token = server.admin_token().await;
    let view = json!({ "country": "address.country", "mail": "email", "verified": "email_verified", "customer": "external_ids.billing" });
    // Some people are there before the consumer, more than a feed is filled with at once.
    let before = (0..8).map(|part| {
        let (server, token) = (&server, &token);
        async move {
            for n in 0..65 {
                let body = json!({ "email": format!("u{part}-{n}@example.com"), "name": "x" });
                let made = server
                    .call(Method::POST, "/api/v1/users", token, Some(body))
                    .await;
                assert_eq!(made.status, 201, "{}", made.text);
            }
        }
    });
    all(before).await;
    let client = consumer(&server, "billing", view).await;
    let mut copy = Copy::with(&server, client.token(&[]).await);
    copy.catch_up("limit=1000").await;
    assert_eq!(copy.people.len(), 8 * 65);
    let mut tables = server.tables().await;
    let made = recipe("the copy").replace("create table", "create temporary table");
    tables
        .execute(sqlx::raw_sql(sqlx::AssertSqlSafe(made)))
        .await
        .unwrap();
    store(&copy, &mut tables).await;
    assert_eq!(digests_of_copy(&mut tables).await, digests(&copy).await.1);

    let ids: Vec<String> = copy.people.keys().cloned().collect();
    let changing = (0..8_usize).map(|writer| {
        let (server, token, ids) = (&server, &token, &ids);
        async move {
            let mut chance = writer as u64 + 1;
            for round in 0..30_usize {
                chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let id = &ids[usize::try_from(chance >> 33).unwrap() % 40];
                let at = format!("/api/v1/users/{id}");
                let country = ["", "DE", "a:b-"][round % 3];
                let (method, body) = match round % 6 {
                    0 => (Method::PATCH, Some(json!({ "email": format!("n{writer}-{round}é@example.com") }))),
                    1 => (Method::PATCH, Some(json!({ "address": { "country": country }, "email_verified": true }))),
                    2 => (Method::PATCH, Some(json!({ "name": format!("{round}"), "external_ids": { "billing": null } }))),
                    3 => (Method::PATCH, Some(json!({ "external_ids": { "billing": format!("cus-{writer}-{round}"), "shop": format!("{writer}-{round}") }, "address": null }))),
                    4 if writer == 0 => (Method::DELETE, None),
                    _ => (Method::PATCH, Some(json!({ "email_verified": false }))),
                };
                // Deleted by another meanwhile, or a blank country: refused, and no change.
                let answer = server.call(method, &at, token, body).await;
                assert!([200, 204, 404, 409, 422].contains(&answer.status), "{}", answer.text);
            }
        }
    });
    all(changing).await;
    eventually(SOON, "the copy has the directory's digests", async || {
        copy.catch_up("limit=7").await;
        store(&copy, &mut tables).await;
        digests_of_copy(&mut tables).await == digests(&copy).await.1
    })
    .await;
    // Made from nothing at the end: the same.
    let mut anew = Copy::with(&server, copy.token.clone());
    anew.catch_up("limit=1000").await;
    assert_eq!(anew.people, copy.people);
    let (position, _) = digests(&copy).await;
    acknowledge(&server, &anew).await;
    assert_eq!(
        show(&server, "billing").await["position"],
        position,
        "of the place that the feed has reached"
    );

    // A copy that drifted finds where, and takes only that anew.
    let (lost, changed) = (
        copy.people.keys().next().unwrap().clone(),
        copy.people.keys().nth(9).unwrap().clone(),
    );
    copy.people.remove(&lost);
    copy.people.get_mut(&changed).unwrap()["mail"] = json!("drifted@example.com");
    store(&copy, &mut tables).await;
    let (ours, theirs) = (digests_of_copy(&mut tables).await, digests(&copy).await.1);
    let differing: Vec<i64> = (0..64)
        .filter(|bucket| ours.get(bucket) != theirs.get(bucket))
        .collect();
    assert!((1..=2).contains(&differing.len()), "{differing:?}");
    let mut pulled = 0;
    for bucket in differing {
        let mut part = Copy::with(&server, copy.token.clone());
        part.catch_up(&format!("limit=1000&bucket={bucket}/64"))
            .await;
        pulled += part.people.len();
        copy.people.extend(part.people);
    }
    assert!(pulled < 100, "{pulled} of 520");
    store(&copy, &mut tables).await;
    assert_eq!(digests_of_copy(&mut tables).await, digests(&copy).await.1);
    for bad in ["0", "3", "8192", "x", "064"] {
        let at = format!("/api/v1/users/digest?buckets={bad}");
        server
            .call(Method::GET, &at, &copy.token, None)
            .await
            .problem(400, "invalid-query");
    }
}
