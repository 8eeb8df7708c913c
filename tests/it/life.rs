//! Deleting, restoring and erasing people, and their history.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::Row;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::canary::{around, each_table, shapes, tables};
use crate::support::sign_on::{query, step_of};
use crate::support::webhook_sink::{Reply, Sink};
use crate::support::{Answer, Browser, Server, eventually};

const USERS: &str = "/api/v1/users";
const PASSWORD: &str = "wordy rivers 77";

fn path(user: &Value) -> String {
    format!("{USERS}/{}", user["id"].as_str().unwrap())
}

/// A request with these headers; `null` is no body.
async fn send(
    server: &Server,
    method: Method,
    path: &str,
    token: &str,
    headers: &[(&str, &str)],
    body: Value,
) -> Answer {
    let mut request = server.request(method, path).bearer_auth(token);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Answer::of(if body.is_null() {
        request
    } else {
        request.json(&body)
    })
    .await
}

/// All of a person's history, the newest first, a page at a time.
async fn history(server: &Server, user: &Value, limit: usize) -> Vec<Value> {
    let token = server.token("users:read").await;
    let mut all = Vec::new();
    let mut after = String::new();
    loop {
        let path = format!("{}/history?limit={limit}{after}", path(user));
        let page = server.call(Method::GET, &path, &token, None).await;
        assert_eq!(page.status, 200, "{}", page.text);
        assert_eq!(page.header("cache-control"), "no-store");
        let page = page.json();
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= limit);
        all.extend(items.iter().cloned());
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return all,
        }
    }
}

/// Waits until the person's newest change in the feed is this one, and gives it.
async fn in_the_feed(server: &Server, user: &Value, kind: &str, version: i64) -> Value {
    let token = server.token("users:read").await;
    let mut change = Value::Null;
    eventually(Duration::from_secs(10), "the feed has it", async || {
        let page = server
            .call(Method::GET, "/api/v1/changes", &token, None)
            .await
            .json();
        let mut items = page["items"].as_array().unwrap().iter();
        let newest = items.find(|item| item["user_id"] == user["id"]);
        change = newest.cloned().unwrap_or_default();
        change["type"] == kind && change["version"] == version
    })
    .await;
    change
}

#[tokio::test]
async fn who_is_deleted_is_found_and_comes_back() {
    let server = Server::start().await;
    let token = server.admin_token().await;
    let call = async |method, path: &str| server.call(method, path, &token, None).await;
    let ada =
        json!({ "email": "ada@example.com", "username": "ada", "name": "Ada", "nickname": "A" });
    let ada = server.user_with_password(ada, PASSWORD).await;
    let bob = server.user(json!({ "username": "bob" })).await;
    let mut browser = Browser::new(&server);
    browser.sign_in("ada", PASSWORD).await;
    let restore = format!("{}/restore", path(&ada));
    call(Method::POST, &restore).await.problem(404, "not-found");
    let erase = format!("{}/erase", path(&ada));
    call(Method::POST, &erase).await.problem(409, "not-deleted");

    assert_eq!(call(Method::DELETE, &path(&ada)).await.status, 204);
    call(Method::GET, &path(&ada))
        .await
        .problem(404, "not-found");
    for filter in ["", "&email=ADA@example.com", "&username=ada"] {
        let listed = call(Method::GET, &format!("{USERS}?deleted=true{filter}")).await;
        let listed = listed.json();
        assert_eq!(listed["items"].as_array().unwrap().len(), 1, "{listed}");
        assert_eq!(listed["items"][0]["id"], ada["id"]);
        assert_eq!(listed["items"][0]["nickname"], "A");
    }
    let others = call(Method::GET, &format!("{USERS}?deleted=false"))
        .await
        .json();
    assert_eq!(others["items"][0]["id"], bob["id"]);
    for wrong in ["deleted=yes", "deleted=true&status=active"] {
        let problem = call(Method::GET, &format!("{USERS}?{wrong}")).await;
        let problem = problem.problem(400, "invalid-query");
        assert_eq!(problem["errors"][0]["parameter"], "deleted");
    }

    let stale = send(
        &server,
        Method::POST,
        &restore,
        &token,
        &[("if-match", "\"1\"")],
        Value::Null,
    )
    .await;
    stale.problem(412, "precondition-failed");
    // E27
    let stale = [("if-match", "\"1\"")];
    let stale = send(&server, Method::POST, &erase, &token, &stale, Value::Null).await;
    stale.problem(412, "precondition-failed");
    let back = call(Method::POST, &restore).await;
    assert_eq!((back.status, back.header("etag")), (200, "\"4\""));
    let mut expected = ada.clone();
    expected["version"] = json!(4);
    expected["updated_at"] = back.json()["updated_at"].clone();
    assert_eq!(back.json(), expected);
    assert_eq!(call(Method::GET, &path(&ada)).await.json(), expected);
    // What they were given before is good no more; the password still is.
    assert_eq!(browser.account().await, 303);
    browser.sign_in("ada", PASSWORD).await;
    in_the_feed(&server, &ada, "user.restored", 4).await;
}

