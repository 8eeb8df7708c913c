//! One connection: HTTP/1.1 or HTTP/2 within limits on heads, streams and time (checklist 173, 177).

use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Request, Version};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::Watcher;
use tokio::io::{AsyncRead, AsyncWrite};
use tower::Service;

use super::patience::{Patient, Phase, SharedPhase};
use crate::config::Http;
use crate::http::Peer;

/// Bytes of a request's head, and its fields.
const MAX_HEAD: usize = 32 * 1024;
const MAX_FIELDS: usize = 100;
/// Requests at once on an HTTP/2 connection.
const MAX_STREAMS: u32 = 128;
const PING_EVERY: Duration = Duration::from_secs(20);

/// Says that a request was answered, also where the client gave it up.
struct Done(SharedPhase);

impl Drop for Done {
    fn drop(&mut self) {
        self.0.done();
    }
}

/// A body whose length is known is as good as sent. One that is still being made keeps the request under way until its end: its
/// reader is not idle.
fn until_sent(body: Body, done: Done) -> Body {
    if body.size_hint().exact().is_some() {
        return body;
    }
    Body::new(Sending { body, _done: done })
}

struct Sending {
    body: Body,
    _done: Done,
}

impl HttpBody for Sending {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Serves one connection to its end, or until `watcher` asks it to finish.
pub(super) async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: SocketAddr,
    router: Router,
    limits: Http,
    watcher: Watcher,
) {
    let (stream, phase) = Patient::new(
        stream,
        limits.header_timeout.std(),
        limits.idle_timeout.std(),
    );
    let service = service_fn(move |request: Request<Incoming>| {
        let phase = phase.clone();
        if request.version() == Version::HTTP_2 {
            phase.stream_opened();
        } else {
            phase.set(Phase::Answering);
        }
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Peer(peer));
        let answer = router.clone().call(request);
        let done = Done(phase);
        async move {
            let answer = answer.await;
            answer.map(|response| response.map(|body| until_sent(body, done)))
        }
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_FIELDS);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(32)
        .max_local_error_reset_streams(256)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(limits.header_timeout.std());
    let connection = builder
        .serve_connection(TokioIo::new(stream), service)
        .into_owned();
    if let Err(cause) = watcher.watch(connection).await {
        tracing::trace!(cause, "a connection ended early");
    }
}
