//! The authorization endpoint: what is asked, what is answered, and to whom.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use serde_json::json;

use crate::support::sign_on::{
    Application, CALLBACK, PASSWORD, VERIFIER, challenge, claims, field, query, step_of,
};
use crate::support::{Answer, Browser, Server, csrf, eventually};

/// The error that a client is told, and that it came by the proper way.
#[track_caller]
fn told(answer: &Answer, server: &Server) -> String {
    let location = answer.header("location");
    assert_eq!(answer.status, 303, "{}", answer.text);
    assert!(location.starts_with(&format!("{CALLBACK}?")), "{location}");
    assert_eq!(answer.header("cache-control"), "no-store");
    let told = query(location);
    assert_eq!(told["iss"], json!(server.url), "S-15");
    told["error"].as_str().unwrap_or("none").to_owned()
}

#[tokio::test]
async fn one_login_opens_two_applications() {
    // S-2, S-13, S-14, S-15, S-48, E3
    let server = Server::with_ada().await;
    let shop = server.application().application().await;
    let forum = server
        .application()
        .flag("--first-party")
        .application()
        .await;
    let mut browser = Browser::new(&server);
    let state = "a b+c/é&=\"<".repeat(100);
    let answer = browser.walk(&shop.authorize(&[("state", &state)])).await;
    assert_eq!(answer.status, 303, "{}", answer.text);
    let answered = query(answer.header("location"));
    assert_eq!(
        (&answered["state"], &answered["iss"]),
        (&json!(state), &json!(server.url))
    );
    let code = answered["code"].as_str().unwrap().to_owned();
    assert!(code.starts_with("ac_") && code.len() == 46, "{code}");

    let tokens = shop.redeem(&code).await;
    assert_eq!(
        (tokens.status, tokens.header("cache-control")),
        (200, "no-store")
    );
    let first = claims(tokens.json()["id_token"].as_str().unwrap());
    let access = claims(tokens.json()["access_token"].as_str().unwrap());
    assert_eq!(first["iss"], json!(server.url));
    assert_eq!(first["aud"], json!(shop.client.id));
    assert_eq!(
        (&first["nonce"], &first["acr"], &first["amr"]),
        (&json!("n-1"), &json!("1"), &json!(["pwd"]))
    );
    assert!(first["azp"].is_null() && first["at_hash"].as_str().unwrap().len() == 22);
    assert_eq!(first["sub"], access["sub"]);
    assert_eq!(
        (&first["sid"], &first["auth_time"]),
        (&access["sid"], &access["auth_time"])
    );
    assert_eq!(
        access["aud"],
        json!(format!("{}/oauth2/userinfo", server.url))
    );

    // The second application: no page at all, the same person, session and time of proof.
    server.clock.advance(time::Duration::seconds(5));
    let answer = browser.get(&forum.authorize(&[("nonce", "")])).await;
    assert_eq!(told(&answer, &server), "none");
    let code = query(answer.header("location"))["code"]
        .as_str()
        .unwrap()
        .to_owned();
    let tokens = forum.redeem(&code).await.json();
    let second = claims(tokens["id_token"].as_str().unwrap());
    for same in ["sub", "sid", "auth_time"] {
        assert_eq!(first[same], second[same], "{same}");
    }
    assert!(second["nonce"].is_null(), "S-48: only what was sent");
}

#[tokio::test]
async fn until_the_client_is_proven_the_person_gets_a_page() {
    // S-1, S-3, S-124
    let server = Server::with_ada().await;
    let shop = server.application().application().await;
    let twice = |name: &str| format!("{}&{name}=x", shop.authorize(&[]));
    for (what, path) in [
        (
            "unknown client",
            shop.authorize(&[("client_id", "c_nobody")]),
        ),
        ("no client", shop.authorize(&[("client_id", "")])),
        (
            "malformed client",
            shop.authorize(&[("client_id", "' or 1=1")]),
        ),
        ("two clients", twice("client_id")),
        ("no URI", shop.authorize(&[("redirect_uri", "")])),
        ("two URIs", twice("redirect_uri")),
        (
            "another URI",
            shop.authorize(&[("redirect_uri", "https://shop.example/cb/")]),
        ),
        (
            "another query",
            shop.authorize(&[("redirect_uri", "https://shop.example/cb?x=1")]),
        ),
        (
            "another host",
            shop.authorize(&[("redirect_uri", "https://evil.example/cb")]),
        ),
        (
            "a script",
            shop.authorize(&[("redirect_uri", "javascript:alert(1)")]),
        ),
        ("unreadable", format!("{}&a=%zz", shop.authorize(&[]))),
    ] {
        let answer = server.get(&path).await;
        assert_eq!(
            (answer.status, answer.header("location")),
            (400, ""),
            "{what}"
        );
        assert!(
            answer.header("content-type").starts_with("text/html"),
            "{what}"
        );
        assert!(
            !answer.text.contains("evil") && !answer.text.contains("alert"),
            "{what}"
        );
    }
}