#[tokio::test]
async fn only_full_rights_bring_an_admin_back_or_end_them() {
    // S-149, E26: who comes back with admin is given it.
    let server = Server::start().await;
    let all = server.admin_token().await;
    let some = server.token("users:read users:write").await;
    let admin = server
        .user(json!({ "username": "root", "admin": true }))
        .await;
    let call = async |token: &str, what: &str| {
        let path = format!("{}/{what}", path(&admin));
        server.call(Method::POST, &path, token, None).await
    };
    server.call(Method::DELETE, &path(&admin), &all, None).await;
    for what in ["restore", "erase"] {
        call(&some, what).await.problem(403, "forbidden");
    }
    assert_eq!(call(&all, "restore").await.status, 200);
    server.call(Method::DELETE, &path(&admin), &all, None).await;
    assert_eq!(call(&all, "erase").await.status, 204);
    for what in ["restore", "erase"] {
        call(&all, what).await.problem(404, "not-found");
    }
}

#[tokio::test]
async fn a_history_says_who_changed_what_when_and_why() {
    // S-154, E31
    let server = Server::start().await;
    let token = server.admin_token().await;
    let headers = [
        ("doorward-reason", "moved to Zürich"),
        ("user-agent", "curl/8"),
    ];
    let ada = server
        .user(json!({ "username": "ada", "name": "Ada", "email": "a@example.com" }))
        .await;
    let path = path(&ada);
    server.clock.advance(time::Duration::seconds(10));
    let patch = json!({ "email": null, "nickname": "A", "address": { "locality": "Zürich" } });
    let patched = send(&server, Method::PATCH, &path, &token, &headers, patch).await;
    // A change that changes nothing is none.
    send(
        &server,
        Method::PATCH,
        &path,
        &token,
        &[],
        json!({ "nickname": "A" }),
    )
    .await;
    let set = format!("{path}/password");
    let body = json!({ "password": PASSWORD, "change_required": true });
    send(&server, Method::PUT, &set, &token, &[], body).await;
    let mut browser = Browser::new(&server);
    let form = browser.try_sign_in("ada", PASSWORD).await;
    let csrf = crate::support::csrf(&browser.get(form.header("location")).await);
    let chosen = [("csrf", &*csrf), ("new_password", "other rivers 78 words")];
    let chosen = browser.post("/login/new-password", &chosen).await;
    assert_eq!(chosen.status, 303, "{}", chosen.text);
    server
        .cli_with(&["user", "password", "ada", "--password-stdin"], PASSWORD)
        .await;

    for limit in [1, 2, 200] {
        let told = history(&server, &ada, limit).await;
        let actions: Vec<&str> = told.iter().map(|t| t["action"].as_str().unwrap()).collect();
        assert_eq!(
            actions,
            [
                "password.set",
                "password.changed",
                "password.set",
                "user.updated",
                "user.created"
            ]
        );
        let versions: Vec<i64> = told
            .iter()
            .map(|t| t["version"].as_i64().unwrap())
            .collect();
        assert_eq!(versions, [5, 4, 3, 2, 1]);
        assert_eq!(
            told[0]["actor"],
            json!({ "kind": "operator", "id": null, "client_id": null })
        );
        assert_eq!(told[0]["changes"], json!([]), "a password is never told");
        assert_eq!(
            told[1]["actor"],
            json!({ "kind": "user", "id": ada["id"], "client_id": null })
        );
        let demanded =
            |old, new| json!([{ "field": "password_change_required", "old": old, "new": new }]);
        assert_eq!(told[1]["changes"], demanded(true, false));
        assert_eq!(told[2]["changes"], demanded(false, true));
        let updated = &told[3];
        assert_eq!(
            updated["actor"],
            json!({ "kind": "client", "id": server.admin().id, "client_id": null })
        );
        assert_eq!(updated["reason"], "moved to Zürich");
        assert_eq!(updated["request_id"], patched.header("x-request-id"));
        assert_eq!(updated["occurred_at"], patched.json()["updated_at"]);
        let mut changes = updated["changes"].as_array().unwrap().clone();
        changes.sort_by_key(|c| c["field"].as_str().unwrap().to_owned());
        assert_eq!(
            json!(changes),
            json!([
                { "field": "address", "old": null, "new": { "locality": "Zürich" } },
                { "field": "email", "old": "a@example.com", "new": null },
                { "field": "nickname", "old": null, "new": "A" },
            ])
        );
        assert_eq!(
            (&told[4]["reason"], &told[4]["via"]),
            (&Value::Null, &Value::Null)
        );
    }
    // Nothing of it is readable in the tables.
    let rows = sqlx::query("select to_jsonb(audit)::text from audit where target_kind = 'user'")
        .fetch_all(&mut server.tables().await)
        .await
        .unwrap();
    for row in rows {
        let row: String = row.get(0);
        assert!(
            !row.contains("rich") && !row.contains("a@example.com"),
            "{row}"
        );
    }

    let other = server.user(json!({ "username": "bob" })).await;
    for user in [json!({ "nickname": "B" }), json!({ "name": "Bob" })] {
        let batch = json!({ "operations": [{ "op": "update", "id": other["id"], "user": user }] });
        let path = format!("{USERS}/batch");
        let done = server.call(Method::POST, &path, &token, Some(batch)).await;
        assert_eq!(done.json()["results"][0]["status"], 200, "{}", done.text);
        let told = &history(&server, &other, 200).await[0];
        assert_eq!(told["via"], "batch");
        assert_eq!(told["changes"].as_array().unwrap().len(), 1, "{told}");
    }
    let page = server
        .call(
            Method::GET,
            &format!("{path}/history?limit=1"),
            &token,
            None,
        )
        .await
        .json();
    let next = page["next"].as_str().unwrap();
    for wrong in [
        format!("{path}/history?limit=0"),
        format!("{path}/history?limit=201"),
        format!("{path}/history?x=1"),
        format!("{path}/history?after=x"),
        format!("{}/history?after={next}", self::path(&other)),
    ] {
        server
            .call(Method::GET, &wrong, &token, None)
            .await
            .problem(400, "invalid-query");
    }
    let nobody = format!("{USERS}/01a20d93-7f03-7eb9-b696-a13790d686c1/history");
    server
        .call(Method::GET, &nobody, &token, None)
        .await
        .problem(404, "not-found");
}

