//! From the commit of a change (its answer, a moment later) to its receipt by a webhook on the same machine.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::{Bench, post};
use crate::load::{Pace, drive_hearing, request};
use crate::machine::SERVER;

/// Changes a second.
const RATE: f64 = 500.0;
/// Seconds at that pace before any is measured.
const WARMING: u64 = 2;
const MERGE_PATCH: &str = "application/merge-patch+json";

impl Bench {
    pub(super) fn webhook(&mut self) {
        let open = [("DOORWARD_FETCH__ALLOWED_NETWORKS", "127.0.0.0/8")];
        let server = self.server_on(SERVER, &open);
        let token = format!("Bearer {}", self.token(&server));
        let headers = [("authorization", token.as_str())];
        let sink = Sink::start();
        let body = format!(r#"{{"url":"http://{}/"}}"#, sink.address);
        let json = Some(("application/json", body.as_str()));
        let made = post(
            server.address,
            &request("POST", "/api/v1/webhooks", &headers, json),
        );
        assert_eq!(made.expect("an answer").0, 201);

        let seconds = self.sizes.seconds.max(10);
        let measured = RATE as u64 * seconds;
        let wanted = measured + RATE as u64 * WARMING + 1;
        let people = self.postgres.sql(
            "bench",
            &format!(
                "select id from \"user\" where password_hash is null order by id limit {wanted}"
            ),
        );
        let people: Vec<&str> = people.lines().collect();
        let at_pace = |first: u64, seconds: u64, told: &mut dyn FnMut(u64)| {
            let next = |n: u64| {
                let n = first + n;
                let body = format!(r#"{{"name":"Told {n}"}}"#);
                let path = format!("/api/v1/users/{}", people[n as usize % people.len()]);
                request("PATCH", &path, &headers, Some((MERGE_PATCH, &body)))
            };
            let (pace, lasting) = (Pace::Open(RATE), Duration::from_secs(seconds));
            let report = drive_hearing(server.address, 32, &pace, lasting, next, told);
            assert_eq!(report.answered, report.by_class[2], "{:?}", report.by_class);
            report
        };
        // Before any of it is measured somebody delivers, connections are made and statements planned. Of other people than later.
        let warmed = at_pace(measured, WARMING, &mut |_| {});
        sink.wait_for(warmed.answered as usize);
        sink.received.lock().expect("whole").clear();
        self.postgres.sql("bench", "checkpoint");
        let mut committed = HashMap::new();
        let mut report = at_pace(0, seconds, &mut |n| _ = committed.insert(n, Instant::now()));
        sink.wait_for(report.answered as usize);
        let received = sink.received.lock().expect("whole").clone();
        let mut delays: Vec<f64> = received
            .iter()
            .map(|(n, at)| at.saturating_duration_since(committed[n]).as_secs_f64() * 1000.0)
            .collect();
        delays.sort_by(f64::total_cmp);
        let at = |q: f64| delays[((delays.len() - 1) as f64 * q) as usize];
        self.at_most(
            "commit to receipt by a webhook at 500 changes/s, p99",
            at(0.99),
            "ms",
            &format!(
                "median {:.1} ms, all {} received; the changes' own p99: {:.1} ms",
                at(0.5),
                delays.len(),
                report.quantile_ms(0.99)
            ),
            100.0,
        );
        self.postgres.sql("bench", "delete from webhook");
    }
}

/// The number of each change, and when it was received.
type Received = Arc<Mutex<Vec<(u64, Instant)>>>;

struct Sink {
    address: SocketAddr,
    received: Received,
}

impl Sink {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let received = Received::default();
        let kept = received.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let received = kept.clone();
                std::thread::spawn(move || serve(stream, &received));
            }
        });
        Self { address, received }
    }

    fn wait_for(&self, changes: usize) {
        let began = Instant::now();
        loop {
            let received = self.received.lock().expect("whole").len();
            if received >= changes {
                return;
            }
            let waited = began.elapsed();
            assert!(waited < Duration::from_secs(30), "{received} of {changes}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn serve(mut stream: TcpStream, received: &Received) {
    let mut reader = BufReader::new(stream.try_clone().expect("a clone"));
    loop {
        let (mut length, mut line) = (0, String::new());
        loop {
            line.clear();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if line == "\r\n" {
                break;
            }
            let field = line.split_once(':');
            if let Some((_, value)) =
                field.filter(|(n, _)| n.eq_ignore_ascii_case("content-length"))
            {
                length = value.trim().parse().expect("a number");
            }
        }
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let body = String::from_utf8(body).expect("UTF-8");
        let number = body.split("\"Told ").nth(1).expect("a name");
        let number = number.split('"').next().expect("a name");
        let number = number.parse().expect("a number");
        let now = Instant::now();
        received.lock().expect("whole").push((number, now));
        if stream
            .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
            .is_err()
        {
            return;
        }
    }
}
