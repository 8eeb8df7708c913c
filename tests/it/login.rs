//! Signing in and out, and people's own pages.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use sqlx::Row;

use crate::support::{Answer, Browser, Server, all, csrf, eventually};

const PASSWORD: &str = "wordy rivers 77";

async fn server_with_ada() -> Server {
    let server = Server::start().await;
    server
        .user_with_password(
            json!({ "email": "ada@example.com", "username": "ada", "name": "Ada Lovelace" }),
            PASSWORD,
        )
        .await;
    server
}

#[tokio::test]
async fn a_person_signs_in_and_out() {
    // S-73, S-76
    let server = server_with_ada().await;
    let mut browser = Browser::new(&server);
    assert_eq!(browser.account().await, 303);
    browser.sign_in("ADA@example.com", PASSWORD).await;
    let account = browser.get("/account").await;
    assert!(
        account.text.contains("Ada Lovelace") && account.text.contains("ada@example.com"),
        "{}",
        account.text
    );
    assert_eq!(account.header("cache-control"), "no-store");
    assert_eq!(
        browser.get("/login").await.header("location"),
        "/account",
        "signed in already"
    );

    let asked = browser.get("/logout").await;
    assert_eq!(
        (asked.status, browser.account().await),
        (200, 200),
        "S-83: asking changes nothing"
    );
    let stolen = browser.cookies.clone();
    let left = browser.post("/logout", &[("csrf", &csrf(&asked))]).await;
    assert_eq!((left.status, left.header("location")), (303, "/login"));
    assert!(!browser.cookies.contains_key("doorward"));
    let mut replayed = Browser {
        cookies: stolen,
        ..Browser::new(&server)
    };
    assert_eq!(
        replayed.account().await,
        303,
        "the record is gone, not only the cookie"
    );
    browser.sign_in("ada", PASSWORD).await;
}

