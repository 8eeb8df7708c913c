//! `/api/v1/changes`: the feed's order, its beginning, waiting, and its shape.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection, Executor};

use crate::support::cluster::CLUSTER;
use crate::support::proxy::Proxy;
use crate::support::webhook_sink::Sink;
use crate::support::{Answer, Copy, Server, all, eventually};

const CHANGES: &str = "/api/v1/changes";
const SOON: Duration = Duration::from_secs(10);
/// For what comes after the longest that a standing job waits for an answer.
const LATER: Duration = Duration::from_secs(40);

fn path(user: &Value) -> String {
    format!("/api/v1/users/{}", user["id"].as_str().unwrap())
}

async fn patch(server: &Server, token: &str, user: &Value, body: Value) -> Value {
    let answer = server
        .call(Method::PATCH, &path(user), token, Some(body))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}

#[tokio::test]
async fn a_copy_kept_by_the_feed_is_the_directory() {
    let server = Server::start().await;
    let token = server.admin_token().await;
    let ada = server
        .user(json!({ "username": "ada", "name": "Ada", "address": { "country": "UK" } }))
        .await;
    let bob = server.user(json!({ "email": "bob@example.com" })).await;
    let mut copy = Copy::of(&server).await;
    eventually(SOON, "both are there", async || {
        copy.catch_up("limit=1").await;
        copy.people.len() == 2
    })
    .await;
    assert_eq!(copy.people[ada["id"].as_str().unwrap()], ada);

    let ada = patch(&server, &token, &ada, json!({ "name": "Ada L." })).await;
    server.call(Method::DELETE, &path(&bob), &token, None).await;
    let mut seen = Vec::new();
    eventually(SOON, "both changes", async || {
        seen.extend(copy.page("limit=1000").await);
        copy.people.len() == 1 && copy.people.values().next() == Some(&ada)
    })
    .await;
    let gone = seen.iter().find(|c| c["type"] == "user.deleted").unwrap();
    assert_eq!(
        (&gone["user"], &gone["version"], &gone["user_id"]),
        (&Value::Null, &json!(2), &bob["id"])
    );
    assert!(seen.is_sorted_by_key(|change| change["position"].as_i64()));
    assert!(
        seen.iter()
            .all(|c| c["occurred_at"].as_str().unwrap().ends_with('Z'))
    );

    // From the beginning each person is met once, at their newest.
    let mut late = Copy::of(&server).await;
    late.catch_up("").await;
    assert_eq!((late.people, late.read), (copy.people, 2));
}

/// Racing writers who change, delete and restore in an order of their own, transactions that are held up, two replicas that number, and
/// readers who read all the while.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_is_met_older_after_newer_and_nobody_is_missed() {
    let server = Server::start().await;
    let other = server.replica().await;
    let token = server.admin_token().await;
    let mut people = Vec::new();
    for n in 0..6 {
        people.push(server.user(json!({ "username": format!("u{n}") })).await);
    }
    let written = AtomicI64::new(0);
    let writers = (0..8).map(|writer: usize| {
        let (server, token, people, written) = (
            if writer.is_multiple_of(2) {
                &server
            } else {
                &other
            },
            &token,
            &people,
            &written,
        );
        async move {
            let mut chance = writer as u64 + 1;
            for round in 0..30 {
                chance = chance
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                let pick = usize::try_from(chance >> 33).unwrap();
                let at = path(&people[pick % people.len()]);
                let name = Some(json!({ "nickname": format!("{writer}-{round}") }));
                let (method, at, body) = match pick / 6 % 8 {
                    0 => (Method::DELETE, at, None),
                    1 | 2 => (Method::POST, format!("{at}/restore"), None),
                    _ => (Method::PATCH, at, name),
                };
                // 404: another was quicker to delete or to restore.
                let answer = server.call(method, &at, token, body).await;
                assert!([200, 204, 404].contains(&answer.status), "{}", answer.text);
                written.fetch_add(i64::from(answer.status < 300), Ordering::SeqCst);
            }
        }
    });
    // Rows are held for a while at random, so that transactions commit in another order than they began in.
    let holder = async {
        let mut connection = server.tables().await;
        for round in 0..40 {
            let user = &people[round * 5 % people.len()];
            let mut held = connection.begin().await.unwrap();
            sqlx::query(r#"select from "user" where id = $1::uuid for update"#)
                .bind(user["id"].as_str().unwrap())
                .execute(&mut *held)
                .await
                .unwrap();
            held.execute("select pg_sleep(random() * 0.03)")
                .await
                .unwrap();
            held.rollback().await.unwrap();
        }
    };
    let mut copy = Copy::of(&server).await;
    let mut slow = Copy::of(&other).await;
    let mut left = Vec::new();
    {
        let writing = async {
            tokio::join!(all(writers), holder);
        };
        let reading = async {
            loop {
                copy.page("limit=2&wait=1").await;
                slow.page("limit=1").await;
                // Some stop reading, and go on from there when all is over.
                if left.len() < 40 {
                    left.push(copy.clone());
                }
            }
        };
        tokio::select! { () = writing => {}, () = reading => {} }
    }
    assert!(left.len() > 10, "{}", left.len());
    for copy in [&mut copy, &mut slow].into_iter().chain(&mut left) {
        eventually(SOON, "the copy is the directory", async || {
            copy.catch_up("limit=3").await;
            let list = server
                .call(Method::GET, "/api/v1/users", &token, None)
                .await
                .json();
            let directory = list["items"].as_array().unwrap();
            directory.len() == copy.people.len()
                && directory
                    .iter()
                    .all(|user| copy.people.get(user["id"].as_str().unwrap()) == Some(user))
        })
        .await;
        assert!(
            copy.versions.values().sum::<i64>() == 6 + written.load(Ordering::SeqCst),
            "each at its newest"
        );
    }
}