#[tokio::test]
async fn every_other_error_goes_back_to_the_client() {
    // S-2, S-3, S-4, S-5, S-6, S-8, S-15, E3
    let server = Server::with_ada().await;
    let shop = server
        .application()
        .option("--response-mode", "query")
        .application()
        .await;
    let long = |n: usize| "x".repeat(n);
    let claims = r#"{"id_token":{"acr":{"essential":true,"values":["2"]}}}"#;
    let path = |change: &[(&str, &str)]| shop.authorize(change);
    for (error, path) in [
        (
            "unsupported_response_type",
            path(&[("response_type", "token")]),
        ),
        (
            "unsupported_response_type",
            path(&[("response_type", "code id_token")]),
        ),
        (
            "unsupported_response_type",
            path(&[("response_type", "none")]),
        ),
        ("invalid_request", path(&[("response_type", "")])),
        ("invalid_request", path(&[("response_mode", "fragment")])),
        ("invalid_request", path(&[("response_mode", "form_post")])),
        ("invalid_request", path(&[("code_challenge", "")])),
        (
            "invalid_request",
            path(&[("code_challenge", ""), ("code_challenge_method", "")]),
        ),
        (
            "invalid_request",
            path(&[("code_challenge_method", "plain")]),
        ),
        ("invalid_request", path(&[("code_challenge_method", "")])),
        ("invalid_request", path(&[("code_challenge", &long(42))])),
        ("invalid_request", path(&[("code_challenge", &long(44))])),
        (
            "invalid_request",
            path(&[("code_challenge", &format!("{}+", long(42)))]),
        ),
        ("invalid_scope", path(&[("scope", "openid unregistered")])),
        ("invalid_scope", path(&[("scope", "openid users:read")])),
        ("invalid_scope", path(&[("scope", "open\tid")])),
        ("invalid_request", path(&[("prompt", "none login")])),
        ("invalid_request", path(&[("prompt", "create")])),
        ("invalid_request", path(&[("max_age", "-1")])),
        ("invalid_request", path(&[("max_age", "soon")])),
        ("invalid_request", path(&[("claims", "{")])),
        (
            "unmet_authentication_requirements",
            path(&[("claims", claims)]),
        ),
        (
            "request_not_supported",
            path(&[("request", "eyJhbGciOiJub25lIn0.e30.")]),
        ),
        (
            "request_uri_not_supported",
            path(&[("request_uri", "https://shop.example/r")]),
        ),
        (
            "registration_not_supported",
            path(&[("registration", "{}")]),
        ),
        ("invalid_request", path(&[("id_token_hint", "x.y.z")])),
        ("invalid_request", path(&[("nonce", &long(257))])),
        ("invalid_request", path(&[("state", &long(2049))])),
        ("invalid_request", path(&[("login_hint", &long(255))])),
        ("invalid_request", format!("{}&scope=openid", path(&[]))),
        (
            "invalid_request",
            format!("{}&unknown=1&unknown=2", path(&[])),
        ),
        ("invalid_request", format!("{}&state=s-2", path(&[]))),
        (
            "invalid_target",
            format!("{}&resource=urn:a&resource=urn:b", path(&[])),
        ),
        (
            "invalid_target",
            path(&[("resource", &format!("urn:{}", long(497)))]),
        ),
    ] {
        let answer = server.get(&path).await;
        assert_eq!(told(&answer, &server), error, "{path}");
        let state = &query(answer.header("location"))["state"];
        let twice_or_long = path.contains("state=s-2") || path.len() > 2200;
        assert_eq!(
            *state,
            if twice_or_long {
                json!(null)
            } else {
                json!("s-1")
            },
            "{path}"
        );
    }
    // S-6: of a public client too, and an empty parameter is an absent one.
    let public = server.application().auth_method("none");
    let public = public.application().await;
    for client in [&shop, &public] {
        let bare = client.authorize(&[("code_challenge", ""), ("code_challenge_method", "")]);
        for more in ["", "&code_challenge=&code_challenge_method=S256"] {
            let answer = server.get(&format!("{bare}{more}")).await;
            assert_eq!(told(&answer, &server), "invalid_request", "{bare}{more}");
        }
    }
    // What is known to others and not to us is passed over.
    for fine in [
        [("acr_values", "9 8"), ("display", "popup")],
        [("ui_locales", "de fr"), ("claims_locales", "se")],
        [("extra", "foobar"), ("scope", "profile openid email")],
        [("resource", ""), ("nonce", &long(256))],
    ] {
        let answer = server.get(&path(&fine)).await;
        assert!(
            answer.header("location").starts_with("/login?request="),
            "{fine:?}"
        );
    }
}

#[tokio::test]
async fn nobody_else_reads_the_answer() {
    // S-16: no CORS, no reply to a preflight.
    let server = Server::with_ada().await;
    let shop = server.application().application().await;
    for path in [&shop.authorize(&[]), "/login", "/consent"] {
        for method in [Method::OPTIONS, Method::GET] {
            let request = server.request(method.clone(), path);
            let request = request.header("origin", "https://evil.example");
            let request = request.header("access-control-request-method", "GET");
            let answer = Answer::of(request).await;
            let cors = answer
                .headers
                .keys()
                .any(|name| name.as_str().starts_with("access-control"));
            assert!(!cors, "{method} {path}");
            assert!(method != Method::OPTIONS || answer.status == 405, "{path}");
        }
    }
}

#[tokio::test]
async fn prompt_none_shows_no_page() {
    // S-9
    let server = Server::with_ada().await;
    let shop = server.application().application().await;
    let mut browser = Browser::new(&server);
    let silent = shop.authorize(&[("prompt", "none")]);
    assert_eq!(told(&browser.get(&silent).await, &server), "login_required");
    browser.sign_in("ada", PASSWORD).await;
    assert_eq!(
        told(&browser.get(&silent).await, &server),
        "consent_required"
    );
    shop.code(&mut browser, &[]).await;
    assert_eq!(told(&browser.get(&silent).await, &server), "none");
    let stale = shop.authorize(&[("prompt", "none"), ("max_age", "1")]);
    server.clock.advance(time::Duration::seconds(2));
    assert_eq!(told(&browser.get(&stale).await, &server), "login_required");
    let fresh = shop.authorize(&[("prompt", "none"), ("max_age", "10000")]);
    assert_eq!(told(&browser.get(&fresh).await, &server), "none");
}

