//! Applications that people sign in to, and the walk through the pages that a browser is led by.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::browser::csrf;
use super::client::ClientBuilder;
use super::{Answer, Browser, Server, TestClient};

pub(crate) const PASSWORD: &str = "wordy rivers 77";
pub(crate) const CALLBACK: &str = "https://shop.example/cb";
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const SCOPE: &str = "openid profile email phone address offline_access";

/// A registered application.
#[derive(Clone)]
pub(crate) struct Application<'a> {
    pub client: TestClient<'a>,
    pub redirect_uri: String,
}

impl Server {
    /// A server on which Ada may sign in.
    pub(crate) async fn with_ada() -> Self {
        let server = Self::start().await;
        let ada = json!({ "email": "ada@example.com", "username": "ada", "name": "Ada Lovelace" });
        server.user_with_password(ada, PASSWORD).await;
        server
    }

    /// An application to be, with the common scopes and grants.
    pub(crate) fn application(&self) -> ClientBuilder<'_> {
        self.client()
            .grant("authorization_code")
            .grant("refresh_token")
            .scope(SCOPE)
            .option("--redirect-uri", CALLBACK)
    }
}

impl<'a> ClientBuilder<'a> {
    pub(crate) fn flag(self, name: &str) -> Self {
        self.option_alone(name)
    }

    /// Registers it as an application that people sign in to.
    pub(crate) async fn application(self) -> Application<'a> {
        Application {
            client: self.register().await,
            redirect_uri: CALLBACK.to_owned(),
        }
    }
}

/// The challenge of [`VERIFIER`] and its like.
pub(crate) fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier))
}

/// A JWT's claims, unverified.
pub(crate) fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).expect("three parts");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).expect("base64url")).expect("JSON")
}

/// The parameters of an address's query.
pub(crate) fn query(address: &str) -> Value {
    let query = address.split_once('?').map_or("", |(_, query)| query);
    let pairs = form_urlencoded::parse(query.as_bytes());
    Value::Object(pairs.map(|(n, v)| (n.into_owned(), json!(v))).collect())
}

impl Application<'_> {
    /// The same application, asking another replica.
    pub(crate) fn at<'b>(&self, server: &'b Server) -> Application<'b> {
        Application {
            client: TestClient {
                server,
                id: self.client.id.clone(),
                secret: self.client.secret.clone(),
            },
            redirect_uri: self.redirect_uri.clone(),
        }
    }

    /// The path of an authorization request; `change` replaces parameters, and an empty one removes its name.
    pub(crate) fn authorize(&self, change: &[(&str, &str)]) -> String {
        let challenge = challenge(VERIFIER);
        let mut parameters = vec![
            ("response_type", "code"),
            ("client_id", self.client.id.as_str()),
            ("redirect_uri", self.redirect_uri.as_str()),
            ("scope", "openid"),
            ("state", "s-1"),
            ("nonce", "n-1"),
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "S256"),
        ];
        parameters.retain(|(name, _)| !change.iter().any(|(changed, _)| changed == name));
        parameters.extend(
            change
                .iter()
                .copied()
                .filter(|(_, value)| !value.is_empty()),
        );
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(parameters)
            .finish();
        format!("/oauth2/authorize?{query}")
    }

    /// A code, of somebody who signs in and agrees where they are asked.
    pub(crate) async fn code(&self, browser: &mut Browser<'_>, change: &[(&str, &str)]) -> String {
        let answer = browser.walk(&self.authorize(change)).await;
        let told = query(answer.header("location"));
        let code = told["code"].as_str();
        code.unwrap_or_else(|| panic!("{} {told} {}", answer.status, answer.text))
            .to_owned()
    }

    /// The token endpoint's answer to a code.
    pub(crate) async fn redeem(&self, code: &str) -> Answer {
        self.redeem_with(code, &[]).await
    }

    /// The same with parameters replaced, or removed where they are empty.
    pub(crate) async fn redeem_with(&self, code: &str, change: &[(&str, &str)]) -> Answer {
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", self.redirect_uri.as_str()),
            ("code_verifier", VERIFIER),
        ];
        if self.client.secret.is_none() {
            form.push(("client_id", self.client.id.as_str()));
        }
        form.retain(|(name, _)| !change.iter().any(|(changed, _)| changed == name));
        form.extend(
            change
                .iter()
                .copied()
                .filter(|(_, value)| !value.is_empty()),
        );
        self.client.post(&form).await
    }

    /// Tokens for Ada, by a browser of her own.
    pub(crate) async fn tokens(&self, change: &[(&str, &str)]) -> Value {
        let mut browser = Browser::new(self.client.server);
        let code = self.code(&mut browser, change).await;
        let answer = self.redeem(&code).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()
    }

    pub(crate) async fn refresh(&self, token: &str) -> Answer {
        self.refresh_with(token, &[]).await
    }

    pub(crate) async fn refresh_with(&self, token: &str, further: &[(&str, &str)]) -> Answer {
        let mut form = vec![("grant_type", "refresh_token"), ("refresh_token", token)];
        if self.client.secret.is_none() {
            form.push(("client_id", self.client.id.as_str()));
        }
        form.extend(further);
        self.client.post(&form).await
    }
}

