//! Resident memory: idle, under load, and after many tokens.

use std::time::{Duration, Instant};

use super::{Bench, in_thousands};
use crate::load::{Pace, drive};

impl Bench {
    pub(super) fn memory(&mut self) {
        let tokens = self.sizes.tokens;
        let server = self.server();
        std::thread::sleep(Duration::from_secs(2));
        let (idle, anonymous) = server.memory();
        self.at_most(
            "resident memory, idle",
            idle,
            "MiB",
            &format!("of it heap and stacks: {anonymous:.1} MiB"),
            30.0,
        );
        let bytes = self.token_request("ES256", "grant_type=client_credentials");
        let began = Instant::now();
        let mut done = 0;
        let mut after_a_minute = 0.0;
        while done < tokens || began.elapsed() < Duration::from_secs(60) {
            done += drive(
                server.address,
                32,
                &Pace::Closed,
                Duration::from_secs(10),
                |_| bytes.clone(),
            )
            .by_class[2];
            if after_a_minute == 0.0 && began.elapsed() >= Duration::from_secs(60) {
                after_a_minute = server.memory().0;
            }
        }
        let after = server.memory().0;
        self.at_most(
            "resident memory after a minute of full load",
            after_a_minute,
            "MiB",
            "no hashes: the pool's budget is untouched",
            60.0,
        );
        self.at_most(
            &format!("growth from then to {} tokens", in_thousands(done as f64)),
            after - after_a_minute,
            "MiB",
            &format!("{after:.1} MiB at the end"),
            2.0,
        );
    }
}
