//! A system that keeps a copy of people.

use std::collections::HashMap;

use reqwest::Method;
use serde_json::Value;

use super::Server;

const CHANGES: &str = "/api/v1/changes";

/// A reader that keeps a copy, as docs/propagation.md says: stores every `user`, removes those that are null.
#[derive(Clone)]
pub(crate) struct Copy<'a> {
    pub server: &'a Server,
    pub token: String,
    pub next: Option<String>,
    pub people: HashMap<String, Value>,
    pub versions: HashMap<String, i64>,
    /// Changes read.
    pub read: usize,
}

impl<'a> Copy<'a> {
    /// With everybody's feed.
    pub(crate) async fn of(server: &'a Server) -> Self {
        let token = server.token("users:read").await;
        Self::with(server, token)
    }

    /// With the feed that this token reads.
    pub(crate) fn with(server: &'a Server, token: String) -> Self {
        Self {
            server,
            token,
            next: None,
            people: HashMap::new(),
            versions: HashMap::new(),
            read: 0,
        }
    }

    /// Reads a page and applies it; gives its changes.
    pub(crate) async fn page(&mut self, query: &str) -> Vec<Value> {
        let after = self.next.as_ref().map(|next| format!("&after={next}"));
        let path = format!("{CHANGES}?{query}{}", after.unwrap_or_default());
        let answer = self
            .server
            .call(Method::GET, &path, &self.token, None)
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let page = answer.json();
        self.next = Some(page["next"].as_str().expect("never null").to_owned());
        let changes = page["items"].as_array().unwrap().clone();
        for change in &changes {
            self.apply(change);
        }
        changes
    }

    pub(crate) fn apply(&mut self, change: &Value) {
        self.read += 1;
        let id = change["user_id"].as_str().unwrap().to_owned();
        let version = change["version"].as_i64().unwrap();
        let before = self.versions.insert(id.clone(), version);
        assert!(
            before.is_none_or(|before| before < version),
            "{id}: {version} after {before:?}"
        );
        if change["user"].is_null() {
            self.people.remove(&id);
        } else {
            let user = change["user"].clone();
            assert_eq!(user["id"], change["user_id"]);
            let shown = user["version"].as_i64();
            assert!(shown.is_none_or(|shown| shown >= version), "{change}");
            self.people.insert(id, user);
        }
    }

    /// Reads to the end.
    pub(crate) async fn catch_up(&mut self, query: &str) {
        while !self.page(query).await.is_empty() {}
    }
}
