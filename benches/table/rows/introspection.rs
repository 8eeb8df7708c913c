//! Introspection of people's tokens, with its look-up in the database.

use serde_json::Value;

use super::{Bench, FORM, PASSWORD, SIGNING_IN, median, post};
use crate::load::request;
use crate::machine::Server;

/// Tokens that are asked about, each of another person.
const TOKENS: usize = 200;
/// A second, on one core.
const AT_LEAST: f64 = 5_000.0;

impl Bench {
    pub(super) fn introspection(&mut self) {
        let mut rates = Vec::new();
        for _ in 0..self.sizes.rounds {
            let server = self.server();
            let questions: Vec<Vec<u8>> = (0..TOKENS)
                .map(|n| self.question(&self.persons_token(n, &server)))
                .collect();
            let (status, body) = post(server.address, &questions[0]).expect("an answer");
            assert!(status == 200 && body.contains(r#""active":true"#), "{body}");
            let report = self.closed(&server, |n| questions[n as usize % TOKENS].clone());
            rates.push(report.per_second());
        }
        self.row(
            "introspection with its look-up, one core, 32 connections",
            median(rates),
            "answers/s",
            "at least",
            AT_LEAST,
            1.0,
        );
    }

    fn persons_token(&self, n: usize, server: &Server) -> String {
        let password = PASSWORD.replace(' ', "+");
        let person = n % SIGNING_IN + 1;
        let form = format!("grant_type=password&username=person{person}&password={password}");
        let asked = self.token_request("password", &form);
        let (status, body) = post(server.address, &asked).expect("an answer");
        assert_eq!(status, 200, "{body}");
        let body: Value = serde_json::from_str(&body).expect("JSON");
        body["access_token"].as_str().expect("a token").to_owned()
    }

    fn question(&self, token: &str) -> Vec<u8> {
        let basic = self.basic("password");
        let form = format!("token={token}");
        request(
            "POST",
            "/oauth2/introspect",
            &[("authorization", &basic)],
            Some((FORM, &form)),
        )
    }
}
