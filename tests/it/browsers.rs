//! The pages in real Chromium: light, dark, at 320 pixels, and without JavaScript.

use serde_json::json;

use crate::examples::example;
use crate::support::chromium::{Chromium, DARK, LIGHT, Look, NARROW, WITHOUT_JAVASCRIPT};
use crate::support::sign_on::{Application, query};
use crate::support::{Browser, Server, eventually};

const PASSWORD: &str = "wordy rivers 77";
const NEW_PASSWORD: &str = "quiet harbours 12";

#[tokio::test]
async fn chromium_walks_login_account_and_logout() {
    walk(LIGHT).await;
}

#[tokio::test]
async fn chromium_walks_in_the_dark() {
    walk(DARK).await;
}

#[tokio::test]
async fn chromium_walks_at_320_pixels() {
    walk(NARROW).await;
}

#[tokio::test]
async fn chromium_walks_without_javascript() {
    walk(WITHOUT_JAVASCRIPT).await;
}

/// Everything that a person does here, with a look at each page.
async fn walk(look: Look) {
    let server = Server::start().await;
    server
        .user_with_password(
            json!({ "email": "ada@example.com", "name": "Ada Lovelace" }),
            PASSWORD,
        )
        .await;
    let mut elsewhere = Browser::new(&server);
    elsewhere.headers.push((
        "user-agent",
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/605.1.15".to_owned(),
    ));
    elsewhere.sign_in("ada@example.com", PASSWORD).await;
    let page = Chromium::start(look).await;

    // Who is not signed in is led to the login page, and a wrong password back to it.
    page.goto(&format!("{}/account", server.url)).await;
    assert_eq!(page.path().await, "/login");
    inspect(&page, look, "sign-in").await;
    assert_eq!(
        page.count(".reveal").await,
        usize::from(look.javascript),
        "the one thing that JavaScript adds"
    );
    page.fill("#username", "ada@example.com").await;
    page.fill("#password", "not her password").await;
    page.press("button[type=submit]").await;
    assert!(page.title().await.starts_with("Error"));
    inspect(&page, look, "refused").await;
    let kept = page.find("#username").await.prop("value").await.unwrap();
    assert_eq!(kept.as_deref(), Some("ada@example.com"));
    if look.javascript {
        reveal(&page).await;
    }

    page.fill("#password", PASSWORD).await;
    page.press("button[type=submit]").await;
    assert_eq!(page.path().await, "/account");
    inspect(&page, look, "account").await;
    let text = page.text().await;
    assert!(
        text.contains("Ada Lovelace") && text.contains("ada@example.com"),
        "{text}"
    );

    // Ends the other session.
    assert_eq!(page.count("ul.sessions li").await, 2, "{text}");
    page.press("ul.sessions button").await;
    assert_eq!(page.count("ul.sessions li").await, 1);
    inspect(&page, look, "session-ended").await;
    assert_eq!(elsewhere.account().await, 303);

    // Changes the password: once with a mistake, then for good.
    page.press("a[href='/account/password']").await;
    for (present, title) in [("not her password", "Error"), (PASSWORD, "Your account")] {
        page.fill("#password", present).await;
        page.fill("#new-password", NEW_PASSWORD).await;
        page.press("button[type=submit]").await;
        inspect(&page, look, &format!("password-{title}")).await;
        assert!(page.title().await.starts_with(title));
    }

    // S-76: after signing out the back button shows nothing of the account.
    page.press("a[href='/logout']").await;
    inspect(&page, look, "sign-out").await;
    page.press("main button[type=submit]").await;
    assert_eq!(page.path().await, "/login");
    page.back().await;
    page.back().await;
    assert!(!page.text().await.contains("Ada"), "{}", page.text().await);

    page.goto(&format!("{}/no-such-page", server.url)).await;
    inspect(&page, look, "not-found").await;
    page.close().await;
}

