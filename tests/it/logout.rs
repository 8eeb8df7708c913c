//! Leaving: at our page, from an application, and every application told of it.

use std::net::SocketAddr;
use std::time::Duration;

use doorward::kernel::clock::Clock;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::browser::csrf;
use crate::support::leaving::{Sink, Tokens};
use crate::support::sign_on::{Application, PASSWORD, claims, field};
use crate::support::{Browser, Server, eventually};

const AFTER: &str = "https://shop.example/bye";
const SOON: Duration = Duration::from_secs(10);
const END: &str = "/oauth2/logout";

/// A server that may speak to this machine, and ada.
async fn server() -> Server {
    let server = Server::with(|config| {
        config.fetch.allowed_networks = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    person(&server, "ada").await;
    server
}

async fn person(server: &Server, username: &str) -> Value {
    let fields = json!({ "username": username, "email": format!("{username}@example.com") });
    server.user_with_password(fields, PASSWORD).await
}

/// One of the operator's own, so nobody is asked for consent.
async fn named<'a>(server: &'a Server, name: &str, further: &[(&str, &str)]) -> Application<'a> {
    let builder = server.application().named(name).flag("--first-party");
    let builder = builder.option("--post-logout-redirect-uri", AFTER);
    let builder = further
        .iter()
        .fold(builder, |b, (option, value)| b.option(option, value));
    builder.application().await
}

async fn shop<'a>(server: &'a Server, further: &[(&str, &str)]) -> Application<'a> {
    named(server, "shop", further).await
}

async fn log_in(shop: &Application<'_>, browser: &mut Browser<'_>) -> Tokens {
    shop.log_in(browser, "openid email", "ada", PASSWORD).await
}

