//! `/api/v1/users`.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection, Row};

use crate::canary::each_table;
use crate::support::api::{Api, USERS, path, pointers};
use crate::support::{Answer, Server, all, eventually};

#[tokio::test]
async fn a_person_is_made_read_changed_and_deleted() {
    let server = Server::start().await;
    let api = Api::of(&server).await;
    let ada = json!({
        "email": "Ada@Example.com", "email_verified": true, "username": "ada", "name": "Ada Lovelace", "given_name": "Ada", "family_name": "Lovelace",
        "nickname": "Countess", "phone_number": "+4930123456", "birthdate": "1815-12-10", "locale": "en-GB", "zoneinfo": "Europe/London",
        "website": "https://ada.example", "address": { "locality": "London", "country": "UK" }
    });
    let made = api.post(USERS, ada).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let user = made.json();
    assert_eq!(made.header("location"), path(&user));
    assert_eq!(
        (made.header("etag"), made.header("cache-control")),
        ("\"1\"", "no-store")
    );
    insta::assert_json_snapshot!("a_person", user, { ".id" => "[id]", ".created_at" => "[time]", ".updated_at" => "[time]" });

    let read = api.get(&path(&user)).await;
    assert_eq!((read.status, read.json()), (200, user.clone()));
    assert_eq!(
        api.call_with(
            Method::GET,
            &path(&user),
            &[("if-none-match", "\"1\"")],
            Value::Null
        )
        .await
        .status,
        304
    );

    server.clock.advance(time::Duration::seconds(5));
    let patched = api
        .call(
            Method::PATCH,
            &path(&user),
            json!({ "nickname": null, "address": { "locality": "Paris" }, "locale": "fr" }),
        )
        .await;
    assert_eq!((patched.status, patched.header("etag")), (200, "\"2\""));
    let patched = patched.json();
    assert!(patched.get("nickname").is_none());
    assert_eq!(
        patched["address"],
        json!({ "locality": "Paris", "country": "UK" })
    );
    assert_eq!(
        (&patched["locale"], &patched["version"]),
        (&json!("fr"), &json!(2))
    );
    assert!(patched["updated_at"].as_str() > user["updated_at"].as_str());

    let replaced = api
        .call(
            Method::PUT,
            &path(&user),
            json!({ "username": "ada", "name": "A. L." }),
        )
        .await
        .json();
    assert_eq!(
        (
            &replaced["name"],
            replaced.get("email"),
            replaced.get("address")
        ),
        (&json!("A. L."), None, None)
    );

    let gone = server
        .call(Method::DELETE, &path(&user), &api.token, None)
        .await;
    assert_eq!((gone.status, gone.text.as_str()), (204, ""));
    api.get(&path(&user)).await.problem(404, "not-found");
    server
        .call(Method::DELETE, &path(&user), &api.token, None)
        .await
        .problem(404, "not-found");
    assert_eq!(api.get(USERS).await.json()["items"], json!([]));
    // What was deleted is hidden and frees nothing.
    api.post(USERS, json!({ "username": "ADA" }))
        .await
        .problem(409, "conflict");
}