#[tokio::test]
async fn session_ids_are_new_at_each_sign_in_and_kept_as_hashes() {
    // S-72, S-73, S-74
    let server = server_with_ada().await;
    let mut browser = Browser::new(&server);
    let planted = "AAAAAAAAAAAAAAAAAAAAAA".to_owned();
    browser
        .cookies
        .insert("doorward".to_owned(), planted.clone());
    let page = browser.get("/login").await;
    assert!(
        page.headers.get_all("set-cookie").iter().all(|c| {
            let c = c.to_str().unwrap();
            c.starts_with("doorward=;") || !c.starts_with("doorward=")
        }),
        "no session before somebody signs in"
    );
    let answer = browser
        .post(
            "/login",
            &[
                ("csrf", &csrf(&page)),
                ("username", "ada"),
                ("password", PASSWORD),
            ],
        )
        .await;
    let cookie = answer
        .headers
        .get_all("set-cookie")
        .iter()
        .find(|c| c.to_str().unwrap().starts_with("doorward="))
        .unwrap()
        .to_str()
        .unwrap();
    for part in ["HttpOnly", "SameSite=Lax", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(
        !cookie.contains("Domain")
            && !cookie.contains("Secure")
            && !cookie.contains("Max-Age")
            && cookie.len() < 4096,
        "{cookie}"
    );
    let first = browser.cookies["doorward"].clone();
    assert!(first != planted && first.len() == 22, "{first}");
    assert_eq!(
        Browser {
            cookies: [("doorward".to_owned(), planted)].into(),
            ..Browser::new(&server)
        }
        .account()
        .await,
        303
    );

    let mut tables = server.tables().await;
    let stored: Vec<String> = sqlx::query(
        "select encode(id_hash, 'escape') || data::text || public_id::text from session",
    )
    .fetch_all(&mut tables)
    .await
    .unwrap()
    .iter()
    .map(|row| row.get(0))
    .collect();
    assert_eq!(stored.len(), 1);
    assert!(!stored[0].contains(&first));

    let page = browser.get("/logout").await;
    browser.post("/logout", &[("csrf", &csrf(&page))]).await;
    browser.sign_in("ada", PASSWORD).await;
    assert_ne!(browser.cookies["doorward"], first);
}

#[tokio::test]
async fn a_refused_login_shows_the_form_again() {
    // S-93: the same for everybody who is not let in.
    let server = server_with_ada().await;
    server
        .user_with_password(json!({ "username": "disabled" }), PASSWORD)
        .await;
    let admin = server.admin_token().await;
    let path = server.path_of("disabled").await;
    server
        .call(
            Method::PATCH,
            &path,
            &admin,
            Some(json!({ "status": "disabled" })),
        )
        .await;
    server.user(json!({ "username": "nopassword" })).await;
    server
        .user_with_password(json!({ "username": "deleted" }), PASSWORD)
        .await;
    let path = server.path_of("deleted").await;
    server.call(Method::DELETE, &path, &admin, None).await;

    let shape = |answer: &Answer, username: &str| {
        let mut headers: Vec<(String, String)> = answer
            .headers
            .iter()
            .map(|(n, v)| (n.to_string(), v.to_str().unwrap().to_owned()))
            .collect();
        headers.retain(|(name, _)| {
            !["date", "x-request-id", "content-length"].contains(&name.as_str())
        });
        headers.sort();
        let form = csrf(answer);
        (
            answer.status,
            headers,
            answer
                .text
                .replace(username, "[name]")
                .replace(&form, "[token]"),
        )
    };
    let wrong = Browser::new(&server)
        .try_sign_in("ada", "wrong rivers 77!")
        .await;
    assert_eq!(wrong.status, 422);
    assert!(
        wrong.text.contains("not right")
            && wrong.text.contains("role=\"alert\"")
            && wrong.text.contains("value=\"ada\"")
    );
    assert!(!wrong.text.contains("wrong rivers"));
    for (username, password) in [
        ("unknown@example.com", PASSWORD),
        ("disabled", PASSWORD),
        ("nopassword", PASSWORD),
        ("nopassword", "x"),
        ("deleted", PASSWORD),
        ("ada@example.com", "x"),
    ] {
        let answer = Browser::new(&server).try_sign_in(username, password).await;
        assert_eq!(shape(&answer, username), shape(&wrong, "ada"), "{username}");
    }
    for (username, password) in [("", "x"), ("ada", ""), (" ", "x")] {
        assert_eq!(
            Browser::new(&server)
                .try_sign_in(username, password)
                .await
                .status,
            422
        );
    }
    let mut tables = server.tables().await;
    let sessions: i64 = sqlx::query_scalar("select count(*) from session")
        .fetch_one(&mut tables)
        .await
        .unwrap();
    assert_eq!(sessions, 0);
}

#[tokio::test]
async fn the_two_doors_are_alike() {
    // S-93, S-94: the login page and the password grant, over all states of an account. Both are one function; this holds them so.
    let server = server_with_ada().await;
    let client = server
        .client()
        .grant("password")
        .audience("https://a.example")
        .register()
        .await;
    let admin = server.admin_token().await;
    let states = [
        "active",
        "wrong",
        "unknown",
        "disabled",
        "nopassword",
        "deleted",
        "mustchange",
    ];
    for state in states {
        let password = if state == "wrong" {
            "wrong rivers 78"
        } else {
            PASSWORD
        };
        if state != "unknown" {
            let user = match state {
                "nopassword" => server.user(json!({ "username": state })).await,
                _ => {
                    server
                        .user_with_password(json!({ "username": state }), PASSWORD)
                        .await
                }
            };
            let path = format!("/api/v1/users/{}", user["id"].as_str().unwrap());
            match state {
                "disabled" => drop(
                    server
                        .call(
                            Method::PATCH,
                            &path,
                            &admin,
                            Some(json!({ "status": "disabled" })),
                        )
                        .await,
                ),
                "deleted" => drop(server.call(Method::DELETE, &path, &admin, None).await),
                "mustchange" => drop(
                    server
                        .call(
                            Method::POST,
                            &format!("{path}/require-password-change"),
                            &admin,
                            None,
                        )
                        .await,
                ),
                _ => {}
            }
        }
        let page = Browser::new(&server).try_sign_in(state, password).await;
        let grant = client.password(state, password, &[]).await;
        match state {
            "active" => assert_eq!((page.status, grant.status), (303, 200)),
            // The page goes on to the new password, the grant can't.
            "mustchange" => assert_eq!((page.header("location"), grant.status), ("/login", 400)),
            _ => {
                assert_eq!(page.status, 422, "{state}");
                grant.refused(400, "invalid_grant");
            }
        }
        // The same count on both: five in all cost no wait, the sixth does, whichever door it comes to.
        for _ in 0..2 {
            Browser::new(&server).try_sign_in(state, "x").await;
            client.password(state, "x", &[]).await;
        }
        if !["active", "mustchange"].contains(&state) {
            assert_eq!(
                Browser::new(&server).try_sign_in(state, "x").await.status,
                429,
                "{state}"
            );
            client
                .password(state, "x", &[])
                .await
                .refused(429, "invalid_grant");
        }
    }
}

#[tokio::test]
async fn forms_need_their_token_and_come_from_here() {
    // S-82
    let server = server_with_ada().await;
    let mut browser = Browser::new(&server);
    let token = csrf(&browser.get("/login").await);
    let right = [
        ("csrf", token.as_str()),
        ("username", "ada"),
        ("password", PASSWORD),
    ];
    // Without the cookie that the page came with, with another's token, or none.
    assert_eq!(
        Browser::new(&server).post("/login", &right).await.status,
        403
    );
    let mut other = Browser::new(&server);
    let others = csrf(&other.get("/login").await);
    assert_eq!(
        browser
            .post("/login", &[("csrf", &others), right[1], right[2]])
            .await
            .status,
        403
    );
    assert_eq!(browser.post("/login", &right[1..]).await.status, 403);
    for (name, value) in [
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        browser.headers = vec![(name, value.to_owned())];
        assert_eq!(
            browser.post("/login", &right).await.status,
            403,
            "{name}: {value}"
        );
    }
    browser.headers = vec![
        ("origin", server.url.clone()),
        ("sec-fetch-site", "same-origin".to_owned()),
    ];
    assert_eq!(browser.post("/login", &right).await.status, 303);
    // Signed in, the token is the session's own.
    for (path, form) in [
        ("/logout", vec![]),
        (
            "/account/password",
            vec![("password", PASSWORD), ("new_password", "other rivers 78")],
        ),
        ("/account/sessions/end", vec![("session", "x")]),
    ] {
        for bad in [None, Some(token.as_str()), Some("AAAA")] {
            let form: Vec<(&str, &str)> = form
                .iter()
                .copied()
                .chain(bad.map(|t| ("csrf", t)))
                .collect();
            assert_eq!(browser.post(path, &form).await.status, 403, "{path}");
        }
    }
    assert_eq!(browser.account().await, 200);
    // GET never changes anything (S-83).
    for path in ["/logout", "/account/sessions/end", "/login/new-password"] {
        browser.get(path).await;
        assert_eq!(browser.account().await, 200);
    }
}

#[tokio::test]
async fn sessions_end_when_idle_and_in_any_case() {
    // S-75: by the server's clock, not by the cookie's age.
    let server = server_with_ada().await;
    server
        .user_with_password(json!({ "username": "root", "admin": true }), PASSWORD)
        .await;
    for (username, idle, absolute) in [("ada", 60, 24), ("root", 15, 12)] {
        let mut browser = Browser::new(&server);
        browser.sign_in(username, PASSWORD).await;
        server.clock.advance(time::Duration::minutes(idle - 1));
        assert_eq!(
            browser.account().await,
            200,
            "{username} comes back in time"
        );
        server.clock.advance(time::Duration::minutes(idle + 1));
        assert_eq!(browser.account().await, 303, "{username} was idle");

        browser.sign_in(username, PASSWORD).await;
        for _ in 0..(absolute * 60 / (idle - 1)) {
            assert_eq!(browser.account().await, 200, "{username}");
            server.clock.advance(time::Duration::minutes(idle - 1));
        }
        server.clock.advance(time::Duration::minutes(idle - 1));
        assert_eq!(browser.account().await, 303, "{username} in any case");
    }
}

#[tokio::test]
async fn people_see_their_sessions_and_end_them() {
    let server = server_with_ada().await;
    server
        .user_with_password(json!({ "username": "eve" }), PASSWORD)
        .await;
    let mut here = Browser::new(&server);
    here.headers = vec![(
        "user-agent",
        "Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0".to_owned(),
    )];
    here.sign_in("ada", PASSWORD).await;
    let mut there = Browser::new(&server);
    there.headers = vec![(
        "user-agent",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Safari/604.1".to_owned(),
    )];
    there.sign_in("ada", PASSWORD).await;
    let mut eve = Browser::new(&server);
    eve.sign_in("eve", PASSWORD).await;

    let page = here.get("/account").await;
    assert!(
        page.text.contains("Firefox on Linux")
            && page.text.contains("Safari on iPhone")
            && page.text.contains("This one"),
        "{}",
        page.text
    );
    assert_eq!(
        page.text.matches("name=\"session\"").count(),
        1,
        "one other session, and Eve's is none of hers"
    );
    let other = page
        .text
        .split("name=\"session\" value=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap()
        .to_owned();

    // Eve can't end it, nor tell whether it exists.
    let page_of_eve = eve.get("/logout").await;
    eve.post(
        "/account/sessions/end",
        &[("csrf", &csrf(&page_of_eve)), ("session", &other)],
    )
    .await;
    assert_eq!(there.account().await, 200);
    let ended = here
        .post(
            "/account/sessions/end",
            &[("csrf", &csrf(&page)), ("session", &other)],
        )
        .await;
    assert_eq!(
        (ended.status, ended.header("location")),
        (303, "/account?done=session")
    );
    assert_eq!(
        (
            there.account().await,
            here.account().await,
            eve.account().await
        ),
        (303, 200, 200)
    );
}

#[tokio::test]
async fn a_session_ended_on_one_replica_is_refused_by_the_other() {
    let one = server_with_ada().await;
    let other = one.replica().await;
    let mut browser = Browser::new(&one);
    browser.sign_in("ada", PASSWORD).await;
    let mut there = browser.at(&other);
    assert_eq!(there.account().await, 200, "one session, any replica");
    let page = browser.get("/logout").await;
    browser.post("/logout", &[("csrf", &csrf(&page))]).await;
    assert_eq!(there.account().await, 303);

    browser.sign_in("ada", PASSWORD).await;
    let mut there = browser.at(&other);
    let admin = one.admin_token().await;
    let path = one.path_of("ada").await;
    one.call(
        Method::PATCH,
        &path,
        &admin,
        Some(json!({ "status": "disabled" })),
    )
    .await;
    eventually(Duration::from_secs(1), "out", async || {
        there.account().await == 303
    })
    .await;
    one.call(
        Method::PATCH,
        &path,
        &admin,
        Some(json!({ "status": "active" })),
    )
    .await;
    assert_eq!(there.account().await, 303, "what was ended stays ended");
}

#[tokio::test]
async fn changing_the_password_needs_the_present_one_and_ends_the_rest() {
    // S-104
    let server = server_with_ada().await;
    let mut here = Browser::new(&server);
    let mut there = Browser::new(&server);
    here.sign_in("ada", PASSWORD).await;
    there.sign_in("ada", PASSWORD).await;
    let before = here.cookies["doorward"].clone();
    let change = async |browser: &mut Browser<'_>, present: &str, new: &str| {
        let token = csrf(&browser.get("/account/password").await);
        browser
            .post(
                "/account/password",
                &[
                    ("csrf", &token),
                    ("password", present),
                    ("new_password", new),
                ],
            )
            .await
    };
    for (present, new, told) in [
        (
            "wrong rivers 78",
            "other rivers 78",
            "current password is not right",
        ),
        (PASSWORD, "short", "at least 15"),
        (PASSWORD, PASSWORD, "the password you have"),
        (PASSWORD, "ada@example.com1", "too close"),
        (PASSWORD, "", "at least 15"),
        ("", "other rivers 78", "current password is not right"),
    ] {
        let answer = change(&mut here, present, new).await;
        assert_eq!(answer.status, 422, "{present} {new}");
        assert!(answer.text.contains(told), "{told}: {}", answer.text);
    }
    assert_eq!(there.account().await, 200, "nothing has changed yet");
    let done = change(&mut here, PASSWORD, "other rivers 78").await;
    assert_eq!(
        (done.status, done.header("location")),
        (303, "/account?done=password")
    );
    assert!(
        here.get("/account?done=password")
            .await
            .text
            .contains("Your password is changed")
    );
    assert_ne!(here.cookies["doorward"], before, "S-73: a new id");
    assert_eq!(there.account().await, 303, "everything else has ended");
    assert_eq!(
        Browser {
            cookies: [("doorward".to_owned(), before)].into(),
            ..Browser::new(&server)
        }
        .account()
        .await,
        303
    );
    assert_eq!(
        Browser::new(&server)
            .try_sign_in("ada", PASSWORD)
            .await
            .status,
        422
    );
    Browser::new(&server)
        .sign_in("ada", "other rivers 78")
        .await;
}

#[tokio::test]
async fn of_two_new_passwords_at_once_one_is_taken() {
    // Neither is lost in silence: whoever comes second is told, and what the first one chose stands.
    let server = server_with_ada().await;
    let mut browsers = [Browser::new(&server), Browser::new(&server)];
    let mut tokens = Vec::new();
    for browser in &mut browsers {
        browser.sign_in("ada", PASSWORD).await;
        tokens.push(csrf(&browser.get("/account/password").await));
    }
    let [first, second] = &mut browsers;
    let change = async |browser: &mut Browser<'_>, token: &str, new: &str| {
        let form = [
            ("csrf", token),
            ("password", PASSWORD),
            ("new_password", new),
        ];
        browser.post("/account/password", &form).await
    };
    let news = ["other rivers 78", "third rivers 80"];
    let (one, two) = tokio::join!(
        change(first, &tokens[0], news[0]),
        change(second, &tokens[1], news[1])
    );
    let taken: Vec<bool> = [&one, &two]
        .iter()
        .map(|a| a.header("location") == "/account?done=password")
        .collect();
    assert_eq!(
        taken.iter().filter(|t| **t).count(),
        1,
        "{} {}",
        one.status,
        two.status
    );
    for (new, taken) in news.iter().zip(&taken) {
        let answer = Browser::new(&server).try_sign_in("ada", new).await;
        assert_eq!(answer.status, if *taken { 303 } else { 422 });
    }
}