fn end(parameters: &[(&str, &str)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(parameters);
    format!("{END}?{}", query.finish())
}

async fn is_live(shop: &Application<'_>, tokens: &Tokens) -> bool {
    let userinfo = shop
        .client
        .server
        .call(Method::GET, "/oauth2/userinfo", &tokens.access, None);
    let live = userinfo.await.status == 200;
    let introspected = shop.client.introspect(&tokens.access).await["active"] == true;
    assert_eq!(live, introspected);
    live
}

#[tokio::test]
async fn an_application_ends_its_own_users_session_and_has_them_back() {
    // S-70, S-76, S-80
    let server = server().await;
    let shop = shop(&server, &[]).await;
    let mut browser = Browser::new(&server);
    let tokens = log_in(&shop, &mut browser).await;
    assert!(is_live(&shop, &tokens).await);
    let replayed = browser.cookies.clone();
    // The hint may have expired long ago.
    server.clock.advance(time::Duration::minutes(50));
    let hint = [
        ("id_token_hint", tokens.id.as_str()),
        ("post_logout_redirect_uri", AFTER),
        ("state", "a b&c"),
        ("logout_hint", "ada"),
        ("ui_locales", "de"),
    ];
    let answer = browser.get(&end(&hint)).await;
    assert_eq!(
        (answer.status, answer.header("location")),
        (303, "https://shop.example/bye?state=a+b%26c"),
        "{}",
        answer.text
    );
    assert_eq!(answer.header("clear-site-data"), "\"cache\"");
    assert_eq!(browser.account().await, 303);
    browser.cookies = replayed;
    assert_eq!(
        browser.account().await,
        303,
        "a replayed cookie opens nothing"
    );
    shop.refresh(&tokens.refresh)
        .await
        .refused(400, "invalid_grant");
    assert!(!is_live(&shop, &tokens).await);
    // Again, with the session gone: there is nothing to ask.
    let answer = browser.get(&end(&hint[..2])).await;
    assert_eq!((answer.status, answer.header("location")), (303, AFTER));
}

#[tokio::test]
async fn without_a_hint_of_this_session_the_person_is_asked() {
    // S-80, S-83
    let server = server().await;
    let shop = shop(&server, &[]).await;
    let mut browser = Browser::new(&server);
    let mut elsewhere = Browser::new(&server);
    let other = log_in(&shop, &mut elsewhere).await;
    let tokens = log_in(&shop, &mut browser).await;
    let id = shop.client.id.as_str();
    let forged = format!("{}x", tokens.id);
    for parameters in [
        &[][..],
        &[("state", "s")],
        &[("client_id", id)],
        &[
            ("client_id", id),
            ("post_logout_redirect_uri", AFTER),
            ("state", "s"),
        ],
        // A hint of another session, one that is no ID token of ours, an access token.
        &[
            ("id_token_hint", other.id.as_str()),
            ("post_logout_redirect_uri", AFTER),
        ],
        &[
            ("id_token_hint", forged.as_str()),
            ("post_logout_redirect_uri", AFTER),
        ],
        &[("id_token_hint", tokens.access.as_str())],
        &[("id_token_hint", "x")],
    ] {
        let page = browser.get(&end(parameters)).await;
        assert_eq!(page.status, 200, "{parameters:?} {}", page.text);
        assert!(page.text.contains("Sign out?"), "{}", page.text);
        assert_eq!(
            browser.account().await,
            200,
            "{parameters:?}: nothing has happened"
        );
    }
    assert_eq!(elsewhere.account().await, 200);
    // The form's token is the session's, and the address is checked again.
    let page = browser
        .get(&end(&[
            ("client_id", id),
            ("post_logout_redirect_uri", AFTER),
            ("state", "s"),
        ]))
        .await;
    assert!(page.text.contains("shop asks"), "{}", page.text);
    let policy = page.header("content-security-policy");
    assert!(
        policy.contains("form-action 'self' https://shop.example"),
        "{policy}"
    );
    let token = csrf(&page);
    let form = [
        ("csrf", token.as_str()),
        ("asked", "1"),
        ("client_id", id),
        ("state", "s"),
    ];
    let foreign = [
        &form[..],
        &[("post_logout_redirect_uri", "https://evil.example/")],
    ]
    .concat();
    assert_eq!(browser.post("/logout", &foreign).await.status, 400);
    let stolen = [("csrf", "x"), ("asked", "1")];
    assert_eq!(browser.post("/logout", &stolen).await.status, 403);
    assert_eq!(browser.account().await, 200);
    let good = [&form[..], &[("post_logout_redirect_uri", AFTER)]].concat();
    let answer = browser.post("/logout", &good).await;
    assert_eq!(
        (answer.status, answer.header("location")),
        (303, "https://shop.example/bye?state=s")
    );
    assert_eq!(browser.account().await, 303);
    // Whoever has nowhere to go is told that they have left.
    let page = elsewhere.get(END).await;
    let answer = elsewhere
        .post("/logout", &[("csrf", &csrf(&page)), ("asked", "1")])
        .await;
    assert!(
        answer.text.contains("You are signed out"),
        "{}",
        answer.text
    );
    let nobody = Browser::new(&server).get(END).await;
    assert!(nobody.status == 200 && nobody.text.contains("You are signed out"));
}

#[tokio::test]
async fn nobody_is_led_to_an_address_that_was_not_registered() {
    // S-80
    let server = server().await;
    let shop = shop(&server, &[]).await;
    let other = named(&server, "wiki", &[]).await;
    let mut browser = Browser::new(&server);
    let tokens = log_in(&shop, &mut browser).await;
    let hint = ("id_token_hint", tokens.id.as_str());
    for address in [
        "https://evil.example/",
        "https://shop.example/bye/",
        "https://shop.example/bye?x",
        "https://SHOP.example/bye",
        "javascript:alert(1)",
        &shop.redirect_uri,
    ] {
        let answer = browser
            .get(&end(&[hint, ("post_logout_redirect_uri", address)]))
            .await;
        assert_eq!(answer.status, 400, "{address}");
        assert!(!answer.text.contains(address), "{address}");
    }
    // What one application was given, another one can't use.
    for client in [other.client.id.as_str(), "c_unknown"] {
        let answer = browser.get(&end(&[hint, ("client_id", client)])).await;
        assert_eq!(answer.status, 400, "{client}");
    }
    let twice = format!("{}&state=1&state=2", end(&[hint]));
    assert_eq!(browser.get(&twice).await.status, 400);
    assert_eq!(browser.account().await, 200, "nothing has happened");
}

#[tokio::test]
async fn a_logout_without_cookies_still_cleans_up() {
    // S-77: another site's form comes without our cookie, and browsers lose theirs.
    let server = server().await;
    let shop = shop(&server, &[]).await;
    let (mut browser, mut second) = (Browser::new(&server), Browser::new(&server));
    for how in ["lost", "form"] {
        let tokens = log_in(&shop, &mut browser).await;
        let kept = log_in(&shop, &mut second).await;
        let parameters = [
            ("id_token_hint", tokens.id.as_str()),
            ("post_logout_redirect_uri", AFTER),
        ];
        let mut without = Browser::new(&server);
        let answer = if how == "form" {
            without
                .headers
                .push(("origin", "https://shop.example".to_owned()));
            without.post(END, &parameters).await
        } else {
            without.get(&end(&parameters)).await
        };
        assert_eq!(
            (answer.status, answer.header("location")),
            (303, AFTER),
            "{how}"
        );
        assert_eq!(browser.account().await, 303, "{how}");
        assert!(!is_live(&shop, &tokens).await);
        assert!(
            is_live(&shop, &kept).await,
            "another session is none the worse"
        );
    }
    // A form without a hint and without a cookie: the browser shows what it has when it comes by a link.
    let parameters = [
        ("client_id", shop.client.id.as_str()),
        ("post_logout_redirect_uri", AFTER),
        ("state", "s"),
    ];
    let answer = Browser::new(&server).post(END, &parameters).await;
    assert_eq!(
        (answer.status, answer.header("location")),
        (303, end(&parameters).as_str())
    );
    let page = second.get(answer.header("location")).await;
    assert!(page.text.contains("Sign out?"), "{}", page.text);
}

#[tokio::test]
async fn two_people_at_one_browser_share_nothing() {
    // S-77
    let server = server().await;
    person(&server, "eve").await;
    let shop = shop(&server, &[]).await;
    let mut browser = Browser::new(&server);
    let adas = log_in(&shop, &mut browser).await;
    let sid = adas.claim("sid");
    // Eve signs in over it, without anybody signing out.
    let path = shop.authorize(&[("prompt", "login")]);
    browser.arrive(&path, "eve", PASSWORD).await;
    let eves = shop
        .log_in(&mut browser, "openid email", "eve", PASSWORD)
        .await;
    assert_ne!(eves.claim("sid"), sid);
    assert_ne!(eves.claim("sub"), adas.claim("sub"));
    assert!(is_live(&shop, &eves).await);
    assert!(
        !is_live(&shop, &adas).await,
        "her session has ended, and what belongs to it"
    );
    shop.refresh(&adas.refresh)
        .await
        .refused(400, "invalid_grant");
    // Ada's hint does not sign Eve out.
    let page = browser
        .get(&end(&[("id_token_hint", adas.id.as_str())]))
        .await;
    assert!(page.text.contains("Sign out?"), "{}", page.text);
    assert!(is_live(&shop, &eves).await);
}

#[tokio::test]
async fn what_outlives_a_logout_is_what_was_asked_for() {
    // S-70
    let server = server().await;
    let shop = shop(&server, &[]).await;
    let mut browser = Browser::new(&server);
    let offline = shop
        .log_in(&mut browser, "openid offline_access", "ada", PASSWORD)
        .await;
    let online = log_in(&shop, &mut browser).await;
    browser
        .get(&end(&[("id_token_hint", online.id.as_str())]))
        .await;
    assert!(!is_live(&shop, &online).await);
    shop.refresh(&online.refresh)
        .await
        .refused(400, "invalid_grant");
    let next = Tokens::of(&shop.refresh(&offline.refresh).await);
    assert!(is_live(&shop, &next).await);
}

/// Header and claims of a logout token, verified by a library that is not ours.
async fn verified(server: &Server, token: &str, audience: &str) -> (Value, Value) {
    let jwks = server.get("/.well-known/jwks.json").await.text;
    let jwks: JwkSet = serde_json::from_str(&jwks).unwrap();
    let header = decode_header(token).unwrap();
    let key = DecodingKey::from_jwk(jwks.find(header.kid.as_ref().unwrap()).unwrap()).unwrap();
    let mut validation = Validation::new(header.alg);
    validation.set_audience(&[audience]);
    validation.set_issuer(&[&server.url]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    // The server's clock is the test's.
    validation.validate_exp = false;
    let claims = decode::<Value>(token, &key, &validation).unwrap().claims;
    (serde_json::to_value(&header).unwrap(), claims)
}

async fn told(sink: &Sink, number: usize) -> Vec<String> {
    eventually(SOON, "it is told", async || sink.tokens().len() >= number).await;
    sink.tokens()
}

#[tokio::test]
async fn applications_are_told_by_tokens_of_their_own_kind() {
    // S-81
    let server = server().await;
    let (sink, other) = (Sink::start().await, Sink::start().await);
    let shop = shop(&server, &[("--backchannel-logout-uri", &sink.url())]).await;
    let uri = other.url();
    let further = [
        ("--backchannel-logout-uri", uri.as_str()),
        ("--id-token-signing-alg", "ES256"),
    ];
    let wiki = named(&server, "wiki", &further).await;
    let stranger = named(&server, "mail", &further).await;
    let mut browser = Browser::new(&server);
    let tokens = log_in(&shop, &mut browser).await;
    wiki.log_in(&mut browser, "openid", "ada", PASSWORD).await;
    // Somebody else's session at the same applications goes on.
    let mut elsewhere = Browser::new(&server);
    stranger
        .log_in(&mut elsewhere, "openid", "ada", PASSWORD)
        .await;
    browser
        .get(&end(&[("id_token_hint", tokens.id.as_str())]))
        .await;
    for (sink, application, alg) in [(&sink, &shop, "RS256"), (&other, &wiki, "ES256")] {
        let sent = told(sink, 1).await;
        let id = &application.client.id;
        let (header, claims) = verified(&server, &sent[0], id).await;
        assert_eq!(
            (&header["typ"], &header["alg"]),
            (&json!("logout+jwt"), &json!(alg))
        );
        let names: Vec<_> = claims
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(
            names,
            ["iss", "sub", "aud", "iat", "exp", "jti", "sid", "events"],
            "no nonce"
        );
        assert_eq!(
            (&claims["sid"], &claims["sub"]),
            (&tokens.claim("sid"), &tokens.claim("sub"))
        );
        assert_eq!(
            claims["events"],
            json!({ "http://schemas.openid.net/event/backchannel-logout": {} })
        );
        let life = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
        assert!((1..=120).contains(&life), "{life}");
    }
    assert_eq!(
        (sink.tokens().len(), other.tokens().len()),
        (1, 1),
        "each once"
    );
    assert_eq!(elsewhere.account().await, 200);
}

/// An address where nobody listens.
async fn silent() -> SocketAddr {
    let sink = Sink::start().await;
    sink.address
}

/// How often each notice that waits was tried in vain; a try that is under way is not told of.
async fn waiting(server: &Server) -> Vec<i32> {
    let mut tables = server.tables().await;
    let settled = "select attempts from logout_notice where attempts > 0 and due_at < $1";
    sqlx::query_scalar(settled)
        .bind(server.clock.now() + time::Duration::seconds(29))
        .fetch_all(&mut tables)
        .await
        .unwrap()
}

async fn left(server: &Server) -> i64 {
    let mut tables = server.tables().await;
    sqlx::query_scalar("select count(*) from logout_notice")
        .fetch_one(&mut tables)
        .await
        .unwrap()
}

#[tokio::test]
async fn an_application_that_was_down_is_told_when_it_is_back() {
    let server = server().await;
    let (database, clock) = (server.database.clone(), server.clock.clone());
    let replica = Server::on(database, clock, Some(&server.url), None, |config| {
        config.fetch.allowed_networks = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    let down = silent().await;
    let address = format!("http://{down}/logout");
    let shop = shop(&server, &[("--backchannel-logout-uri", &address)]).await;
    let mut browser = Browser::new(&server);
    let tokens = log_in(&shop, &mut browser).await;
    let answer = browser
        .get(&end(&[("id_token_hint", tokens.id.as_str())]))
        .await;
    assert_eq!(answer.status, 200, "nobody waits for it");
    eventually(SOON, "it was tried", async || waiting(&server).await == [1]).await;
    server.clock.advance(time::Duration::seconds(6));
    eventually(SOON, "and again", async || waiting(&server).await == [2]).await;
    let sink = Sink::at(down).await;
    server.clock.advance(time::Duration::minutes(11));
    let sent = told(&sink, 1).await;
    // Minted when it was sent, so that it is fresh however long the application was away.
    assert!(
        claims(&sent[0])["iat"].as_i64().unwrap() >= tokens.claim("iat").as_i64().unwrap() + 600
    );
    eventually(SOON, "nothing is left", async || left(&server).await == 0).await;
    assert_eq!(sink.tokens().len(), 1, "by one of two replicas");
    replica.stop().await;
}

#[tokio::test]
async fn an_application_that_never_answers_is_given_up() {
    let server = server().await;
    let address = format!("http://{}/logout", silent().await);
    let shop = shop(&server, &[("--backchannel-logout-uri", &address)]).await;
    let mut browser = Browser::new(&server);
    let tokens = log_in(&shop, &mut browser).await;
    browser
        .get(&end(&[("id_token_hint", tokens.id.as_str())]))
        .await;
    eventually(SOON, "it was tried", async || waiting(&server).await == [1]).await;
    server.clock.advance(time::Duration::hours(25));
    eventually(SOON, "given up", async || left(&server).await == 0).await;
}

#[tokio::test]
async fn however_a_session_ends_its_applications_are_told() {
    // S-70, S-78: by the person, and by an admin.
    let server = server().await;
    let sink = Sink::start().await;
    let shop = shop(&server, &[("--backchannel-logout-uri", &sink.url())]).await;
    let admin = server.admin_token().await;
    let mut expected = 0;
    for how in [
        "page", "account", "removed", "disabled", "required", "password", "chosen", "deleted",
        "replaced",
    ] {
        let id = person(&server, how).await["id"]
            .as_str()
            .unwrap()
            .to_owned();
        let path = format!("/api/v1/users/{id}");
        let mut browser = Browser::new(&server);
        let tokens = shop.log_in(&mut browser, "openid", how, PASSWORD).await;
        let api = async |method, path: &str, body| {
            let answer = server.call(method, path, &admin, body).await;
            assert!(
                [200, 204].contains(&answer.status),
                "{how}: {}",
                answer.text
            );
        };
        match how {
            "page" => {
                let page = browser.get("/logout").await;
                browser.post("/logout", &[("csrf", &csrf(&page))]).await;
            }
            "account" => {
                let mut second = Browser::new(&server);
                second.sign_in(how, PASSWORD).await;
                let page = second.get("/account").await;
                let sid = tokens.claim("sid");
                let form = [
                    ("csrf", csrf(&page)),
                    ("session", sid.as_str().unwrap().to_owned()),
                ];
                let form = form.each_ref().map(|(n, v)| (*n, v.as_str()));
                assert_eq!(
                    second.post("/account/sessions/end", &form).await.status,
                    303
                );
            }
            "removed" => {
                let page = browser.get("/account").await;
                let form = [("csrf", csrf(&page)), ("client_id", shop.client.id.clone())];
                let form = form.each_ref().map(|(n, v)| (*n, v.as_str()));
                assert_eq!(
                    browser
                        .post("/account/applications/remove", &form)
                        .await
                        .status,
                    303
                );
            }
            "disabled" => api(Method::PATCH, &path, Some(json!({ "status": "disabled" }))).await,
            "required" => {
                api(
                    Method::POST,
                    &format!("{path}/require-password-change"),
                    None,
                )
                .await;
            }
            "password" => {
                let body = json!({ "password": "other rivers 78" });
                api(Method::PUT, &format!("{path}/password"), Some(body)).await;
            }
            "chosen" => {
                let page = browser.get("/account/password").await;
                let form = [
                    ("csrf", csrf(&page)),
                    ("password", PASSWORD.to_owned()),
                    ("new_password", "quiet harbours 12".to_owned()),
                ];
                let form = form.each_ref().map(|(n, v)| (*n, v.as_str()));
                assert_eq!(browser.post("/account/password", &form).await.status, 303);
            }
            "deleted" => api(Method::DELETE, &path, None).await,
            _ => {
                let path = shop.authorize(&[("prompt", "login")]);
                browser.arrive(&path, "ada", PASSWORD).await;
            }
        }
        expected += 1;
        let sent = told(&sink, expected).await;
        let last = claims(sent.last().unwrap());
        assert_eq!(
            (&last["sid"], &last["sub"]),
            (&tokens.claim("sid"), &json!(id)),
            "{how}"
        );
        assert!(!is_live(&shop, &tokens).await, "{how}");
    }
    eventually(SOON, "nothing is left", async || left(&server).await == 0).await;
    assert_eq!(sink.tokens().len(), expected, "each once");
}

#[tokio::test]
async fn a_logout_reaches_what_an_idle_session_gave() {
    // S-70, S-77: the browser was closed, the applications were not.
    let server = server().await;
    let sink = Sink::start().await;
    let shop = shop(&server, &[]).await;
    let wiki = named(
        &server,
        "wiki",
        &[("--backchannel-logout-uri", &sink.url())],
    )
    .await;
    let mut browser = Browser::new(&server);
    let tokens = log_in(&shop, &mut browser).await;
    let wikis = log_in(&wiki, &mut browser).await;
    server.clock.advance(time::Duration::hours(2));
    assert_eq!(browser.account().await, 303);
    server.sweep().await;
    let mut tables = server.tables().await;
    let count = sqlx::query_scalar::<_, i64>("select count(*) from session");
    assert_eq!(count.fetch_one(&mut tables).await.unwrap(), 0);
    let next = Tokens::of(&shop.refresh(&tokens.refresh).await);
    let hint = end(&[("id_token_hint", tokens.id.as_str())]);
    let answer = browser.get(&hint).await;
    assert!(
        answer.text.contains("You are signed out"),
        "{}",
        answer.text
    );
    shop.refresh(&next.refresh)
        .await
        .refused(400, "invalid_grant");
    wiki.refresh(&wikis.refresh)
        .await
        .refused(400, "invalid_grant");
    let sent = told(&sink, 1).await;
    assert_eq!(claims(&sent[0])["sid"], tokens.claim("sid"));
    eventually(SOON, "nothing is left", async || left(&server).await == 0).await;
    // Once more: nothing is left that could end, and nobody is told again.
    browser.get(&hint).await;
    assert_eq!((left(&server).await, sink.tokens().len()), (0, 1));
}

#[tokio::test]
async fn a_hint_of_an_earlier_session_ends_that_one_too() {
    // S-70, S-77, S-80: the application's login is older than the browser's present session.
    let server = server().await;
    person(&server, "eve").await;
    let sink = Sink::start().await;
    let shop = shop(&server, &[]).await;
    let told_of = ("--backchannel-logout-uri", sink.url());
    let wiki = named(&server, "wiki", &[(told_of.0, &told_of.1)]).await;
    let mut browser = Browser::new(&server);
    let earlier = log_in(&shop, &mut browser).await;
    let wikis = log_in(&wiki, &mut browser).await;
    server.clock.advance(time::Duration::hours(2));
    let present = log_in(&shop, &mut browser).await;
    assert_ne!(present.claim("sid"), earlier.claim("sid"));
    let eves = shop
        .log_in(&mut Browser::new(&server), "openid", "eve", PASSWORD)
        .await;

    // Somebody else's hint is neither carried on nor heeded.
    let page = browser
        .get(&end(&[("id_token_hint", eves.id.as_str())]))
        .await;
    assert_eq!(field(&page, "id_token_hint"), None, "{}", page.text);
    let page = browser
        .get(&end(&[("id_token_hint", earlier.id.as_str())]))
        .await;
    assert!(page.text.contains("Sign out?"), "{}", page.text);
    assert_eq!(field(&page, "id_token_hint"), Some(earlier.id.clone()));
    let earlier = Tokens::of(&shop.refresh(&earlier.refresh).await);
    let wikis = Tokens::of(&wiki.refresh(&wikis.refresh).await);
    assert!(is_live(&shop, &earlier).await, "asking has ended nothing");
    let token = csrf(&page);
    let form = [
        ("csrf", token.as_str()),
        ("asked", "1"),
        ("id_token_hint", &earlier.id),
    ];
    let answer = browser.post("/logout", &form).await;
    assert!(answer.text.contains("You are signed out"));
    for (application, tokens) in [(&shop, &earlier), (&shop, &present), (&wiki, &wikis)] {
        let refreshed = application.refresh(&tokens.refresh).await;
        refreshed.refused(400, "invalid_grant");
    }
    let sent = told(&sink, 1).await;
    assert_eq!(claims(&sent[0])["sid"], earlier.claim("sid"));

    let again = log_in(&shop, &mut browser).await;
    let token = csrf(&browser.get("/logout").await);
    let form = [("csrf", token.as_str()), ("id_token_hint", &eves.id)];
    assert_eq!(browser.post("/logout", &form).await.status, 303);
    assert!(!is_live(&shop, &again).await);
    assert!(is_live(&shop, &eves).await, "Ada signs out nobody else");
}

#[tokio::test]
async fn a_logout_is_told_to_every_application_of_the_session() {
    // OpenID Connect Back-Channel Logout §2.7: whatever became of the tokens that it got.
    let server = server().await;
    let shop = shop(&server, &[]).await;
    let sinks = [
        Sink::start().await,
        Sink::start().await,
        Sink::start().await,
        Sink::start().await,
    ];
    let mut browser = Browser::new(&server);
    let mut applications = Vec::new();
    for (sink, name) in sinks
        .iter()
        .zip(["revoked", "replayed", "offline", "crowded"])
    {
        let further = [("--backchannel-logout-uri", sink.url())];
        let further = further.each_ref().map(|(n, v)| (*n, v.as_str()));
        let application = named(&server, name, &further).await;
        let scope = "openid offline_access";
        let tokens = application.log_in(&mut browser, scope, "ada", PASSWORD);
        let tokens = tokens.await;
        applications.push((application, tokens));
    }
    let (revoked, tokens) = &applications[0];
    revoked.client.revoke(&tokens.refresh).await;
    let (replayed, tokens) = &applications[1];
    let next = Tokens::of(&replayed.refresh(&tokens.refresh).await);
    replayed.refresh(&next.refresh).await;
    replayed
        .refresh(&tokens.refresh)
        .await
        .refused(400, "invalid_grant");
    // It made room for others, as the hundred-and-first would have it.
    let crowded = "update token_family set ended_at = last_used_at, end_reason = 'too_many' where client_id = $1";
    let crowded = sqlx::query(crowded).bind(&applications[3].0.client.id);
    crowded.execute(&mut server.tables().await).await.unwrap();
    let tokens = log_in(&shop, &mut browser).await;
    browser
        .get(&end(&[("id_token_hint", tokens.id.as_str())]))
        .await;
    for sink in &sinks {
        let sent = told(sink, 1).await;
        assert_eq!(claims(&sent[0])["sid"], tokens.claim("sid"));
    }
}

#[tokio::test]
async fn no_kind_of_token_passes_for_another() {
    // S-42, S-43: every kind that exists, presented as every other.
    let server = server().await;
    let sink = Sink::start().await;
    let shop = shop(&server, &[("--backchannel-logout-uri", &sink.url())]).await;
    let mut browser = Browser::new(&server);
    let ended = log_in(&shop, &mut browser).await;
    browser
        .get(&end(&[("id_token_hint", ended.id.as_str())]))
        .await;
    let logout = told(&sink, 1).await[0].clone();
    let live = log_in(&shop, &mut browser).await;
    let back = browser.arrive(&shop.authorize(&[]), "ada", PASSWORD).await;
    let code = back
        .split("code=")
        .nth(1)
        .unwrap()
        .split('&')
        .next()
        .unwrap()
        .to_owned();
    let kinds = [
        ("access", &live.access),
        ("id", &live.id),
        ("refresh", &live.refresh),
        ("logout", &logout),
        ("code", &code),
    ];
    for (kind, token) in kinds {
        if kind != "access" {
            for path in ["/oauth2/userinfo", "/api/v1/users"] {
                let answer = server.call(Method::GET, path, token, None).await;
                assert_eq!(answer.status, 401, "{kind} at {path}");
            }
        }
        if !["access", "refresh"].contains(&kind) {
            assert_eq!(
                shop.client.introspect(token).await,
                json!({ "active": false }),
                "{kind}"
            );
            shop.client.revoke(token).await;
        }
        if kind != "refresh" {
            shop.refresh(token).await.refused(400, "invalid_grant");
        }
        if kind != "code" {
            shop.redeem(token).await.refused(400, "invalid_grant");
        }
        if kind != "id" {
            let page = browser
                .get(&end(&[("id_token_hint", token.as_str())]))
                .await;
            assert!(page.text.contains("Sign out?"), "{kind} as a hint");
        }
    }
    assert!(is_live(&shop, &live).await, "and nothing has come of it");
    assert_eq!(shop.redeem(&code).await.status, 200);
    assert_eq!(shop.refresh(&live.refresh).await.status, 200);
}
