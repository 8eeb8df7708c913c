//! Registering, removing and asking after consumers.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::model::BadView;
use super::store::{self, Bucket, Standing};
use super::{Consumer, View};
use crate::audit::{self, Action, Change, Target};
use crate::cx::{Cx, ScopesMissing};
use crate::db::{self, OnConstraint, Topic};
use crate::events::{BUCKETS, News};
use crate::http::IfMatch;
use crate::kernel::{ClientId, Fault, FeedId};

/// Consumers at most: each is a label of the metrics and a feed that is kept.
const MOST: usize = 50;

/// The parts that a digest may be asked for in; a power of two.
pub(super) const MOST_BUCKETS: i32 = BUCKETS as i32;

/// Why an operation on a consumer is refused.
#[derive(Debug)]
pub(crate) enum ConsumerError {
    Unknown,
    /// The consumer's feed has not come as far as that.
    NotYet,
    /// The caller does not hold all of Doorward's scopes.
    ScopesMissing,
    View(Vec<BadView>),
    /// There is no such client.
    NoClient,
    /// The client is another consumer.
    ClientTaken,
    TooMany,
    /// It is not at the version that the caller named.
    Stale,
    Fault(Fault),
}

impl From<Fault> for ConsumerError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<ScopesMissing> for ConsumerError {
    fn from(_: ScopesMissing) -> Self {
        Self::ScopesMissing
    }
}

impl From<sqlx::Error> for ConsumerError {
    fn from(cause: sqlx::Error) -> Self {
        Self::Fault(cause.into())
    }
}

impl Consumer {
    /// The consumer as whoever administers sees it.
    pub(crate) fn view(&self) -> Map<String, Value> {
        let time = crate::kernel::clock::rfc3339;
        let mut members = Map::new();
        members.insert("name".to_owned(), json!(self.name));
        members.insert("client_id".to_owned(), json!(self.client_id));
        members.insert("fields".to_owned(), Value::Object(self.view.fields()));
        members.insert("version".to_owned(), json!(self.version));
        members.insert("created_at".to_owned(), json!(time(self.created_at)));
        members.insert("updated_at".to_owned(), json!(time(self.updated_at)));
        members
    }
}

/// Registers a consumer under `name`, or changes it; says whether it is new. Where the view is another than before, it gets a new feed and
/// begins anew. A caller gives away what it may read itself, so it must be able to read, and to make clients that read, everything.
pub(crate) async fn put(
    name: &str,
    client_id: ClientId,
    fields: &Map<String, Value>,
    if_match: &IfMatch,
    cx: &Cx,
) -> Result<(Consumer, bool), ConsumerError> {
    cx.all_scopes()?;
    let view = View::parse(fields).map_err(ConsumerError::View)?;
    let mut tx = cx.begin().await?;
    store::lock(&mut tx).await?;
    let known = store::all(&mut tx).await?;
    let before = known.iter().find(|c| c.name == name);
    let present = before.map_or(0, |before| before.version);
    if !if_match.allows(present) {
        return Err(ConsumerError::Stale);
    }
    if before.is_none() && known.len() >= MOST {
        return Err(ConsumerError::TooMany);
    }
    let feed = match before {
        Some(before) if *before.view == view => before.feed,
        _ => store::insert_feed(&view, &mut tx).await?,
    };
    let consumer = Consumer {
        name: name.to_owned(),
        client_id,
        feed,
        view: Arc::new(view),
        version: present + 1,
        created_at: before.map_or(cx.now, |before| before.created_at),
        updated_at: cx.now,
    };
    store::put(&consumer, &mut tx).await.on_constraint(&[
        ("consumer_client_key", || ConsumerError::ClientTaken),
        ("consumer_client_fkey", || ConsumerError::NoClient),
    ])?;
    let change = Change {
        before: before.map(|before| Value::Object(before.view())),
        after: Some(Value::Object(consumer.view())),
    };
    let target = Target::Consumer(name);
    audit::record(Action::ConsumerRegistered, target, change, &mut tx, cx).await?;
    db::forget(Topic::Consumers, name, &mut tx).await?;
    tx.commit().await?;
    cx.app.consumers.forget();
    Ok((consumer, before.is_none()))
}

/// Removes a consumer: its client is an ordinary one again.
pub(crate) async fn remove(name: &str, if_match: &IfMatch, cx: &Cx) -> Result<(), ConsumerError> {
    let mut tx = cx.begin().await?;
    store::lock(&mut tx).await?;
    let known = store::all(&mut tx).await?;
    let before = known.iter().find(|c| c.name == name);
    let before = before.ok_or(ConsumerError::Unknown)?;
    cx.all_scopes()?;
    if !if_match.allows(before.version) {
        return Err(ConsumerError::Stale);
    }
    store::delete(name, &mut tx).await?;
    let change = Change::ended(Value::Object(before.view()));
    let target = Target::Consumer(name);
    audit::record(Action::ConsumerRemoved, target, change, &mut tx, cx).await?;
    db::forget(Topic::Consumers, name, &mut tx).await?;
    tx.commit().await?;
    cx.app.consumers.forget();
    Ok(())
}

/// All consumers, or the one of that name, and where each stands.
pub(crate) async fn list(
    name: Option<&str>,
    cx: &Cx,
) -> Result<Vec<(Consumer, Standing)>, ConsumerError> {
    let mut connection = cx.connection().await?;
    let mut all = store::all(&mut connection).await?;
    all.retain(|consumer| name.is_none_or(|name| consumer.name == name));
    let mut standing = Vec::new();
    for consumer in all {
        if let Some(stands) = store::standing(&consumer.name, cx.now, &mut connection).await? {
            standing.push((consumer, stands));
        }
    }
    Ok(standing)
}

/// The caller has applied its feed up to `position`; gives where it stands since.
pub(crate) async fn acknowledge(
    consumer: &Consumer,
    position: i64,
    cx: &Cx,
) -> Result<Standing, ConsumerError> {
    let word = News::acknowledged(consumer.feed, position);
    let mut connection = cx.connection().await?;
    let at = store::acknowledge(consumer.feed, position, &word, cx.now, &mut connection).await?;
    if at.is_some() {
        cx.app.news.hear(&word);
    }
    let stands = store::standing(&consumer.name, cx.now, &mut connection).await?;
    match at {
        None if stands.is_some() => Err(ConsumerError::NotYet),
        _ => stands.ok_or(ConsumerError::Unknown),
    }
}

/// The digests of a consumer's copy by buckets, all of them, and the place that they are of.
pub(crate) async fn digests(
    feed: FeedId,
    buckets: i32,
    cx: &Cx,
) -> Result<(i64, Vec<Bucket>), Fault> {
    let (position, found) = store::digests(feed, buckets, &mut *cx.connection().await?).await?;
    let mut found = found.into_iter().peekable();
    let all = (0..i64::from(buckets)).map(|bucket| {
        let here = found.next_if(|found| found.bucket == bucket);
        here.unwrap_or(Bucket {
            bucket,
            people: 0,
            digest: 0,
        })
    });
    Ok((position, all.collect()))
}
