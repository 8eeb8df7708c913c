//! Client-credentials tokens against `openssl speed` of the same key size.

use std::time::Duration;

use super::{Bench, median};
use crate::load::{Pace, drive};
use crate::machine::openssl_signs;

impl Bench {
    pub(super) fn tokens(&mut self) {
        for (alg, speed, at_least) in [
            ("ES256", "ecdsap256", 0.45),
            ("EdDSA", "ed25519", 0.55),
            ("RS256", "rsa2048", 0.80),
        ] {
            let bytes = self.token_request(alg, "grant_type=client_credentials");
            let (mut rates, mut limits) = (Vec::new(), Vec::new());
            for _ in 0..self.sizes.rounds {
                let server = self.server();
                drive(
                    server.address,
                    32,
                    &Pace::Closed,
                    Duration::from_millis(500),
                    |_| bytes.clone(),
                );
                rates.push(self.busy(&server, |_| bytes.clone()).per_second());
                drop(server);
                limits.push(openssl_signs(speed, 2));
            }
            self.row(
                &format!("client credentials, {alg}, one core, 32 connections"),
                median(rates),
                "tokens/s",
                "openssl speed, signatures/s",
                median(limits),
                at_least,
            );
        }
    }
}
