//! The account page's applications: seen, taken away, and told of when something is amiss.

use serde_json::json;

use crate::support::leaving::{Sink, Tokens};
use crate::support::sign_on::{Application, PASSWORD, claims};
use crate::support::{Answer, Browser, Server, csrf, eventually};

async fn ada(server: &Server) {
    server
        .user_with_password(
            json!({ "username": "ada", "email": "ada@example.com" }),
            PASSWORD,
        )
        .await;
}

async fn remove(browser: &mut Browser<'_>, client: &str) -> u16 {
    // Each of a session's forms has its one token.
    let page = browser.get("/account/password").await;
    let form = [("csrf", csrf(&page)), ("client_id", client.to_owned())];
    let form = form.each_ref().map(|(name, value)| (*name, value.as_str()));
    browser
        .post("/account/applications/remove", &form)
        .await
        .status
}

#[tokio::test]
async fn a_person_sees_their_applications_and_takes_their_access_away() {
    // S-70, S-78
    let server = Server::start().await;
    ada(&server).await;
    server
        .user_with_password(json!({ "username": "eve" }), PASSWORD)
        .await;
    let shop = server.application().named("Shop").application().await;
    let wiki = server
        .application()
        .named("Wiki")
        .flag("--first-party")
        .application()
        .await;
    let id = shop.client.id.clone();
    let mut browser = Browser::new(&server);
    browser.sign_in("ada", PASSWORD).await;
    assert!(browser.get("/account").await.text.contains("None yet"));
    let tokens = shop
        .log_in(&mut browser, "openid email offline_access", "ada", PASSWORD)
        .await;
    let wikis = wiki.log_in(&mut browser, "openid", "ada", PASSWORD).await;
    let page = browser.get("/account").await.text;
    for told in [
        "<strong>Shop</strong>",
        "<strong>Wiki</strong>",
        "<li>See your e-mail address</li>",
        "<li>Go on doing this while you are signed out</li>",
        "It stays signed in when you sign out here.",
        "Opened: ",
    ] {
        assert!(page.contains(told), "{told}: {page}");
    }
    // Nobody takes from somebody else, and no other site's form does it.
    let mut eve = Browser::new(&server);
    eve.sign_in("eve", PASSWORD).await;
    assert_eq!(remove(&mut eve, &id).await, 303);
    let foreign = [("csrf", "x"), ("client_id", id.as_str())];
    assert_eq!(
        browser
            .post("/account/applications/remove", &foreign)
            .await
            .status,
        403
    );
    assert_eq!(remove(&mut browser, "unknown").await, 404);
    let active = async |application: &Application<'_>, tokens: &Tokens| {
        application.client.introspect(&tokens.access).await["active"] == true
    };
    assert!(active(&shop, &tokens).await);
    let code = shop.code(&mut browser, &[]).await;

    assert_eq!(remove(&mut browser, &id).await, 303);
    let page = browser.get("/account?done=application").await.text;
    assert!(
        page.contains("has no access any more") && !page.contains("<strong>Shop</strong>"),
        "{page}"
    );
    assert!(!active(&shop, &tokens).await, "what outlives a logout too");
    shop.refresh(&tokens.refresh)
        .await
        .refused(400, "invalid_grant");
    shop.redeem(&code).await.refused(400, "invalid_grant");
    assert!(active(&wiki, &wikis).await, "others are none the worse");
    assert_eq!(browser.account().await, 200, "nor is the session");
    // It asks again.
    let asked = browser
        .follow(&shop.authorize(&[("scope", "openid email")]))
        .await;
    assert!(
        asked.text.contains("Shop") && asked.text.contains("<form"),
        "{}",
        asked.text
    );
}

/// The forms of a page that go to `action`: what each says.
fn forms(page: &Answer, action: &str) -> Vec<Vec<(String, String)>> {
    let begin = format!("<form method=\"post\" action=\"{action}\">");
    let forms = page.text.split(&begin).skip(1);
    forms
        .map(|form| {
            let fields = form.split("</form>").next().unwrap().split("name=\"");
            let field = |text: &str| {
                let (name, rest) = text.split_once('"').unwrap();
                let value = rest.split("value=\"").nth(1)?.split('"').next()?;
                Some((name.to_owned(), value.to_owned()))
            };
            fields.skip(1).filter_map(field).collect()
        })
        .collect()
}

async fn send(browser: &mut Browser<'_>, path: &str, form: &[(String, String)]) -> Answer {
    let form: Vec<_> = form.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    browser.post(path, &form).await
}