#[tokio::test]
async fn a_fresh_login_is_a_fresh_login() {
    // S-10
    let server = Server::with_ada().await;
    let shop = server
        .application()
        .flag("--first-party")
        .application()
        .await;
    let mut browser = Browser::new(&server);
    let time_of = async |browser: &mut Browser<'_>, change: &[(&str, &str)]| {
        let code = shop.code(browser, change).await;
        let tokens = shop.redeem(&code).await.json();
        let claims = claims(tokens["id_token"].as_str().unwrap());
        (claims["auth_time"].as_i64().unwrap(), claims["sid"].clone())
    };
    let (first, sid) = time_of(&mut browser, &[]).await;
    server.clock.advance(time::Duration::seconds(30));
    assert_eq!(time_of(&mut browser, &[("max_age", "60")]).await.0, first);
    for change in [("prompt", "login"), ("max_age", "20"), ("max_age", "0")] {
        server.clock.advance(time::Duration::seconds(30));
        let before = browser.cookies.clone();
        let page = browser.follow(&shop.authorize(&[change])).await;
        assert_eq!(step_of(&page), Some("/login"), "{change:?}");
        // Without a new password nothing goes on, and who cancels has the session that they had.
        let request = field(&page, "request").unwrap();
        let on = browser.follow(&format!("/consent?request={request}")).await;
        assert_eq!(step_of(&on), Some("/login"));
        let cancel = [("csrf", csrf(&page)), ("request", request)];
        let cancel = cancel.each_ref().map(|(n, v)| (*n, v.as_str()));
        let answer = browser.post("/login/cancel", &cancel).await;
        assert_eq!(told(&answer, &server), "access_denied");
        assert_eq!(browser.cookies["doorward"], before["doorward"]);
        assert_eq!(browser.account().await, 200);
        // Signing in makes it fresh, in the session that it was.
        let (again, same) = time_of(&mut browser, &[change]).await;
        assert!(again >= first + 30, "{change:?}");
        assert_eq!(same, sid, "one session");
    }
}

#[tokio::test]
async fn what_was_asked_is_what_is_kept() {
    // S-7, S-74, S-164: the pages carry a name; whatever else a form brings changes nothing, and in another browser the name is worthless.
    let server = Server::with_ada().await;
    let shop = server.application().application().await;
    let (mut mine, mut theirs) = (Browser::new(&server), Browser::new(&server));
    let page = mine.follow(&shop.authorize(&[])).await;
    let request = field(&page, "request").unwrap();
    assert!(
        !page.text.contains("s-1") && !page.text.contains(CALLBACK),
        "{}",
        page.text
    );

    theirs.sign_in("ada", PASSWORD).await;
    for path in [
        "/login",
        "/consent",
        "/login/account",
        "/oauth2/authorize/continue",
    ] {
        let planted = theirs.follow(&format!("{path}?request={request}")).await;
        assert_eq!(
            (planted.status, planted.header("location")),
            (400, ""),
            "{path}"
        );
    }
    let page = mine.sign_in_at(&page, "ada", PASSWORD).await;
    assert_eq!(step_of(&page), Some("/consent"));
    let (token, seal) = (csrf(&page), field(&page, "seal").unwrap());
    let form = [
        ("csrf", token.as_str()),
        ("request", &request),
        ("seal", &seal),
        ("decision", "allow"),
        ("redirect_uri", "https://evil.example/"),
        ("scope", "openid offline_access"),
        ("client_id", "c_evil"),
        ("state", "evil"),
    ];
    let answer = mine.post("/consent", &form).await;
    assert_eq!(told(&answer, &server), "none");
    let answered = query(answer.header("location"));
    assert_eq!(answered["state"], "s-1");
    let tokens = shop.redeem(answered["code"].as_str().unwrap()).await.json();
    assert_eq!(tokens["scope"], "openid");
    // Finished is finished, in every tab.
    let again = mine.post("/consent", &form).await;
    assert_eq!((again.status, again.header("location")), (400, ""));
}