#[tokio::test]
async fn a_demanded_new_password_comes_before_everything_else() {
    // S-18: no step is skipped, by whatever road.
    let server = server_with_ada().await;
    let admin = server.admin_token().await;
    let path = server.path_of("ada").await;
    server
        .call(
            Method::PUT,
            &format!("{path}/password"),
            &admin,
            Some(json!({ "password": "given rivers 79", "change_required": true })),
        )
        .await;

    let mut browser = Browser::new(&server);
    let answer = browser.try_sign_in("ada", "given rivers 79").await;
    assert_eq!((answer.status, answer.header("location")), (303, "/login"));
    for page in ["/account", "/account/password", "/logout"] {
        assert_eq!(
            browser.get(page).await.header("location"),
            "/login",
            "{page}"
        );
    }
    let page = browser.get("/login").await;
    assert!(page.text.contains("Choose a new password"));
    let token = csrf(&page);
    assert_eq!(
        browser
            .post(
                "/account/password",
                &[
                    ("csrf", &token),
                    ("password", "given rivers 79"),
                    ("new_password", "other rivers 78")
                ]
            )
            .await
            .status,
        303
    );
    assert_eq!(browser.account().await, 303);
    for (new, told) in [
        ("given rivers 79", "the password you have"),
        ("short", "at least 15"),
        ("", "at least 15"),
    ] {
        let answer = browser
            .post(
                "/login/new-password",
                &[("csrf", &token), ("new_password", new)],
            )
            .await;
        assert!(
            answer.status == 422 && answer.text.contains(told),
            "{}",
            answer.text
        );
    }
    assert_eq!(
        browser
            .post(
                "/login/new-password",
                &[("new_password", "other rivers 78")]
            )
            .await
            .status,
        403
    );
    let done = browser
        .post(
            "/login/new-password",
            &[("csrf", &token), ("new_password", "other rivers 78")],
        )
        .await;
    assert_eq!((done.status, done.header("location")), (303, "/account"));
    assert_eq!(browser.account().await, 200);
    // The step is over: doing it again leads nowhere.
    assert_eq!(
        browser
            .post(
                "/login/new-password",
                &[("csrf", &token), ("new_password", "third rivers 80")]
            )
            .await
            .header("location"),
        "/login"
    );
    Browser::new(&server)
        .sign_in("ada", "other rivers 78")
        .await;
    assert_eq!(
        Browser::new(&server)
            .post("/login/new-password", &[("new_password", "x")])
            .await
            .header("location"),
        "/login"
    );
}

