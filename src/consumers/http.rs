//! `/api/v1/consumers`, acknowledging, and digests.

use std::str::FromStr;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::model::is_name;
use super::operations::{self, ConsumerError};
use super::shapes::{
    AcknowledgementShape, ConsumerListShape, ConsumerShape, ConsumerWriteShape, DigestParams,
    DigestShape, LagShape,
};
use super::store::Standing;
use super::{Consumer, Lag};
use crate::cx::Cx;
use crate::http::shapes::{ApiRefusals, BodyRefusals, ProblemShape};
use crate::http::{At, ETag, IfMatch, JsonBody, Problem, ProblemKind, Query, private};
use crate::kernel::ClientId;
use crate::kernel::clock::rfc3339;
use crate::kernel::object::pointer;

/// Buckets of a digest, unless asked for otherwise.
const DEFAULT_BUCKETS: i32 = 64;

/// `GET /api/v1/consumers`.
#[utoipa::path(get, path = "/api/v1/consumers", tag = "changes", responses((status = 200, description = "All consumers, and how far behind each is", body = ConsumerListShape), ApiRefusals), security(("bearer" = ["clients:read"])))]
pub(crate) async fn list(cx: Cx, query: Query) -> Result<Response, Problem> {
    query.finish()?;
    let all = operations::list(None, &cx).await?;
    let items: Vec<_> = all
        .iter()
        .map(|(consumer, at)| shown(consumer, at))
        .collect();
    // All of them: there are at most 50.
    Ok(private(Json(json!({ "items": items, "next": null }))))
}

/// `GET /api/v1/consumers/{name}`.
#[utoipa::path(get, path = "/api/v1/consumers/{name}", tag = "changes", params(("name" = String, Path, description = "The consumer's name")), responses((status = 200, description = "The consumer, and how far behind it is, with a strong ETag of what is registered", body = ConsumerShape, headers(("ETag" = String, description = "The version"))), ApiRefusals), security(("bearer" = ["clients:read"])))]
pub(crate) async fn get(cx: Cx, At(Name(name)): At<Name>) -> Result<Response, Problem> {
    let found = operations::list(Some(&name), &cx).await?;
    let (consumer, at) = found.first().ok_or(ConsumerError::Unknown)?;
    Ok(one(StatusCode::OK, consumer, at))
}

/// `PUT /api/v1/consumers/{name}`: registers it, or gives it another client or view.
#[utoipa::path(put, path = "/api/v1/consumers/{name}", tag = "changes", params(("name" = String, Path, description = "The consumer's name"), ("If-Match" = Option<String>, Header, description = "Write only where the consumer is at this version")), request_body = ConsumerWriteShape, responses((status = 200, description = "Changed. With another view it begins anew", body = ConsumerShape, headers(("ETag" = String, description = "The version"))), (status = 201, description = "Registered", body = ConsumerShape, headers(("ETag" = String, description = "The version"))), ApiRefusals, BodyRefusals), security(("bearer" = ["clients:write"])))]
pub(crate) async fn put(
    cx: Cx,
    At(Name(name)): At<Name>,
    if_match: IfMatch,
    body: JsonBody,
) -> Result<Response, Problem> {
    let mut document = body.object(&["application/json"])?;
    let (client, fields) = (document.remove("client_id"), document.remove("fields"));
    only(&document)?;
    let client = client.as_ref().and_then(Value::as_str);
    let client = client.and_then(|id| id.parse::<ClientId>().ok());
    let client = client.ok_or_else(|| wrong("/client_id", "Expected the id of a client."))?;
    let Some(Value::Object(fields)) = fields else {
        return Err(wrong(
            "/fields",
            "Expected an object: what the consumer calls a field, and the member that it shows.",
        ));
    };
    let (consumer, is_new) = operations::put(&name, client, &fields, &if_match, &cx).await?;
    let found = operations::list(Some(&name), &cx).await?;
    let (_, at) = found.first().ok_or(ConsumerError::Unknown)?;
    let status = if is_new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok(one(status, &consumer, at))
}

/// `DELETE /api/v1/consumers/{name}`: its client is an ordinary one again.
#[utoipa::path(delete, path = "/api/v1/consumers/{name}", tag = "changes", params(("name" = String, Path, description = "The consumer's name"), ("If-Match" = Option<String>, Header, description = "Remove only where the consumer is at this version")), responses((status = 204, description = "Removed"), ApiRefusals, (status = 412, description = "If-Match is stale", body = ProblemShape, content_type = "application/problem+json")), security(("bearer" = ["clients:write"])))]
pub(crate) async fn delete(
    cx: Cx,
    At(Name(name)): At<Name>,
    if_match: IfMatch,
) -> Result<StatusCode, Problem> {
    operations::remove(&name, &if_match, &cx).await?;
    Ok(StatusCode::NO_CONTENT)
}

const NOT_OF_ITS_FEED: &str = "Expected a next of the consumer's feed.";

