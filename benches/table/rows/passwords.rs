//! Logins: against bare Argon2id, what a storm of them does to tokens, and ten times too many.

use std::time::Duration;

use super::{Bench, PASSWORD, SIGNING_IN, median};
use crate::load::{Pace, drive};
use crate::machine::{BOTH, SERVER, on};

impl Bench {
    fn grant(&self, person: u64, password: &str) -> Vec<u8> {
        let form = format!(
            "grant_type=password&username=person{}&password={}",
            person % SIGNING_IN as u64 + 1,
            password.replace(' ', "+")
        );
        self.token_request("password", &form)
    }

    pub(super) fn passwords(&mut self) {
        let (mut rates, mut limits) = (Vec::new(), Vec::new());
        for _ in 0..self.sizes.rounds {
            let server = self.server_on(SERVER, &[("DOORWARD_PASSWORDS__THREADS", "1")]);
            let report = self.closed(&server, |n| self.grant(n, PASSWORD));
            rates.push(report.per_second());
            drop(server);
            let child = on(SERVER, std::env::current_exe().expect("this program"))
                .args(["--child", "hashes", &self.sizes.seconds.to_string()])
                .output();
            let said = String::from_utf8(child.expect("it runs").stdout).expect("UTF-8");
            limits.push(said.trim().parse().expect("a number"));
        }
        self.row(
            "password grant, one core",
            median(rates),
            "grants/s",
            "bare Argon2id on that core",
            median(limits),
            0.90,
        );
    }

    pub(super) fn storm(&mut self) {
        let (mut quiet, mut stormy) = (Vec::new(), Vec::new());
        let seconds = Duration::from_secs(self.sizes.seconds.max(5));
        for _ in 0..self.sizes.rounds {
            let server = self.server_on(BOTH, &[]);
            let bytes = self.token_request("ES256", "grant_type=client_credentials");
            let tokens = || {
                drive(server.address, 64, &Pace::Open(2000.0), seconds, |_| {
                    bytes.clone()
                })
                .quantile_ms(0.99)
            };
            quiet.push(tokens());
            let logins = std::thread::scope(|scope| {
                let storm = scope.spawn(|| {
                    drive(server.address, 64, &Pace::Closed, seconds, |n| {
                        self.grant(n * 7, PASSWORD)
                    })
                });
                stormy.push(tokens());
                storm.join().expect("it ends")
            });
            eprintln!("    (logins meanwhile: {:.0}/s)", logins.per_second());
        }
        let (quiet, stormy) = (median(quiet), median(stormy));
        let most = (3.0 * quiet).max(10.0);
        self.at_most(
            "p99 of tokens at 2,000/s while 64 people log in",
            stormy,
            "ms",
            &format!("quiet: {quiet:.2} ms"),
            most,
        );
    }

    pub(super) fn overload(&mut self) {
        let seconds = self.sizes.overload;
        let server = self.server_on(BOTH, &[]);
        let capacity = drive(
            server.address,
            32,
            &Pace::Closed,
            Duration::from_secs(8),
            |n| self.grant(n, PASSWORD),
        )
        .per_second();
        let mut report = drive(
            server.address,
            1500,
            &Pace::Open(capacity * 10.0),
            Duration::from_secs(seconds),
            |n| self.grant(n * 3, PASSWORD),
        );
        let (resident, _) = server.memory();
        let goodput = report.per_second();
        self.row(
            &format!("ten times overload of logins for {seconds} s: goodput"),
            goodput,
            "logins/s",
            "capacity",
            capacity,
            0.90,
        );
        let refused = report.by_class[5] + report.by_class[4];
        let (p50, p99) = (report.quantile_ms(0.5), report.quantile_ms(0.99));
        eprintln!(
            "    (answered {}, of them {refused} refused, {} broken; all: p50 {p50:.0} ms, p99 {p99:.0} ms)",
            report.answered, report.broken,
        );
        let share = refused as f64 / report.answered.max(1) as f64;
        // The refused are the quick ones: their slowest is at their share of all answers.
        let slowest = report.quantile_ms(share * 0.99);
        self.at_most(
            "  p99 of the refused",
            slowest,
            "ms",
            "answers in order of time, up to the refused's share",
            100.0,
        );
        self.at_most(
            "  resident memory",
            resident,
            "MiB",
            "30 + 60 MiB, and the pool's budget of 256",
            60.0 + 256.0,
        );
    }
}