#[tokio::test]
async fn a_reader_waits_for_news_without_a_connection() {
    let server = Server::with(|config| config.database.max_connections = 2).await;
    let token = server.admin_token().await;
    let ada = server.user(json!({ "username": "ada" })).await;
    let mut copy = Copy::of(&server).await;
    eventually(SOON, "she is there", async || {
        !copy.page("").await.is_empty()
    })
    .await;
    copy.catch_up("").await;
    // More readers wait than there are connections.
    let mut waiting: Vec<Copy> = Vec::new();
    for _ in 0..6 {
        let mut other = Copy::of(&server).await;
        other.next.clone_from(&copy.next);
        waiting.push(other);
    }
    let wait = waiting.iter_mut().map(|reader| async {
        let changes = reader.page("wait=20").await;
        assert_eq!(changes[0]["user"]["name"], "Ada");
    });
    let change = async {
        // They are all waiting by then, or come after: either way they get it.
        patch(&server, &token, &ada, json!({ "name": "Ada" })).await;
    };
    tokio::time::timeout(SOON, async { tokio::join!(all(wait), change) })
        .await
        .expect("they are told at once");
    // Nothing comes: an empty page, and where to go on.
    copy.catch_up("").await;
    assert!(copy.page("wait=1").await.is_empty());
}

#[tokio::test]
async fn the_feed_is_a_stream_of_events_too() {
    let server = Server::start().await;
    let token = server.token("users:read").await;
    let admin = server.admin_token().await;
    let open = async |last: Option<String>| {
        let request = server
            .request(Method::GET, CHANGES)
            .bearer_auth(&token)
            .header("accept", "text/event-stream");
        let request = match last {
            Some(id) => request.header("last-event-id", id),
            None => request,
        };
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-store");
        response
    };
    let until = async |response: &mut reqwest::Response, end: &str| {
        let mut text = String::new();
        while !text.contains(end) {
            let chunk = tokio::time::timeout(SOON, response.chunk()).await.unwrap();
            text.push_str(std::str::from_utf8(&chunk.unwrap().unwrap()).unwrap());
        }
        text
    };
    let mut stream = open(None).await;
    let ada = server.user(json!({ "username": "ada" })).await;
    let text = until(&mut stream, "ada").await;
    let line = |text: &str, name: &str| {
        let found = text
            .lines()
            .filter_map(|l| l.strip_prefix(name))
            .next_back();
        found.unwrap_or_else(|| panic!("{text}")).to_owned()
    };
    assert_eq!(line(&text, "event: "), "user.created");
    let change: Value = serde_json::from_str(&line(&text, "data: ")).unwrap();
    assert_eq!(change["user"], ada);
    drop(stream);
    // It goes on after what was seen.
    let mut stream = open(Some(line(&text, "id: "))).await;
    patch(&server, &admin, &ada, json!({ "name": "Ada" })).await;
    let text = until(&mut stream, "user.updated").await;
    assert!(!text.contains("user.created"), "{text}");
    // A stop of the server ends it.
    server.stop().await;
    while let Ok(Some(_)) = stream.chunk().await {}
}