/// The value of a hidden field of a page's form.
pub(crate) fn field(page: &Answer, name: &str) -> Option<String> {
    let after = page
        .text
        .split(&format!("name=\"{name}\" value=\""))
        .nth(1)?;
    Some(after.split('"').next()?.to_owned())
}

impl Browser<'_> {
    /// Follows the server's own redirects, to a page or to an address elsewhere.
    pub(crate) async fn follow(&mut self, path: &str) -> Answer {
        let mut answer = self.get(path).await;
        while answer.status == 303 && answer.header("location").starts_with('/') {
            let next = answer.header("location").to_owned();
            answer = self.get(&next).await;
        }
        answer
    }

    /// The same after sending a form.
    pub(crate) async fn send_and_follow(&mut self, path: &str, form: &[(&str, &str)]) -> Answer {
        let answer = self.post(path, form).await;
        if answer.status == 303 && answer.header("location").starts_with('/') {
            let next = answer.header("location").to_owned();
            return self.follow(&next).await;
        }
        answer
    }

    /// Goes through the pages as Ada would who agrees to everything, to the answer that leads elsewhere.
    pub(crate) async fn walk(&mut self, path: &str) -> Answer {
        let mut answer = self.follow(path).await;
        for _ in 0..6 {
            answer = match step_of(&answer) {
                Some("/login") => self.sign_in_at(&answer, "ada", PASSWORD).await,
                Some(page @ ("/consent" | "/login/account")) => self.agree_at(page, &answer).await,
                _ => return answer,
            };
        }
        panic!("no end: {} {}", answer.status, answer.text);
    }

    /// Sends the sign-in form of a page.
    pub(crate) async fn sign_in_at(
        &mut self,
        page: &Answer,
        username: &str,
        password: &str,
    ) -> Answer {
        let (csrf, request) = (csrf(page), field(page, "request").unwrap_or_default());
        let form = [
            ("csrf", csrf.as_str()),
            ("request", &request),
            ("username", username),
            ("password", password),
        ];
        self.send_and_follow("/login", &form).await
    }

    /// Presses the first button of a page that asks.
    pub(crate) async fn agree_at(&mut self, path: &str, page: &Answer) -> Answer {
        self.decide_at(path, page, "allow").await
    }

    pub(crate) async fn decide_at(&mut self, path: &str, page: &Answer, decision: &str) -> Answer {
        let (csrf, request) = (csrf(page), field(page, "request").expect("a request"));
        let seal = field(page, "seal").unwrap_or_default();
        let form = [
            ("csrf", csrf.as_str()),
            ("request", &request),
            ("seal", &seal),
            ("decision", decision),
        ];
        self.send_and_follow(path, &form).await
    }
}

/// Where the page's first form goes.
pub(crate) fn step_of(page: &Answer) -> Option<&str> {
    let action = page.text.split("<form method=\"post\" action=\"").nth(1)?;
    action.split('"').next()
}
