//! Finding people: lists, filters, sorts, search, ids in other systems.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::api::{Api, USERS, path};
use crate::support::{Server, all, eventually};

#[tokio::test]
async fn ids_in_other_systems_are_unique_and_found() {
    // S-158: the constraint decides, also between racing writers.
    let server = Server::start().await;
    let api = Api::of(&server).await;
    let ids = json!({ "billing": "cus_81", "crm": "a:b" });
    let ada = api.create(json!({ "external_ids": ids })).await;
    assert_eq!(
        ada["external_ids"], ids,
        "an id alone is enough of a person"
    );
    api.create(json!({ "username": "bob", "external_ids": { "crm": "cus_81" } }))
        .await;
    for query in [
        "external_id=billing:cus_81",
        "external_id=crm:a:b&status=active&sort=-name",
    ] {
        let found = api.list(query).await.json();
        assert_eq!(found["items"], json!([ada]), "{query}");
    }
    for query in ["external_id=billing:CUS_81", "external_id=support:cus_81"] {
        assert_eq!(api.list(query).await.json()["items"], json!([]), "{query}");
    }
    for query in [
        "external_id=cus_81",
        "external_id=Billing:x",
        "external_id=billing:",
    ] {
        let problem = api.list(query).await.problem(400, "invalid-query");
        assert_eq!(problem["errors"][0]["parameter"], "external_id", "{query}");
    }
    let taken = json!({ "username": "eve", "external_ids": { "billing": "cus_81" } });
    let problem = api
        .call(Method::POST, USERS, taken)
        .await
        .problem(409, "conflict");
    assert_eq!(problem["errors"][0]["pointer"], "/external_ids");

    // A merge patch changes one system's; what was freed is free.
    let change = json!({ "external_ids": { "billing": "cus_82", "crm": null } });
    let changed = api.call(Method::PATCH, &path(&ada), change).await.json();
    assert_eq!(changed["external_ids"], json!({ "billing": "cus_82" }));
    let racing = (0..4).map(|n| {
        let body = json!({ "username": format!("r{n}"), "external_ids": { "billing": "cus_81" } });
        api.call(Method::POST, USERS, body)
    });
    let answers = all(racing).await;
    let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409, 409]);

    for (wrong, pointer) in [
        (
            json!({ "external_ids": { "billing": 7 } }),
            "/external_ids/billing",
        ),
        (
            json!({ "external_ids": { "Billing": "x" } }),
            "/external_ids/Billing",
        ),
        (
            json!({ "external_ids": { "billing": "" } }),
            "/external_ids/billing",
        ),
        (
            json!({ "external_ids": { "billing": "a\u{0}" } }),
            "/external_ids/billing",
        ),
        (json!({ "external_ids": [] }), "/external_ids"),
    ] {
        let mut body = json!({ "username": "x" });
        body["external_ids"] = wrong["external_ids"].clone();
        let problem = api
            .call(Method::POST, USERS, body)
            .await
            .problem(422, "invalid");
        assert_eq!(problem["errors"][0]["pointer"], pointer);
    }
    let many: Value = (0..17).map(|n| (format!("s{n}"), json!("x"))).collect();
    let body = json!({ "username": "x", "external_ids": many });
    api.call(Method::POST, USERS, body)
        .await
        .problem(422, "invalid");
    let nobody = json!({ "external_ids": {} });
    api.call(Method::POST, USERS, nobody)
        .await
        .problem(422, "invalid");

    // Deleting frees nothing.
    api.call(Method::DELETE, &path(&ada), Value::Null).await;
    let taken = json!({ "username": "eve", "external_ids": { "billing": "cus_82" } });
    api.call(Method::POST, USERS, taken)
        .await
        .problem(409, "conflict");
    assert_eq!(
        api.list("external_id=billing:cus_82").await.json()["items"],
        json!([])
    );
}