#[tokio::test]
async fn a_reason_is_one_line() {
    let server = Server::start().await;
    let token = server.admin_token().await;
    let ada = server.user(json!({ "username": "ada" })).await;
    for wrong in [&b"\xff"[..], b"a\tb", &[b'x'; 501]] {
        let request = server
            .request(Method::PATCH, &path(&ada))
            .bearer_auth(&token);
        let request = request
            .header("doorward-reason", wrong)
            .json(&json!({ "name": "A" }));
        let refused = Answer::of(request).await;
        assert!(refused.text.contains("Doorward-Reason"), "{}", refused.text);
        refused.problem(400, "malformed-request");
    }
    let twice = [("doorward-reason", "a"), ("doorward-reason", "b")];
    let answer = send(
        &server,
        Method::PATCH,
        &path(&ada),
        &token,
        &twice,
        json!({ "name": "A" }),
    )
    .await;
    answer.problem(400, "malformed-request");
    assert_eq!(
        history(&server, &ada, 200).await.len(),
        1,
        "nothing was written"
    );
    let long = "é".repeat(500);
    let answer = send(
        &server,
        Method::PATCH,
        &path(&ada),
        &token,
        &[("doorward-reason", &long)],
        json!({ "name": "A" }),
    )
    .await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(history(&server, &ada, 200).await[0]["reason"], long);
}