#[tokio::test]
async fn an_admin_who_lost_that_right_signs_in_anew() {
    let server = server_with_ada().await;
    let user = server
        .user_with_password(json!({ "username": "root", "admin": true }), PASSWORD)
        .await;
    let mut browser = Browser::new(&server);
    browser.sign_in("root", PASSWORD).await;
    let path = format!("/api/v1/users/{}", user["id"].as_str().unwrap());
    server
        .call(
            Method::PATCH,
            &path,
            &server.admin_token().await,
            Some(json!({ "admin": false })),
        )
        .await;
    assert_eq!(
        browser.account().await,
        303,
        "S-73: another privilege, another session"
    );
    let token = server.admin_token().await;
    server
        .call(Method::PATCH, &path, &token, Some(json!({ "admin": true })))
        .await;
    assert_eq!(browser.account().await, 303, "what ended stays ended");
}

#[tokio::test]
async fn demanding_a_new_password_ends_what_was_given_out() {
    let server = Server::start().await;
    let user = server
        .user_with_password(json!({ "username": "root", "admin": true }), PASSWORD)
        .await;
    let client = server
        .client()
        .grant("password")
        .scope("users:read")
        .register()
        .await;
    let taken = client.password("root", PASSWORD, &[]).await.json();
    let token = taken["access_token"].as_str().unwrap();
    let mut browser = Browser::new(&server);
    browser.sign_in("root", PASSWORD).await;
    let path = format!("/api/v1/users/{}", user["id"].as_str().unwrap());
    let read = async || server.call(Method::GET, &path, token, None).await.status;
    assert_eq!((browser.account().await, read().await), (200, 200));
    let demanded = server
        .call(
            Method::POST,
            &format!("{path}/require-password-change"),
            &server.admin_token().await,
            None,
        )
        .await;
    assert_eq!(demanded.status, 204);
    assert_eq!((browser.account().await, read().await), (303, 401));
}

