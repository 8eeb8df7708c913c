//! Load over HTTP/1.1, cheap enough that one core drives a server on another: connections watched by epoll, requests made beforehand.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::event::epoll;

/// What came of it.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) answered: u64,
    /// Answers by hundreds of their status: `by_class[2]` are the 2xx.
    pub(crate) by_class: [u64; 6],
    /// Connections that broke with a request under way.
    pub(crate) broken: u64,
    pub(crate) seconds: f64,
    /// Seconds of each answer, in no order.
    pub(crate) latencies: Vec<f32>,
}

impl Report {
    pub(crate) fn per_second(&self) -> f64 {
        self.by_class[2] as f64 / self.seconds
    }

    /// The latency that this part of the answers did not exceed, in milliseconds.
    pub(crate) fn quantile_ms(&mut self, q: f64) -> f64 {
        if self.latencies.is_empty() {
            return f64::NAN;
        }
        self.latencies.sort_by(f32::total_cmp);
        let at = ((self.latencies.len() - 1) as f64 * q) as usize;
        f64::from(self.latencies[at]) * 1000.0
    }

    fn take(&mut self, status: u16, latency: Duration) {
        self.answered += 1;
        self.by_class[usize::from(status / 100).min(5)] += 1;
        self.latencies.push(latency.as_secs_f32());
    }
}

struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
    /// The number of the request and when it was due, while one is under way.
    asked: Option<(u64, Instant)>,
}

/// Bytes of a request. `body`: a form or JSON, with its media type.
pub(crate) fn request(
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<(&str, &str)>,
) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n");
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    if let Some((media_type, body)) = body {
        text += &format!(
            "content-type: {media_type}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
    } else {
        text += "\r\n";
    }
    text.into_bytes()
}

fn connect(address: SocketAddr) -> Option<Connection> {
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(2)).ok()?;
    stream.set_nodelay(true).ok()?;
    stream.set_nonblocking(true).ok()?;
    Some(Connection {
        stream,
        read: Vec::with_capacity(16 * 1024),
        asked: None,
    })
}

/// The status and the length of the answer at the beginning of `read`, when it is all there.
fn complete(read: &[u8]) -> Option<(u16, usize, bool)> {
    let head = read.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&read[..head]).ok()?;
    let status = text.get(9..12)?.parse().ok()?;
    let mut length = 0;
    let mut close = false;
    for line in text.split("\r\n").skip(1) {
        if let Some((name, value)) = line.split_once(':') {
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().ok()?;
            } else if name.eq_ignore_ascii_case("connection") {
                close = value.trim().eq_ignore_ascii_case("close");
            }
        }
    }
    (read.len() >= head + length).then_some((status, head + length, close))
}

/// How long the load sleeps at most, where nothing is answered and nothing is due.
const LONGEST_WAIT: Duration = Duration::from_millis(50);

/// How requests arrive.
pub(crate) enum Pace {
    /// Each connection asks again as soon as it has its answer.
    Closed,
    /// The same without ever sleeping: waking the load would be work of the server's core. For rows in which PostgreSQL, which shares the
    /// load's core, has nothing to do.
    Busy,
    /// So many a second, whether the server keeps up or not; latency counts from when a request was due.
    Open(f64),
}

/// Sends `next(n)`, the n-th request, over `connections` for `duration`.
pub(crate) fn drive(
    address: SocketAddr,
    connections: usize,
    pace: &Pace,
    duration: Duration,
    next: impl FnMut(u64) -> Vec<u8>,
) -> Report {
    drive_hearing(address, connections, pace, duration, next, |_| {})
}

/// The same, and says which request has just been answered.
pub(crate) fn drive_hearing(
    address: SocketAddr,
    connections: usize,
    pace: &Pace,
    duration: Duration,
    mut next: impl FnMut(u64) -> Vec<u8>,
    mut heard: impl FnMut(u64),
) -> Report {
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("epoll");
    let mut held: Vec<Option<Connection>> = Vec::new();
    let mut report = Report::default();
    let watch = |held: &[Option<Connection>], at: usize| {
        if let Some(c) = &held[at] {
            let data = epoll::EventData::new_u64(at as u64);
            epoll::add(&poll, &c.stream, data, epoll::EventFlags::IN).expect("epoll");
        }
    };
    for at in 0..connections {
        held.push(connect(address));
        watch(&held, at);
    }
    let began = Instant::now();
    let mut sent = 0_u64;
    let mut idle: Vec<usize> = (0..connections).collect();
    let mut events = Vec::with_capacity(connections.max(1));
    loop {
        let now = Instant::now();
        let over = now - began >= duration;
        if over && idle.len() == connections {
            break;
        }
        if now - began >= duration + Duration::from_secs(12) {
            report.broken += (connections - idle.len()) as u64;
            break;
        }
        // Whoever is free asks, if a request is due.
        while !over && !idle.is_empty() {
            let due = match pace {
                Pace::Closed | Pace::Busy => now,
                Pace::Open(rate) => began + Duration::from_secs_f64(sent as f64 / rate),
            };
            if due > now {
                break;
            }
            let at = idle.pop().expect("not empty");
            if held[at].is_none() {
                held[at] = connect(address);
                watch(&held, at);
            }
            let Some(connection) = &mut held[at] else {
                // Nobody takes connections: not a request lost, but one not made.
                idle.insert(0, at);
                sent += 1;
                std::thread::yield_now();
                break;
            };
            let (number, bytes) = (sent, next(sent));
            sent += 1;
            if connection.stream.write_all(&bytes).is_err() {
                report.broken += 1;
                held[at] = None;
                idle.push(at);
                continue;
            }
            connection.asked = Some((number, due));
        }
        events.clear();
        // Not a wake more than there are requests due: the load's work would be taken from what it measures.
        let wait = match pace {
            Pace::Busy => Duration::ZERO,
            Pace::Closed => LONGEST_WAIT,
            Pace::Open(_) if over || idle.is_empty() => LONGEST_WAIT,
            Pace::Open(rate) => (began + Duration::from_secs_f64(sent as f64 / rate))
                .saturating_duration_since(Instant::now())
                .min(LONGEST_WAIT),
        };
        let timeout = rustix::event::Timespec {
            tv_sec: 0,
            tv_nsec: wait.subsec_nanos().into(),
        };
        let _ = epoll::wait(
            &poll,
            rustix::buffer::spare_capacity(&mut events),
            Some(&timeout),
        );
        for event in &events {
            let at = event.data.u64() as usize;
            let Some(connection) = &mut held[at] else {
                continue;
            };
            let mut chunk = [0; 16 * 1024];
            let mut gone = false;
            match connection.stream.read(&mut chunk) {
                Ok(0) => gone = true,
                Ok(n) => connection.read.extend_from_slice(&chunk[..n]),
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                Err(_) => gone = true,
            }
            if let Some((status, length, close)) = complete(&connection.read) {
                connection.read.drain(..length);
                if let Some((number, asked)) = connection.asked.take() {
                    heard(number);
                    report.take(status, asked.elapsed());
                    idle.push(at);
                }
                gone |= close;
            }
            if gone {
                if connection.asked.is_some() {
                    report.broken += 1;
                    idle.push(at);
                }
                held[at] = None;
            }
        }
    }
    report.seconds = began.elapsed().as_secs_f64().min(duration.as_secs_f64());
    report
}
