//! Failures are counted over all replicas, before the hash, and given back on success.

use reqwest::Method;
use serde_json::json;

use crate::support::{Browser, Server, all};

const PASSWORD: &str = "wordy rivers 77";

/// A server behind a proxy that names the people's addresses.
async fn server() -> Server {
    Server::with(|config| config.http.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()]).await
}

/// A browser at this address.
fn at<'a>(server: &'a Server, address: &str) -> Browser<'a> {
    Browser {
        headers: vec![("x-forwarded-for", address.to_owned())],
        ..Browser::new(server)
    }
}

#[tokio::test]
async fn an_account_waits_longer_and_longer_and_an_admin_lifts_it() {
    // S-89; S-93: the unknown are counted like the known.
    let server = server().await;
    let ada = server
        .user_with_password(
            json!({ "username": "ada", "email": "ada@x.example" }),
            PASSWORD,
        )
        .await;
    for username in ["ada", "nobody"] {
        let mut address = 0;
        let mut attempt = async |password: &'static str| {
            address += 1;
            let name = if username == "ada" && address % 2 == 0 {
                "ADA@x.example"
            } else {
                username
            };
            let answer = at(&server, &format!("192.0.2.{}", address % 250))
                .try_sign_in(name, password)
                .await;
            (answer.status, answer.header("retry-after").to_owned())
        };
        for free in 1..=5 {
            assert_eq!(
                attempt("wrong").await.0,
                422,
                "{username}: the first five cost no wait ({free})"
            );
        }
        for wait in [1, 2, 4, 8, 16] {
            assert_eq!(
                attempt(PASSWORD).await,
                (429, wait.to_string()),
                "{username}: even the right one waits"
            );
            server.clock.advance(time::Duration::seconds(wait));
            assert_eq!(attempt("wrong").await.0, 422, "{username}");
        }
        for _ in 10..99 {
            server.clock.advance(time::Duration::hours(1));
            assert_eq!(attempt("wrong").await.0, 422, "{username}");
        }
        server.clock.advance(time::Duration::hours(1));
        assert_eq!(attempt("wrong").await.0, 422, "the hundredth");
        server.clock.advance(time::Duration::days(40));
        assert_eq!(
            attempt(PASSWORD).await,
            (429, "3600".to_owned()),
            "{username}: refused until an admin sets a new password"
        );
    }
    let path = format!("/api/v1/users/{}/password", ada["id"].as_str().unwrap());
    let set = server
        .call(
            Method::PUT,
            &path,
            &server.admin_token().await,
            Some(json!({ "password": "other rivers 78" })),
        )
        .await;
    assert_eq!(set.status, 204);
    at(&server, "198.51.100.1")
        .sign_in("ada", "other rivers 78")
        .await;
}

#[tokio::test]
async fn success_gives_the_attempts_back() {
    let server = server().await;
    server
        .user_with_password(json!({ "username": "ada" }), PASSWORD)
        .await;
    for _ in 0..4 {
        for _ in 0..4 {
            assert_eq!(
                at(&server, "192.0.2.1")
                    .try_sign_in("ada", "wrong")
                    .await
                    .status,
                422
            );
            server.clock.advance(time::Duration::minutes(2));
        }
        at(&server, "192.0.2.1").sign_in("ada", PASSWORD).await;
    }
    for _ in 0..40 {
        at(&server, "192.0.2.2").sign_in("ada", PASSWORD).await;
    }
}

#[tokio::test]
async fn of_two_hundred_tries_at_once_no_more_get_through_than_the_count_allows() {
    // S-90, over two replicas.
    let one = server().await;
    let other = one.replica().await;
    one.user_with_password(json!({ "username": "ada" }), PASSWORD)
        .await;
    let client = one
        .client()
        .grant("password")
        .audience("https://a.example")
        .register()
        .await;
    let tries = (0..200).map(|i| {
        let server = if i % 2 == 0 { &one } else { &other };
        let client = crate::support::TestClient {
            server,
            ..client.clone()
        };
        async move { client.password("ada", "wrong", &[]).await.status }
    });
    let mut through = 0;
    for status in all(tries).await {
        assert!([400, 429, 503].contains(&status), "{status}");
        through += usize::from(status == 400);
    }
    assert_eq!(through, 5);
}

