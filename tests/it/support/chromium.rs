//! Real Chromium, driven through chromedriver: one process of each a test, both gone with it.

use std::path::PathBuf;
use std::process::Stdio;

use fantoccini::elements::Element;
use fantoccini::error::CmdError;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// How the browser is set up.
#[derive(Clone, Copy)]
pub(crate) struct Look {
    pub name: &'static str,
    pub dark: bool,
    /// CSS pixels.
    pub width: u32,
    pub javascript: bool,
}

pub(crate) const LIGHT: Look = Look {
    name: "light",
    dark: false,
    width: 1000,
    javascript: true,
};
pub(crate) const DARK: Look = Look {
    name: "dark",
    dark: true,
    ..LIGHT
};
pub(crate) const NARROW: Look = Look {
    name: "narrow",
    width: 320,
    ..LIGHT
};
pub(crate) const WITHOUT_JAVASCRIPT: Look = Look {
    name: "without-javascript",
    javascript: false,
    ..LIGHT
};

pub(crate) struct Chromium {
    client: Client,
    look: Look,
    /// Holds the browser's profile; gone after the test.
    profile: PathBuf,
    _driver: Child,
}

impl Chromium {
    pub(crate) async fn start(look: Look) -> Self {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("chromedriver is installed");
        let mut lines = BufReader::new(driver.stdout.take().expect("piped")).lines();
        let port = loop {
            let line = lines.next_line().await.unwrap().expect("a port");
            if let Some(port) = line.split("successfully on port ").nth(1) {
                break port.trim_end_matches('.').to_owned();
            }
        };
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let profile = std::env::temp_dir().join(format!(
            "doorward-chromium-{}-{}-{port}",
            std::process::id(),
            look.name
        ));
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities(look, &profile))
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .expect("Chromium starts");
        Self {
            client,
            look,
            profile,
            _driver: driver,
        }
    }

    pub(crate) async fn goto(&self, url: &str) {
        self.client.goto(url).await.unwrap();
    }

    pub(crate) async fn back(&self) {
        self.client.back().await.unwrap();
    }

    pub(crate) async fn path(&self) -> String {
        self.client.current_url().await.unwrap().path().to_owned()
    }

    pub(crate) async fn url(&self) -> String {
        self.client.current_url().await.unwrap().to_string()
    }

    pub(crate) async fn title(&self) -> String {
        self.client.title().await.unwrap()
    }

    pub(crate) async fn find(&self, css: &str) -> Element {
        match self.client.find(Locator::Css(css)).await {
            Ok(element) => element,
            Err(error) => panic!("{css}: {error}\n{}", self.text().await),
        }
    }

    pub(crate) async fn count(&self, css: &str) -> usize {
        self.client.find_all(Locator::Css(css)).await.unwrap().len()
    }

    /// What a person reads on the page.
    pub(crate) async fn text(&self) -> String {
        let read = async {
            loop {
                // A page that goes on by itself takes its elements along.
                if let Ok(body) = self.client.find(Locator::Css("body")).await
                    && let Ok(text) = body.text().await
                {
                    return text;
                }
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(20), read)
            .await
            .expect("a page that stays")
    }

    pub(crate) async fn fill(&self, css: &str, text: &str) {
        let field = self.find(css).await;
        field.clear().await.unwrap();
        field.send_keys(text).await.unwrap();
    }

    /// Presses a button or follows a link, and waits for the page that it leads to.
    pub(crate) async fn press(&self, css: &str) {
        let before = self.find("html").await;
        self.find(css).await.click().await.unwrap();
        let gone = async {
            // The old page's element is stale once the new page stands.
            while !matches!(before.tag_name().await, Err(CmdError::Standard(_))) {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
            while self.client.find(Locator::Css("footer")).await.is_err() {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(20), gone)
            .await
            .expect("a new page");
    }

    pub(crate) async fn execute(&self, script: &str) -> Value {
        self.client.execute(script, Vec::new()).await.unwrap()
    }

    /// Keeps a picture of the page under `target/screenshots/`, to be looked at.
    pub(crate) async fn screenshot(&self, name: &str) {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("screenshots");
        std::fs::create_dir_all(&folder).unwrap();
        let picture = self.client.screenshot().await.unwrap();
        std::fs::write(
            folder.join(format!("{name}-{}.png", self.look.name)),
            picture,
        )
        .unwrap();
    }

    pub(crate) async fn close(self) {
        self.client.clone().close().await.unwrap();
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // Of a test that failed, the browser outlives its driver; its profile names it.
        let _ = std::process::Command::new("pkill")
            .args(["-KILL", "-f", &self.profile.display().to_string()])
            .status();
        let _ = std::fs::remove_dir_all(&self.profile);
    }
}

fn capabilities(look: Look, profile: &std::path::Path) -> serde_json::Map<String, Value> {
    let mut options = json!({
        "args": [
            "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
            format!("--user-data-dir={}", profile.display()),
            format!("--window-size={},900", look.width.max(500)),
            format!("--blink-settings=preferredColorScheme={}", if look.dark { 0 } else { 1 }),
        ],
    });
    if look.width < 500 {
        options["mobileEmulation"] =
            json!({ "deviceMetrics": { "width": look.width, "height": 700, "pixelRatio": 2.0 } });
    }
    if !look.javascript {
        options["prefs"] = json!({ "profile.managed_default_content_settings.javascript": 2 });
    }
    let mut capabilities = serde_json::Map::new();
    capabilities.insert("goog:chromeOptions".to_owned(), options);
    capabilities
}