#[tokio::test]
async fn a_sign_in_under_way_while_the_password_is_changed_comes_to_nothing() {
    // The old password is read, and its hash takes its time; meanwhile an admin sets another.
    let server = Server::with(|config| config.passwords.iterations = 40).await;
    let user = server
        .user_with_password(json!({ "username": "root", "admin": true }), PASSWORD)
        .await;
    let client = server
        .client()
        .grant("password")
        .scope("users:read")
        .register()
        .await;
    let path = format!("/api/v1/users/{}", user["id"].as_str().unwrap());
    let password = format!("{path}/password");
    let admin = server.admin_token().await;
    let mut thieves: Vec<Browser<'_>> = (0..4).map(|_| Browser::new(&server)).collect();
    let (set, _) = {
        let thefts = thieves.iter_mut().map(|thief| async {
            thief.try_sign_in("root", PASSWORD).await;
        });
        let set = server.call(
            Method::PUT,
            &password,
            &admin,
            Some(json!({ "password": "other rivers 78" })),
        );
        tokio::join!(set, all(thefts))
    };
    assert_eq!(set.status, 204);
    for thief in &mut thieves {
        assert_eq!(thief.account().await, 303);
    }
    let granted = client.password("root", PASSWORD, &[]);
    let set = server.call(
        Method::PUT,
        &password,
        &admin,
        Some(json!({ "password": "third rivers 80" })),
    );
    let (granted, set) = tokio::join!(granted, set);
    assert_eq!(set.status, 204);
    if let Some(token) = granted.json()["access_token"].as_str() {
        let read = server.call(Method::GET, &path, token, None).await;
        assert_eq!(read.status, 401);
    }
}