/// S-164: where a browser goes on is no word of whoever made the link: a name that nobody gave out leads nowhere, whatever it holds.
#[tokio::test]
async fn no_link_says_where_a_browser_goes_on() {
    let server = Server::with_ada().await;
    let hostile = [
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/%09/evil.example",
        "/\t/evil.example",
        "/ /evil.example",
        "https:evil.example",
        "https://evil.example",
        "javascript:alert('evil')",
        "@evil.example",
        "x@evil.example/",
        "/account\r\nLocation: https://evil.example",
        "/account%0d%0aSet-Cookie: evil=1",
        "x\r\nSet-Cookie: evil=1",
        "x\n\nevil",
        "\0evil",
        "../evil",
    ];
    let encoded = |text: &str| {
        let bytes = form_urlencoded::byte_serialize(text.as_bytes());
        bytes.collect::<String>()
    };
    let mut stranger = Browser::new(&server);
    let mut ada = Browser::new(&server);
    ada.sign_in("ada", PASSWORD).await;
    let held = |answer: &Answer, what: &str| {
        assert!(
            [200, 303, 400, 403, 404, 422].contains(&answer.status),
            "{what}: {}",
            answer.status
        );
        let location = answer.header("location");
        let ours = location.is_empty()
            || (location.starts_with('/')
                && location[1..].starts_with(|c: char| c.is_ascii_lowercase()));
        assert!(ours && !location.contains("evil"), "{what}: {location}");
        assert!(
            answer
                .headers
                .values()
                .all(|v| !v.to_str().is_ok_and(|v| v.contains("evil")))
        );
        for leads in ["href=\"", "action=\"", "src=\"", "url="] {
            let mut targets = answer.text.split(leads).skip(1);
            let away = |target: &str| target.split('"').next().unwrap().contains("evil");
            assert!(!targets.any(away), "{what}: {}", answer.text);
        }
    };
    for name in hostile {
        for page in [
            "/login",
            "/login/account",
            "/consent",
            "/oauth2/authorize/continue",
            "/account",
            "/logout",
        ] {
            for parameter in ["request", "return_to", "next", "redirect_uri"] {
                let path = format!("{page}?{parameter}={}", encoded(name));
                for browser in [&mut stranger, &mut ada] {
                    held(&browser.get(&path).await, &path);
                }
            }
        }
        // As a form says it, of somebody who signs in, and of who is signed in.
        let mut comer = Browser::new(&server);
        let token = csrf(&comer.get("/login").await);
        let form = [
            ("csrf", token.as_str()),
            ("request", name),
            ("username", "ada"),
            ("password", PASSWORD),
            ("return_to", name),
        ];
        for path in ["/login", "/login/cancel"] {
            let answer = comer.post(path, &form).await;
            assert_eq!((answer.status, answer.header("location")), (400, ""));
            held(&answer, path);
        }
        let plain = [&form[..1], &form[2..]].concat();
        let answer = comer.post("/login", &plain).await;
        // A form that holds a zero byte is not read at all.
        let leads_to = if name.contains('\0') { "" } else { "/account" };
        assert_eq!(answer.header("location"), leads_to, "{name}");
        let token = csrf(&ada.get("/account/password").await);
        for path in ["/consent", "/login/account"] {
            let form = [
                ("csrf", token.as_str()),
                ("request", name),
                ("decision", "allow"),
            ];
            let answer = ada.post(path, &form).await;
            assert_eq!((answer.status, answer.header("location")), (400, ""));
            held(&answer, path);
        }
    }
}

#[tokio::test]
async fn nobody_approves_what_they_did_not_see() {
    // S-7, S-11: the client becomes another between the page and its button.
    let server = Server::with_ada().await;
    let shop = server.client().named("Shop").grant("authorization_code");
    let shop = shop.scope("openid").option("--redirect-uri", CALLBACK);
    let shop = shop.application().await;
    let admin = server.admin_token().await;
    let mut browser = Browser::new(&server);
    // Without `scope`: whatever the client may have.
    let page = browser.follow(&shop.authorize(&[("scope", "")])).await;
    let mut page = browser.sign_in_at(&page, "ada", PASSWORD).await;
    let request = field(&page, "request").unwrap();
    for (change, told) in [
        (
            json!({ "scope": "openid email" }),
            "See your e-mail address",
        ),
        (json!({ "client_name": "Wiki" }), "Allow Wiki?"),
    ] {
        assert!(!page.text.contains(told), "{}", page.text);
        let path = format!("/api/v1/clients/{}", shop.client.id);
        let answer = server
            .call(Method::PATCH, &path, &admin, Some(change))
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let soon = std::time::Duration::from_secs(10);
        let seen = Browser::at(&browser, &server);
        eventually(soon, "the change is known", async || {
            let path = format!("/consent?request={request}");
            seen.at(&server).get(&path).await.text.contains(told)
        })
        .await;
        let again = browser.agree_at("/consent", &page).await;
        assert_eq!(step_of(&again), Some("/consent"), "{}", again.text);
        assert!(again.text.contains(told), "{}", again.text);
        page = again;
    }
    // What is approved is what is seen now; of another request's page nothing counts.
    let other = browser.follow(&shop.authorize(&[])).await;
    let seal = field(&other, "seal").unwrap();
    let token = csrf(&page);
    let form = [
        ("csrf", token.as_str()),
        ("request", request.as_str()),
        ("decision", "allow"),
    ];
    for seal in [&seal, "", "x"] {
        let form = [&form[..], &[("seal", seal)]].concat();
        let again = browser.send_and_follow("/consent", &form).await;
        assert_eq!(step_of(&again), Some("/consent"), "{}", again.text);
    }
    let answer = browser.agree_at("/consent", &page).await;
    let code = query(answer.header("location"))["code"].clone();
    let tokens = shop.redeem(code.as_str().unwrap()).await.json();
    assert_eq!(tokens["scope"], "openid email");
}

#[tokio::test]
async fn a_request_may_come_by_post() {
    // S-3: a parameter in the query and in the form is one given twice.
    let server = Server::with_ada().await;
    let shop = server.application().application().await;
    let path = shop.authorize(&[("login_hint", "ada@example.com")]);
    let (endpoint, form) = path.split_once('?').unwrap();
    let post = async |path: &str, form: &str| {
        let request = server.request(Method::POST, path).body(form.to_owned());
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        Answer::of(request.header("origin", "https://shop.example")).await
    };
    let answer = post(endpoint, form).await;
    let mut browser = Browser::new(&server);
    let next = answer.header("location").to_owned();
    assert!(
        next.starts_with("/oauth2/authorize/continue?request="),
        "{next}"
    );
    let page = browser.follow(&next).await;
    assert!(
        page.text.contains("value=\"ada@example.com\""),
        "{}",
        page.text
    );
    let page = browser.sign_in_at(&page, "ada", PASSWORD).await;
    let answer = browser.agree_at("/consent", &page).await;
    assert_eq!(told(&answer, &server), "none");
    // Taken up by one browser, it is nobody else's.
    let second = post(endpoint, form).await.header("location").to_owned();
    browser.follow(&second).await;
    assert_eq!(Browser::new(&server).follow(&second).await.status, 400);

    let twice = post(&format!("{endpoint}?scope=openid"), form).await;
    assert_eq!(told(&twice, &server), "invalid_request");
    let request = server.request(Method::POST, endpoint).json(&json!({}));
    assert_eq!(Answer::of(request).await.status, 400);
}

