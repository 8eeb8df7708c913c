//! Clients of the server, and what it answers them.

use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder};
use serde_json::Value;

use super::Server;

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub(crate) async fn of(request: RequestBuilder) -> Self {
        let response = request.send().await.expect("the server answers");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Self {
            status,
            headers,
            text: response.text().await.expect("a body"),
        }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }

    /// A header's value; empty where it is missing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |v| v.to_str().expect("ASCII"))
    }

    /// Asserts an OAuth refusal (RFC 6749 §5.2).
    #[track_caller]
    pub(crate) fn refused(&self, status: u16, error: &str) -> &Self {
        assert_eq!(
            (self.status, self.json()["error"].as_str()),
            (status, Some(error)),
            "{}",
            self.text
        );
        assert!(
            self.json()["error_description"].is_string(),
            "{}",
            self.text
        );
        assert_eq!(self.header("cache-control"), "no-store");
        assert_eq!(self.header("content-type"), "application/json");
        self
    }

    /// Asserts a problem document (RFC 9457) with this anchor.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, anchor: &str) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        assert_eq!(self.header("content-type"), "application/problem+json");
        let body = self.json();
        assert_eq!(
            body["type"],
            format!("/docs/errors#{anchor}"),
            "{}",
            self.text
        );
        assert_eq!(body["status"], status);
        assert_eq!(body["request_id"], self.header("x-request-id"));
        body
    }
}

/// A registered client.
#[derive(Clone)]
pub(crate) struct TestClient<'a> {
    pub server: &'a Server,
    pub id: String,
    pub secret: Option<String>,
}

impl TestClient<'_> {
    /// Posts a form to the token endpoint, authenticated with Basic where the client has a secret.
    pub(crate) async fn post(&self, form: &[(&str, &str)]) -> Answer {
        self.post_to("/oauth2/token", form).await
    }

    /// What introspection answers about a token.
    pub(crate) async fn introspect(&self, token: &str) -> Value {
        let answer = self
            .post_to("/oauth2/introspect", &[("token", token)])
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(answer.header("cache-control"), "no-store");
        answer.json()
    }

    /// Revokes a token, which is always fine.
    pub(crate) async fn revoke(&self, token: &str) {
        let answer = self.post_to("/oauth2/revoke", &[("token", token)]).await;
        assert_eq!((answer.status, answer.text.as_str()), (200, ""));
    }

    /// The same at another endpoint that asks for the client's proof.
    pub(crate) async fn post_to(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        let request = self.server.request(Method::POST, path).form(form);
        Answer::of(match &self.secret {
            Some(secret) => request.basic_auth(&self.id, Some(secret)),
            None => request,
        })
        .await
    }

    /// The answer to a client-credentials request with these further parameters.
    pub(crate) async fn client_credentials(&self, further: &[(&str, &str)]) -> Answer {
        self.post(&[&[("grant_type", "client_credentials")], further].concat())
            .await
    }

    /// The answer to a password-grant request.
    pub(crate) async fn password(
        &self,
        username: &str,
        password: &str,
        further: &[(&str, &str)],
    ) -> Answer {
        let form = [
            ("grant_type", "password"),
            ("username", username),
            ("password", password),
        ];
        self.post(&[&form[..], further].concat()).await
    }

    /// The same for somebody with a wrong password, as a future of its own.
    pub(crate) async fn password_of(self, username: String) -> Answer {
        self.password(&username, "wrong", &[]).await
    }

    /// A client-credentials token.
    pub(crate) async fn token(&self, further: &[(&str, &str)]) -> String {
        let answer = self.client_credentials(further).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()["access_token"]
            .as_str()
            .expect("a token")
            .to_owned()
    }
}

/// A client to be; `register` runs `doorward client create`.
pub(crate) struct ClientBuilder<'a> {
    server: &'a Server,
    args: Vec<String>,
}

impl<'a> ClientBuilder<'a> {
    pub(super) fn new(server: &'a Server) -> Self {
        Self {
            server,
            args: ["client", "create", "--name", "shop", "--json"]
                .map(str::to_owned)
                .into(),
        }
    }

    /// Any option of `doorward client create`.
    pub(crate) fn option(mut self, name: &str, value: &str) -> Self {
        self.args.extend([name.to_owned(), value.to_owned()]);
        self
    }

    /// Another name than the tests' common one.
    pub(crate) fn named(mut self, name: &str) -> Self {
        self.args[3] = name.to_owned();
        self
    }

    /// An option that takes no value.
    pub(super) fn option_alone(mut self, name: &str) -> Self {
        self.args.push(name.to_owned());
        self
    }

    pub(crate) fn grant(self, grant: &str) -> Self {
        self.option("--grant", grant)
    }

    /// A service that gets tokens for https://a.example by itself.
    pub(crate) fn machine(self) -> Self {
        self.grant("client_credentials")
            .audience("https://a.example")
    }

    pub(crate) fn scope(self, scope: &str) -> Self {
        self.option("--scope", scope)
    }

    pub(crate) fn audience(self, audience: &str) -> Self {
        self.option("--audience", audience)
    }

    pub(crate) fn auth_method(self, method: &str) -> Self {
        self.option("--auth-method", method)
    }

    pub(crate) async fn register(self) -> TestClient<'a> {
        let args: Vec<&str> = self.args.iter().map(String::as_str).collect();
        let made = self.server.cli(&args).await.json();
        let id = made["client_id"].as_str().expect("an id").to_owned();
        TestClient {
            server: self.server,
            id,
            secret: made["client_secret"].as_str().map(str::to_owned),
        }
    }
}
