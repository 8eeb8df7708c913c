//! A whole list as NDJSON, a person a line: read batch by batch, each with a connection of its own, so that a slow reader holds nothing.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use hyper::body::Frame;
use tokio::sync::mpsc;

use super::filter::Filter;
use super::operations::{self, UserError};
use super::search::{Page, Position};
use crate::consumers;
use crate::cx::Cx;
use crate::kernel::Fault;

const NDJSON: &str = "application/x-ndjson";
/// People in a batch; a stream holds at most three of them.
const BATCH: usize = 1000;

/// Whether the caller asks for a stream rather than a page.
pub(super) fn is_asked_for(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter();
    accepted
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|range| range.split(';').next().is_some_and(|r| r.trim() == NDJSON))
}

/// The list from `after` to its end. What would be refused is refused before the first line; a fault later breaks the stream off, so that
/// nobody takes a part for the whole.
pub(super) async fn answer(
    filter: Filter,
    after: Option<Position>,
    cx: Cx,
) -> Result<Response, UserError> {
    let first = operations::list(&filter, after, BATCH, &cx).await?;
    let (sender, receiver) = mpsc::channel(1);
    let writer = cx.clone();
    cx.app.tasks.spawn_until_stop(async move {
        if let Err(fault) = write(first, &filter, &sender, &writer).await {
            tracing::warn!(cause = %fault, "a stream of people ended early");
        }
    });
    let headers = [(header::CONTENT_TYPE, HeaderValue::from_static(NDJSON))];
    let lines = Lines {
        receiver,
        whole: false,
    };
    Ok((headers, Body::new(lines)).into_response())
}

/// Ends when the list does, or its reader: one who takes nothing is gone when the connection has been stuck for too long.
async fn write(
    first: Page,
    filter: &Filter,
    sender: &mpsc::Sender<Part>,
    cx: &Cx,
) -> Result<(), Fault> {
    let mut page = first;
    loop {
        let mut lines = Vec::with_capacity(page.people.len() * 512);
        for person in &page.people {
            person.write(&mut lines)?;
            lines.push(b'\n');
        }
        if sender.send(Part::Lines(lines.into())).await.is_err() {
            return Ok(());
        }
        let Some(next) = page.next else {
            let _ = sender.send(Part::End).await;
            return Ok(());
        };
        // As the feed's streams do: who would not be let in any more is told no more, and sees that it was not all.
        if !consumers::reader(cx)
            .await
            .is_ok_and(|now| now.view.is_none())
        {
            return Ok(());
        }
        page = match operations::list(filter, Some(next), BATCH, cx).await {
            Ok(page) => page,
            Err(UserError::Fault(fault)) => return Err(fault),
            Err(_) => return Err(Fault::internal("going on with a list", "it is refused")),
        };
    }
}

enum Part {
    Lines(Bytes),
    End,
}

struct Lines {
    receiver: mpsc::Receiver<Part>,
    /// The end has come by: whatever stops the writer before breaks the answer off.
    whole: bool,
}

impl hyper::body::Body for Lines {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        if self.whole {
            return Poll::Ready(None);
        }
        self.receiver.poll_recv(cx).map(|part| match part {
            Some(Part::Lines(lines)) => Some(Ok(Frame::data(lines))),
            Some(Part::End) => {
                self.whole = true;
                None
            }
            None => Some(Err(Fault::overloaded("streaming a list to its end"))),
        })
    }
}