#[tokio::test]
async fn all_that_is_wrong_is_told_at_once() {
    // S-155
    let server = Server::start().await;
    let api = Api::of(&server).await;
    let wrong = json!({
        "email": "no address", "username": "a@b", "phone_number": "030", "birthdate": "yesterday", "locale": "?", "zoneinfo": "/", "website": "javascript:x",
        "name": "a\nb", "status": "gone", "admin": "yes", "email_verified": 1, "given_name": 7, "address": { "planet": "Earth", "region": 1 },
        "role": "root", "password_hash": "x", "is_admin": true, "id": "x", "version": 1, "created_at": "now"
    });
    let problem = api.post(USERS, wrong).await.problem(422, "invalid");
    // What can't be read is told before what is read is judged.
    let unreadable = [
        "/address/planet",
        "/address/region",
        "/admin",
        "/created_at",
        "/email_verified",
        "/given_name",
        "/id",
        "/is_admin",
        "/password_hash",
        "/role",
        "/status",
        "/version",
    ];
    assert_eq!(pointers(&problem), unreadable);
    let wrong = json!({
        "email": "no address", "username": "a@b", "phone_number": "030", "birthdate": "yesterday", "locale": "?", "zoneinfo": "/", "website": "javascript:x",
        "name": "a\nb", "picture": "x", "gender": "", "address": { "country": "\u{0}" }
    });
    let problem = api.post(USERS, wrong).await.problem(422, "invalid");
    let judged = [
        "/address/country",
        "/birthdate",
        "/email",
        "/gender",
        "/locale",
        "/name",
        "/phone_number",
        "/picture",
        "/username",
        "/website",
        "/zoneinfo",
    ];
    assert_eq!(pointers(&problem), judged);
    assert_eq!(
        pointers(
            &api.post(USERS, json!({ "name": "Nobody" }))
                .await
                .problem(422, "invalid")
        ),
        [""]
    );
    assert_eq!(
        pointers(
            &api.post(USERS, json!({ "username": "a", "email_verified": true }))
                .await
                .problem(422, "invalid")
        ),
        ["/email_verified"]
    );
    assert_eq!(
        pointers(
            &api.post(
                USERS,
                json!({ "username": "a", "phone_number_verified": true })
            )
            .await
            .problem(422, "invalid")
        ),
        ["/phone_number_verified"]
    );
    api.post(USERS, json!([])).await.problem(422, "invalid");
}

#[tokio::test]
async fn bodies_are_json_read_strictly() {
    // S-51, S-173
    let server = Server::start().await;
    let api = Api::of(&server).await;
    let post = |content_type: &'static str, body: String| {
        let request = server
            .request(Method::POST, USERS)
            .bearer_auth(&api.token)
            .header("content-type", content_type)
            .body(body);
        Answer::of(request)
    };
    for bad in [
        "",
        "{",
        r#"{"username":"a","username":"b"}"#,
        "{} {}",
        "\u{1}",
    ] {
        post("application/json", bad.to_owned())
            .await
            .problem(400, "malformed-request");
    }
    post(
        "application/json",
        format!("{{\"a\":{}{}}}", "[".repeat(33), "]".repeat(33)),
    )
    .await
    .problem(400, "malformed-request");
    post(
        "application/json",
        format!("{{\"a\":\"{}\"}}", "a".repeat(1024 * 1024)),
    )
    .await
    .problem(413, "too-large");
    post("text/plain", "{}".to_owned())
        .await
        .problem(415, "unsupported-media-type");
    post("application/merge-patch+json", "{}".to_owned())
        .await
        .problem(415, "unsupported-media-type");
}

#[tokio::test]
async fn the_servers_own_fields_may_be_repeated_and_not_changed() {
    // S-155
    let server = Server::start().await;
    let api = Api::of(&server).await;
    let user = api.post(USERS, json!({ "username": "ada" })).await.json();
    let same = api.call(Method::PUT, &path(&user), user.clone()).await;
    assert_eq!(
        (same.status, same.json()),
        (200, user.clone()),
        "what changes nothing writes nothing"
    );
    for (field, value) in [
        ("id", json!("x")),
        ("version", json!(9)),
        ("created_at", json!("2026-01-01T00:00:00Z")),
        ("updated_at", json!(null)),
        ("password_change_required", json!(true)),
    ] {
        for method in [Method::PATCH, Method::PUT] {
            let mut body = user.clone();
            body[field] = value.clone();
            let problem = api
                .call(method, &path(&user), body)
                .await
                .problem(422, "invalid");
            assert_eq!(pointers(&problem), [format!("/{field}")]);
        }
    }
    assert_eq!(api.get(&path(&user)).await.json()["version"], 1);
}

#[tokio::test]
async fn a_changed_address_is_unverified() {
    let server = Server::start().await;
    let api = Api::of(&server).await;
    let user = api.post(USERS, json!({ "email": "a@x.example", "email_verified": true, "phone_number": "+4930123456", "phone_number_verified": true })).await.json();
    let change =
        async |method: Method, body: Value| api.call(method, &path(&user), body).await.json();
    let changed = change(Method::PATCH, json!({ "email": "b@x.example" })).await;
    assert_eq!(
        (
            &changed["email_verified"],
            &changed["phone_number_verified"]
        ),
        (&json!(false), &json!(true))
    );
    assert_eq!(
        change(
            Method::PATCH,
            json!({ "email": "c@x.example", "email_verified": true })
        )
        .await["email_verified"],
        true,
        "said in the same breath"
    );
    let mut whole = change(Method::PATCH, json!({})).await;
    whole["email"] = json!("d@x.example");
    assert_eq!(
        change(Method::PUT, whole).await["email_verified"],
        false,
        "a whole document repeats what it read"
    );
    assert_eq!(
        change(Method::PATCH, json!({ "phone_number": "+4930123457" })).await["phone_number_verified"],
        false
    );
}