#[tokio::test]
async fn what_is_asked_of_the_feed_is_bounded_and_ours() {
    // S-153
    let server = Server::start().await;
    let token = server.token("users:read").await;
    let ask = async |query: &str| {
        server
            .call(Method::GET, &format!("{CHANGES}?{query}"), &token, None)
            .await
    };
    for (query, parameter) in [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=+5", "limit"),
        ("wait=31", "wait"),
        ("wait=x", "wait"),
        ("after=x", "after"),
        ("after=", "after"),
        ("sort=name", "sort"),
    ] {
        let problem = ask(query).await.problem(400, "invalid-query");
        assert_eq!(problem["errors"][0]["parameter"], parameter, "{query}");
    }
    let made = server.user(json!({ "username": "ada" })).await;
    server.user(json!({ "username": "bob" })).await;
    let list = server
        .call(Method::GET, "/api/v1/users?limit=1", &token, None)
        .await
        .json();
    ask(&format!("after={}", list["next"].as_str().unwrap()))
        .await
        .problem(400, "invalid-query");
    let page = ask("").await;
    assert_eq!(page.header("cache-control"), "no-store");
    let next = page.json()["next"].as_str().unwrap().to_owned();
    assert_eq!(ask(&format!("after={next}&limit=1000")).await.status, 200);
    let mut forged = next.into_bytes();
    forged[0] = if forged[0] == b'A' { b'B' } else { b'A' };
    ask(&format!("after={}", String::from_utf8(forged).unwrap()))
        .await
        .problem(400, "invalid-query");
    let answer = Answer::of(
        server
            .request(Method::GET, CHANGES)
            .bearer_auth(&token)
            .header("last-event-id", "x"),
    )
    .await;
    answer.problem(400, "invalid-query");
    assert_eq!(made["version"], 1);
}

/// A database that was restored, or failed over without its last changes, gives places out anew: whoever has read past them is told so.
#[tokio::test]
async fn a_cursor_of_a_future_that_was_lost_is_refused() {
    let (before, restored) = (Server::start().await, Server::start().await);
    for n in 0..3 {
        before.user(json!({ "username": format!("u{n}") })).await;
    }
    restored.user(json!({ "username": "u0" })).await;
    let mut copies = Vec::new();
    for (server, people) in [(&before, 3), (&restored, 1)] {
        let mut copy = Copy::of(server).await;
        eventually(SOON, "they have their places", async || {
            copy.page("").await;
            copy.people.len() == people
        })
        .await;
        copy.catch_up("").await;
        copies.push(copy);
    }
    let token = restored.token("users:read").await;
    let ask = async |next: &str, query: &str, accept: &str| {
        let path = format!("{CHANGES}?after={next}{query}");
        let request = restored.request(Method::GET, &path).bearer_auth(&token);
        Answer::of(request.header("accept", accept)).await
    };
    let past = copies[0].next.clone().unwrap();
    for (query, accept) in [
        ("", "application/json"),
        ("&wait=20", "application/json"),
        ("", "text/event-stream"),
    ] {
        let problem = ask(&past, query, accept)
            .await
            .problem(400, "invalid-query");
        assert_eq!(
            problem["errors"][0]["parameter"], "after",
            "{query} {accept}"
        );
    }
    let present = copies[1].next.clone().unwrap();
    let page = ask(&present, "", "application/json").await;
    assert_eq!((page.status, &page.json()["items"]), (200, &json!([])));
}

/// Whoever holds an old snapshot (`pg_dump`) keeps what was numbered in the way: a look that began before it would take longer and longer.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_old_snapshot_makes_no_look_longer() {
    let server = Server::start().await;
    let mut dump = server.tables().await;
    let mut dump = dump.begin().await.unwrap();
    sqlx::query("set transaction isolation level repeatable read")
        .execute(&mut *dump)
        .await
        .unwrap();
    sqlx::query("select count(*) from event, feed_head")
        .execute(&mut *dump)
        .await
        .unwrap();
    let token = server.admin_token().await;
    let people = 600;
    let names: Vec<String> = (0..people).map(|n| format!("u{n}")).collect();
    server.crowd(&names).await;
    let ada = server.user(json!({ "username": "ada" })).await;
    let mut copy = Copy::of(&server).await;
    eventually(LATER, "all have their places", async || {
        copy.catch_up("limit=1000").await;
        copy.people.len() == people + 1
    })
    .await;
    // Entries of the outbox's index that a look or a round steps over.
    let mut tables = server.tables().await;
    let mut before = (0, 0);
    eventually(LATER, "looks are short", async || {
        let name = Value::from(uuid::Uuid::new_v4().to_string());
        patch(&server, &token, &ada, json!({ "nickname": name })).await;
        let sql = "select idx_scan, idx_tup_read from pg_stat_user_indexes where indexrelname = 'event_pkey'";
        let (scans, read): (i64, i64) = sqlx::query_as(sql).fetch_one(&mut tables).await.unwrap();
        if scans - before.0 < 30 {
            return false;
        }
        let each = (read - before.1) / (scans - before.0);
        before = (scans, read);
        each < people as i64 / 4
    })
    .await;
    eventually(SOON, "and she is told of", async || {
        copy.catch_up("").await;
        copy.versions.get(ada["id"].as_str().unwrap()) > Some(&1)
    })
    .await;
    dump.rollback().await.unwrap();
}