#[tokio::test]
async fn people_are_found_by_parts_of_words() {
    let server = Server::start().await;
    let api = Api::of(&server).await;
    for (username, name, email) in [
        ("ada", "Ada Lovelace", "ada@analytical.example"),
        ("lace", "Grace O'Placebo", "grace@navy.example"),
        ("strasse", "Jörg Straße", "joerg@x.example"),
        ("banana", "Anana Bananarama", "b@ananas.example"),
    ] {
        api.create(json!({ "username": username, "name": name, "email": email }))
            .await;
    }
    let expect = async |q: &str, names: &[&str]| {
        assert_eq!(api.found(&format!("q={q}")).await, names, "{q}");
    };
    expect("lace", &["ada", "lace"]).await;
    expect("LOVE", &["ada"]).await;
    expect("example", &["ada", "banana", "lace", "strasse"]).await;
    expect("STRASSE", &["strasse"]).await;
    expect("j%C3%B6r", &["strasse"]).await;
    // Nobody shows twice, however many of their words it is in.
    expect("ana", &["ada", "banana"]).await;
    // All words must be there; shorter ones too, and signs between them are signs between words.
    expect("ada+lace", &["ada"]).await;
    expect("grace@na", &["lace"]).await;
    expect("o%27placebo", &["lace"]).await;
    expect("lace+ba", &[]).await;
    expect("exa%25ple%5F", &["ada", "banana", "lace", "strasse"]).await;
    expect("nobody", &[]).await;
    // Changes are found at once, and what was before is not.
    let ada = api.list("username=ada").await.json()["items"][0].clone();
    api.call(Method::PATCH, &path(&ada), json!({ "name": "Countess" }))
        .await;
    expect("lovelace", &[]).await;
    expect("countess", &["ada"]).await;
    expect("lace", &["lace"]).await;
    api.call(Method::PATCH, &path(&ada), json!({ "status": "disabled" }))
        .await;
    assert_eq!(api.found("q=example&status=disabled").await, ["ada"]);
    assert_eq!(
        api.found("q=example&status=active").await,
        ["banana", "lace", "strasse"]
    );
    api.call(Method::DELETE, &path(&ada), Value::Null).await;
    expect("countess", &[]).await;
    let left: i64 = sqlx::query_scalar(
        "select count(*) from user_word join \"user\" on id = user_id where deleted_at is not null",
    )
    .fetch_one(&mut server.tables().await)
    .await
    .unwrap();
    assert_eq!(left, 0);
    for bad in ["q=", "q=ab", "q=a+b+c", "q=%25%25%25"] {
        let problem = api.list(bad).await.problem(400, "invalid-query");
        assert_eq!(problem["errors"][0]["parameter"], "q", "{bad}");
    }
}

#[tokio::test]
async fn what_no_index_serves_is_refused_by_name() {
    let server = Server::start().await;
    let api = Api::of(&server).await;
    for (query, named) in [
        ("q=ada&sort=name", vec!["q", "sort"]),
        ("q=ada&email=a@b", vec!["email", "q"]),
        (
            "q=ada&updated_since=2026-01-01T00:00:00Z",
            vec!["q", "updated_since"],
        ),
        (
            "updated_since=2026-01-01T00:00:00Z&sort=name",
            vec!["updated_since", "sort"],
        ),
        (
            "updated_since=2026-01-01T00:00:00Z&sort=id&status=active",
            vec!["updated_since", "sort"],
        ),
    ] {
        let problem = api.list(query).await.problem(400, "invalid-query");
        let errors = problem["errors"].as_array().unwrap();
        let parameters: Vec<&str> = errors
            .iter()
            .map(|e| e["parameter"].as_str().unwrap())
            .collect();
        assert_eq!(parameters, named, "{query}");
    }
    let problem = api.list("sort=email").await.problem(400, "invalid-query");
    assert_eq!(problem["errors"][0]["parameter"], "sort");
}