#[tokio::test]
async fn identifiers_are_unique_without_regard_to_case() {
    // S-158
    let server = Server::start().await;
    let api = Api::of(&server).await;
    api.post(
        USERS,
        json!({ "email": "Straße@Example.com", "username": "Jörg" }),
    )
    .await;
    for (field, value) in [
        ("email", "STRASSE@example.COM"),
        ("username", "JO\u{308}RG"),
        ("email", "stra\u{df}e@example.com"),
    ] {
        let problem = api
            .post(USERS, json!({ field: value }))
            .await
            .problem(409, "conflict");
        assert_eq!(pointers(&problem), [format!("/{field}")]);
    }
    let other = api.post(USERS, json!({ "username": "other" })).await.json();
    api.call(Method::PATCH, &path(&other), json!({ "username": "jörg" }))
        .await
        .problem(409, "conflict");
    let found = api
        .get(&format!("{USERS}?email=strasse@EXAMPLE.com"))
        .await
        .json();
    assert_eq!(
        found["items"][0]["email"], "Straße@Example.com",
        "what was typed is kept"
    );
}

#[tokio::test]
async fn of_racing_creations_one_wins() {
    // S-158
    let server = Server::start().await;
    let api = Api::of(&server).await;
    let statuses = statuses((0..16).map(|i| {
        api.post(
            USERS,
            json!({ "email": if i % 2 == 0 { "ada@x.example" } else { "ADA@X.example" } }),
        )
    }))
    .await;
    assert_eq!(statuses, [vec![201], vec![409; 15]].concat());
}

#[tokio::test]
async fn of_racing_writers_with_the_same_etag_one_wins() {
    let server = Server::start().await;
    let api = Api::of(&server).await;
    let user = api.post(USERS, json!({ "username": "ada" })).await.json();
    let path = path(&user);
    // What nobody is found by is written another way.
    for (round, member) in [(1, "name"), (2, "nickname"), (3, "name"), (4, "nickname")] {
        let etag = format!("\"{round}\"");
        let statuses = statuses((0..16).map(|i| {
            let (api, path, etag) = (&api, &path, &etag);
            async move {
                api.call_with(
                    Method::PATCH,
                    path,
                    &[("if-match", etag)],
                    json!({ (member): format!("{round}-{i}") }),
                )
                .await
            }
        }))
        .await;
        assert_eq!(statuses, [vec![200], vec![412; 15]].concat());
    }
    assert_eq!(api.get(&path).await.json()["version"], 5);
}

#[tokio::test]
async fn each_member_changed_by_itself_is_stored() {
    let server = Server::start().await;
    let api = Api::of(&server).await;
    let path = path(&api.create(json!({ "email": "ada@x.example" })).await);
    let members = [
        ("nickname", json!("Countess")),
        ("address", json!({ "locality": "London" })),
        ("birthdate", json!("1815-12-10")),
        ("phone_number", json!("+4930123456")),
        ("phone_number_verified", json!(true)),
        ("email_verified", json!(true)),
        ("status", json!("disabled")),
        ("status", json!("active")),
        ("admin", json!(true)),
        ("name", json!("Ada")),
        ("username", json!("ada")),
        ("email", json!("countess@x.example")),
        ("external_ids", json!({ "billing": "1" })),
        ("nickname", Value::Null),
        ("phone_number", Value::Null),
    ];
    for (version, (member, value)) in (2..).zip(members) {
        let changed = api
            .call(Method::PATCH, &path, json!({ (member): value }))
            .await;
        assert_eq!(changed.status, 200, "{member}: {}", changed.text);
        let stored = api.get(&path).await.json();
        assert_eq!(stored, changed.json(), "{member}");
        assert_eq!(
            (&stored[member], &stored["version"]),
            (&value, &json!(version))
        );
    }
}

