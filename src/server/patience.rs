//! A stream that waits only so long: for a request's head from its first byte on (slow-loris), for the next request (idle), and for a
//! peer that does not take what we write.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

/// What a connection is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Phase {
    /// Just opened: nothing has arrived.
    Fresh,
    /// A request's head is arriving.
    Head,
    /// A request is being answered; its body has a time limit of its own.
    Answering,
    /// Answered; the next request may come.
    Idle,
    /// HTTP/2 with requests under way.
    Multiplexed,
    /// HTTP/2 without: pings alone keep nothing open.
    Quiet,
}

/// The phase, shared with the service.
#[derive(Clone)]
pub(super) struct SharedPhase(Arc<Shared>);

struct Shared {
    phase: AtomicU8,
    /// Requests under way on an HTTP/2 connection.
    streams: AtomicU32,
    reader: Mutex<Option<Waker>>,
}

impl SharedPhase {
    pub(super) fn set(&self, phase: Phase) {
        self.0.phase.store(phase as u8, Ordering::Release);
    }

    /// A request began on an HTTP/2 connection.
    pub(super) fn stream_opened(&self) {
        self.0.streams.fetch_add(1, Ordering::AcqRel);
        self.set(Phase::Multiplexed);
    }

    /// The request was answered.
    pub(super) fn done(&self) {
        match self.get() {
            Phase::Answering => self.set(Phase::Idle),
            // A new stream sets the phase again, on the same task as this.
            Phase::Multiplexed if self.0.streams.fetch_sub(1, Ordering::AcqRel) == 1 => {
                self.set(Phase::Quiet);
            }
            _ => return,
        }
        // The connection read ahead while we answered and sleeps on that: it must come back to start the idle timer.
        if let Some(waker) = self.0.reader.lock().ok().and_then(|mut w| w.take()) {
            waker.wake();
        }
    }

    fn get(&self) -> Phase {
        match self.0.phase.load(Ordering::Acquire) {
            0 => Phase::Fresh,
            1 => Phase::Head,
            2 => Phase::Answering,
            3 => Phase::Idle,
            4 => Phase::Multiplexed,
            _ => Phase::Quiet,
        }
    }
}

/// The stream with its patience.
pub(super) struct Patient<S> {
    stream: S,
    phase: SharedPhase,
    head: Duration,
    idle: Duration,
    reading: Waiting,
    writing: Option<Pin<Box<Sleep>>>,
}

/// A wait for bytes. The timer is not set anew for each request: it is left to ring, and looks then whether it is time.
#[derive(Default)]
struct Waiting {
    phase: Option<Phase>,
    until: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Waiting {
    fn poll(&mut self, phase: Phase, patience: Duration, cx: &mut Context<'_>) -> Poll<()> {
        if self.phase != Some(phase) {
            self.phase = Some(phase);
            self.until = Some(Instant::now() + patience);
        }
        let Some(until) = self.until else {
            return Poll::Pending;
        };
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(sleep_until(until)));
        if timer.deadline() > until {
            timer.as_mut().reset(until);
        }
        loop {
            match timer.as_mut().poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(()) if Instant::now() >= until => return Poll::Ready(()),
                Poll::Ready(()) => timer.as_mut().reset(until),
            }
        }
    }
}

impl<S> Patient<S> {
    /// `head`: from the first byte (or the connection) to the head's end; `idle`: between requests, and for a stuck write.
    pub(super) fn new(stream: S, head: Duration, idle: Duration) -> (Self, SharedPhase) {
        let phase = SharedPhase(Arc::new(Shared {
            phase: AtomicU8::new(Phase::Fresh as u8),
            streams: AtomicU32::new(0),
            reader: Mutex::new(None),
        }));
        (
            Self {
                stream,
                phase: phase.clone(),
                head,
                idle,
                reading: Waiting::default(),
                writing: None,
            },
            phase,
        )
    }

    /// Ready when the wait for bytes has lasted longer than the phase allows.
    fn poll_tired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let phase = self.phase.get();
        let patience = match phase {
            Phase::Fresh | Phase::Head => self.head,
            Phase::Idle | Phase::Quiet => self.idle,
            Phase::Answering | Phase::Multiplexed => {
                self.reading.phase = None;
                if let Ok(mut waker) = self.phase.0.reader.lock() {
                    *waker = Some(cx.waker().clone());
                }
                return Poll::Pending;
            }
        };
        self.reading.poll(phase, patience, cx)
    }

    fn poll_stuck<T>(
        &mut self,
        result: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.writing = None;
            return result;
        }
        let idle = self.idle;
        let timer = self.writing.get_or_insert_with(|| Box::pin(sleep(idle)));
        timer
            .as_mut()
            .poll(cx)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before && matches!(self.phase.get(), Phase::Fresh | Phase::Idle) {
            self.phase.set(Phase::Head);
        }
        match result {
            Poll::Pending => self
                .poll_tired(cx)
                .map(|()| Err(io::ErrorKind::TimedOut.into())),
            ready => ready,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.poll_stuck(result, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.poll_stuck(result, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(cx);
        self.poll_stuck(result, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