#[tokio::test]
async fn form_post_escapes_what_it_carries() {
    // S-5, S-85
    let server = Server::with_ada().await;
    let shop = server.application().application().await;
    let state = "\"><script>alert(1)</script>";
    let mut browser = Browser::new(&server);
    let path = shop.authorize(&[("state", state), ("response_mode", "form_post")]);
    let page = browser.walk(&path).await;
    assert_eq!(
        (page.status, step_of(&page)),
        (200, Some(CALLBACK)),
        "{}",
        page.text
    );
    assert!(!page.text.contains("<script>alert"), "{}", page.text);
    assert!(page.text.contains("You are signed in"), "{}", page.text);
    assert!(field(&page, "code").is_some_and(|code| code.starts_with("ac_")));
    assert_eq!(field(&page, "iss"), Some(server.url.clone()));
    let policy = page.header("content-security-policy");
    assert!(
        policy.contains("form-action 'self' https://shop.example;"),
        "{policy}"
    );
    let nonce = page
        .text
        .split("nonce=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    assert!(
        nonce.len() >= 22 && policy.contains(&format!("script-src 'nonce-{nonce}'")),
        "{policy}"
    );
    assert_eq!(page.header("referrer-policy"), "no-referrer");
    let again = browser.walk(&path).await;
    assert!(!again.text.contains(nonce), "one nonce a response");
    let refused = shop.authorize(&[("response_mode", "form_post"), ("response_type", "token")]);
    let page = server.get(&refused).await;
    assert!(
        page.text.contains("Back to the application"),
        "{}",
        page.text
    );
    assert_eq!(
        field(&page, "error").as_deref(),
        Some("unsupported_response_type")
    );
    // A request object is refused, and the client hears it the way that it says there; of the object that alone is looked at.
    let object = |claims: serde_json::Value| {
        let payload = URL_SAFE_NO_PAD.encode(claims.to_string());
        let object = format!("eyJhbGciOiJub25lIn0.{payload}.");
        shop.authorize(&[("request", &object)])
    };
    let evil = "https://evil.example/";
    let told_there = json!({ "response_mode": "form_post", "redirect_uri": evil, "state": "evil" });
    let page = server.get(&object(told_there)).await;
    assert_eq!(step_of(&page), Some(CALLBACK), "{}", page.text);
    assert_eq!(
        (
            field(&page, "error").as_deref(),
            field(&page, "state").as_deref()
        ),
        (Some("request_not_supported"), Some("s-1"))
    );
    for mode in [json!("fragment"), json!(1), json!(null)] {
        let answer = server.get(&object(json!({ "response_mode": mode }))).await;
        assert_eq!(told(&answer, &server), "request_not_supported");
    }
}

#[tokio::test]
async fn people_are_asked_once_and_for_each_thing() {
    // S-11, S-12
    let server = Server::with_ada().await;
    let shop = server
        .application()
        .named("<b>Shop & Co</b>")
        .application()
        .await;
    let mut browser = Browser::new(&server);
    browser.sign_in("ada", PASSWORD).await;
    let asked = async |browser: &mut Browser<'_>, change: &[(&str, &str)]| {
        let page = browser.follow(&shop.authorize(change)).await;
        (step_of(&page) == Some("/consent")).then_some(page)
    };
    let page = asked(&mut browser, &[("scope", "openid email")])
        .await
        .unwrap();
    for part in [
        "&lt;b&gt;Shop",
        "Know that it is you",
        "e-mail address",
        "shop.example",
        "after 30 days at the latest",
        "Ada Lovelace",
    ] {
        assert!(
            page.text
                .replace("&#60;", "&lt;")
                .replace("&#62;", "&gt;")
                .contains(part),
            "{part}: {}",
            page.text
        );
    }
    assert!(!page.text.contains("<b>Shop"));
    let allow = page.text.find("value=\"allow\"").unwrap();
    assert!(
        allow < page.text.find("value=\"deny\"").unwrap(),
        "the approving button first"
    );
    let refused = browser.decide_at("/consent", &page, "deny").await;
    assert_eq!(told(&refused, &server), "access_denied");

    let page = asked(&mut browser, &[("scope", "openid email")])
        .await
        .unwrap();
    browser.agree_at("/consent", &page).await;
    for covered in ["openid email", "email openid", "openid"] {
        assert!(
            asked(&mut browser, &[("scope", covered)]).await.is_none(),
            "{covered}"
        );
    }
    for more in ["openid email phone", "openid offline_access"] {
        assert!(
            asked(&mut browser, &[("scope", more)]).await.is_some(),
            "{more}"
        );
    }
    let page = asked(&mut browser, &[("scope", "openid offline_access")]).await;
    let lasts = "It may go on for up to 30 days, also while you are signed out.";
    assert!(page.unwrap().text.contains(lasts));
    let by_name = (
        "claims",
        r#"{"userinfo":{"phone_number":null,"email":null}}"#,
    );
    let page = asked(&mut browser, &[("scope", "openid email"), by_name])
        .await
        .unwrap();
    assert!(page.text.contains("See your phone number"), "{}", page.text);
    let always = [("scope", "openid"), ("prompt", "consent")];
    assert!(asked(&mut browser, &always).await.is_some());
}

