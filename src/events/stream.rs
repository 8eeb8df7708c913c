//! The feed as server-sent events (WHATWG HTML, "Server-sent events").

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use hyper::body::Frame;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::feed::Reader;
use crate::consumers;
use crate::cx::Cx;
use crate::http::Problem;
use crate::kernel::Fault;

/// Without news, a comment shows that the stream lives.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Then it ends, and the reader comes again with a token of that time and the last id.
const LONGEST: Duration = Duration::from_secs(300);
/// Between pages of a stream that is behind: whether its reader is still let in is asked before each.
const BEGINNING: &str = "retry: 1000\n\n";

/// An answer without an end, until its reader goes, is no longer let in, or [`LONGEST`] has passed.
pub(super) fn answer(reader: Reader, after: i64, limit: i64, cx: &Cx) -> Response {
    // One page under way: a reader that does not take it is waited for, and gone when its connection has been stuck for too long.
    let (sender, receiver) = mpsc::channel(1);
    let writer = cx.clone();
    cx.app.tasks.spawn_until_stop(async move {
        if let Err(fault) = write(reader, after, limit, sender, &writer).await {
            tracing::warn!(cause = %fault, "a stream of changes ended early");
        }
    });
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, Body::new(Events(receiver))).into_response()
}

async fn write(
    reader: Reader,
    mut after: i64,
    limit: i64,
    sender: mpsc::Sender<Bytes>,
    cx: &Cx,
) -> Result<(), Fault> {
    let end = Instant::now() + LONGEST;
    let mut text = BEGINNING.to_owned();
    while Instant::now() < end {
        if !still_reads(&reader, cx).await {
            return Ok(());
        }
        let page = {
            let mut connection = cx.connection().await?;
            reader.read(after, limit, &mut connection).await?
        };
        after = page.next;
        for change in &page.changes {
            let id = reader.cursor(change.position, cx);
            text.push_str(&format!("id: {id}\nevent: {}\ndata: ", change.kind));
            change.write(&mut text);
            text.push_str("\n\n");
        }
        if !text.is_empty() && sender.send(std::mem::take(&mut text).into()).await.is_err() {
            return Ok(());
        }
        if page.at_end {
            tokio::select! {
                news = timeout(HEARTBEAT, cx.app.news.after(reader.feed, after)) => {
                    if news.is_err() {
                        text.push_str(":\n\n");
                    }
                }
                () = sender.closed() => return Ok(()),
            }
        }
    }
    Ok(())
}

async fn still_reads(reader: &Reader, cx: &Cx) -> bool {
    let now: Result<Reader, Problem> = consumers::reader(cx).await;
    now.is_ok_and(|now| now.feed == reader.feed)
}

/// The body: what the writer sends.
struct Events(mpsc::Receiver<Bytes>);

impl hyper::body::Body for Events {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0
            .poll_recv(cx)
            .map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}
