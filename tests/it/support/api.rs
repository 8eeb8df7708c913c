//! The REST API, as an admin uses it.

use reqwest::Method;
use serde_json::Value;

use super::{Answer, Server};

pub(crate) const USERS: &str = "/api/v1/users";

pub(crate) struct Api<'a> {
    pub(crate) server: &'a Server,
    pub(crate) token: String,
}

impl<'a> Api<'a> {
    pub(crate) async fn of(server: &'a Server) -> Self {
        Self {
            server,
            token: server.admin_token().await,
        }
    }

    /// A caller that holds no more than this.
    pub(crate) async fn with(server: &'a Server, scope: &str) -> Self {
        Self {
            server,
            token: server.token(scope).await,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, Value::Null).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.call(Method::POST, path, body).await
    }

    pub(crate) async fn call(&self, method: Method, path: &str, body: Value) -> Answer {
        let body = (!body.is_null()).then_some(body);
        self.server.call(method, path, &self.token, body).await
    }

    /// A call with further headers.
    pub(crate) async fn call_with(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Value,
    ) -> Answer {
        let mut request = self.server.request(method, path).bearer_auth(&self.token);
        if !body.is_null() {
            request = request
                .header("content-type", "application/json")
                .body(body.to_string());
        }
        for (name, value) in headers {
            let name: reqwest::header::HeaderName = name.parse().unwrap();
            let mut further = reqwest::header::HeaderMap::new();
            further.insert(name, value.parse().unwrap());
            request = request.headers(further);
        }
        Answer::of(request).await
    }

    pub(crate) async fn list(&self, query: &str) -> Answer {
        let path = format!("{USERS}?{query}");
        self.call(Method::GET, &path, Value::Null).await
    }

    pub(crate) async fn create(&self, body: Value) -> Value {
        let made = self.call(Method::POST, USERS, body).await;
        assert_eq!(made.status, 201, "{}", made.text);
        made.json()
    }

    /// The usernames of the whole list, in its order, page by page.
    pub(crate) async fn names(&self, query: &str, limit: usize) -> Vec<String> {
        let mut names = Vec::new();
        let mut after = String::new();
        loop {
            let answer = self.list(&format!("{query}&limit={limit}{after}")).await;
            assert_eq!(answer.status, 200, "{query}: {}", answer.text);
            let body = answer.json();
            let items = body["items"].as_array().unwrap();
            assert!(items.len() <= limit);
            names.extend(
                items
                    .iter()
                    .map(|u| u["username"].as_str().unwrap().to_owned()),
            );
            match body["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => return names,
            }
        }
    }

    pub(crate) async fn found(&self, query: &str) -> Vec<String> {
        let mut names = self.names(query, 2).await;
        names.sort();
        names
    }
}

/// Where a person is.
pub(crate) fn path(user: &Value) -> String {
    format!("{USERS}/{}", user["id"].as_str().unwrap())
}

/// What a problem names as wrong, sorted.
pub(crate) fn pointers(problem: &Value) -> Vec<String> {
    let errors = problem["errors"].as_array().unwrap().iter();
    let mut pointers: Vec<String> = errors
        .map(|e| e["pointer"].as_str().unwrap_or("").to_owned())
        .collect();
    pointers.sort();
    pointers
}
