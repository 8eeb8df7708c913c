//! Known against unknown people: whether time tells them apart.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use super::{Bench, FORM, Row, SIGNING_IN, median, post};
use crate::load::request;
use crate::machine::BOTH;

impl Bench {
    /// Known against unknown people, in interleaved pairs (checklist 94).
    pub(super) fn timing(&mut self) {
        let pairs = self.sizes.pairs;
        let server = self.server_on(
            BOTH,
            &[
                ("DOORWARD_HTTP__TRUSTED_PROXIES", "127.0.0.0/8"),
                ("DOORWARD_THROTTLE__ADDRESS_BURST", "1000000"),
                ("DOORWARD_THROTTLE__GLOBAL_BURST", "10000000"),
            ],
        );
        for door in ["password grant", "login page"] {
            let mut times = [Vec::new(), Vec::new()];
            for n in 0..pairs * 2 {
                // Which of the pair comes first alternates.
                let known = (n % 2 == 0) ^ ((n / 2) % 2 == 0);
                let who = if known {
                    format!("person{}", n / 2 % SIGNING_IN + 1)
                } else {
                    format!("nobody{}", n / 2)
                };
                let address = format!("10.{}.{}.{}", n >> 16 & 255, n >> 8 & 255, n & 255);
                let bytes = if door == "login page" {
                    let Some((cookie, csrf)) = login_form(server.address) else {
                        continue;
                    };
                    let form = format!("csrf={csrf}&username={who}&password=not+the+password");
                    request(
                        "POST",
                        "/login",
                        &[("cookie", &cookie), ("x-forwarded-for", &address)],
                        Some((FORM, &form)),
                    )
                } else {
                    self.token_request(
                        "password",
                        &format!("grant_type=password&username={who}&password=not+the+password"),
                    )
                };
                let began = Instant::now();
                let (status, body) = post(server.address, &bytes).expect("an answer");
                let took = began.elapsed().as_secs_f64() * 1000.0;
                assert!([400, 422].contains(&status), "{status} {body}");
                times[usize::from(known)].push(took);
            }
            let [unknown, known] = times;
            let auc = area(&known, &unknown);
            let (known, unknown) = (median(known), median(unknown));
            let apart = (known - unknown).abs();
            let most = (0.02 * known).min(2.0);
            self.at_most(
                &format!("{door}: known against unknown person, {pairs} pairs"),
                apart,
                "ms",
                &format!("{known:.2} and {unknown:.2} ms"),
                most,
            );
            self.push(Row {
                what: format!("{door}: the best threshold tells them apart with"),
                figure: format!("AUC {auc:.3}"),
                against: "of single tries".to_owned(),
                ratio: auc / 0.55,
                bound: "≤ 0.55".to_owned(),
                holds: auc <= 0.55,
            });
        }
    }
}

/// How well one sample tells the two apart: 0.5 not at all.
fn area(known: &[f64], unknown: &[f64]) -> f64 {
    let greater: f64 = known
        .iter()
        .map(|k| {
            unknown
                .iter()
                .map(|u| if k > u { 1.0 } else { 0.0 })
                .sum::<f64>()
        })
        .sum();
    let auc = greater / (known.len() * unknown.len()) as f64;
    auc.max(1.0 - auc)
}

fn login_form(address: SocketAddr) -> Option<(String, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream
        .write_all(b"GET /login HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let cookie = text
        .split("set-cookie: ")
        .nth(1)?
        .split(';')
        .next()?
        .to_owned();
    let csrf = text
        .split("name=\"csrf\" value=\"")
        .nth(1)?
        .split('"')
        .next()?
        .to_owned();
    Some((cookie, csrf))
}