#[tokio::test]
async fn a_person_is_told_as_they_were_at_any_time() {
    let server = Server::start().await;
    let token = server.admin_token().await;
    let ada = server
        .user(json!({ "username": "ada", "name": "Ada", "birthdate": "1815-12-10" }))
        .await;
    let path = path(&ada);
    let at = async |when: &str| {
        server
            .call(Method::GET, &format!("{path}?at={when}"), &token, None)
            .await
    };
    let mut lives = vec![ada.clone()];
    for change in [
        json!({ "name": null, "nickname": "A" }),
        json!({ "nickname": "B", "address": { "locality": "London", "country": "UK" } }),
        json!({ "name": "Ada Again", "address": { "locality": "Paris" }, "birthdate": null }),
        json!({ "status": "disabled", "email": "ada@example.com", "email_verified": true }),
    ] {
        server.clock.advance(time::Duration::seconds(60));
        let answer = server
            .call(Method::PATCH, &path, &token, Some(change))
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        lives.push(answer.json());
    }
    server.clock.advance(time::Duration::seconds(60));
    let time = |life: &Value| life["updated_at"].as_str().unwrap().to_owned();
    for life in &lives {
        let then = at(&time(life)).await;
        assert_eq!((then.status, then.header("etag")), (200, ""));
        assert_eq!(then.json(), *life);
    }
    assert_eq!(at("2100-01-01T00:00:00Z").await.json(), lives[4]);
    at("2000-01-01T00:00:00Z").await.problem(404, "not-found");
    for wrong in ["yesterday", "2026-01-01"] {
        let problem = at(wrong).await.problem(400, "invalid-query");
        assert_eq!(problem["errors"][0]["parameter"], "at");
    }

    // Deleted now, but not then; and between deletion and return there was nobody to be seen.
    server.call(Method::DELETE, &path, &token, None).await;
    assert_eq!(at(&time(&lives[2])).await.json(), lives[2]);
    at("2100-01-01T00:00:00Z").await.problem(404, "not-found");
    server.clock.advance(time::Duration::seconds(60));
    let back = server
        .call(Method::POST, &format!("{path}/restore"), &token, None)
        .await
        .json();
    assert_eq!(at(&time(&back)).await.json(), back);
    let deleted_at = history(&server, &ada, 200).await[1]["occurred_at"].clone();
    at(deleted_at.as_str().unwrap())
        .await
        .problem(404, "not-found");
}

/// What may be done to a person; each by itself, refused or not.
#[derive(Clone, Debug)]
enum Move {
    Merge(Value),
    Patch(Value),
    Replace(Value),
    Delete,
    Restore,
    /// Seconds, perhaps none.
    Wait(i64),
}

