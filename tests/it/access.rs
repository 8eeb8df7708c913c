//! Who is let in where: every route of the program, called with every kind of token. The table is the router's own.

use doorward::router::{Access, Route, table};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Browser, Server, TestClient};

fn path(route: &Route) -> String {
    route
        .path
        .replace("{id}", "01a20d93-7f03-7eb9-b696-a13790d686c1")
        .replace("{name}", "style.css")
}

async fn call(server: &Server, route: &Route, token: Option<&str>) -> Answer {
    let mut request = server.request(route.method.clone(), &path(route));
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    Answer::of(request).await
}

#[tokio::test]
async fn every_api_route_asks_for_its_scope() {
    // S-46, S-147: no token, malformed, expired, wrong audience, each wrong scope, the right scope.
    let server = Server::start().await;
    let elsewhere = server
        .client()
        .grant("client_credentials")
        .scope("x")
        .audience("https://elsewhere.example")
        .register()
        .await;
    let expired = server.admin_token().await;
    server.clock.advance(time::Duration::seconds(611));
    let wrong_audience = elsewhere.token(&[]).await;
    let scopes = ["users:read", "users:write", "clients:read", "clients:write"];
    let mut tokens = Vec::new();
    for scope in scopes {
        tokens.push((scope, server.token(scope).await));
    }
    // A person's tokens count as a client's do: an admin's with the scope that is in them, and one for userinfo not at all.
    let person = json!({ "username": "root", "admin": true });
    server.user_with_password(person, "wordy rivers 77").await;
    let app = server.client().grant("password");
    let app = app.scope(&scopes.join(" ")).register().await;
    let reader = server.client().grant("password").scope("openid");
    let reader = reader.register().await;
    let signed_in = async |client: &TestClient<'_>, scope: &str| {
        let scope = [("scope", scope)];
        let answer = client.password("root", "wordy rivers 77", &scope).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()["access_token"].as_str().unwrap().to_owned()
    };
    for scope in scopes {
        tokens.push((scope, signed_in(&app, scope).await));
    }
    let for_userinfo = signed_in(&reader, "openid").await;
    let mut guarded = 0;
    for route in table() {
        let Access::Scope(needed) = route.access else {
            assert!(
                !route.path.starts_with("/api/"),
                "{} is not guarded",
                route.path
            );
            continue;
        };
        guarded += 1;
        let what = format!("{} {}", route.method, route.path);
        let answer = call(&server, &route, None).await;
        answer.problem(401, "unauthorized");
        assert_eq!(
            answer.header("www-authenticate"),
            r#"Bearer realm="doorward""#,
            "{what}: no error code without a token"
        );
        for bad in [
            "x",
            "x.y.z",
            expired.as_str(),
            wrong_audience.as_str(),
            for_userinfo.as_str(),
        ] {
            let answer = call(&server, &route, Some(bad)).await;
            answer.problem(401, "unauthorized");
            assert!(
                answer
                    .header("www-authenticate")
                    .contains(r#"error="invalid_token""#),
                "{what}"
            );
        }
        for (scope, token) in &tokens {
            let answer = call(&server, &route, Some(token)).await;
            if *scope == needed {
                assert!(
                    ![401, 403].contains(&answer.status),
                    "{what} with {scope}: {}",
                    answer.text
                );
            } else {
                answer.problem(403, "forbidden");
                let challenge = answer.header("www-authenticate");
                assert!(
                    challenge.contains(r#"error="insufficient_scope""#)
                        && challenge.contains(&format!(r#"scope="{needed}""#)),
                    "{what}: {challenge}"
                );
            }
        }
    }
    assert!(guarded >= 8, "{guarded}");
}

#[tokio::test]
async fn whatever_tells_of_a_person_asks_for_its_scope() {
    // S-147
    let server = Server::start().await;
    let admin = server.admin_token().await;
    let mut guarded = 0;
    for route in table() {
        let Access::Token(needed) = route.access else {
            continue;
        };
        guarded += 1;
        let what = format!("{} {}", route.method, route.path);
        for (token, status) in [
            (None, 401),
            (Some("x.y.z"), 401),
            (Some(admin.as_str()), 403),
        ] {
            let answer = call(&server, &route, token).await;
            assert_eq!(answer.status, status, "{what}");
            let challenge = answer.header("www-authenticate");
            assert!(challenge.starts_with("Bearer realm="), "{what}");
            let names = challenge.contains(&format!(r#"scope="{needed}""#));
            assert_eq!(names, status == 403, "{what}: {challenge}");
        }
    }
    assert!(guarded >= 2, "{guarded}");
}

#[tokio::test]
async fn whatever_asks_for_a_client_refuses_everybody_else() {
    // S-33, S-147
    let server = Server::start().await;
    let token = server.admin_token().await;
    for route in table() {
        if route.access == Access::Client {
            for token in [None, Some(token.as_str())] {
                let request = server.request(route.method.clone(), &path(&route));
                let request = request.form(&[("token", "x"), ("grant_type", "client_credentials")]);
                let request = match token {
                    Some(token) => request.bearer_auth(token),
                    None => request,
                };
                Answer::of(request).await.refused(401, "invalid_client");
            }
        }
    }
}

#[tokio::test]
async fn every_page_behind_a_sign_in_leads_to_it() {
    // S-152: a bearer token opens no page, a cookie no API.
    let server = Server::start().await;
    let token = server.admin_token().await;
    for route in table() {
        if route.access == Access::SignedIn {
            for token in [None, Some(token.as_str())] {
                let answer = call(&server, &route, token).await;
                assert_eq!(
                    (answer.status, answer.header("location")),
                    (303, "/login"),
                    "{} {}",
                    route.method,
                    route.path
                );
            }
        }
    }
    // A session opens no API, not even an admin's.
    let admin = json!({ "username": "root", "admin": true });
    server.user_with_password(admin, "wordy rivers 77").await;
    let mut browser = Browser::new(&server);
    browser.sign_in("root", "wordy rivers 77").await;
    assert_eq!(browser.account().await, 200);
    let cookies: Vec<String> = browser
        .cookies
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    for route in table() {
        if let Access::Scope(_) | Access::Token(_) = route.access {
            let request = server.request(route.method.clone(), &path(&route));
            let answer = Answer::of(request.header("cookie", cookies.join("; "))).await;
            assert_eq!(answer.status, 401, "{} {}", route.method, route.path);
        }
    }
}

#[tokio::test]
async fn every_list_is_bounded_and_takes_its_own_cursors_alone() {
    // S-153
    let server = Server::with(|config| {
        config.fetch.allowed_networks = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    let token = server.admin_token().await;
    let call = async |method, path: &str, body| {
        let answer = server.call(method, path, &token, body).await;
        assert!(answer.status < 300, "{path}: {}", answer.text);
        answer.json()
    };
    let ada = server.user(json!({ "username": "ada" })).await;
    let bob = server.user(json!({ "username": "bob" })).await;
    let hook = json!({ "url": "http://127.0.0.1:1/", "paused": true });
    let hook = call(Method::POST, "/api/v1/webhooks", Some(hook)).await;
    let of = |user: &Value| format!("/api/v1/users/{}/history", user["id"].as_str().unwrap());
    let dead = format!("/api/v1/webhooks/{}/dead", hook["id"].as_str().unwrap());
    let changed = of(&ada).replace("/history", "");
    for name in ["A", "B"] {
        call(Method::PATCH, &changed, Some(json!({ "name": name }))).await;
    }
    let lists = [
        ("/api/v1/users".to_owned(), 200),
        ("/api/v1/users?deleted=true".to_owned(), 200),
        ("/api/v1/clients".to_owned(), 200),
        ("/api/v1/changes".to_owned(), 1000),
        ("/api/v1/webhooks".to_owned(), 200),
        (of(&ada), 200),
        (of(&bob), 200),
        (dead, 200),
    ];
    let cursor = async |path: &str| call(Method::GET, path, None).await["next"].clone();
    let cursors = [
        ("/api/v1/users", cursor("/api/v1/users?limit=1").await),
        ("/api/v1/changes", cursor("/api/v1/changes?limit=1").await),
        (&*of(&ada), cursor(&format!("{}?limit=1", of(&ada))).await),
    ];
    for (path, most) in &lists {
        let with = if path.contains('?') { '&' } else { '?' };
        call(Method::GET, &format!("{path}{with}limit={most}"), None).await;
        let mut wrong = vec![
            "limit=0".to_owned(),
            format!("limit={}", most + 1),
            "limit=x".to_owned(),
            "after=x".to_owned(),
            "after=".to_owned() + &"A".repeat(80),
        ];
        for (of, cursor) in &cursors {
            let cursor = cursor.as_str().expect("there is more");
            if of == path {
                let last = if cursor.ends_with('A') { 'B' } else { 'A' };
                wrong.push(format!("after={}{last}", &cursor[..cursor.len() - 1]));
            } else {
                wrong.push(format!("after={cursor}"));
            }
        }
        for query in wrong {
            let asked = format!("{path}{with}{query}");
            let answer = server.call(Method::GET, &asked, &token, None).await;
            assert_eq!(answer.status, 400, "{asked}: {}", answer.text);
            answer.problem(400, "invalid-query");
        }
    }
}

#[tokio::test]
async fn routes_are_declared_once_and_answer_in_their_shape() {
    let server = Server::start().await;
    let routes = table();
    for (i, route) in routes.iter().enumerate() {
        assert!(
            !routes[..i]
                .iter()
                .any(|other| other.path == route.path && other.method == route.method),
            "{} twice",
            route.path
        );
    }
    server
        .get("/api/v1/nothing")
        .await
        .problem(404, "not-found");
    server
        .get("/oauth2/nothing")
        .await
        .refused(404, "invalid_request");
    let page = server.get("/nothing").await;
    assert_eq!(
        (page.status, page.header("content-type")),
        (404, "text/html; charset=utf-8")
    );
    let answer = server
        .call(Method::DELETE, "/api/v1/users", "x", None)
        .await;
    answer.problem(405, "method-not-allowed");
    assert!(answer.header("allow").contains("GET") && answer.header("allow").contains("POST"));
}

#[tokio::test]
async fn every_answer_has_the_security_headers() {
    // S-84, S-86, E11
    let server = Server::start().await;
    for route in table() {
        let answer = call(&server, &route, None).await;
        let what = format!("{} {}", route.method, route.path);
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{what}");
        assert_eq!(answer.header("x-frame-options"), "DENY", "{what}");
        assert_eq!(
            answer.header("cross-origin-opener-policy"),
            "same-origin",
            "{what}"
        );
        // S-87: what is the same for everybody; whose pages read more, cors.rs says.
        let (reader, policy) = if route.path.starts_with("/.well-known/") {
            ("*", "cross-origin")
        } else {
            ("", "same-origin")
        };
        assert_eq!(
            (
                answer.header("access-control-allow-origin"),
                answer.header("cross-origin-resource-policy")
            ),
            (reader, policy),
            "{what}"
        );
        assert!(
            answer.header("permissions-policy").contains("camera=()"),
            "{what}"
        );
        assert!(
            ["no-referrer", "same-origin"].contains(&answer.header("referrer-policy")),
            "{what}"
        );
        let policy = answer.header("content-security-policy");
        for part in [
            "default-src 'none'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
            "form-action '",
        ] {
            assert!(policy.contains(part), "{what}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{what}: {policy}");
        assert_eq!(answer.header("x-request-id").len(), 24, "{what}");
        assert_eq!(
            answer.header("strict-transport-security"),
            "",
            "{what}: not over http"
        );
        if !answer.text.is_empty() {
            assert_ne!(answer.header("content-type"), "", "{what}");
        }
    }
}

#[tokio::test]
async fn https_answers_pin_https() {
    // S-72, S-171
    let server =
        Server::with(|config| config.issuer = "https://id.example.com".parse().unwrap()).await;
    let page = server.get("/login").await;
    assert_eq!(
        page.header("strict-transport-security"),
        "max-age=63072000; includeSubDomains"
    );
    let cookie = page.header("set-cookie");
    assert!(
        cookie.starts_with("__Host-doorward-login=")
            && cookie.ends_with("; Path=/; HttpOnly; SameSite=Lax; Secure"),
        "{cookie}"
    );
    assert!(!cookie.contains("Domain"));
}

#[test]
fn the_specification_names_every_route() {
    let specification = include_str!("../../docs/specification.md");
    for route in table() {
        if route.path == "/" || route.path.starts_with("/assets") {
            continue;
        }
        assert!(
            specification.contains(&format!("`{}`", route.path)),
            "{}",
            route.path
        );
    }
}