#[tokio::test]
async fn the_oldest_session_goes() {
    let server = Server::with(|config| config.sessions.max_per_user = 2).await;
    server
        .user_with_password(json!({ "username": "ada" }), PASSWORD)
        .await;
    let mut browsers = [
        Browser::new(&server),
        Browser::new(&server),
        Browser::new(&server),
    ];
    for browser in &mut browsers {
        browser.sign_in("ada", PASSWORD).await;
        server.clock.advance(time::Duration::minutes(2));
    }
    let [a, b, c] = &mut browsers;
    assert_eq!(
        (a.account().await, b.account().await, c.account().await),
        (303, 200, 200)
    );
}

#[tokio::test]
async fn hostile_names_stay_text() {
    // S-88
    let server = Server::start().await;
    let hostile = r#"<script>alert(1)</script>"'><img src=x onerror=alert(1)>{{7*7}}"#;
    server
        .user_with_password(
            json!({ "username": hostile, "name": hostile, "email": "x@y.example" }),
            PASSWORD,
        )
        .await;
    let mut browser = Browser::new(&server);
    browser.headers = vec![("user-agent", hostile.to_owned())];
    let refused = browser.try_sign_in(hostile, "wrong rivers 78").await;
    browser.sign_in(hostile, PASSWORD).await;
    for page in [
        refused,
        browser.get("/account").await,
        browser.get("/logout").await,
        browser.get("/account/password").await,
        browser
            .get(&format!("/account?done={}", "%3Cscript%3E"))
            .await,
    ] {
        assert!(
            !page.text.contains("<script>alert")
                && !page.text.contains("<img src=x")
                && !page.text.contains(r#""'>"#),
            "{}",
            page.text
        );
    }
    assert!(
        browser
            .get("/account")
            .await
            .text
            .contains("&#60;script&#62;alert(1)")
    );
}

#[tokio::test]
async fn a_database_that_is_away_is_said_on_the_page() {
    let (server, proxy) = Server::through_proxy().await;
    server
        .user_with_password(json!({ "username": "ada" }), PASSWORD)
        .await;
    let mut browser = Browser::new(&server);
    let page = browser.get("/login").await;
    browser.sign_in("ada", PASSWORD).await;
    proxy.cut();
    for answer in [
        browser.get("/account").await,
        browser
            .post(
                "/login",
                &[
                    ("csrf", &csrf(&page)),
                    ("username", "ada"),
                    ("password", PASSWORD),
                ],
            )
            .await,
    ] {
        assert_eq!(
            (answer.status, answer.header("retry-after")),
            (503, "1"),
            "{}",
            answer.text
        );
        assert!(
            answer.text.contains("Just a moment")
                && answer.text.contains(answer.header("x-request-id"))
        );
    }
    assert_eq!(
        Browser::new(&server).get("/login").await.status,
        200,
        "strangers ask no database"
    );
    proxy.mend();
    eventually(Duration::from_secs(2), "signed in as before", async || {
        browser.account().await == 200
    })
    .await;
}
