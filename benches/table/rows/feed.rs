//! The change feed: how fast changes get their places, and how fast a reader gets them all from the beginning.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::Bench;
use crate::load::request;

/// Changes in a page: the most that there may be.
const PAGE: usize = 1000;

impl Bench {
    /// Everybody was written past the server, so their events are too; the server numbers them, and one reader reads them.
    pub(super) fn feed(&mut self) {
        self.postgres.sql(
            "bench",
            "delete from change; delete from event; insert into event (type, user_id, version, occurred_at) select 'user.created', id, version, created_at from \"user\" order by id",
        );
        let server = self.server();
        let began = Instant::now();
        let left = || {
            self.postgres
                .sql("bench", "select exists (select from event)")
        };
        while left() == "t" {
            std::thread::sleep(Duration::from_millis(50));
        }
        let numbered = self.sizes.people as f64 / began.elapsed().as_secs_f64();
        self.postgres.sql("bench", "vacuum analyze change");
        let token = format!("Bearer {}", self.token(&server));
        let mut rates: Vec<f64> = (0..self.sizes.rounds)
            .map(|_| {
                let began = Instant::now();
                let read = read_all(server.address, &token);
                assert!(read >= self.sizes.people, "{read}");
                read as f64 / began.elapsed().as_secs_f64()
            })
            .collect();
        rates.sort_by(f64::total_cmp);
        let rate = rates[rates.len() / 2];
        let asked = "asked for";
        self.row(
            "feed, a reader from the beginning",
            rate,
            "changes/s",
            asked,
            50_000.0,
            1.0,
        );
        self.row(
            "feed, changes that get their places",
            numbered,
            "changes/s",
            asked,
            500.0,
            1.0,
        );
    }
}

/// Reads the feed from its beginning to its end over one connection; gives how many changes there were.
fn read_all(address: SocketAddr, token: &str) -> usize {
    let mut stream = BufReader::new(TcpStream::connect(address).expect("a server"));
    let mut after = String::new();
    let mut read = 0;
    loop {
        let path = format!("/api/v1/changes?limit={PAGE}{after}");
        let bytes = request("GET", &path, &[("authorization", token)], None);
        stream.get_mut().write_all(&bytes).expect("sent");
        let body = body(&mut stream);
        let changes = body.matches("{\"position\":").count();
        read += changes;
        let (_, next) = body.rsplit_once("\"next\":\"").expect("a next");
        after = format!("&after={}", next.trim_end_matches("\"}"));
        if changes < PAGE {
            return read;
        }
    }
}

fn body(stream: &mut BufReader<TcpStream>) -> String {
    let mut length = 0;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).expect("a head");
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(n) = line.strip_prefix("content-length: ") {
            length = n.parse().expect("a number");
        }
        assert!(
            !line.starts_with("http/1.1 ") || line.ends_with("200 ok"),
            "{line}"
        );
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).expect("a body");
    String::from_utf8(body).expect("UTF-8")
}