#[tokio::test]
async fn no_client_asks_by_name_for_what_its_scopes_do_not_open() {
    // S-8
    let server = Server::with_ada().await;
    let shop = server.client().grant("authorization_code").scope("openid");
    let shop = shop.option("--redirect-uri", CALLBACK).application().await;
    let wish = r#"{"userinfo":{"email":null},"id_token":{"name":null,"email":{"essential":true}}}"#;
    let wish = [("claims", wish)];
    let mut browser = Browser::new(&server);
    let page = browser.follow(&shop.authorize(&wish)).await;
    let page = browser.sign_in_at(&page, "ada", PASSWORD).await;
    assert_eq!(step_of(&page), Some("/consent"));
    assert!(!page.text.contains("See your"), "{}", page.text);
    let tokens = shop.tokens(&wish).await;
    let told = claims(tokens["id_token"].as_str().unwrap());
    assert_eq!(
        (&told["email"], &told["name"]),
        (&json!(null), &json!(null))
    );
    let access = tokens["access_token"].as_str().unwrap();
    let person = server.call(Method::GET, "/oauth2/userinfo", access, None);
    assert_eq!(person.await.json().as_object().unwrap().len(), 1, "sub");
}

#[tokio::test]
async fn who_asks_and_where_it_leads_is_told_in_few_words() {
    // S-12: of a name the beginning, of a host the end.
    let server = Server::with_ada().await;
    let host = format!(
        "accounts.example.com.{}.evil.example",
        ["login"; 20].join(".")
    );
    let callback = format!("https://{host}/cb");
    let name = "Shop ".repeat(39);
    let shop = server.client().named(&name).grant("authorization_code");
    let shop = shop.scope("openid").option("--redirect-uri", &callback);
    let shop = Application {
        client: shop.register().await,
        redirect_uri: callback.clone(),
    };
    let mut browser = Browser::new(&server);
    let page = browser.follow(&shop.authorize(&[])).await;
    let page = browser.sign_in_at(&page, "ada", PASSWORD).await;
    assert_eq!(step_of(&page), Some("/consent"));
    let text = &page.text;
    assert!(text.contains(".evil.example</strong>"), "{text}");
    assert!(!text.contains("accounts.example.com"), "{text}");
    assert!(!text.contains(&"Shop ".repeat(20)), "{text}");
}

#[tokio::test]
async fn who_may_be_an_impostor_asks_each_time() {
    // S-11, S-124: a native application on a port of its own, though it be the operator's.
    let server = Server::with_ada().await;
    let native = || {
        let app = server.client().grant("authorization_code").scope("openid");
        let app = app.option("--redirect-uri", "http://127.0.0.1/cb");
        app.option("--application-type", "native")
            .auth_method("none")
    };
    let (plain, own) = (native(), native().flag("--first-party"));
    let [plain, own] = [plain.register().await, own.register().await].map(|client| Application {
        client,
        redirect_uri: "http://127.0.0.1:49152/cb".to_owned(),
    });
    let mut browser = Browser::new(&server);
    for app in [&plain, &plain, &own, &own] {
        let silent = browser.get(&app.authorize(&[("prompt", "none")])).await;
        assert!(
            silent.header("location").contains("error="),
            "{}",
            silent.text
        );
        let page = browser.follow(&app.authorize(&[])).await;
        let page = match step_of(&page) {
            Some("/login") => browser.sign_in_at(&page, "ada", PASSWORD).await,
            _ => page,
        };
        assert_eq!(step_of(&page), Some("/consent"));
        assert!(
            page.text.contains("a program on this device"),
            "{}",
            page.text
        );
        let answer = browser.agree_at("/consent", &page).await;
        let code = query(answer.header("location"))["code"]
            .as_str()
            .unwrap()
            .to_owned();
        assert_eq!(app.redeem(&code).await.status, 200);
    }
}