#[tokio::test]
async fn chromium_leaves_two_applications() {
    leave_two_applications(LIGHT).await;
}

#[tokio::test]
async fn chromium_leaves_in_the_dark() {
    leave_two_applications(DARK).await;
}

#[tokio::test]
async fn chromium_leaves_at_320_pixels() {
    leave_two_applications(NARROW).await;
}

#[tokio::test]
async fn chromium_leaves_without_javascript() {
    leave_two_applications(WITHOUT_JAVASCRIPT).await;
}

/// Where an application has its pages; whatever is asked for is there.
async fn site() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let page =
        "<!doctype html><title>Its own</title><p>The application's own page</p><footer></footer>";
    let app = axum::Router::new().fallback(async move || axum::response::Html(page));
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    format!("http://{address}")
}

/// What an application does with the code that the browser brings.
async fn redeem(application: &Application<'_>, page: &Chromium) {
    let told = query(&page.url().await);
    let code = told["code"].as_str().expect("a code");
    assert_eq!(application.redeem(code).await.status, 200);
}

/// One browser, two applications: one login opens both, the account page tells of them, and one logout, asked for by an application, ends
/// it. Chromium holds each form's way to the applications against the policy of its page.
async fn leave_two_applications(look: Look) {
    let server = Server::with_ada().await;
    let site = site().await;
    let (callback, after) = (format!("{site}/cb"), format!("{site}/bye"));
    let register = async |name| Application {
        client: server
            .client()
            .named(name)
            .grant("authorization_code")
            .grant("refresh_token")
            .scope("openid email offline_access")
            .option("--redirect-uri", &callback)
            .option("--post-logout-redirect-uri", &after)
            .register()
            .await,
        redirect_uri: callback.clone(),
    };
    let (shop, wiki) = (register("Shop").await, register("Wiki").await);
    let page = Chromium::start(look).await;
    let wish = [("scope", "openid email offline_access")];
    page.goto(&format!("{}{}", server.url, shop.authorize(&wish)))
        .await;
    assert_eq!(page.path().await, "/login");
    inspect(&page, look, "application-sign-in").await;
    page.fill("#username", "ada").await;
    page.fill("#password", PASSWORD).await;
    page.press("main button[type=submit]").await;
    assert_eq!(page.path().await, "/consent", "{}", page.text().await);
    inspect(&page, look, "application-consent").await;
    page.press("main button[type=submit]").await;
    assert_eq!(page.path().await, "/cb");
    assert!(page.text().await.contains("own page"));
    redeem(&shop, &page).await;

    page.goto(&format!("{}{}", server.url, wiki.authorize(&[])))
        .await;
    assert_eq!(page.path().await, "/consent", "one login opens both");
    page.press("main button[type=submit]").await;
    assert_eq!(page.path().await, "/cb");
    redeem(&wiki, &page).await;

    let foreign = shop.authorize(&[("redirect_uri", "https://evil.example/")]);
    page.goto(&format!("{}{foreign}", server.url)).await;
    inspect(&page, look, "application-error").await;

    page.goto(&format!("{}/account", server.url)).await;
    inspect(&page, look, "account-applications").await;
    let text = page.text().await;
    assert!(text.contains("Shop") && text.contains("Wiki"), "{text}");
    // Ends one login of an application, without script as well: the list opens by itself.
    let logins = "form[action='/account/applications/end'] button";
    assert_eq!(page.count(logins).await, 2);
    page.find("details summary").await.click().await.unwrap();
    inspect(&page, look, "account-logins").await;
    page.press(logins).await;
    assert_eq!(page.count(logins).await, 1);
    inspect(&page, look, "account-login-ended").await;
    page.press("form[action='/account/applications/remove'] button")
        .await;
    inspect(&page, look, "account-application-removed").await;

    let id = &wiki.client.id;
    let leave = format!("/oauth2/logout?client_id={id}&post_logout_redirect_uri={after}&state=x");
    page.goto(&format!("{}{leave}", server.url)).await;
    inspect(&page, look, "application-sign-out").await;
    assert!(
        page.text().await.contains("Wiki asks"),
        "{}",
        page.text().await
    );
    page.press("main button[type=submit]").await;
    assert_eq!(page.path().await, "/bye");
    page.goto(&format!("{}/account", server.url)).await;
    assert_eq!(page.path().await, "/login");
    page.goto(&format!("{}/oauth2/logout", server.url)).await;
    inspect(&page, look, "signed-out").await;
    page.close().await;
}