fn moves() -> impl Strategy<Value = Move> {
    let text = || prop_oneof![Just(Value::Null), "[a-c]{1,2}".prop_map(Value::from)];
    let member = || prop::sample::select(vec!["name", "nickname", "given_name", "gender"]);
    let town = || "[A-C]{1,2}".prop_map(|town| json!({ "locality": town }));
    let merge = prop_oneof![
        (member(), text()).prop_map(|(member, text)| json!({ member: text })),
        town().prop_map(|town| json!({ "address": town, "nickname": "n" })),
        Just(json!({ "address": null })),
        text().prop_map(|key| json!({ "external_ids": { "billing": key, "shop": "s" } })),
        prop::sample::select(vec!["active", "disabled"]).prop_map(|s| json!({ "status": s })),
    ];
    let patch = prop_oneof![
        (member(), "[a-c]{1,2}")
            .prop_map(|(m, text)| json!([{ "op": "add", "path": format!("/{m}"), "value": text }])),
        (member(), "[a-c]{1,2}").prop_map(|(m, text)| json!([
            { "op": "test", "path": format!("/{m}"), "value": text },
            { "op": "remove", "path": format!("/{m}") },
        ])),
        (member(), member()).prop_map(|(from, to)| json!([
            { "op": "move", "from": format!("/{from}"), "path": format!("/{to}") },
        ])),
        (member(), town()).prop_map(|(from, town)| json!([
            { "op": "copy", "from": format!("/{from}"), "path": "/nickname" },
            { "op": "add", "path": "/address", "value": town },
        ])),
    ];
    prop_oneof![
        4 => merge.prop_map(Move::Merge),
        4 => patch.prop_map(Move::Patch),
        1 => member().prop_map(|m| Move::Replace(json!({ "username": "ada", m: "r" }))),
        1 => Just(Move::Delete),
        2 => Just(Move::Restore),
        3 => (0..3_i64).prop_map(Move::Wait),
    ]
}

/// Whatever was done in whatever order, each earlier moment reads as it was acknowledged then.
#[tokio::test]
async fn each_earlier_moment_reads_as_it_was_acknowledged() {
    let server = Server::start().await;
    let token = server.admin_token().await;
    let lives = prop::collection::vec(moves(), 12..30);
    let mut runner = TestRunner::deterministic();
    let (mut changed, mut refused) = (0, 0);
    for _ in 0..12 {
        let life = lives.new_tree(&mut runner).unwrap().current();
        let ada = server.user(json!({ "username": "ada" })).await;
        let path = path(&ada);
        // What was acknowledged, in its order; `None`: they were deleted.
        let mut acknowledged = vec![(time_of(&ada["updated_at"]), Some(ada.clone()))];
        for step in &life {
            let restore = format!("{path}/restore");
            let (method, path, body) = match step {
                Move::Wait(seconds) => {
                    server.clock.advance(time::Duration::seconds(*seconds));
                    continue;
                }
                Move::Merge(body) => (Method::PATCH, &path, body.clone()),
                Move::Patch(body) => (Method::PATCH, &path, body.clone()),
                Move::Replace(body) => (Method::PUT, &path, body.clone()),
                Move::Delete => (Method::DELETE, &path, Value::Null),
                Move::Restore => (Method::POST, &restore, Value::Null),
            };
            let is_patch = matches!(step, Move::Patch(_));
            let headers = [("content-type", "application/json-patch+json")];
            let headers = if is_patch { &headers[..] } else { &[] };
            let answer = send(&server, method, path, &token, headers, body).await;
            match answer.status {
                200 => {
                    let now = answer.json();
                    acknowledged.push((time_of(&now["updated_at"]), Some(now)));
                }
                204 => {
                    let told = &history(&server, &ada, 1).await[0];
                    acknowledged.push((time_of(&told["occurred_at"]), None));
                }
                404 | 409 | 422 => refused += 1,
                _ => panic!("{step:?}: {} {}", answer.status, answer.text),
            }
        }
        changed += acknowledged.len();
        let between = |(at, _): &(OffsetDateTime, _)| [*at, *at + time::Duration::microseconds(1)];
        for at in acknowledged.iter().flat_map(between) {
            let mut until = acknowledged.iter().filter(|(then, _)| *then <= at);
            let asked = format!("{path}?at={}", at.format(&Rfc3339).unwrap());
            let told = server.call(Method::GET, &asked, &token, None).await;
            match &until.next_back().unwrap().1 {
                Some(expected) => assert_eq!(&told.json(), expected, "{life:?} {at}"),
                None => drop(told.problem(404, "not-found")),
            }
        }
        let before = acknowledged[0].0 - time::Duration::microseconds(1);
        let asked = format!("{path}?at={}", before.format(&Rfc3339).unwrap());
        let told = server.call(Method::GET, &asked, &token, None).await;
        told.problem(404, "not-found");
        // The next life begins with their name free.
        server.call(Method::DELETE, &path, &token, None).await;
        let erase = format!("{path}/erase");
        let erased = server.call(Method::POST, &erase, &token, None).await;
        assert_eq!(erased.status, 204);
    }
    assert!(changed > 80 && refused > 10, "{changed} {refused}");
}