#[tokio::test]
async fn sorts_are_kept_over_pages() {
    let server = Server::start().await;
    let api = Api::of(&server).await;
    for (username, name) in [
        ("1", "bob"),
        ("2", "Ada"),
        ("3", "Ädä"),
        ("4", "bob"),
        ("5", "ada"),
    ] {
        api.create(json!({ "username": username, "name": name }))
            .await;
        server.clock.advance(time::Duration::seconds(1));
    }
    api.create(json!({ "username": "6" })).await;
    server.clock.advance(time::Duration::seconds(1));
    let first = api.list("username=1").await.json()["items"][0].clone();
    api.call(
        Method::PATCH,
        &path(&first),
        json!({ "status": "disabled" }),
    )
    .await;
    for (sort, order) in [
        ("id", ["1", "2", "3", "4", "5", "6"]),
        ("-id", ["6", "5", "4", "3", "2", "1"]),
        ("updated_at", ["2", "3", "4", "5", "6", "1"]),
        ("-updated_at", ["1", "6", "5", "4", "3", "2"]),
        ("name", ["6", "2", "5", "1", "4", "3"]),
        ("-name", ["3", "4", "1", "5", "2", "6"]),
    ] {
        for limit in [1, 2, 10] {
            assert_eq!(
                api.names(&format!("sort={sort}"), limit).await,
                order,
                "{sort}"
            );
        }
        let active: Vec<_> = order.iter().filter(|u| **u != "1").collect();
        let names = api.names(&format!("sort={sort}&status=active"), 2).await;
        assert_eq!(names.iter().collect::<Vec<_>>(), active, "{sort}");
    }
}

#[tokio::test]
async fn people_from_before_searches_are_found_once_they_are_indexed() {
    let server = Server::start().await;
    let api = Api::of(&server).await;
    for n in 0..5 {
        api.create(json!({ "username": format!("older{n}"), "name": "Older" }))
            .await;
    }
    let gone = api.create(json!({ "username": "gone" })).await;
    api.call(Method::DELETE, &path(&gone), Value::Null).await;
    // As a release without searches left them.
    let mut db = server.tables().await;
    sqlx::query("update \"user\" set name_folded = null")
        .execute(&mut db)
        .await
        .unwrap();
    sqlx::query("delete from user_word")
        .execute(&mut db)
        .await
        .unwrap();
    // A change meanwhile does not make somebody look indexed who is not.
    let older = api.list("username=older0").await.json()["items"][0].clone();
    api.call(Method::PATCH, &path(&older), json!({ "name": "Newer" }))
        .await;
    // A replica that starts now refuses rather than leaves people out, until it has come to all of them.
    let replica = server.replica().await;
    let answered = Api {
        server: &replica,
        token: api.token.clone(),
    };
    let mut found = Vec::new();
    eventually(
        std::time::Duration::from_secs(20),
        "people are indexed",
        async || {
            let answer = answered.list("q=older").await;
            if answer.status == 503 {
                return false;
            }
            found = answered.names("q=older", 3).await;
            true
        },
    )
    .await;
    found.sort();
    assert_eq!(found, ["older0", "older1", "older2", "older3", "older4"]);
    assert_eq!(answered.found("q=newer").await, ["older0"]);
    assert_eq!(answered.found("q=gone").await, [""; 0]);
    assert_eq!(answered.names("sort=name", 2).await.len(), 5);
}