/// The button beside a password field shows what was typed, and hides it again.
async fn reveal(page: &Chromium) {
    page.fill("#password", "abc").await;
    for shown in ["text", "password"] {
        page.find(".reveal").await.click().await.unwrap();
        let kind = page.find("#password").await.prop("type").await.unwrap();
        assert_eq!(kind.as_deref(), Some(shown));
    }
}

/// Two applications under one login, as a person sees them.
async fn walk_two_applications(look: Look) {
    let server = Server::with_ada().await;
    let mut applications = Vec::new();
    for name in ["Web shop", "Forum"] {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let client = server.client().named(name).grant("authorization_code");
        let client = client.scope("openid profile");
        let client = client.option("--redirect-uri", &format!("http://{address}/callback"));
        let client = client.register().await;
        let running = example("application")
            .arg(address.to_string())
            .env("ISSUER", &server.url)
            .env("CLIENT_ID", &client.id)
            .env("CLIENT_SECRET", client.secret.as_ref().unwrap())
            .spawn()
            .unwrap();
        let bound = std::time::Duration::from_secs(10);
        eventually(bound, "it listens", async || {
            tokio::net::TcpStream::connect(address).await.is_ok()
        })
        .await;
        applications.push((format!("http://{address}/"), client, running));
    }
    let page = Chromium::start(look).await;

    // The first one leads to the login, which says where it leads, and to a question.
    page.goto(&applications[0].0).await;
    assert_eq!(page.path().await, "/login");
    inspect(&page, look, "sso-sign-in").await;
    assert!(page.text().await.contains("To go on to Web shop"));
    page.fill("#username", "ada@example.com").await;
    page.fill("#password", PASSWORD).await;
    page.press("button[type=submit]").await;
    assert_eq!(page.path().await, "/consent");
    inspect(&page, look, "sso-consent").await;
    let text = page.text().await;
    assert!(
        text.contains("Web shop") && text.contains("See your name"),
        "{text}"
    );
    page.press("button[value=allow]").await;
    assert!(page.text().await.contains("Hello, Ada Lovelace"));

    // The second asks for its own consent and for no password; who does not agree is told so by the application.
    page.goto(&applications[1].0).await;
    assert_eq!(page.path().await, "/consent");
    let deny = page.find("button[value=deny]").await;
    deny.click().await.unwrap();
    let denied = std::time::Duration::from_secs(10);
    eventually(denied, "denied", async || {
        page.text().await.contains("access_denied")
    })
    .await;
    page.goto(&applications[1].0).await;
    page.press("button[value=allow]").await;
    assert!(page.text().await.contains("Hello, Ada Lovelace"));
    page.goto(&applications[0].0).await;
    assert!(
        page.text().await.contains("Hello, Ada Lovelace"),
        "asked once"
    );

    // An answer that travels as a form: by itself, or by its button.
    let first = &applications[0];
    let application = Application {
        redirect_uri: format!("{}callback", first.0),
        client: first.1.clone(),
    };
    let form = application.authorize(&[("response_mode", "form_post")]);
    page.goto(&format!("{}{form}", server.url)).await;
    if look.javascript {
        eventually(denied, "it sends itself", async || {
            page.path().await == "/callback"
        })
        .await;
    } else {
        inspect(&page, look, "sso-form-post").await;
    }
    let wrong = application.authorize(&[("redirect_uri", "https://evil.example/")]);
    page.goto(&format!("{}{wrong}", server.url)).await;
    inspect(&page, look, "sso-error").await;
    let choose = application.authorize(&[("prompt", "select_account")]);
    page.goto(&format!("{}{choose}", server.url)).await;
    inspect(&page, look, "sso-account").await;
    page.close().await;
}