fn time_of(text: &Value) -> OffsetDateTime {
    OffsetDateTime::parse(text.as_str().unwrap(), &Rfc3339).unwrap()
}

/// In whatever can hold words; what can't has a value that nothing else has.
const MARK: &str = "QuokkaXylophon";

#[tokio::test]
async fn of_who_is_erased_nothing_is_left_anywhere() {
    // S-149 to S-155; every column of every table, those to come too.
    let server = Server::with(|config| {
        config.fetch.allowed_networks = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    let all = server.admin_token().await;
    let schema = json!({ "type": "object", "properties": { "words": { "type": "string", "x-filter": true } } });
    let declared = format!("{USERS}/schema");
    let declared = server
        .call(Method::PUT, &declared, &all, Some(schema))
        .await;
    assert_eq!(declared.status, 200, "{}", declared.text);
    let reason = format!("{MARK} asked for it");
    let agent = format!("{MARK}/1.0");
    let headers = [
        ("doorward-reason", &*reason),
        ("idempotency-key", "key-4711"),
    ];
    let own = [("doorward-reason", &*reason), ("user-agent", &*agent)];
    let marked = |field: &str| format!("{MARK} {field}");
    let person = json!({
        "email": format!("{MARK}@example.com"), "username": format!("{MARK}-name"), "phone_number": "+4915550019283", "name": marked("name"),
        "given_name": marked("given"), "family_name": marked("family"), "middle_name": marked("middle"), "nickname": marked("nick"),
        "preferred_username": marked("preferred"), "profile": format!("https://example.com/{MARK}"), "picture": format!("https://example.com/{MARK}.png"),
        "website": format!("https://{MARK}.example"), "gender": marked("gender"), "birthdate": "1871-03-29", "zoneinfo": "Antarctica/Vostok",
        "locale": "haw-US", "admin": true,
        "external_ids": { "billing": format!("{MARK}-81") }, "attributes": { "words": marked("words"), "more": { "list": [marked("more")] } },
        "address": { "formatted": marked("all"), "street_address": marked("street"), "locality": marked("city"), "region": marked("region"),
                     "postal_code": marked("code"), "country": marked("land") },
    });
    let mut canaries = vec![
        "+4915550019283",
        "1871-03-29",
        "Antarctica/Vostok",
        "haw-US",
    ];
    canaries.push(MARK);

    let made = send(&server, Method::POST, USERS, &all, &headers, person.clone()).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let user = made.json();
    let path = path(&user);
    let set = json!({ "password": PASSWORD });
    let set = send(
        &server,
        Method::PUT,
        &format!("{path}/password"),
        &all,
        &headers,
        set,
    )
    .await;
    assert_eq!(set.status, 204, "{}", set.text);
    // They sign in, leave a session, fail, and are an admin who changes somebody else.
    let email = format!("{MARK}@example.com");
    let mut browser = Browser::new(&server);
    browser.headers.push(("user-agent", agent.clone()));
    browser.sign_in(&email, PASSWORD).await;
    sign_on(&mut browser, &email).await;
    Browser::new(&server).try_sign_in(&email, "wrong").await;
    let other = server.user(json!({ "username": "bob" })).await;
    let app = server
        .client()
        .grant("password")
        .scope("users:read users:write clients:read clients:write")
        .register()
        .await;
    let theirs = app
        .password(&email, PASSWORD, &[("scope", "users:read users:write")])
        .await;
    assert_eq!(theirs.status, 200, "{}", theirs.text);
    let theirs = theirs.json()["access_token"].as_str().unwrap().to_owned();
    let patched = send(
        &server,
        Method::PATCH,
        &self::path(&other),
        &theirs,
        &own,
        json!({ "name": "Bob" }),
    )
    .await;
    assert_eq!(patched.status, 200, "{}", patched.text);
    // Changes of all kinds.
    for change in [
        json!({ "nickname": marked("second"), "address": null }),
        json!({ "email": format!("second-{MARK}@example.com") }),
        json!({ "name": marked("last") }),
    ] {
        let answer = send(&server, Method::PATCH, &path, &all, &headers, change).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    assert!(history(&server, &user, 200).await.len() >= 5);
    let id = user["id"].as_str().unwrap();
    let held = holding(&server, id).await;
    for table in [
        "consent",
        "user_external_id",
        "idempotency",
        "session",
        "single_use",
        "token_family",
        "user_attribute",
        "user_word",
    ] {
        assert!(held.contains(table), "{table}: {held:?}");
    }
    for what in ["DELETE", "restore", "DELETE"] {
        let (method, path) = if what == "DELETE" {
            (Method::DELETE, path.clone())
        } else {
            (Method::POST, format!("{path}/{what}"))
        };
        let answer = send(&server, method, &path, &all, &headers, Value::Null).await;
        assert!(answer.status < 300, "{}", answer.text);
    }
    Browser::new(&server)
        .try_sign_in(&format!("second-{email}"), "wrong")
        .await;
    not_received(&server, id).await;
    let all = server.admin_token().await;

    let found = left(&server, &canaries).await;
    assert_eq!(
        found.len(),
        canaries.len(),
        "the search finds what is there: {found:?}"
    );
    let erased = send(
        &server,
        Method::POST,
        &format!("{path}/erase"),
        &all,
        &headers,
        Value::Null,
    )
    .await;
    assert_eq!((erased.status, &*erased.text), (204, ""), "{}", erased.text);

    // The fact and the id remain, in the feed's log, in what is kept of the erased, and in the history.
    let version =
        sqlx::query_scalar::<_, i64>("select version from erased_user where id = $1::text::uuid")
            .bind(user["id"].as_str().unwrap())
            .fetch_one(&mut server.tables().await)
            .await
            .unwrap();
    assert!(in_the_feed(&server, &user, "user.erased", version).await["user"].is_null());
    assert_eq!(left(&server, &canaries).await, BTreeMap::new());
    let mut held = holding(&server, id).await;
    // A code is good for a minute, and gone with the next sweep.
    held.remove("single_use");
    let known = ["audit", "change", "erased_user", "webhook_letter"];
    assert_eq!(
        held,
        known.map(str::to_owned).into(),
        "what they did, that they were erased, and whom that is still to be told"
    );
    let told = history(&server, &user, 200).await;
    assert_eq!(
        (&told[0]["action"], &told[0]["version"]),
        (&json!("user.erased"), &json!(version))
    );
    assert!(
        told.iter()
            .all(|t| t["changes"].is_null() && t["reason"].is_null()),
        "{told:?}"
    );
    for path in [path.clone(), format!("{path}?at=2100-01-01T00:00:00Z")] {
        server
            .call(Method::GET, &path, &all, None)
            .await
            .problem(404, "not-found");
    }
    // What they did to others stays told.
    assert_eq!(
        history(&server, &other, 200).await[0]["actor"]["id"],
        user["id"]
    );
    // Their identifiers are free.
    assert_eq!(
        send(&server, Method::POST, USERS, &all, &[], person)
            .await
            .status,
        201
    );
}

/// Signs on to an application as somebody does who is asked. It leaves a consent, a family with refresh tokens, a code that nobody redeemed,
/// and a request with their address that nobody finished.
async fn sign_on(browser: &mut Browser<'_>, email: &str) {
    let server = browser.server;
    let app = server.application().application().await;
    let asks = app.authorize(&[("scope", "openid offline_access"), ("login_hint", email)]);
    let page = browser.follow(&asks).await;
    assert_eq!(step_of(&page), Some("/consent"), "{}", page.text);
    let answer = browser.agree_at("/consent", &page).await;
    let code = query(answer.header("location"))["code"].clone();
    let tokens = app.redeem(code.as_str().unwrap()).await.json();
    let refreshed = app.refresh(tokens["refresh_token"].as_str().unwrap()).await;
    assert_eq!(refreshed.status, 200, "{}", refreshed.text);
    let answer = browser.follow(&asks).await;
    assert!(answer.header("location").contains("code="));
    let page = Browser::new(server).follow(&asks).await;
    assert!(page.text.contains(email), "the hint is in the form");
}

/// One webhook has given them up, another tries again.
async fn not_received(server: &Server, id: &str) {
    let sink = Sink::start().await;
    let refused = id.to_owned();
    sink.replies(move |message| {
        let theirs = message.body["data"]["user_id"] == refused;
        Reply::Status(if theirs { 500 } else { 204 })
    });
    for state in ["dead", "waiting"] {
        let token = server.admin_token().await;
        let body = json!({ "url": sink.url, "from": "beginning" });
        let at = "/api/v1/webhooks";
        let made = server.call(Method::POST, at, &token, Some(body)).await;
        assert_eq!(made.status, 201, "{}", made.text);
        let at = format!("{at}/{}", made.json()["id"].as_str().unwrap());
        eventually(Duration::from_secs(60), state, async || {
            let token = server.token("clients:read").await;
            let shown = server.call(Method::GET, &at, &token, None).await.json();
            if state == "dead" && shown["status"]["waiting"] == 1 {
                server.clock.advance(time::Duration::hours(10));
            }
            shown["status"][state] == 1
        })
        .await;
    }
}

/// The tables that hold this id, in whatever column.
async fn holding(server: &Server, id: &str) -> BTreeSet<String> {
    let mut tables = each_table(server).await;
    tables.retain(|_, rows| rows.contains(id));
    tables.into_keys().collect()
}

/// Those of the canaries that are in some column of some table: raw or folded, encoded, in bytes, anywhere within base64.
async fn left<'a>(server: &Server, canaries: &[&'a str]) -> BTreeMap<&'a str, String> {
    let all = tables(server).await;
    let folded = all.to_lowercase();
    let hex = |text: &str| text.bytes().map(|b| format!("{b:02x}")).collect::<String>();
    let mut found = BTreeMap::new();
    for canary in canaries {
        for word in [(*canary).to_owned(), canary.to_lowercase()] {
            for (form, shape) in shapes(&word) {
                for (form, shape) in [(form, shape.clone()), ("bytes", hex(&shape))] {
                    let text = if form.starts_with("base64") {
                        &all
                    } else {
                        &folded
                    };
                    let shape = if form.starts_with("base64") {
                        shape
                    } else {
                        shape.to_lowercase()
                    };
                    if text.contains(&shape) {
                        found.insert(*canary, format!("{form}: {}", around(text, &shape)));
                    }
                }
            }
        }
    }
    found
}
