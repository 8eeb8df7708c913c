//! A server of one test: own database, own port, own movable clock.

use std::sync::Arc;
use std::time::Duration;

use doorward::app::Databases;
use doorward::config::Config;
use doorward::kernel::clock::MovableClock;
use doorward::running::Running;
use reqwest::{Method, RequestBuilder, redirect};
use serde_json::{Value, json};
use sqlx::PgConnection;
use tokio::net::TcpListener;

use super::client::{Answer, ClientBuilder, TestClient};
use super::cluster::{CLUSTER, Database};
use super::command::{self, Output};
use super::proxy::Proxy;

pub(crate) struct Server {
    /// The issuer: `http://localhost:PORT`.
    pub url: String,
    pub clock: Arc<MovableClock>,
    pub database: Arc<Database>,
    pub http: reqwest::Client,
    running: Option<Running>,
}

impl Server {
    /// A server with the default settings on a database of its own.
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// The same with other settings.
    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let database = Arc::new(CLUSTER.database().await);
        Self::on(database, Arc::default(), None, None, change).await
    }

    /// A server whose wire to the database can be cut.
    pub(crate) async fn through_proxy() -> (Self, Proxy) {
        let database = Arc::new(CLUSTER.database().await);
        let proxy = Proxy::to(&database).await;
        let server = Self::on(database, Arc::default(), None, Some(&proxy), |_| {}).await;
        (server, proxy)
    }

    /// A server that may reach this machine, whose wire to the database can be cut or fall silent.
    pub(crate) async fn behind(proxy: &Proxy, database: Arc<Database>) -> Self {
        Self::on(database, Arc::default(), None, Some(proxy), |config| {
            config.fetch.allowed_networks = vec!["127.0.0.0/8".parse().expect("a network")];
        })
        .await
    }

    /// Another replica: the same database, clock and issuer, a port of its own.
    pub(crate) async fn replica(&self) -> Self {
        Self::on(
            self.database.clone(),
            self.clock.clone(),
            Some(&self.url),
            None,
            |_| {},
        )
        .await
    }

    /// A server on this database.
    pub(crate) async fn on(
        database: Arc<Database>,
        clock: Arc<MovableClock>,
        issuer: Option<&str>,
        through: Option<&Proxy>,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let databases = through.map_or_else(|| database.databases(), Proxy::databases);
        Self::reached_by(databases, database, clock, issuer, change).await
    }

    /// A server whose way to the database somebody listens in on.
    pub(crate) async fn on_wire(database: Arc<Database>, wire: Databases) -> Self {
        Self::reached_by(wire, database, Arc::default(), None, |_| {}).await
    }

    async fn reached_by(
        databases: Databases,
        database: Arc<Database>,
        clock: Arc<MovableClock>,
        issuer: Option<&str>,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!(
            "http://localhost:{}",
            listener.local_addr().expect("bound").port()
        );
        let mut config = Config::default();
        config.keys_dir = CLUSTER.keys_dir.clone();
        config.issuer = issuer.unwrap_or(&url).parse().expect("an issuer");
        config.database.max_connections = 8;
        config.http.drain_timeout = "0s".parse().expect("a time");
        change(&mut config);
        let running = Running::start(config, databases, clock.clone(), listener)
            .await
            .expect("the server starts");
        Self {
            running: Some(running),
            clock,
            ..Self::outside(&url, database)
        }
    }

    /// A server that runs as a process of its own; its clock is the system's.
    pub(crate) fn outside(url: &str, database: Arc<Database>) -> Self {
        let http = reqwest::Client::builder()
            .redirect(redirect::Policy::none())
            .timeout(Duration::from_secs(30))
            .resolve("localhost", ([127, 0, 0, 1], 0).into())
            .build()
            .expect("a client");
        Self {
            url: url.to_owned(),
            clock: Arc::default(),
            database,
            http,
            running: None,
        }
    }

    /// Has it delete what has expired.
    pub(crate) async fn sweep(&self) {
        let running = self.running.as_ref().expect("a server of this process");
        running.sweep().await.expect("it sweeps");
    }

    /// Stops it as SIGTERM would.
    pub(crate) async fn stop(mut self) {
        if let Some(running) = self.running.take() {
            running.stop().await;
        }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path)).await
    }

    /// A request with a bearer token and perhaps a JSON body.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        token: &str,
        body: Option<Value>,
    ) -> Answer {
        let request = self.request(method, path).bearer_auth(token);
        Answer::of(match body {
            Some(body) => request.json(&body),
            None => request,
        })
        .await
    }

    /// The client that administers: all of Doorward's scopes.
    pub(crate) fn admin(&self) -> TestClient<'_> {
        let (id, secret) = CLUSTER.admin();
        TestClient {
            server: self,
            id,
            secret: Some(secret),
        }
    }

    /// A token of the client that administers, with this scope.
    pub(crate) async fn token(&self, scope: &str) -> String {
        self.admin().token(&[("scope", scope)]).await
    }

    /// A token with all of Doorward's scopes.
    pub(crate) async fn admin_token(&self) -> String {
        self.admin().token(&[]).await
    }

    /// A person made through the API, active, with the fields given; gives what the API answered.
    pub(crate) async fn user(&self, fields: Value) -> Value {
        let token = self.admin_token().await;
        let answer = self
            .call(Method::POST, "/api/v1/users", &token, Some(fields))
            .await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        answer.json()
    }

    /// People with these usernames, some at a time: a batch begins nothing for which its time is not enough.
    pub(crate) async fn crowd(&self, usernames: &[String]) {
        let token = self.admin_token().await;
        for some in usernames.chunks(50) {
            let create = |name| json!({ "op": "create", "user": { "username": name } });
            let operations: Vec<Value> = some.iter().map(create).collect();
            let body = json!({ "operations": operations });
            let path = "/api/v1/users/batch";
            let made = self.call(Method::POST, path, &token, Some(body)).await;
            let made = made.json();
            let results = made["results"].as_array().expect("a list");
            let wrong = results.iter().find(|result| result["status"] != 201);
            assert_eq!(wrong, None);
        }
    }

    /// A person with a password.
    pub(crate) async fn user_with_password(&self, fields: Value, password: &str) -> Value {
        let user = self.user(fields).await;
        let path = format!(
            "/api/v1/users/{}/password",
            user["id"].as_str().expect("an id")
        );
        let answer = self
            .call(
                Method::PUT,
                &path,
                &self.admin_token().await,
                Some(json!({ "password": password })),
            )
            .await;
        assert_eq!(answer.status, 204, "{}", answer.text);
        user
    }

    /// Where the person of this username is.
    pub(crate) async fn path_of(&self, username: &str) -> String {
        let path = format!("/api/v1/users?username={username}");
        let token = self.admin_token().await;
        let found = self.call(Method::GET, &path, &token, None).await.json();
        let id = found["items"][0]["id"].as_str().expect("an id");
        format!("/api/v1/users/{id}")
    }

    /// A client to be registered through the command line.
    pub(crate) fn client(&self) -> ClientBuilder<'_> {
        ClientBuilder::new(self)
    }

    /// Runs `doorward ARGS…` on this server's database.
    pub(crate) async fn cli(&self, args: &[&str]) -> Output {
        self.cli_with(args, "").await
    }

    /// The same with something on standard input.
    pub(crate) async fn cli_with(&self, args: &[&str], stdin: &str) -> Output {
        command::run(args, stdin, &self.database.url(), &CLUSTER.keys_dir).await
    }

    /// The same with a line typed at a terminal.
    pub(crate) async fn cli_typed(&self, args: &[&str], line: &str) -> Output {
        command::type_to(args, line, &self.database.url(), &CLUSTER.keys_dir).await
    }

    /// Until somebody waits for a lock on its database.
    pub(crate) async fn until_somebody_waits(&self) {
        self.until_waits(true, "somebody waits").await;
    }

    pub(crate) async fn until_nobody_waits(&self) {
        self.until_waits(false, "nobody waits").await;
    }

    async fn until_waits(&self, wanted: bool, what: &str) {
        let mut tables = self.tables().await;
        let waits = "select exists (select from pg_locks join pg_stat_activity using (pid) where not granted and datname = current_database())";
        eventually(Duration::from_secs(10), what, async || {
            let waits = sqlx::query_scalar::<_, bool>(waits).fetch_one(&mut tables);
            waits.await.unwrap() == wanted
        })
        .await;
    }

    /// A connection for looking into the tables.
    pub(crate) async fn tables(&self) -> PgConnection {
        self.database.connect().await
    }
}

/// Polls until `check` holds, or fails after `bound`.
pub(crate) async fn eventually(bound: Duration, what: &str, mut check: impl AsyncFnMut() -> bool) {
    let poll = async {
        while !check().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(
        tokio::time::timeout(bound, poll).await.is_ok(),
        "not within {bound:?}: {what}"
    );
}
