//! What tests of leaving need: tokens as they were got, browsers that anybody uses, and the server to which an application is told.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use serde_json::Value;
use tokio::net::TcpListener;

use super::browser::first_form;
use super::sign_on::{Application, claims, query};
use super::{Answer, Browser};

/// What an application got by a code or a refresh token.
#[derive(Clone, Debug)]
pub(crate) struct Tokens {
    pub access: String,
    pub refresh: String,
    pub id: String,
}

impl Tokens {
    pub(crate) fn of(answer: &Answer) -> Self {
        assert_eq!(answer.status, 200, "{}", answer.text);
        let body = answer.json();
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        Self {
            access: text("access_token"),
            refresh: text("refresh_token"),
            id: text("id_token"),
        }
    }

    /// A claim of the ID token.
    pub(crate) fn claim(&self, name: &str) -> Value {
        claims(&self.id)[name].clone()
    }
}

impl Application<'_> {
    /// Logs somebody in, who may have a session already.
    pub(crate) async fn log_in(
        &self,
        browser: &mut Browser<'_>,
        scope: &str,
        username: &str,
        password: &str,
    ) -> Tokens {
        let path = self.authorize(&[("scope", scope)]);
        let back = browser.arrive(&path, username, password).await;
        let told = query(&back);
        let code = told["code"].as_str();
        let code = code.unwrap_or_else(|| panic!("no code: {back}"));
        Tokens::of(&self.redeem(code).await)
    }
}

impl Browser<'_> {
    /// Goes to `path` and on from there, signing in and agreeing where that is asked for, until it is sent elsewhere; gives where to.
    pub(crate) async fn arrive(&mut self, path: &str, username: &str, password: &str) -> String {
        let mut answer = self.get(path).await;
        for _ in 0..12 {
            if (300..400).contains(&answer.status) {
                let to = answer.header("location").to_owned();
                let here = to.strip_prefix(&self.server.url).unwrap_or(&to);
                if !here.starts_with('/') {
                    return to;
                }
                answer = self.get(here).await;
                continue;
            }
            assert_eq!(answer.status, 200, "{}", answer.text);
            let (action, mut form) = first_form(&answer);
            for (name, value) in [("username", username), ("password", password)] {
                if answer.text.contains(&format!("name=\"{name}\"")) {
                    form.retain(|(n, _)| n != name);
                    form.push((name.to_owned(), value.to_owned()));
                }
            }
            let form: Vec<_> = form.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            answer = self.post(&action, &form).await;
        }
        panic!("it goes round in circles: {}", answer.text);
    }
}

/// Takes what Doorward posts to it.
pub(crate) struct Sink {
    pub address: SocketAddr,
    received: Arc<Mutex<Vec<String>>>,
    server: tokio::task::JoinHandle<()>,
}

impl Sink {
    pub(crate) async fn start() -> Self {
        Self::at(([127, 0, 0, 1], 0).into()).await
    }

    /// At an address where somebody sent things before.
    pub(crate) async fn at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address)
            .await
            .expect("the address is free");
        let address = listener.local_addr().expect("bound");
        let received = Arc::<Mutex<Vec<String>>>::default();
        let take = async |State(received): State<Arc<Mutex<Vec<String>>>>, body: String| {
            received.lock().unwrap().push(body);
        };
        let app = Router::new()
            .route("/logout", post(take))
            .with_state(received.clone());
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            address,
            received,
            server,
        }
    }

    /// Where an application has itself told.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/logout", self.address)
    }

    /// The logout tokens that came, so far.
    pub(crate) fn tokens(&self) -> Vec<String> {
        let received = self.received.lock().unwrap();
        let token = |body: &String| {
            let token = body.strip_prefix("logout_token=");
            token.expect("a form").to_owned()
        };
        received.iter().map(token).collect()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.server.abort();
    }
}
