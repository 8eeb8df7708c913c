//! A login of a known session: `/oauth2/authorize` with a live session, the code's redemption, userinfo. Each is a request of its own, and each
//! needs what the one before answered.
//!
//! How many a second: the server on one core, 32 people at a time. Where the time of one goes: of one person alone, so that nothing waits for its
//! turn, and against the wall. *Signing* is the access token's ES256 and the ID token's RS256 (what a client has unless it is registered
//! otherwise) at the rates of `openssl speed` in the same run. *SQL* is
//! what PostgreSQL itself says that it was at work for this database (`active_time` of `pg_stat_database`), without what a server asks
//! that nobody signs in at. *Elsewhere* is the rest: HTTP and its four ways over the loopback, the way to PostgreSQL and back, pages' checks, JSON.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustix::thread::{CpuSet, sched_setaffinity};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Bench, FORM, PASSWORD, in_thousands, median};
use crate::load::request;
use crate::machine::{OTHER, openssl_signs};

const PEOPLE: usize = 32;
const CALLBACK: &str = "https://shop.example/cb";

impl Bench {
    pub(super) fn sso(&mut self) {
        let first_party = self.application(&["--first-party"]);
        let consented = self.application(&[]);
        let server = self.server();
        let people: Vec<Cookies> = (1..=PEOPLE)
            .map(|n| {
                let mut browser = Browser::new(server.address, Cookies::new());
                browser.sign_in(&format!("person{n}"));
                browser.agree(&consented);
                browser.cookies
            })
            .collect();
        drop(server);
        let signing: f64 = ["ecdsap256", "rsa2048"]
            .map(|alg| 1.0 / openssl_signs(alg, 2))
            .iter()
            .sum();
        let unasked = self.active(|bench| {
            let server = bench.server();
            std::thread::sleep(Duration::from_secs(bench.sizes.seconds));
            drop(server);
        });
        for (name, application) in [
            ("first party", &first_party),
            ("consent remembered", &consented),
        ] {
            let (mut rates, mut times, mut asked) = (Vec::new(), Vec::new(), Vec::new());
            for _ in 0..self.sizes.rounds {
                let server = self.server();
                let lasting = Duration::from_secs(self.sizes.seconds);
                let logins = log_in(server.address, &people, application, lasting);
                rates.push(logins / lasting.as_secs_f64());
                drop(server);
                let mut alone = 0.0;
                let active = self.active(|bench| {
                    let server = bench.server();
                    alone = log_in(server.address, &people[..1], application, lasting);
                    drop(server);
                });
                times.push(lasting.as_secs_f64() / alone);
                asked.push((active - unasked) / alone);
            }
            let (time, sql) = (median(times), median(asked));
            let what = format!("login of a known session, {name}");
            self.shown(
                &format!("{what}, one core, 32 connections"),
                format!("{} logins/s", in_thousands(median(rates))),
                format!("alone: {:.2} ms", time * 1e3),
                1.0,
            );
            for (part, seconds) in [
                ("signing", signing),
                ("SQL", sql),
                ("elsewhere", time - signing - sql),
            ] {
                self.shown(
                    &format!("  of its time alone, {part}"),
                    format!("{:.0} %", seconds / time * 100.0),
                    format!("{:.0} µs", seconds * 1e6),
                    seconds / time,
                );
            }
        }
    }

    /// An application that people sign in to.
    fn application(&self, further: &[&str]) -> Application {
        let common = [
            "client",
            "create",
            "--name",
            "shop",
            "--grant",
            "authorization_code",
            "--grant",
            "refresh_token",
            "--scope",
            "openid profile email",
            "--redirect-uri",
            CALLBACK,
            "--json",
        ];
        let made = self.json(&[&common[..], further].concat());
        let text = |member: &str| made[member].as_str().expect("a text").to_owned();
        let (id, secret) = (text("client_id"), text("client_secret"));
        let basic = base64::engine::general_purpose::STANDARD.encode(format!("{id}:{secret}"));
        Application {
            id,
            basic: format!("Basic {basic}"),
        }
    }

    /// Seconds that PostgreSQL was at work for the server that `work` starts and stops: its connections tell of theirs when they end.
    fn active(&self, work: impl FnOnce(&Self)) -> f64 {
        let read = || {
            let left = "select count(*) from pg_stat_activity where datname = 'bench' and backend_type = 'client backend'";
            while self.postgres.sql("postgres", left) != "0" {
                std::thread::sleep(Duration::from_millis(20));
            }
            let active = "select active_time / 1000 from pg_stat_database where datname = 'bench'";
            let active = self.postgres.sql("postgres", active);
            active.parse::<f64>().expect("a number")
        };
        let before = read();
        work(self);
        read() - before
    }
}

struct Application {
    id: String,
    /// Its `Authorization`.
    basic: String,
}

impl Application {
    fn authorize(&self, verifier: &str) -> String {
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier));
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.id)
            .append_pair("redirect_uri", CALLBACK)
            .append_pair("scope", "openid profile email")
            .append_pair("state", "s-1")
            .append_pair("nonce", "n-1")
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256")
            .finish();
        format!("/oauth2/authorize?{query}")
    }
}