#[tokio::test]
async fn the_account_can_be_chosen_and_is_never_switched() {
    // E2
    let server = Server::with_ada().await;
    server
        .user_with_password(json!({ "username": "grace" }), PASSWORD)
        .await;
    let shop = server
        .application()
        .flag("--first-party")
        .application()
        .await;
    let mut browser = Browser::new(&server);
    let code = shop.code(&mut browser, &[]).await;
    let adas = shop.redeem(&code).await.json()["id_token"]
        .as_str()
        .unwrap()
        .to_owned();

    let choose = shop.authorize(&[("prompt", "select_account")]);
    let page = browser.follow(&choose).await;
    assert_eq!(step_of(&page), Some("/login/account"));
    assert!(page.text.contains("Ada Lovelace"));
    let answer = browser.agree_at("/login/account", &page).await;
    assert_eq!(told(&answer, &server), "none");
    // Another account: what Ada's browser held of hers ends with her session.
    let page = browser.follow(&choose).await;
    let request = field(&page, "request").unwrap();
    let page = browser
        .get(&format!("/login?request={request}&other"))
        .await;
    let answer = browser.sign_in_at(&page, "grace", PASSWORD).await;
    let code = query(answer.header("location"))["code"]
        .as_str()
        .unwrap()
        .to_owned();
    let graces = shop.redeem(&code).await.json()["id_token"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_ne!(claims(&graces)["sub"], claims(&adas)["sub"]);
    assert_ne!(claims(&graces)["sid"], claims(&adas)["sid"], "S-77");

    for (hint, prompt, error) in [
        (&graces, "none", "none"),
        (&adas, "none", "login_required"),
        (&adas, "", "login_required"),
    ] {
        let path = shop.authorize(&[("id_token_hint", hint), ("prompt", prompt)]);
        assert_eq!(told(&browser.get(&path).await, &server), error, "{prompt}");
    }
    let subject = format!(
        r#"{{"id_token":{{"sub":{{"value":{}}}}}}}"#,
        claims(&adas)["sub"]
    );
    let path = shop.authorize(&[("claims", &subject)]);
    assert_eq!(told(&browser.get(&path).await, &server), "login_required");
    // What another client was given is no hint of this one's, and one without consent does not learn who sits here.
    let other = server.application().application().await;
    let path = other.authorize(&[("id_token_hint", &graces)]);
    assert_eq!(told(&browser.get(&path).await, &server), "invalid_request");
    let mut answers = Vec::new();
    for person in [&adas, &graces] {
        let sub = &claims(person)["sub"];
        let subject = format!(r#"{{"id_token":{{"sub":{{"value":{sub}}}}}}}"#);
        let path = other.authorize(&[("claims", &subject), ("prompt", "none")]);
        answers.push(query(browser.get(&path).await.header("location")));
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0]["error"], "login_required");
    // A hint outlives its token, and an access token is none (S-42).
    server.clock.advance(time::Duration::minutes(30));
    let path = shop.authorize(&[("id_token_hint", &graces), ("prompt", "none")]);
    assert_eq!(told(&browser.get(&path).await, &server), "none");
}

#[tokio::test]
async fn who_would_not_choose_an_account_says_so() {
    // S-10: the session stays as it was, and the request is over.
    let server = Server::with_ada().await;
    let shop = server.application().application().await;
    let mut browser = Browser::new(&server);
    shop.code(&mut browser, &[]).await;
    let choose = shop.authorize(&[("prompt", "select_account")]);
    let page = browser.follow(&choose).await;
    let (allow, deny) = (page.text.find("\"allow\""), page.text.find("\"deny\""));
    assert!(allow.unwrap() < deny.unwrap(), "the approving one first");
    // Whoever sends the form without a button is at the same page.
    let again = browser.decide_at("/login/account", &page, "").await;
    assert_eq!(step_of(&again), Some("/login/account"));
    let answer = browser.decide_at("/login/account", &again, "deny").await;
    assert_eq!(told(&answer, &server), "access_denied");
    assert_eq!(query(answer.header("location"))["state"], "s-1");
    assert_eq!(browser.account().await, 200);
    let late = browser.agree_at("/login/account", &page).await;
    assert_eq!(late.status, 400, "{}", late.text);
}

#[tokio::test]
async fn what_a_person_may_not_have_does_not_tell_who_it_is() {
    // E2: a client without consent that asks after somebody, and for what only an admin may have.
    let server = Server::with_ada().await;
    let other = json!({ "username": "grace" });
    let grace = server.user_with_password(other, PASSWORD).await;
    let asker = |name| {
        let client = server.client().named(name).grant("authorization_code");
        let client = client.option("--redirect-uri", CALLBACK);
        client.scope("openid users:read")
    };
    let strange = asker("strange").application().await;
    let own = asker("own").flag("--first-party").application().await;
    let mut browser = Browser::new(&server);
    let page = browser.follow(&own.authorize(&[])).await;
    let answer = browser.sign_in_at(&page, "ada", PASSWORD).await;
    let back = query(answer.header("location"));
    let tokens = own.redeem(back["code"].as_str().unwrap()).await.json();
    let ada = claims(tokens["id_token"].as_str().unwrap())["sub"].clone();
    let scope = ("scope", "openid users:read");
    for prompt in ["none", ""] {
        let mut answers = Vec::new();
        for person in [&ada, &grace["id"]] {
            let subject = json!({ "id_token": { "sub": { "value": person } } }).to_string();
            let asks = [scope, ("claims", &subject), ("prompt", prompt)];
            let answer = browser.get(&strange.authorize(&asks)).await;
            assert_eq!(told(&answer, &server), "login_required", "{person}");
            answers.push(query(answer.header("location")));
        }
        assert_eq!(answers[0], answers[1]);
        // A mistake of the client's own is told, whoever sits there.
        for person in [&ada, &grace["id"]] {
            let subject = json!({ "id_token": { "sub": { "value": person } } }).to_string();
            let elsewhere = ("resource", "https://elsewhere.example");
            let asks = [scope, ("claims", &subject), ("prompt", prompt), elsewhere];
            let answer = browser.get(&strange.authorize(&asks)).await;
            assert_eq!(told(&answer, &server), "invalid_target", "{person}");
        }
        // Whom nobody asked after, and the operator's own applications, hear what is wrong.
        let asks = [scope, ("prompt", prompt)];
        let answer = browser.get(&strange.authorize(&asks)).await;
        assert_eq!(told(&answer, &server), "invalid_scope");
        let subject = json!({ "id_token": { "sub": { "value": ada } } }).to_string();
        let asks = [scope, ("claims", &subject), ("prompt", prompt)];
        let answer = browser.get(&own.authorize(&asks)).await;
        assert_eq!(told(&answer, &server), "invalid_scope");
    }
}

#[tokio::test]
async fn who_is_disabled_on_the_way_gets_no_code() {
    // S-17
    let server = Server::with_ada().await;
    let shop = server.application().application().await;
    let admin = server.admin_token().await;
    let path = server.path_of("ada").await;
    let set = async |status: &str| {
        let body = Some(json!({ "status": status }));
        assert_eq!(
            server.call(Method::PATCH, &path, &admin, body).await.status,
            200
        );
    };
    let mut browser = Browser::new(&server);
    let page = browser.follow(&shop.authorize(&[])).await;
    let page = browser.sign_in_at(&page, "ada", PASSWORD).await;
    assert_eq!(step_of(&page), Some("/consent"));
    set("disabled").await;
    let form = [
        ("csrf", csrf(&page)),
        ("request", field(&page, "request").unwrap()),
        ("seal", field(&page, "seal").unwrap()),
    ];
    let form = form.each_ref().map(|(n, v)| (*n, v.as_str()));
    let answer = browser
        .post("/consent", &[&form[..], &[("decision", "allow")]].concat())
        .await;
    assert!(
        !answer.header("location").contains("code="),
        "{}",
        answer.header("location")
    );
    // And between the code and the token.
    set("active").await;
    let code = shop.code(&mut Browser::new(&server), &[]).await;
    set("disabled").await;
    shop.redeem(&code).await.refused(400, "invalid_grant");
    set("active").await;
    shop.redeem(&code).await.refused(400, "invalid_grant");
    // Nor who is deleted.
    let mut browser = Browser::new(&server);
    let code = shop.code(&mut browser, &[]).await;
    let asks = shop.authorize(&[("prompt", "consent")]);
    let page = browser.follow(&asks).await;
    let gone = server.call(Method::DELETE, &path, &admin, None).await;
    assert_eq!(gone.status, 204, "{}", gone.text);
    shop.redeem(&code).await.refused(400, "invalid_grant");
    let form = ["csrf", "request", "seal"].map(|name| (name, field(&page, name).unwrap()));
    let form = form.each_ref().map(|(n, v)| (*n, v.as_str()));
    let allowed = [&form[..], &[("decision", "allow")]].concat();
    let answer = browser.post("/consent", &allowed).await;
    let session = "their session went with them";
    assert_eq!(
        (answer.status, answer.header("location")),
        (403, ""),
        "{session}"
    );
    let request = field(&page, "request").unwrap();
    let page = browser.follow(&format!("/consent?request={request}")).await;
    assert_eq!(step_of(&page), Some("/login"), "{}", page.text);
}

#[tokio::test]
async fn a_constant_challenge_is_noticed() {
    // E1
    let server = Server::with_ada().await;
    let shop = server
        .application()
        .flag("--first-party")
        .application()
        .await;
    let mut browser = Browser::new(&server);
    let noticed = async || {
        let mut db = server.tables().await;
        let count = "select count(*) from audit where action = 'code_challenge.repeated'";
        sqlx::query_scalar::<_, i64>(count)
            .fetch_one(&mut db)
            .await
            .unwrap()
    };
    shop.code(&mut browser, &[("code_challenge", &challenge("other"))])
        .await;
    shop.code(&mut browser, &[]).await;
    assert_eq!(noticed().await, 0);
    for _ in 0..3 {
        shop.code(&mut browser, &[]).await;
    }
    assert_eq!(noticed().await, 1, "once");
    assert_eq!(
        challenge(VERIFIER),
        "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        "RFC 7636, appendix B"
    );
}

async fn under_way(server: &Server) -> i64 {
    let count = "select count(*) from authorization_request";
    sqlx::query_scalar(count)
        .fetch_one(&mut server.tables().await)
        .await
        .unwrap()
}

/// E33: any page can have its visitors begin logins, by the thousand. They are bounded, and shut out neither who signs in already nor who
/// comes after them.
#[tokio::test]
async fn strangers_begin_a_bounded_number_of_logins() {
    let server = Server::with_ada().await;
    let shop = server.application().application().await;
    let mut early = Browser::new(&server);
    let page = early.follow(&shop.authorize(&[])).await;
    assert_eq!(step_of(&page), Some("/login"));
    let path = shop.authorize(&[("state", "never continued")]);
    for _ in 0..1005 {
        let answer = server.get(&path).await;
        assert_eq!(answer.status, 303, "{}", answer.text);
    }
    assert_eq!(under_way(&server).await, 1000);
    let mut late = Browser::new(&server);
    let code = shop.code(&mut late, &[]).await;
    assert_eq!(shop.redeem(&code).await.status, 200);
    let page = early.sign_in_at(&page, "ada", PASSWORD).await;
    assert_eq!(told(&page, &server), "none");
    assert_eq!(under_way(&server).await, 998, "both are done");
}

/// E33: what no person sees leads to no login; what a person sees does.
#[tokio::test]
async fn a_login_begins_on_a_page_of_its_own() {
    let server = Server::with_ada().await;
    let shop = server.application().application().await;
    let path = shop.authorize(&[]);
    let (endpoint, form) = path.split_once('?').unwrap();
    let ask = async |name: &str, value: &str, posted: bool| {
        let request = match posted {
            true => server
                .request(Method::POST, endpoint)
                .header("content-type", "application/x-www-form-urlencoded")
                .body(form.to_owned()),
            false => server.request(Method::GET, &path),
        };
        Answer::of(request.header(name, value)).await
    };
    for posted in [false, true] {
        for (name, value) in [
            ("sec-fetch-dest", "image"),
            ("sec-fetch-dest", "iframe"),
            ("sec-fetch-dest", "empty"),
            ("sec-fetch-dest", "script"),
            ("sec-fetch-dest", ""),
            ("sec-purpose", "prefetch;prerender"),
        ] {
            let answer = ask(name, value, posted).await;
            let refused = (answer.status, answer.header("location"));
            assert_eq!(refused, (400, ""), "{name}: {value}");
        }
    }
    assert_eq!(under_way(&server).await, 0);
    for posted in [false, true] {
        let answer = ask("sec-fetch-dest", "document", posted).await;
        assert_eq!(answer.status, 303, "{}", answer.text);
    }
    // Asking silently, as applications do in a frame, needs no page.
    let silent = server.request(Method::GET, &shop.authorize(&[("prompt", "none")]));
    let answer = Answer::of(silent.header("sec-fetch-dest", "iframe")).await;
    assert_eq!(told(&answer, &server), "login_required");
}