#[tokio::test]
async fn addresses_that_change_places_refuse_nobody_by_chance() {
    let server = Server::start().await;
    let mut tables = server.tables().await;
    // Who waits for whom is found out by the one that waits first, the API, once, and not before the other waits too.
    let patient = "do $$ begin execute format('alter database %I set deadlock_timeout = %L', current_database(), '3s'); end $$";
    tables.execute(patient).await.unwrap();
    let server = server.replica().await;
    let api = Api::of(&server).await;
    let ada = api.create(json!({ "email": "ada@x.example" })).await;
    let bob = api.create(json!({ "email": "bob@x.example" })).await;
    let mut other = server.tables().await;
    let mut other = other.begin().await.unwrap();
    let rename = "update \"user\" set email = $1, email_folded = $1 where id = $2::uuid";
    let rename = async |email: &str, db: &mut PgConnection| {
        let id = bob["id"].as_str();
        let query = sqlx::query(rename).bind(email).bind(id);
        query.execute(db).await.map(|_| ())
    };
    other
        .execute("set local deadlock_timeout = '1min'")
        .await
        .unwrap();
    rename("free@x.example", &mut other).await.unwrap();

    let path = path(&ada);
    let patch = json!({ "email": "bob@x.example" });
    let changed = api.call(Method::PATCH, &path, patch);
    let swapped = async {
        server.until_somebody_waits().await;
        // Now each waits for the other. The API's change is given up, so the address is still Ada's.
        other.execute("savepoint here").await.unwrap();
        let refused = rename("ada@x.example", &mut other).await.unwrap_err();
        assert_eq!(
            refused.as_database_error().unwrap().constraint(),
            Some("user_email_key")
        );
        other.execute("rollback to here").await.unwrap();
        other.commit().await.unwrap();
    };
    let (changed, ()) = tokio::join!(changed, swapped);
    assert_eq!(changed.status, 200, "{}", changed.text);
    assert_eq!(changed.json()["email"], "bob@x.example");
    eventually(Duration::from_secs(10), "it was a deadlock", async || {
        let found = "select deadlocks > 0 from pg_stat_database where datname = current_database()";
        sqlx::query_scalar(found)
            .fetch_one(&mut tables)
            .await
            .unwrap()
    })
    .await;
}

/// The statuses of all answers, asked for at once, sorted.
async fn statuses(requests: impl Iterator<Item = impl Future<Output = Answer>>) -> Vec<u16> {
    let answers = all(requests).await;
    let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    statuses
}

#[tokio::test]
async fn a_stale_if_match_writes_nothing() {
    // E27
    let server = Server::start().await;
    let api = Api::of(&server).await;
    let user = api.post(USERS, json!({ "username": "ada" })).await.json();
    let path = path(&user);
    api.call(Method::PATCH, &path, json!({ "name": "A" })).await;
    for stale in ["\"1\"", "\"3\"", "W/\"2\"", "\"x\"", "2"] {
        for (method, body) in [
            (Method::PATCH, json!({ "name": "B" })),
            (Method::PUT, json!({ "username": "b" })),
            (Method::PATCH, json!({ "name": "A" })),
            (Method::DELETE, Value::Null),
        ] {
            api.call_with(method, &path, &[("if-match", stale)], body)
                .await
                .problem(412, "precondition-failed");
        }
        let password = json!({ "password": "wordy rivers 77" });
        api.call_with(
            Method::PUT,
            &format!("{path}/password"),
            &[("if-match", stale)],
            password,
        )
        .await
        .problem(412, "precondition-failed");
        api.call_with(
            Method::POST,
            &format!("{path}/require-password-change"),
            &[("if-match", stale)],
            Value::Null,
        )
        .await
        .problem(412, "precondition-failed");
    }
    assert_eq!(api.get(&path).await.json()["version"], 2);
    assert_eq!(
        api.call_with(
            Method::PATCH,
            &path,
            &[("if-match", "*")],
            json!({ "name": "C" })
        )
        .await
        .status,
        200
    );
    assert_eq!(
        api.call_with(
            Method::PATCH,
            &path,
            &[("if-match", "\"9\", \"3\"")],
            json!({ "name": "D" })
        )
        .await
        .status,
        200
    );
}