#[tokio::test]
async fn chromium_walks_two_applications() {
    walk_two_applications(LIGHT).await;
}

#[tokio::test]
async fn chromium_walks_two_applications_in_the_dark() {
    walk_two_applications(DARK).await;
}

#[tokio::test]
async fn chromium_walks_two_applications_at_320_pixels() {
    walk_two_applications(NARROW).await;
}

#[tokio::test]
async fn chromium_walks_two_applications_without_javascript() {
    walk_two_applications(WITHOUT_JAVASCRIPT).await;
}

/// What holds on every page: nothing wider than the window, each field labelled, text that can be read, the scheme that was asked for.
async fn inspect(page: &Chromium, look: Look, name: &str) {
    page.screenshot(name).await;
    let found = page.execute(INSPECTION).await;
    assert_eq!(found["overflow"], json!([]), "{name} {}", look.name);
    assert_eq!(found["unlabelled"], json!([]), "{name} {}", look.name);
    assert_eq!(found["faint"], json!([]), "{name} {}", look.name);
    assert_eq!(found["small"], json!([]), "{name} {}", look.name);
    assert_eq!(found["dark"], look.dark, "{name} {}", look.name);
    assert_eq!(
        (&found["h1"], &found["main"], &found["lang"]),
        (&json!(1), &json!(1), &json!("en")),
        "{name}"
    );
}

/// WCAG 2.2: 1.4.3 contrast 4.5:1, 1.4.10 reflow at 320 px, 2.5.8 target size 24 px, 3.3.2 labels.
const INSPECTION: &str = r#"
const rgb = (text) => text.match(/[\d.]+/g).map(Number);
const light = ([r, g, b]) => {
  const part = (v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
};
const paper = (element) => {
  for (; element; element = element.parentElement) {
    const colour = rgb(getComputedStyle(element).backgroundColor);
    if (colour.length === 3 || colour[3] === 1) return colour;
  }
  return [255, 255, 255];
};
const seen = [...document.querySelectorAll("body *")].filter((e) => e.checkVisibility() && e.getBoundingClientRect().right > 0);
const told = (e) => e.outerHTML.slice(0, 90);
const says = (e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
const ratio = (e) => {
  const [a, b] = [light(rgb(getComputedStyle(e).color)), light(paper(e))].sort((x, y) => y - x);
  return (a + 0.05) / (b + 0.05);
};
return {
  overflow: seen.filter((e) => e.getBoundingClientRect().right > innerWidth + 0.5).map(told),
  unlabelled: seen.filter((e) => e.matches("input") && !e.labels.length).map(told),
  faint: seen.filter((e) => says(e) && ratio(e) < 4.5).map((e) => ratio(e).toFixed(2) + " " + told(e)),
  small: seen.filter((e) => e.matches("button, input")).filter((e) => {
    const { width, height } = e.getBoundingClientRect();
    return height < 24 || width < 40;
  }).map(told),
  dark: light(paper(document.body)) < 0.2,
  h1: document.querySelectorAll("h1").length,
  main: document.querySelectorAll("main").length,
  lang: document.documentElement.lang,
};
"#;

#[tokio::test]
async fn chromium_shows_the_api() {
    let server = Server::start().await;
    let page = Chromium::start(LIGHT).await;
    page.goto(&format!("{}/docs", server.url)).await;
    page.find(".opblock").await;
    assert!(page.count(".opblock").await >= 20, "each route is there");
    assert!(page.text().await.contains("/api/v1/users/{id}"));
    page.screenshot("api").await;
    page.close().await;
}