#[tokio::test]
async fn an_address_has_a_budget_whoever_it_tries() {
    // S-90
    let server = server().await;
    let mut refused = 0;
    for i in 0..35 {
        let answer = at(&server, "192.0.2.7")
            .try_sign_in(&format!("person{i}"), "wrong")
            .await;
        refused += usize::from(answer.status == 429);
    }
    assert_eq!(refused, 5, "thirty at once");
    assert_eq!(
        at(&server, "192.0.2.8")
            .try_sign_in("person1", "wrong")
            .await
            .status,
        422,
        "another address is another matter"
    );
    assert_eq!(
        at(&server, "2001:db8::1")
            .try_sign_in("person2", "wrong")
            .await
            .status,
        422
    );
    server.clock.advance(time::Duration::seconds(31));
    assert_eq!(
        at(&server, "192.0.2.7")
            .try_sign_in("person99", "wrong")
            .await
            .status,
        422,
        "one more each thirty seconds"
    );
    // An IPv6 household is one address.
    for i in 0..30 {
        at(&server, &format!("2001:db8::{i:x}"))
            .try_sign_in(&format!("v6-{i}"), "wrong")
            .await;
    }
    assert_eq!(
        at(&server, "2001:db8::ffff:1")
            .try_sign_in("v6-x", "wrong")
            .await
            .status,
        429
    );
    assert_eq!(
        at(&server, "2001:db8:0:1::1")
            .try_sign_in("v6-y", "wrong")
            .await
            .status,
        422
    );
}

#[tokio::test]
async fn a_client_of_the_password_grant_speaks_for_many() {
    let server = server().await;
    let client = server
        .client()
        .grant("password")
        .audience("https://a.example")
        .register()
        .await;
    for i in 0..60 {
        client
            .password(&format!("person{i}"), "wrong", &[])
            .await
            .refused(400, "invalid_grant");
    }
}

#[tokio::test]
async fn the_password_change_counts_too() {
    // S-92
    let server = server().await;
    server
        .user_with_password(json!({ "username": "ada" }), PASSWORD)
        .await;
    let mut browser = at(&server, "192.0.2.1");
    browser.sign_in("ada", PASSWORD).await;
    let token = crate::support::csrf(&browser.get("/account/password").await);
    for expected in [422, 422, 422, 422, 422, 429] {
        let answer = browser
            .post(
                "/account/password",
                &[
                    ("csrf", &token),
                    ("password", "wrong"),
                    ("new_password", "other rivers 78"),
                ],
            )
            .await;
        assert_eq!(answer.status, expected);
    }
    assert_eq!(
        at(&server, "198.51.100.1")
            .try_sign_in("ada", PASSWORD)
            .await
            .status,
        429,
        "one count for every way in"
    );
}

#[tokio::test]
async fn a_full_hash_queue_is_said_at_once_and_held_against_nobody() {
    // S-176. S-94: the people here are unknown, so what fills the queue are the dummy hashes that run for them.
    let server = Server::with(|config| {
        config.passwords.threads = 1;
        config.passwords.queue = 1;
    })
    .await;
    server
        .user_with_password(json!({ "username": "ada" }), PASSWORD)
        .await;
    let client = server
        .client()
        .grant("password")
        .audience("https://a.example")
        .register()
        .await;
    let tries = (0..12).map(|i| client.clone().password_of(format!("person{i}")));
    let answers = all(tries).await;
    let overflow: Vec<_> = answers.iter().filter(|a| a.status == 503).collect();
    assert!(
        !overflow.is_empty() && overflow.len() < 12,
        "{}",
        overflow.len()
    );
    for answer in overflow {
        assert_eq!(
            answer
                .refused(503, "temporarily_unavailable")
                .header("retry-after"),
            "1"
        );
    }
    assert_eq!(client.password("ada", PASSWORD, &[]).await.status, 200);
}

#[tokio::test]
async fn older_parameters_are_renewed_at_the_next_login() {
    let old = Server::with(|config| config.passwords.iterations = 3).await;
    old.user_with_password(json!({ "username": "ada" }), PASSWORD)
        .await;
    let new = old.replica().await;
    let parameters = async || {
        let mut tables = old.tables().await;
        let phc: String = sqlx::query_scalar(r#"select password_hash from "user""#)
            .fetch_one(&mut tables)
            .await
            .unwrap();
        phc.split('$').nth(3).unwrap().to_owned()
    };
    assert_eq!(parameters().await, "m=19456,t=3,p=1");
    assert_eq!(
        Browser::new(&new).try_sign_in("ada", "wrong").await.status,
        422
    );
    assert_eq!(
        parameters().await,
        "m=19456,t=3,p=1",
        "not for a wrong password"
    );
    Browser::new(&new).sign_in("ada", PASSWORD).await;
    assert_eq!(parameters().await, "m=19456,t=2,p=1");
    Browser::new(&new).sign_in("ada", PASSWORD).await;
}