#[tokio::test]
async fn lists_page_by_cursor_and_miss_nobody() {
    // S-153
    let server = Server::start().await;
    let api = Api::of(&server).await;
    for i in 0..23 {
        let status = if i % 3 == 0 { "disabled" } else { "active" };
        assert_eq!(
            api.post(USERS, json!({ "username": format!("p{i}"), "status": status, "name": format!("N{}", i % 4) }))
                .await
                .status,
            201
        );
        server.clock.advance(time::Duration::milliseconds(3));
    }
    for query in [
        "",
        "status=disabled&",
        "updated_since=2020-01-01T00:00:00Z&",
        "status=active&updated_since=2020-01-01T00:00:00%2B01:00&",
        "sort=-id&",
        "sort=name&",
        "sort=-name&status=active&",
        "sort=updated_at&",
        "sort=-updated_at&status=disabled&",
        "sort=-updated_at&updated_since=2020-01-01T00:00:00Z&",
    ] {
        let whole = api.get(&format!("{USERS}?{query}limit=200")).await.json();
        assert!(whole["next"].is_null());
        let whole: Vec<&Value> = whole["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|u| &u["username"])
            .collect();
        assert!(whole.len() >= 8, "{query}");
        let mut seen = Vec::new();
        let mut next = format!("{USERS}?{query}limit=5");
        loop {
            let page = api.get(&next).await;
            let body = page.json();
            seen.extend(
                body["items"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|u| u["username"].clone()),
            );
            let Some(cursor) = body["next"].as_str() else {
                assert_eq!(page.header("link"), "");
                break;
            };
            // RFC 8288: the link alone is enough to go on.
            let link = page.header("link");
            assert!(
                link.starts_with(&format!("<{}{USERS}?", server.url))
                    && link.ends_with(">; rel=\"next\"")
                    && link.contains(cursor),
                "{link}"
            );
            next = link[1..link.find('>').unwrap()]
                .strip_prefix(&server.url)
                .unwrap()
                .to_owned();
            // Whoever comes meanwhile comes at the end.
            if seen.len() == 5 && query.is_empty() {
                api.post(USERS, json!({ "username": "late" })).await;
            }
        }
        let expected: Vec<Value> = whole
            .iter()
            .copied()
            .cloned()
            .chain(query.is_empty().then(|| json!("late")))
            .collect();
        assert_eq!(seen, expected, "{query}");
    }
}

#[tokio::test]
async fn cursors_are_ours_and_of_their_list_alone() {
    // S-153
    let server = Server::start().await;
    let api = Api::of(&server).await;
    for i in 0..3 {
        api.post(USERS, json!({ "username": format!("p{i}") }))
            .await;
    }
    let cursor = api.get(&format!("{USERS}?limit=1")).await.json()["next"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        api.get(&format!("{USERS}?limit=2&after={cursor}"))
            .await
            .status,
        200,
        "the limit may change"
    );
    let mut tampered = cursor.clone().into_bytes();
    tampered[5] = if tampered[5] == b'A' { b'B' } else { b'A' };
    let tampered = String::from_utf8(tampered).unwrap();
    for query in [
        format!("after={tampered}"),
        "after=".to_owned(),
        "after=eyJpZCI6MX0".to_owned(),
        format!("status=active&after={cursor}"),
        format!("after={cursor}{cursor}"),
    ] {
        let problem = api
            .get(&format!("{USERS}?{query}"))
            .await
            .problem(400, "invalid-query");
        assert_eq!(problem["errors"][0]["parameter"], "after", "{query}");
    }
}

#[tokio::test]
async fn queries_are_refused_by_name() {
    let server = Server::start().await;
    let api = Api::of(&server).await;
    for (query, name) in [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=-1", "limit"),
        ("limit=1e2", "limit"),
        ("limit=%2B5", "limit"),
        ("status=gone", "status"),
        ("updated_since=yesterday", "updated_since"),
        ("sort=age", "sort"),
        ("Limit=1", "Limit"),
    ] {
        let problem = api
            .get(&format!("{USERS}?{query}"))
            .await
            .problem(400, "invalid-query");
        assert_eq!(problem["errors"][0]["parameter"], name, "{query}");
    }
    api.get(&format!("{USERS}?limit=1&limit=2"))
        .await
        .problem(400, "invalid-query");
    api.get(&format!("{USERS}?email=%ff"))
        .await
        .problem(400, "invalid-query");
    assert_eq!(
        api.get(&format!("{USERS}?email=")).await.json()["items"],
        json!([]),
        "an empty filter finds nobody, not everybody"
    );
    for id in [
        "x",
        "00000000-0000-0000-0000-000000000000",
        "%2e%2e",
        "01A20D93-7F03-7EB9-B696-A13790D686C1",
    ] {
        api.get(&format!("{USERS}/{id}"))
            .await
            .problem(404, "not-found");
    }
}

#[tokio::test]
async fn each_change_has_one_event_and_one_audit_row() {
    // S-154
    let server = Server::start().await;
    let api = Api::of(&server).await;
    let user = api
        .post(USERS, json!({ "username": "ada", "name": "Ada" }))
        .await
        .json();
    let path = path(&user);
    let change = api
        .call_with(
            Method::PATCH,
            &path,
            &[("user-agent", "curl/8")],
            json!({ "name": "A", "nickname": "C" }),
        )
        .await;
    api.call(Method::PATCH, &path, json!({ "name": "A" })).await;
    api.call(Method::PATCH, &path, json!({ "email": "not one" }))
        .await;
    api.call(
        Method::PUT,
        &format!("{path}/password"),
        json!({ "password": "wordy rivers 77" }),
    )
    .await;
    server
        .call(
            Method::POST,
            &format!("{path}/require-password-change"),
            &api.token,
            None,
        )
        .await;
    server.call(Method::DELETE, &path, &api.token, None).await;

    let mut tables = server.tables().await;
    // Each was in the outbox; the feed has the newest.
    eventually(Duration::from_secs(5), "it is numbered", async || {
        let change = sqlx::query("select type, version from change where feed_id = 0")
            .fetch_optional(&mut tables)
            .await
            .unwrap();
        change
            .is_some_and(|row| row.get::<&str, _>(0) == "user.deleted" && row.get::<i64, _>(1) == 5)
    })
    .await;

    let rows = sqlx::query("select action, actor_kind, actor_id, coalesce(before, after), sealed, ip, user_agent, request_id from audit where target_kind = 'user' order by id").fetch_all(&mut tables).await.unwrap();
    let actions: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(
        actions,
        [
            "user.created",
            "user.updated",
            "password.set",
            "password.change_required",
            "user.deleted"
        ]
    );
    let (kind, id): (String, String) = (rows[1].get(1), rows[1].get(2));
    assert_eq!((kind.as_str(), id), ("client", server.admin().id));
    // What of it is personal is sealed (its history opens it).
    assert_eq!(rows[1].get::<Option<Value>, _>(3), None);
    assert!(rows[1].get::<Vec<u8>, _>(4).len() > 40);
    assert_eq!(
        (rows[1].get::<String, _>(5), rows[1].get::<String, _>(6)),
        ("127.0.0.1".to_owned(), "curl/8".to_owned())
    );
    assert_eq!(rows[1].get::<String, _>(7), change.header("x-request-id"));
    let changed = sqlx::query("update audit set action = 'x'")
        .execute(&mut tables)
        .await;
    assert!(changed.is_err(), "audit rows are never changed");
}

#[tokio::test]
async fn a_change_that_can_not_be_audited_is_none() {
    // S-154: whatever an admin changes is undone where its audit row can't be written.
    let server = Server::with(|config| {
        config.fetch.allowed_networks = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    let api = Api::with(&server, "users:read users:write clients:read clients:write").await;
    let ada = api.post(USERS, json!({ "username": "ada" })).await.json();
    let client = server.client().grant("client_credentials");
    let client = client.scope("users:read").register().await;
    let mut tables = server.tables().await;
    sqlx::query("alter table audit add constraint no_more check (false) not valid")
        .execute(&mut tables)
        .await
        .unwrap();
    eventually(Duration::from_secs(10), "ada is in the feed", async || {
        each_table(&server).await["event"].is_empty()
    })
    .await;
    let before = each_table(&server).await;
    let id = client.id.as_str();
    let new = json!({ "client_name": "x", "grant_types": ["client_credentials"], "scope": "a" });
    let hook = json!({ "url": "http://127.0.0.1:1/" });
    let view = json!({ "client_id": id, "fields": { "mail": "email" } });
    let password = json!({ "password": "wordy rivers 77" });
    let person = path(&ada);
    for (method, at, body) in [
        (Method::POST, USERS.to_owned(), json!({ "username": "bob" })),
        (Method::PATCH, person.clone(), json!({ "name": "Ada" })),
        (Method::PATCH, person.clone(), json!({ "nickname": "Ada" })),
        (Method::PUT, person.clone(), json!({ "username": "eve" })),
        (Method::PUT, format!("{person}/password"), password),
        (
            Method::POST,
            format!("{person}/require-password-change"),
            Value::Null,
        ),
        (Method::DELETE, person.clone(), Value::Null),
        (
            Method::PUT,
            format!("{USERS}/schema"),
            json!({ "type": "object" }),
        ),
        (Method::POST, "/api/v1/clients".to_owned(), new),
        (
            Method::PATCH,
            format!("/api/v1/clients/{id}"),
            json!({ "client_name": "y" }),
        ),
        (
            Method::POST,
            format!("/api/v1/clients/{id}/secrets"),
            json!({ "others_end_in": 60 }),
        ),
        (Method::DELETE, format!("/api/v1/clients/{id}"), Value::Null),
        (Method::PUT, "/api/v1/consumers/billing".to_owned(), view),
        (Method::POST, "/api/v1/webhooks".to_owned(), hook),
    ] {
        let body = (!body.is_null()).then_some(body);
        let answer = server.call(method.clone(), &at, &api.token, body).await;
        assert_eq!(answer.status, 500, "{method} {at}: {}", answer.text);
    }
    let mut after = each_table(&server).await;
    for (table, rows) in &before {
        // What is written without anybody's asking: what was outdated, and when a secret was last used.
        if !["invalidation", "client_secret"].contains(&table.as_str()) {
            assert_eq!(after.remove(table).as_ref(), Some(rows), "{table}");
        }
    }
}

#[tokio::test]
async fn only_full_rights_touch_admins() {
    // S-149
    let server = Server::start().await;
    let all = Api::of(&server).await;
    let some = Api::with(&server, "users:read users:write").await;
    some.post(USERS, json!({ "username": "me", "admin": true }))
        .await
        .problem(403, "forbidden");
    let admin = all
        .post(USERS, json!({ "username": "root", "email": "root@x.example", "phone_number": "+4930123456", "external_ids": { "hr": "1" }, "admin": true }))
        .await
        .json();
    let user = all.post(USERS, json!({ "username": "ada" })).await.json();
    some.call(Method::PATCH, &path(&user), json!({ "admin": true }))
        .await
        .problem(403, "forbidden");
    for change in [
        json!({ "admin": false }),
        json!({ "email": "mine@x.example" }),
        json!({ "username": "mine" }),
        json!({ "status": "disabled" }),
        json!({ "email_verified": true }),
        json!({ "phone_number": "+4930654321" }),
        json!({ "phone_number_verified": true }),
        json!({ "external_ids": { "hr": "2" } }),
        json!({ "external_ids": { "crm": "1" } }),
        json!({ "external_ids": null }),
    ] {
        some.call(Method::PATCH, &path(&admin), change)
            .await
            .problem(403, "forbidden");
    }
    some.call(Method::PUT, &path(&admin), json!({ "username": "root" }))
        .await
        .problem(403, "forbidden");
    server
        .call(Method::DELETE, &path(&admin), &some.token, None)
        .await
        .problem(403, "forbidden");
    some.call(
        Method::PUT,
        &format!("{}/password", path(&admin)),
        json!({ "password": "wordy rivers 77" }),
    )
    .await
    .problem(403, "forbidden");
    server
        .call(
            Method::POST,
            &format!("{}/require-password-change", path(&admin)),
            &some.token,
            None,
        )
        .await
        .problem(403, "forbidden");
    assert_eq!(
        some.call(Method::PATCH, &path(&admin), json!({ "nickname": "Boss" }))
            .await
            .status,
        200,
        "what opens no door may change"
    );
    assert_eq!(
        all.call(Method::PATCH, &path(&admin), json!({ "admin": false }))
            .await
            .status,
        200
    );
    assert_eq!(
        some.call(
            Method::PATCH,
            &path(&admin),
            json!({ "status": "disabled" })
        )
        .await
        .status,
        200,
        "now they are nobody special"
    );
}

#[tokio::test]
async fn secrets_are_write_only() {
    // S-150, S-165
    let server = Server::start().await;
    let api = Api::of(&server).await;
    let user = server
        .user_with_password(json!({ "username": "ada" }), "canary rivers 4711")
        .await;
    for answer in [api.get(&path(&user)).await, api.get(USERS).await] {
        assert!(
            !answer.text.contains("argon2")
                && !answer.text.contains("hash")
                && !answer.text.contains("canary"),
            "{}",
            answer.text
        );
    }
    let mut tables = server.tables().await;
    let rows = sqlx::query("select to_jsonb(audit)::text from audit")
        .fetch_all(&mut tables)
        .await
        .unwrap();
    assert!(
        rows.iter()
            .all(|row| !row.get::<String, _>(0).contains("argon2")
                && !row.get::<String, _>(0).contains("canary"))
    );
}

#[tokio::test]
async fn passwords_follow_the_policy() {
    // S-98, S-99
    let server = Server::start().await;
    let api = Api::of(&server).await;
    let user = api
        .post(
            USERS,
            json!({ "username": "ada", "email": "ada.lovelace@example.com" }),
        )
        .await
        .json();
    let password = format!("{}/password", path(&user));
    for (bad, told) in [
        ("short", "at least 15"),
        ("correct horse battery staple", "tried first"),
        ("ada.lovelace@example.com", "too close"),
        (&"x1".repeat(513), "at most 1,024"),
    ] {
        let problem = api
            .call(Method::PUT, &password, json!({ "password": bad }))
            .await
            .problem(422, "invalid");
        assert_eq!(problem["errors"][0]["pointer"], "/password");
        assert!(
            problem["errors"][0]["detail"]
                .as_str()
                .unwrap()
                .contains(told),
            "{problem}"
        );
    }
    for bad in [
        json!({}),
        json!({ "password": 1 }),
        json!({ "password": "wordy rivers 77", "x": 1 }),
        json!({ "password": "wordy rivers 77", "change_required": "no" }),
    ] {
        api.call(Method::PUT, &password, bad)
            .await
            .problem(422, "invalid");
    }
    let set = api
        .call(
            Method::PUT,
            &password,
            json!({ "password": "wordy rivers 77", "change_required": true }),
        )
        .await;
    assert_eq!((set.status, set.header("etag")), (204, "\"2\""));
    assert_eq!(
        api.get(&path(&user)).await.json()["password_change_required"],
        true
    );
}

#[tokio::test]
async fn a_database_that_is_away_is_503_and_jwks_are_still_served() {
    let (server, proxy) = Server::through_proxy().await;
    let token = server.admin_token().await;
    proxy.cut();
    let answer = server.call(Method::GET, USERS, &token, None).await;
    answer.problem(503, "unavailable");
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(server.get("/.well-known/jwks.json").await.status, 200);
    assert_eq!(
        server.get("/.well-known/openid-configuration").await.status,
        200
    );
    proxy.mend();
    crate::support::eventually(
        std::time::Duration::from_secs(2),
        "people again",
        async || server.call(Method::GET, USERS, &token, None).await.status == 200,
    )
    .await;
}

#[tokio::test]
async fn the_documentation_knows_every_problem() {
    let docs = include_str!("../../docs/errors.md");
    let anchors: Vec<&str> = docs
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .collect();
    for kind in doorward::ProblemKind::ALL {
        let (anchor, _, status) = kind.facts();
        assert!(anchors.contains(&anchor), "{anchor} is not documented");
        let section = docs.split(&format!("### {anchor}\n\n")).nth(1).unwrap();
        assert!(
            section.starts_with(&status.as_str().to_owned())
                || section.starts_with("405")
                || section.starts_with("`Allow`")
                || section.contains(status.as_str()),
            "{anchor}"
        );
    }
    assert_eq!(anchors.len(), doorward::ProblemKind::ALL.len());
    let served = Server::start().await.get("/docs/errors").await;
    assert_eq!(
        (served.status, served.header("content-type")),
        (200, "text/markdown; charset=utf-8")
    );
    assert_eq!(served.text, docs);
}
