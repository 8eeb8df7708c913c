//! `/api/v1/changes`: a page at a time, waiting for news, or as a stream of events.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use tokio::time::{Instant, timeout_at};

use super::feed::{Page, Part, Reader};
use super::shapes::{ChangeListShape, ChangesParams};
use super::stream;
use crate::consumers;
use crate::cx::Cx;
use crate::http::shapes::ApiRefusals;
use crate::http::{Problem, Query};

/// Changes in a page, at most and unless asked for otherwise.
const MAX_LIMIT: i64 = 1000;
const DEFAULT_LIMIT: i64 = 100;
/// Seconds that a reader may wait for news.
const MAX_WAIT: u64 = 30;
const EVENT_STREAM: &str = "text/event-stream";

/// `GET /api/v1/changes`: what happened to people, in an order in which nobody is met at an older version after a newer one.
#[utoipa::path(get, path = "/api/v1/changes", tag = "changes", params(ChangesParams, ("Last-Event-ID" = Option<String>, Header, description = "As `after`, of an event stream that goes on")), responses((status = 200, description = "Changes. With `Accept: text/event-stream` the same as events without an end, each with its cursor as id", content((ChangeListShape = "application/json"), (String = "text/event-stream"))), ApiRefusals), security(("bearer" = ["users:read"])))]
pub(crate) async fn changes(
    cx: Cx,
    headers: HeaderMap,
    mut query: Query,
) -> Result<Response, Problem> {
    let limit = number(query.take("limit"), 1..=MAX_LIMIT)
        .ok_or_else(|| Problem::invalid_query("limit", "Expected a number from 1 to 1000."))?
        .unwrap_or(DEFAULT_LIMIT);
    let wait = number(query.take("wait"), 0..=MAX_WAIT)
        .ok_or_else(|| Problem::invalid_query("wait", "Expected seconds from 0 to 30."))?
        .unwrap_or(0);
    let after = query.take("after");
    let part = match query.take("bucket") {
        None => None,
        Some(sent) => Some(Part::parse(&sent).ok_or_else(|| {
            Problem::invalid_query("bucket", "Expected a bucket and how many there are, a power of two up to 4096, such as 3/64.")
        })?),
    };
    query.finish()?;
    let reader = Reader {
        part,
        ..consumers::reader(&cx).await?
    };
    let resumed = headers
        .get("last-event-id")
        .and_then(|id| id.to_str().ok())
        .map(str::to_owned);
    let after = match resumed.or(after) {
        Some(cursor) => reader.place_of(&cursor, &cx)?,
        None => 0,
    };
    if wants_events(&headers) {
        // Asked before the stream begins: in its midst nobody could be told.
        let page = reader.read(after, 0, &mut *cx.connection().await?).await?;
        if page.is_behind {
            return Err(super::feed::not_of_this_feed());
        }
        return Ok(stream::answer(reader, after, limit, &cx));
    }
    let page = read(&reader, after, limit, Duration::from_secs(wait), &cx).await?;
    let mut json = String::with_capacity(64 + 512 * page.changes.len());
    json.push_str("{\"items\":[");
    for (n, change) in page.changes.iter().enumerate() {
        if n > 0 {
            json.push(',');
        }
        change.write(&mut json);
    }
    let next = reader.cursor(page.next, &cx);
    json.push_str(&format!("],\"next\":\"{next}\"}}"));
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        // Personal data is kept by no cache.
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, json).into_response())
}

/// Reads a page; where it would be empty, waits for news and holds no connection meanwhile.
async fn read(
    reader: &Reader,
    after: i64,
    limit: i64,
    wait: Duration,
    cx: &Cx,
) -> Result<Page, Problem> {
    let until = Instant::now() + wait;
    let mut page = reader
        .read(after, limit, &mut *cx.connection().await?)
        .await?;
    if page.is_behind {
        return Err(super::feed::not_of_this_feed());
    }
    while page.changes.is_empty() && !wait.is_zero() {
        let news = async {
            tokio::select! {
                () = cx.app.news.after(reader.feed, page.next) => true,
                () = cx.app.tasks.stopped() => false,
            }
        };
        if timeout_at(until, news).await != Ok(true) {
            break;
        }
        // Whoever was let in then may not be now.
        if consumers::reader(cx).await?.feed != reader.feed {
            return Err(super::feed::not_of_this_feed());
        }
        page = reader
            .read(page.next, limit, &mut *cx.connection().await?)
            .await?;
    }
    Ok(page)
}

fn wants_events(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).map(HeaderValue::as_bytes);
    let ranges = accept
        .and_then(|a| std::str::from_utf8(a).ok())
        .unwrap_or("");
    ranges.split(',').any(|range| {
        range
            .split(';')
            .next()
            .is_some_and(|r| r.trim() == EVENT_STREAM)
    })
}

/// A number in its bounds, where one was sent; `None` where what was sent is none.
fn number<N: std::str::FromStr + PartialOrd>(
    sent: Option<String>,
    bounds: std::ops::RangeInclusive<N>,
) -> Option<Option<N>> {
    let Some(sent) = sent else { return Some(None) };
    let number = sent
        .parse()
        .ok()
        .filter(|number| bounds.contains(number) && sent.bytes().all(|b| b.is_ascii_digit()));
    number.map(Some)
}