/// `PUT /api/v1/changes/position`: the consumer has applied its feed up to a `next`.
#[utoipa::path(put, path = "/api/v1/changes/position", tag = "changes", request_body = AcknowledgementShape, responses((status = 200, description = "Noted; it never goes back. How far behind the consumer is since", body = LagShape), ApiRefusals, BodyRefusals), security(("bearer" = ["users:read"])))]
pub(crate) async fn acknowledge(cx: Cx, body: JsonBody) -> Result<Response, Problem> {
    let mut document = body.object(&["application/json"])?;
    let next = document.remove("next");
    only(&document)?;
    let consumer = registered(&cx).await?;
    let next = next.as_ref().and_then(Value::as_str).unwrap_or("");
    let position = consumer.reader().place_of(next, &cx);
    let position = position.map_err(|_| wrong("/next", NOT_OF_ITS_FEED))?;
    let at = operations::acknowledge(&consumer, position, &cx).await?;
    Ok(private(Json(lag(&at.lag))))
}

/// `GET /api/v1/users/digest`: of what a consumer's copy should hold, by buckets.
#[utoipa::path(get, path = "/api/v1/users/digest", tag = "changes", params(DigestParams), responses((status = 200, description = "A digest of each bucket, by the recipe of docs/propagation.md", body = DigestShape), ApiRefusals), security(("bearer" = ["users:read"])))]
pub(crate) async fn digest(cx: Cx, mut query: Query) -> Result<Response, Problem> {
    let sent = query.take("buckets");
    query.finish()?;
    let buckets = match sent {
        None => Some(DEFAULT_BUCKETS),
        Some(sent) => sent
            .parse()
            .ok()
            .filter(|n| is_buckets(*n) && n.to_string() == sent),
    };
    let buckets = buckets.ok_or_else(|| {
        Problem::invalid_query("buckets", "Expected a power of two from 1 to 4096.")
    })?;
    let consumer = registered(&cx).await?;
    let (position, found) = operations::digests(consumer.feed, buckets, &cx).await?;
    let people: i64 = found.iter().map(|bucket| bucket.people).sum();
    let items: Vec<_> = found
        .iter()
        .map(|b| json!({ "bucket": b.bucket, "people": b.people, "digest": format!("{:016x}", b.digest) }))
        .collect();
    let next = consumer.reader().cursor(position, &cx);
    Ok(private(Json(
        json!({ "buckets": buckets, "people": people, "position": position, "next": next, "items": items }),
    )))
}

/// A power of two that people are divided by.
fn is_buckets(n: i32) -> bool {
    (1..=operations::MOST_BUCKETS).contains(&n) && n.count_ones() == 1
}

/// The consumer that calls.
async fn registered(cx: &Cx) -> Result<Consumer, Problem> {
    let consumer = cx.app.consumers.of_caller(cx).await?;
    consumer.ok_or_else(|| {
        Problem::new(ProblemKind::NotFound).detail("The client is no registered consumer.")
    })
}

fn one(status: StatusCode, consumer: &Consumer, at: &Standing) -> Response {
    let etag = HeaderValue::from(ETag(consumer.version));
    private((status, [(header::ETAG, etag)], Json(shown(consumer, at))))
}

fn shown(consumer: &Consumer, at: &Standing) -> Value {
    let mut members = consumer.view();
    members.insert("ready".to_owned(), json!(at.ready));
    members.insert("position".to_owned(), json!(at.position));
    members.insert(
        "acknowledged_at".to_owned(),
        json!(at.acknowledged_at.map(rfc3339)),
    );
    members.insert("lag".to_owned(), lag(&at.lag));
    Value::Object(members)
}

fn lag(lag: &Lag) -> Value {
    json!({ "changes": lag.changes, "seconds": lag.seconds })
}

/// A consumer's name; what can't be one names nothing.
pub(crate) struct Name(String);

impl FromStr for Name {
    type Err = ConsumerError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if is_name(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ConsumerError::Unknown)
        }
    }
}

/// Refuses by name what was not taken out.
fn only(rest: &Map<String, Value>) -> Result<(), Problem> {
    let unknown = rest.keys().map(|name| pointer(name));
    let problem = unknown.fold(None, |problem: Option<Problem>, pointer| {
        let problem = problem.unwrap_or_else(|| Problem::new(ProblemKind::Invalid));
        Some(problem.field(pointer, "There is no such field."))
    });
    problem.map_or(Ok(()), Err)
}

fn wrong(pointer: &'static str, detail: &'static str) -> Problem {
    Problem::new(ProblemKind::Invalid).field(pointer, detail)
}

impl From<ConsumerError> for Problem {
    fn from(error: ConsumerError) -> Self {
        match error {
            ConsumerError::Unknown => Self::new(ProblemKind::NotFound),
            ConsumerError::NotYet => wrong("/next", NOT_OF_ITS_FEED),
            ConsumerError::ScopesMissing => Self::new(ProblemKind::Forbidden)
                .detail("Consumers are registered by callers that hold all of Doorward's scopes."),
            ConsumerError::View(wrong) => {
                wrong
                    .into_iter()
                    .fold(Self::new(ProblemKind::Invalid), |problem, wrong| {
                        let at = wrong.name.map(|name| pointer(&name)).unwrap_or_default();
                        problem.field(format!("/fields{at}"), wrong.expected)
                    })
            }
            ConsumerError::NoClient => wrong("/client_id", "There is no such client."),
            ConsumerError::ClientTaken => Self::new(ProblemKind::Conflict)
                .field("/client_id", "The client is another consumer already."),
            ConsumerError::TooMany => Self::new(ProblemKind::Conflict)
                .detail("There are 50 consumers, as many as there may be."),
            ConsumerError::Stale => Self::new(ProblemKind::PreconditionFailed),
            ConsumerError::Fault(fault) => fault.into(),
        }
    }
}
