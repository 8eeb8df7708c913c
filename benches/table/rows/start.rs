//! Start to first token, and a stop under load.

use std::time::{Duration, Instant};

use super::{Bench, median, post};
use crate::load::{Pace, drive};
use crate::machine::{SERVER, free_address, on};

impl Bench {
    pub(super) fn start_and_stop(&mut self) {
        let mut starts = Vec::new();
        for _ in 0..self.sizes.rounds * 3 {
            let address = free_address();
            let bytes = self.token_request("ES256", "grant_type=client_credentials");
            let mut command = self.command(on(SERVER, env!("CARGO_BIN_EXE_doorward")));
            command
                .env("DOORWARD_LISTEN", address.to_string())
                .arg("serve");
            command
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null());
            let began = Instant::now();
            let mut child = command.spawn().expect("it starts");
            while post(address, &bytes).is_none_or(|(status, _)| status != 200) {
                assert!(began.elapsed() < Duration::from_secs(20));
                std::thread::sleep(Duration::from_micros(500));
            }
            starts.push(began.elapsed().as_secs_f64() * 1000.0);
            let _ = rustix::process::Pid::from_raw(child.id() as i32)
                .map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::TERM));
            let _ = child.wait();
        }
        self.at_most(
            "start to first token, migrated store",
            median(starts),
            "ms",
            "from fork to the token's last byte",
            150.0,
        );

        let mut server = self.server_on(SERVER, &[("DOORWARD_HTTP__DRAIN_TIMEOUT", "1s")]);
        let bytes = self.token_request("ES256", "grant_type=client_credentials");
        let address = server.address;
        let (took, report) = std::thread::scope(|scope| {
            let load = scope.spawn(move || {
                drive(address, 32, &Pace::Closed, Duration::from_secs(4), |_| {
                    bytes.clone()
                })
            });
            std::thread::sleep(Duration::from_secs(1));
            let began = Instant::now();
            server.terminate();
            server.wait();
            (began.elapsed().as_secs_f64(), load.join().expect("it ends"))
        });
        let failed = report.answered - report.by_class[2] + report.broken;
        self.at_most(
            "stop under load",
            took,
            "s",
            &format!("{} answered, {failed} failed", report.answered),
            10.0,
        );
        self.at_most("requests failed by the stop", failed as f64, "", "", 0.0);
    }
}
