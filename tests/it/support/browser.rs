//! A browser without a screen: keeps cookies, sends forms, follows nothing by itself.

use std::collections::BTreeMap;

use reqwest::Method;

use super::{Answer, Server};

pub(crate) struct Browser<'a> {
    pub(crate) server: &'a Server,
    pub(crate) cookies: BTreeMap<String, String>,
    /// Sent with each request, such as `X-Forwarded-For`.
    pub(crate) headers: Vec<(&'static str, String)>,
}

impl<'a> Browser<'a> {
    pub(crate) fn new(server: &'a Server) -> Self {
        Self {
            server,
            cookies: BTreeMap::new(),
            headers: Vec::new(),
        }
    }

    /// The same browser, talking to another replica.
    pub(crate) fn at<'b>(&self, server: &'b Server) -> Browser<'b> {
        Browser {
            server,
            cookies: self.cookies.clone(),
            headers: self.headers.clone(),
        }
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    /// Sends a form as the page at hand would, with the page's own token.
    pub(crate) async fn post(&mut self, path: &str, form: &[(&str, &str)]) -> Answer {
        self.send(Method::POST, path, Some(form)).await
    }

    async fn send(&mut self, method: Method, path: &str, form: Option<&[(&str, &str)]>) -> Answer {
        let mut request = self.server.request(method, path);
        let cookies: Vec<String> = self
            .cookies
            .iter()
            .map(|(n, v)| format!("{n}={v}"))
            .collect();
        if !cookies.is_empty() {
            request = request.header("cookie", cookies.join("; "));
        }
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        if let Some(form) = form {
            request = request.form(form);
        }
        let answer = Answer::of(request).await;
        for cookie in answer.headers.get_all("set-cookie") {
            let cookie = cookie.to_str().unwrap();
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            if value.is_empty() || cookie.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        answer
    }

    /// Opens the login page and sends it.
    pub(crate) async fn try_sign_in(&mut self, username: &str, password: &str) -> Answer {
        let csrf = csrf(&self.get("/login").await);
        self.post(
            "/login",
            &[
                ("csrf", &csrf),
                ("username", username),
                ("password", password),
            ],
        )
        .await
    }

    /// Signs in, which must succeed.
    pub(crate) async fn sign_in(&mut self, username: &str, password: &str) {
        let answer = self.try_sign_in(username, password).await;
        assert_eq!(
            (answer.status, answer.header("location")),
            (303, "/account"),
            "{}",
            answer.text
        );
    }

    /// The status of `/account`: 200 for who is signed in, 303 for who is not.
    pub(crate) async fn account(&mut self) -> u16 {
        self.get("/account").await.status
    }
}

/// The token in a page's form.
pub(crate) fn csrf(page: &Answer) -> String {
    let after = page
        .text
        .split("name=\"csrf\" value=\"")
        .nth(1)
        .unwrap_or_else(|| panic!("no form: {} {}", page.status, page.text));
    after.split('"').next().unwrap().to_owned()
}

/// Where a page's first form goes, and what it says by itself and by its first button.
pub(super) fn first_form(page: &Answer) -> (String, Vec<(String, String)>) {
    let form = page
        .text
        .split("<form")
        .nth(1)
        .unwrap_or_else(|| panic!("no form: {}", page.text));
    let form = form.split("</form>").next().unwrap();
    let attribute = |tag: &str, name: &str| {
        let value = tag
            .split(&format!(" {name}=\""))
            .nth(1)?
            .split('"')
            .next()?;
        Some(value.replace("&#38;", "&").replace("&amp;", "&"))
    };
    let action = attribute(form, "action").expect("an action");
    let tags = form
        .split('<')
        .filter(|tag| tag.starts_with("input") && tag.contains("type=\"hidden\""));
    let button = form.split('<').find(|tag| tag.starts_with("button"));
    let says = |tag: &str| Some((attribute(tag, "name")?, attribute(tag, "value")?));
    (action, tags.chain(button).filter_map(says).collect())
}
