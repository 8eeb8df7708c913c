//! The account page's applications: seen, taken away, and told of when something is amiss.

use serde_json::json;

use crate::support::leaving::Tokens;
use crate::support::sign_on::{Application, PASSWORD};
use crate::support::{Browser, Server, csrf};

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