/// A change that commits long after its number was drawn is numbered late, not missed.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_commits_late_is_numbered_late() {
    let server = Server::start().await;
    let token = server.admin_token().await;
    let held = server.user(json!({ "username": "held" })).await;
    let other = server.user(json!({ "username": "other" })).await;
    let mut copy = Copy::of(&server).await;
    eventually(SOON, "both are there", async || {
        copy.page("").await;
        copy.people.len() == 2
    })
    .await;
    // The audit row comes after the event, and waits.
    let mut tables = server.tables().await;
    let mut lock = tables.begin().await.unwrap();
    sqlx::query("lock table audit in share mode")
        .execute(&mut *lock)
        .await
        .unwrap();
    let gone = path(&held);
    let late = server.call(Method::DELETE, &gone, &token, None);
    let meanwhile = async {
        // Until looks begin after it.
        lock.execute("select pg_sleep(3)").await.unwrap();
        lock.rollback().await.unwrap();
    };
    let (late, ()) = tokio::join!(late, meanwhile);
    assert_eq!(late.status, 204, "{}", late.text);
    patch(&server, &token, &other, json!({ "name": "Other" })).await;
    eventually(SOON, "both changes", async || {
        copy.page("").await;
        copy.people.len() == 1 && copy.versions.values().all(|version| *version == 2)
    })
    .await;
}

/// A replica that loses power in the middle of a round holds the sequencer's lock no longer than PostgreSQL believes in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_replica_lost_in_the_middle_of_a_round_stops_no_numbering() {
    let database = Arc::new(CLUSTER.database().await);
    let proxy = Proxy::to(&database).await;
    proxy.silence_after(&["delete from event"]);
    let lost = Server::behind(&proxy, database).await;
    lost.user(json!({ "username": "ada" })).await;
    let mut tables = lost.tables().await;
    eventually(SOON, "it holds the lock and says nothing", async || {
        let sql = "select count(*) from pg_locks l join pg_stat_activity a using (pid) \
                   where l.locktype = 'advisory' and a.state = 'idle in transaction' and a.datname = current_database()";
        let held: i64 = sqlx::query_scalar(sql).fetch_one(&mut tables).await.unwrap();
        held > 0
    })
    .await;
    let other = lost.replica().await;
    let mut copy = Copy::of(&other).await;
    eventually(LATER, "the others go on", async || {
        copy.page("").await;
        copy.people.len() == 1
    })
    .await;
}

/// A database that vanishes without a word (power, a partition) is found out by whoever waits for it: nothing has to be restarted.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_connection_that_falls_silent_is_given_up() {
    let database = Arc::new(CLUSTER.database().await);
    let proxy = Proxy::to(&database).await;
    let server = Server::behind(&proxy, database).await;
    let token = server.admin_token().await;
    let sink = Sink::start().await;
    let body = json!({ "url": sink.url });
    let made = server.call(Method::POST, "/api/v1/webhooks", &token, Some(body));
    assert_eq!(made.await.status, 201);
    let ada = server.user(json!({ "username": "ada" })).await;
    sink.knows(&ada, 1).await;

    proxy.silence();
    let create = ["user", "create", "--username", "bob", "--json"];
    let bob = server.cli(&create).await.json();
    let mut tables = server.tables().await;
    eventually(LATER, "numbering goes on", async || {
        let left: i64 = sqlx::query_scalar("select count(*) from event")
            .fetch_one(&mut tables)
            .await
            .unwrap();
        left == 0
    })
    .await;
    eventually(LATER, "the webhook is told", async || {
        !sink.of(&bob).is_empty()
    })
    .await;
    eventually(LATER, "another connection listens", async || {
        let sql = "select count(*) from pg_stat_activity where datname = current_database() and query ilike 'listen%'";
        let listening: i64 = sqlx::query_scalar(sql).fetch_one(&mut tables).await.unwrap();
        listening > 1
    })
    .await;
    eventually(LATER, "requests are answered", async || {
        let feed = server.call(Method::GET, CHANGES, &token, None).await;
        feed.status == 200 && feed.text.contains("bob")
    })
    .await;
}