#[tokio::test]
async fn one_login_of_an_application_is_ended_by_itself() {
    // S-70, S-78
    let server = Server::with(|config| {
        config.fetch.allowed_networks = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    ada(&server).await;
    server
        .user_with_password(json!({ "username": "eve" }), PASSWORD)
        .await;
    let sink = Sink::start().await;
    let shop = server.application().named("Shop").flag("--first-party");
    let shop = shop.option("--backchannel-logout-uri", &sink.url());
    let shop = shop.application().await;
    let (mut here, mut there) = (Browser::new(&server), Browser::new(&server));
    let agent = "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0";
    there.headers.push(("user-agent", agent.to_owned()));
    let mine = shop.log_in(&mut here, "openid", "ada", PASSWORD).await;
    server.clock.advance(time::Duration::seconds(1));
    let theirs = shop
        .log_in(&mut there, "openid offline_access", "ada", PASSWORD)
        .await;
    let path = "/account/applications/end";
    let page = here.get("/account").await;
    let logins = forms(&page, path);
    assert_eq!(logins.len(), 2, "{}", page.text);
    assert!(
        page.text.contains("Where it is signed in (2)") && page.text.contains("Firefox on Linux"),
        "{}",
        page.text
    );
    // Nobody ends somebody else's, and no other site's form does it.
    let mut eve = Browser::new(&server);
    eve.sign_in("eve", PASSWORD).await;
    let foreign = csrf(&eve.get("/account/password").await);
    let stolen = [("csrf".to_owned(), foreign), logins[0][1].clone()];
    assert_eq!(send(&mut eve, path, &stolen).await.status, 303);
    let forged = [("csrf".to_owned(), "x".to_owned()), logins[0][1].clone()];
    assert_eq!(send(&mut here, path, &forged).await.status, 403);
    for tokens in [&mine, &theirs] {
        assert_eq!(shop.client.introspect(&tokens.access).await["active"], true);
    }

    // The one that was used last stands first.
    let answer = send(&mut here, path, &logins[0]).await;
    assert_eq!(answer.header("location"), "/account?done=login");
    assert_eq!(
        shop.client.introspect(&theirs.access).await,
        json!({ "active": false })
    );
    shop.refresh(&theirs.refresh)
        .await
        .refused(400, "invalid_grant");
    assert_eq!(shop.client.introspect(&mine.access).await["active"], true);
    assert_eq!(there.account().await, 200, "the session goes on");
    let soon = std::time::Duration::from_secs(10);
    eventually(soon, "the application is told", async || {
        !sink.tokens().is_empty()
    })
    .await;
    let told = claims(&sink.tokens()[0]);
    assert_eq!(told["sid"], theirs.claim("sid"));
    let page = here.get("/account?done=login").await;
    assert!(page.text.contains("signed out there"), "{}", page.text);
    assert_eq!(forms(&page, path).len(), 1);
}

#[tokio::test]
async fn whoever_ends_something_proved_themselves_lately() {
    // S-78, S-79: a browser that was left open ends nothing by itself.
    let server = Server::start().await;
    ada(&server).await;
    let shop = server.application().named("Shop").application().await;
    let (mut here, mut there) = (Browser::new(&server), Browser::new(&server));
    let mut tokens = shop.log_in(&mut here, "openid", "ada", PASSWORD).await;
    for path in [
        "/account/sessions/end",
        "/account/applications/end",
        "/account/applications/remove",
    ] {
        there.sign_in("ada", PASSWORD).await;
        here.walk(&shop.authorize(&[("prompt", "login")])).await;
        tokens = Tokens::of(&shop.refresh(&tokens.refresh).await);
        server.clock.advance(time::Duration::minutes(5));
        let page = here.get("/account").await;
        let form = forms(&page, path)[0].clone();
        let asked = send(&mut here, path, &form).await;
        assert_eq!(asked.status, 200, "{path}");
        assert!(asked.text.contains("Is it you?"), "{path} {}", asked.text);
        let again = &forms(&asked, path)[0];
        let with = |password: &str| {
            let mut form = again.clone();
            form.retain(|(name, _)| name != "password");
            form.push(("password".to_owned(), password.to_owned()));
            form
        };
        let wrong = send(&mut here, path, &with("not her password")).await;
        assert_eq!(wrong.status, 422, "{path}");
        let live = &shop.client.introspect(&tokens.access).await["active"];
        assert_eq!((live, there.account().await), (&json!(true), 200), "{path}");
        let done = send(&mut here, path, &with(PASSWORD)).await;
        let led = done.header("location");
        assert!(led.starts_with("/account?done="), "{path} {}", done.text);
        let live = &shop.client.introspect(&tokens.access).await["active"];
        let ended = (live == false) || there.account().await == 303;
        assert!(ended, "{path}");
        // That was a proof: what comes next goes without.
        let page = here.get("/account").await;
        if let Some(form) = forms(&page, "/account/sessions/end").first() {
            let next = send(&mut here, "/account/sessions/end", form).await;
            assert_eq!(next.header("location"), "/account?done=session");
        }
        if live == false {
            tokens = shop.log_in(&mut here, "openid", "ada", PASSWORD).await;
        }
    }
    // The throttle of the login page counts here too.
    server.clock.advance(time::Duration::minutes(5));
    let page = here.get("/account").await;
    let path = "/account/applications/remove";
    let mut form = forms(&page, path)[0].clone();
    form.push(("password".to_owned(), "not her password".to_owned()));
    let mut last = 422;
    for _ in 0..8 {
        last = send(&mut here, path, &form).await.status;
    }
    assert_eq!(last, 429);
}

#[tokio::test]
async fn an_application_that_is_used_much_hides_no_other() {
    // S-65, S-78
    let server = Server::start().await;
    ada(&server).await;
    let shop = server.application().named("Shop").flag("--first-party");
    let shop = shop.application().await;
    let wiki = server.application().named("Wiki").flag("--first-party");
    let wiki = wiki.application().await;
    let mut browser = Browser::new(&server);
    wiki.log_in(&mut browser, "openid", "ada", PASSWORD).await;
    let code = wiki.code(&mut browser, &[]).await;
    assert_eq!(wiki.redeem(&code).await.status, 200);
    wiki.redeem(&code).await.refused(400, "invalid_grant");
    let code = wiki.code(&mut browser, &[]).await;
    assert_eq!(wiki.redeem(&code).await.status, 200);
    wiki.redeem(&code).await.refused(400, "invalid_grant");
    for _ in 0..25 {
        server.clock.advance(time::Duration::seconds(1));
        shop.log_in(&mut browser, "openid", "ada", PASSWORD).await;
    }
    let page = browser.get("/account").await;
    assert!(page.text.contains("<strong>Wiki</strong>"), "{}", page.text);
    let alarms = page.text.matches("We signed you out of Wiki").count();
    assert_eq!(
        alarms, 1,
        "codes used twice are told of once: {}",
        page.text
    );
    assert!(page.text.contains("Where it is signed in (20)"));
}

#[tokio::test]
async fn a_person_is_told_when_something_was_used_twice() {
    // S-65
    let server = Server::start().await;
    ada(&server).await;
    let shop = server
        .application()
        .named("Shop")
        .flag("--first-party")
        .application()
        .await;
    let mut browser = Browser::new(&server);
    let first = shop.log_in(&mut browser, "openid", "ada", PASSWORD).await;
    let second = Tokens::of(&shop.refresh(&first.refresh).await);
    Tokens::of(&shop.refresh(&second.refresh).await);
    assert!(!browser.get("/account").await.text.contains("used twice"));
    server.clock.advance(time::Duration::seconds(11));
    shop.refresh(&first.refresh)
        .await
        .refused(400, "invalid_grant");
    let page = browser.get("/account").await.text;
    assert!(
        page.contains("We signed you out of Shop") && page.contains("used twice"),
        "{page}"
    );
    assert_eq!(
        shop.client.introspect(&second.access).await,
        json!({ "active": false })
    );
    // Also where another client comes with it.
    let (wiki, thief) = (server.application().named("Wiki"), server.application());
    let wiki = wiki.flag("--first-party").application().await;
    let thief = thief.application().await;
    let tokens = wiki.log_in(&mut browser, "openid", "ada", PASSWORD).await;
    thief
        .refresh(&tokens.refresh)
        .await
        .refused(400, "invalid_grant");
    let page = browser.get("/account").await.text;
    assert!(page.contains("We signed you out of Wiki"), "{page}");
}

#[tokio::test]
async fn hostile_application_names_stay_text() {
    // S-88
    let server = Server::start().await;
    ada(&server).await;
    let hostile = r#"<script>alert(1)</script>"'><img src=x onerror=alert(1)>{{7*7}}"#;
    let shop = server.application().named(hostile).application().await;
    let mut browser = Browser::new(&server);
    shop.log_in(&mut browser, "openid email", "ada", PASSWORD)
        .await;
    for path in [
        "/account",
        &format!(
            "/oauth2/logout?client_id={}&state={hostile}",
            shop.client.id
        ),
    ] {
        let page = browser
            .get(&path.replace(['<', '>', '"', ' '], "%3C"))
            .await;
        assert_eq!(page.status, 200, "{}", page.text);
        assert!(
            !page.text.contains("<script>alert")
                && !page.text.contains("<img src=x")
                && !page.text.contains(r#""'>"#),
            "{}",
            page.text
        );
        assert!(
            page.text.contains("&#60;script&#62;alert(1)"),
            "{}",
            page.text
        );
    }
}