#[tokio::test]
async fn attributes_are_as_declared() {
    // S-155, S-178
    let server = Server::start().await;
    let api = Api::of(&server).await;
    let at = format!("{USERS}/schema");
    api.call(Method::GET, &at, Value::Null)
        .await
        .problem(404, "not-found");
    let plan = json!({ "username": "a", "attributes": { "plan": "paid" } });
    let problem = api
        .call(Method::POST, USERS, plan.clone())
        .await
        .problem(422, "invalid");
    assert_eq!(
        problem["errors"][0]["pointer"], "/attributes",
        "nothing is declared yet"
    );

    let schema = json!({ "type": "object", "additionalProperties": false, "properties": {
        "plan": { "type": "string", "enum": ["free", "paid"], "x-filter": true },
        "seats": { "type": "integer", "x-filter": true },
        "notes": { "type": "array", "items": { "type": "string", "pattern": "^[a-z]+$" } },
    } });
    let lesser = Api {
        server: &server,
        token: server.token("users:write").await,
    };
    lesser
        .call(Method::PUT, &at, schema.clone())
        .await
        .problem(403, "forbidden");
    let bad =
        json!({ "type": "object", "properties": { "x": { "$ref": "https://evil.example/" } } });
    let problem = api
        .call(Method::PUT, &at, bad)
        .await
        .problem(422, "invalid");
    assert_eq!(problem["errors"][0]["pointer"], "/properties/x/$ref");
    let declared = api.call(Method::PUT, &at, schema.clone()).await;
    assert_eq!(
        (declared.status, declared.header("etag")),
        (200, "\"1\""),
        "{}",
        declared.text
    );
    let read = api.call(Method::GET, &at, Value::Null).await;
    assert_eq!(
        (&read.json()["schema"], &read.json()["version"]),
        (&schema, &json!(1))
    );

    let ada = api.create(plan).await;
    for n in 0..5 {
        let status = if n % 2 == 0 { "active" } else { "disabled" };
        let attributes = json!({ "plan": "free", "seats": n % 2 });
        api.create(
            json!({ "username": format!("p{n}"), "status": status, "attributes": attributes }),
        )
        .await;
    }
    for (attributes, pointer) in [
        (json!({ "plan": "gold" }), "/attributes/plan"),
        (json!({ "seats": 1.5 }), "/attributes/seats"),
        (json!({ "notes": ["a", "B"] }), "/attributes/notes/1"),
        (json!({ "notes": ["a\u{0}"] }), "/attributes"),
        (json!({ "other": 1 }), "/attributes"),
        (json!("x"), "/attributes"),
    ] {
        let body = json!({ "username": "x", "attributes": attributes });
        let problem = api
            .call(Method::POST, USERS, body)
            .await
            .problem(422, "invalid");
        assert_eq!(problem["errors"][0]["pointer"], pointer);
        assert!(
            !problem.to_string().contains("gold"),
            "no value is repeated"
        );
    }
    assert_eq!(
        api.names("attributes.plan=free", 2).await,
        ["p0", "p1", "p2", "p3", "p4"]
    );
    assert_eq!(
        api.names("attributes.plan=free&sort=-id", 2).await,
        ["p4", "p3", "p2", "p1", "p0"]
    );
    assert_eq!(
        api.names("attributes.seats=1.0&status=disabled", 1).await,
        ["p1", "p3"]
    );
    for (query, named) in [
        ("attributes.notes=a", "attributes.notes"),
        ("attributes.nothing=a", "attributes.nothing"),
        ("attributes.seats=many", "attributes.seats"),
        (
            "attributes.plan=free&attributes.seats=1",
            "attributes.seats",
        ),
        ("attributes.plan=free&sort=name", "attributes"),
    ] {
        let problem = api.list(query).await.problem(400, "invalid-query");
        assert_eq!(problem["errors"][0]["parameter"], named, "{query}");
    }
    // Changed, taken away, hidden: found as they are.
    let change = json!({ "attributes": { "plan": "free", "seats": 7 } });
    let changed = api.call(Method::PATCH, &path(&ada), change).await.json();
    assert_eq!(changed["attributes"], json!({ "plan": "free", "seats": 7 }));
    assert_eq!(api.names("attributes.plan=paid", 2).await, [""; 0]);
    assert_eq!(api.names("attributes.seats=7", 2).await, ["a"]);

    // A new version leaves who is there as they are, until their attributes are changed.
    let stale = [("if-match", "\"7\"")];
    api.call_with(Method::PUT, &at, &stale, schema.clone())
        .await
        .problem(412, "precondition-failed");
    let narrower = json!({ "type": "object", "properties": { "seats": { "maximum": 5 } } });
    let current = [("if-match", "\"1\"")];
    assert_eq!(
        api.call_with(Method::PUT, &at, &current, narrower)
            .await
            .header("etag"),
        "\"2\""
    );
    let name = json!({ "name": "Ada" });
    assert_eq!(api.call(Method::PATCH, &path(&ada), name).await.status, 200);
    let seats = json!({ "attributes": { "plan": "x" } });
    let problem = api
        .call(Method::PATCH, &path(&ada), seats)
        .await
        .problem(422, "invalid");
    assert_eq!(problem["errors"][0]["pointer"], "/attributes/seats");
    api.list("attributes.seats=7")
        .await
        .problem(400, "invalid-query");
    api.call(Method::DELETE, &path(&ada), Value::Null).await;
    let left: i64 = sqlx::query_scalar("select count(*) from user_attribute where value = '7'")
        .fetch_one(&mut server.tables().await)
        .await
        .unwrap();
    assert_eq!(left, 0);
}
