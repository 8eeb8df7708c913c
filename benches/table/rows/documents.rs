//! JWKS and discovery against a constant of that size, behind the same layers and of the bare framework.

use std::time::Duration;

use super::{Bench, get};
use crate::load::{Pace, drive, request};

/// Of one server's turn. They take turns, so that what else the machine does in a second meets all of them.
const SLICE: Duration = Duration::from_millis(500);

impl Bench {
    pub(super) fn documents(&mut self) {
        for path in [
            "/.well-known/jwks.json",
            "/.well-known/openid-configuration",
        ] {
            let server = self.server();
            let bytes = get(server.address, path).expect("it answers").len();
            let (layered, bare) = (self.limit("layers", bytes), self.limit("bare", bytes));
            let turn = |address, path| {
                let bytes = request("GET", path, &[], None);
                let report = drive(address, 32, &Pace::Busy, SLICE, |_| bytes.clone());
                assert_eq!(report.answered, report.by_class[2], "{path}");
                report.per_second()
            };
            let turns = (self.sizes.rounds as u64 * self.sizes.seconds).max(3);
            let (mut to_layered, mut to_bare) = (Vec::new(), Vec::new());
            for _ in 0..turns {
                let rate = turn(server.address, path);
                to_layered.push((rate, turn(layered.address, "/constant")));
                to_bare.push((rate, turn(bare.address, "/constant")));
            }
            let what = format!("{path}, {bytes} bytes");
            let against = "a constant behind the same layers";
            self.in_turns(&what, "answers/s", against, &to_layered, 0.9);
            let against = "a constant of the bare framework";
            self.in_turns(&what, "answers/s", against, &to_bare, 0.45);
        }
    }
}