/// Logins of these people for so long, each over a connection of its own, by threads on the other core; gives how many.
fn log_in(
    address: SocketAddr,
    people: &[Cookies],
    application: &Application,
    lasting: Duration,
) -> f64 {
    let (logins, until) = (AtomicU64::new(0), Instant::now() + lasting);
    std::thread::scope(|scope| {
        for (person, cookies) in people.iter().enumerate() {
            let logins = &logins;
            scope.spawn(move || {
                let mut other = CpuSet::new();
                other.set(OTHER.parse().expect("a core"));
                sched_setaffinity(None, &other).expect("a core");
                let mut browser = Browser::new(address, cookies.clone());
                for n in 0.. {
                    browser.log_in(application, &format!("{person} {n}"));
                    if Instant::now() >= until {
                        break;
                    }
                    logins.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    logins.into_inner() as f64
}

type Cookies = BTreeMap<String, String>;

/// A person's browser, and the application's server that it leads to, over one connection.
struct Browser {
    stream: BufReader<TcpStream>,
    cookies: Cookies,
}

struct Answer {
    status: u16,
    location: String,
    body: String,
}

impl Answer {
    /// The value of a hidden field of the page's form.
    fn field(&self, name: &str) -> String {
        let field = format!("name=\"{name}\" value=\"");
        let after = self.body.split(&field).nth(1);
        let value = after.and_then(|text| text.split('"').next());
        value
            .unwrap_or_else(|| panic!("no {name}: {}", self.body))
            .to_owned()
    }
}

impl Browser {
    fn new(address: SocketAddr, cookies: Cookies) -> Self {
        let stream = TcpStream::connect(address).expect("a server");
        stream.set_nodelay(true).expect("a socket");
        Self {
            stream: BufReader::new(stream),
            cookies,
        }
    }

    /// A login, from the application's redirect to what userinfo says.
    fn log_in(&mut self, application: &Application, chance: &str) {
        let verifier = URL_SAFE_NO_PAD.encode(Sha256::digest(chance));
        let answer = self.visit("GET", &application.authorize(&verifier), None);
        let code = answer.location.split_once("code=");
        let code = code
            .unwrap_or_else(|| panic!("{} {}", answer.status, answer.body))
            .1;
        let code = code.split('&').next().expect("a first part");
        let form = format!(
            "grant_type=authorization_code&code={code}&redirect_uri={CALLBACK}&code_verifier={verifier}"
        );
        let basic = [("authorization", application.basic.as_str())];
        let tokens = self.ask(&request(
            "POST",
            "/oauth2/token",
            &basic,
            Some((FORM, &form)),
        ));
        assert_eq!(tokens.status, 200, "{}", tokens.body);
        let tokens: Value = serde_json::from_str(&tokens.body).expect("JSON");
        let token = tokens["access_token"].as_str().expect("a token");
        assert!(tokens["id_token"].is_string(), "{tokens}");
        let bearer = [("authorization", &*format!("Bearer {token}"))];
        let person = self.ask(&request("GET", "/oauth2/userinfo", &bearer, None));
        assert_eq!(person.status, 200, "{}", person.body);
    }

    fn sign_in(&mut self, username: &str) {
        let csrf = self.visit("GET", "/login", None).field("csrf");
        let form = [
            ("csrf", &*csrf),
            ("username", username),
            ("password", PASSWORD),
        ];
        let answer = self.visit("POST", "/login", Some(&form));
        assert_eq!(answer.status, 303, "{}", answer.body);
    }

    /// Agrees to what the application asks for; Doorward remembers it.
    fn agree(&mut self, application: &Application) {
        let mut page = self.visit("GET", &application.authorize(&"v".repeat(43)), None);
        while page.status == 303 {
            page = self.visit("GET", &page.location, None);
        }
        let fields = ["csrf", "request", "seal"].map(|name| (name, page.field(name)));
        let mut form: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (*n, v.as_str())).collect();
        form.push(("decision", "allow"));
        let answer = self.visit("POST", "/consent", Some(&form));
        assert_eq!(answer.status, 303, "{}", answer.body);
    }

    /// A page, with the browser's cookies.
    fn visit(&mut self, method: &str, path: &str, form: Option<&[(&str, &str)]>) -> Answer {
        let cookies: Vec<String> = self
            .cookies
            .iter()
            .map(|(n, v)| format!("{n}={v}"))
            .collect();
        let cookies = cookies.join("; ");
        let form = form.map(|pairs| {
            let mut form = form_urlencoded::Serializer::new(String::new());
            form.extend_pairs(pairs).finish()
        });
        let body = form.as_deref().map(|form| (FORM, form));
        self.ask(&request(method, path, &[("cookie", &cookies)], body))
    }

    fn ask(&mut self, bytes: &[u8]) -> Answer {
        self.stream.get_mut().write_all(bytes).expect("sent");
        let mut answer = Answer {
            status: 0,
            location: String::new(),
            body: String::new(),
        };
        let (mut line, mut length) = (String::new(), 0);
        loop {
            line.clear();
            self.stream.read_line(&mut line).expect("a head");
            let text = line.trim_end();
            if text.is_empty() {
                break;
            }
            if answer.status == 0 {
                answer.status = text[9..12].parse().expect("a status");
            }
            let Some((name, value)) = text.split_once(": ") else {
                continue;
            };
            match name {
                "content-length" => length = value.parse().expect("a number"),
                "location" => value.clone_into(&mut answer.location),
                "set-cookie" => {
                    let pair = value
                        .split(';')
                        .next()
                        .and_then(|pair| pair.split_once('='));
                    let (name, value) = pair.expect("a pair");
                    self.cookies.insert(name.to_owned(), value.to_owned());
                }
                _ => {}
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).expect("a body");
        answer.body = String::from_utf8(body).expect("UTF-8");
        answer
    }
}
