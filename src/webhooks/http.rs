//! `/api/v1/webhooks`.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use super::model::Webhook;
use super::operations::{self, Changes, Replay, Shown, Wanted, WebhookError};
use super::shapes::{
    DeadListShape, PageParams, ReplayShape, ReplayedShape, RotateShape, TriedShape,
    WebhookListShape, WebhookNewShape, WebhookShape, WebhookWriteShape,
};
use crate::cx::Cx;
use crate::fetch::Destination;
use crate::http::shapes::{ApiRefusals, BodyRefusals, ProblemShape};
use crate::http::{
    At, ETag, IdempotencyKey, IfMatch, JsonBody, Problem, ProblemKind, Query, located, private,
    replayed,
};
use crate::idempotency::Claim;
use crate::kernel::clock;
use crate::kernel::object::pointer;

const PATH: &str = "/api/v1/webhooks";
/// What an idempotency key is for.
const CREATION: &str = "POST /api/v1/webhooks";
/// Characters of a description.
const LONGEST_DESCRIPTION: usize = 200;
/// Seconds that an old secret signs beside a new one, at most and unless asked for otherwise.
const MAX_OVERLAP: u64 = 30 * 86_400;
const DEFAULT_OVERLAP: u64 = 86_400;

/// `GET /api/v1/webhooks`.
#[utoipa::path(get, path = "/api/v1/webhooks", tag = "webhooks", params(PageParams), responses((status = 200, description = "A page", body = WebhookListShape), ApiRefusals), security(("bearer" = ["clients:read"])))]
pub(crate) async fn list(cx: Cx, query: Query) -> Result<Response, Problem> {
    let (limit, after) = page(query, PATH, &cx)?;
    let found = operations::list(after, limit as i64 + 1, &cx).await?;
    Ok(paged(found, limit, PATH, |w| w.id, Webhook::view, &cx))
}

/// `POST /api/v1/webhooks`.
#[utoipa::path(post, path = "/api/v1/webhooks", tag = "webhooks", params(("Idempotency-Key" = Option<String>, Header, description = "A name of your own for this request: sent again within 24 hours it gets the same answer and makes nothing more")), request_body = WebhookNewShape, responses((status = 201, description = "The webhook, with the one look at its secret", body = WebhookShape, headers(("ETag" = String, description = "The version"), ("Location" = String, description = "Where it is"), ("Idempotency-Replayed" = Option<String>, description = "The answer is that of an earlier request"))), ApiRefusals, BodyRefusals), security(("bearer" = ["clients:write"])))]
pub(crate) async fn create(
    cx: Cx,
    key: IdempotencyKey,
    body: JsonBody,
) -> Result<Response, Problem> {
    let claim = Claim::new(&key, CREATION, &body.value, &cx);
    let mut fields = Fields::of(body, &["application/json"])?;
    if fields.members.get("url").is_none_or(Value::is_null) {
        fields.wrong("url", "Expected an https URL.");
    }
    let url = fields.url();
    let description = fields.description();
    let consumer = fields.text("consumer");
    let paused = fields.flag("paused");
    let from = fields.text("from");
    if from
        .as_deref()
        .is_some_and(|from| !["now", "beginning"].contains(&from))
    {
        fields.wrong("from", "Expected now or beginning.");
    }
    fields.finish()?;
    let Some(url) = url else {
        return Err(Problem::new(ProblemKind::Invalid));
    };
    let wanted = Wanted {
        url,
        description: description.flatten(),
        consumer,
        paused: paused.unwrap_or(false),
        from_the_beginning: from.as_deref() == Some("beginning"),
    };
    let told = operations::create(wanted, claim.as_ref(), &cx).await?;
    let path = format!("{PATH}/{}", told.view["id"].as_str().unwrap_or(""));
    let version = told.view["version"].as_i64().unwrap_or(1);
    let made = answer(version, StatusCode::CREATED, told.view);
    Ok(replayed(located(made, &path), told.earlier))
}

/// `GET /api/v1/webhooks/{id}`: its settings, and how its deliveries stand.
#[utoipa::path(get, path = "/api/v1/webhooks/{id}", tag = "webhooks", params(("id" = String, Path, description = "The webhook's id")), responses((status = 200, description = "The webhook, with a strong ETag of its settings", body = WebhookShape, headers(("ETag" = String, description = "The version"))), ApiRefusals), security(("bearer" = ["clients:read"])))]
pub(crate) async fn get(cx: Cx, At(id): At<Uuid>) -> Result<Response, Problem> {
    let webhook = operations::find(id, &cx).await?;
    let secret = None;
    Ok(one(&Shown { webhook, secret }, StatusCode::OK))
}

/// `PATCH /api/v1/webhooks/{id}`: a JSON merge patch.
#[utoipa::path(patch, path = "/api/v1/webhooks/{id}", tag = "webhooks", params(("id" = String, Path, description = "The webhook's id"), ("If-Match" = Option<String>, Header, description = "Write only where the webhook is at this version")), request_body(content = WebhookWriteShape, content_type = "application/merge-patch+json", description = "RFC 7396: null removes"), responses((status = 200, description = "The webhook; with a new secret where the URL leads to another origin", body = WebhookShape, headers(("ETag" = String, description = "The version"))), ApiRefusals, BodyRefusals), security(("bearer" = ["clients:write"])))]
pub(crate) async fn patch(
    cx: Cx,
    At(id): At<Uuid>,
    if_match: IfMatch,
    body: JsonBody,
) -> Result<Response, Problem> {
    let mut fields = Fields::of(body, &["application/merge-patch+json", "application/json"])?;
    let changes = Changes {
        url: fields.url(),
        description: fields.description(),
        paused: fields.flag("paused"),
    };
    fields.finish()?;
    let shown = operations::update(id, changes, &if_match, &cx).await?;
    Ok(one(&shown, StatusCode::OK))
}

/// `DELETE /api/v1/webhooks/{id}`.
#[utoipa::path(delete, path = "/api/v1/webhooks/{id}", tag = "webhooks", params(("id" = String, Path, description = "The webhook's id"), ("If-Match" = Option<String>, Header, description = "Delete only where the webhook is at this version")), responses((status = 204, description = "Deleted"), ApiRefusals, (status = 412, description = "If-Match is stale", body = ProblemShape, content_type = "application/problem+json")), security(("bearer" = ["clients:write"])))]
pub(crate) async fn delete(
    cx: Cx,
    At(id): At<Uuid>,
    if_match: IfMatch,
) -> Result<StatusCode, Problem> {
    operations::delete(id, &if_match, &cx).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /api/v1/webhooks/{id}/rotate-secret`: `{"overlap_seconds": 86400}`.
#[utoipa::path(post, path = "/api/v1/webhooks/{id}/rotate-secret", tag = "webhooks", params(("id" = String, Path, description = "The webhook's id"), ("If-Match" = Option<String>, Header, description = "Write only where the webhook is at this version")), request_body = RotateShape, responses((status = 200, description = "The webhook, with the one look at its new secret", body = WebhookShape), ApiRefusals, BodyRefusals), security(("bearer" = ["clients:write"])))]
pub(crate) async fn rotate_secret(
    cx: Cx,
    At(id): At<Uuid>,
    if_match: IfMatch,
    body: JsonBody,
) -> Result<Response, Problem> {
    let mut fields = Fields::of(body, &["application/json"])?;
    let seconds = fields
        .number("overlap_seconds")
        .unwrap_or(DEFAULT_OVERLAP as i64);
    let overlap = u64::try_from(seconds).ok().filter(|s| *s <= MAX_OVERLAP);
    if overlap.is_none() {
        fields.wrong("overlap_seconds", "Expected seconds from 0 to 2592000.");
    }
    fields.finish()?;
    let overlap = Duration::from_secs(overlap.unwrap_or(0));
    let shown = operations::rotate_secret(id, overlap, &if_match, &cx).await?;
    Ok(one(&shown, StatusCode::OK))
}

/// `POST /api/v1/webhooks/{id}/test`: sends a message of type `webhook.test`.
#[utoipa::path(post, path = "/api/v1/webhooks/{id}/test", tag = "webhooks", params(("id" = String, Path, description = "The webhook's id")), responses((status = 200, description = "What came of it", body = TriedShape), ApiRefusals), security(("bearer" = ["clients:write"])))]
pub(crate) async fn test(cx: Cx, At(id): At<Uuid>) -> Result<Response, Problem> {
    let tried = operations::test(id, &cx).await?;
    let ms = u64::try_from(tried.took.as_millis()).unwrap_or(u64::MAX);
    let answer = match tried.result {
        Ok(status) => {
            json!({ "delivered": true, "status": status, "error": null, "duration_ms": ms })
        }
        Err(error) => {
            let status = error.status();
            json!({ "delivered": false, "status": status, "error": error.to_string(), "duration_ms": ms })
        }
    };
    Ok(private(Json(answer)))
}

/// `POST /api/v1/webhooks/{id}/replay`: `{"after": 10, "until": 90}`, `{"since": "…", "before": "…"}` or `{"dead": true}`.
#[utoipa::path(post, path = "/api/v1/webhooks/{id}/replay", tag = "webhooks", params(("id" = String, Path, description = "The webhook's id")), request_body = ReplayShape, responses((status = 202, description = "They are sent once more, in their order", body = ReplayedShape), ApiRefusals, BodyRefusals), security(("bearer" = ["clients:write"])))]
pub(crate) async fn replay(cx: Cx, At(id): At<Uuid>, body: JsonBody) -> Result<Response, Problem> {
    let mut fields = Fields::of(body, &["application/json"])?;
    let places = (fields.number("after"), fields.number("until"));
    let times = (fields.time("since"), fields.time("before"));
    let dead = fields.flag("dead").unwrap_or(false);
    fields.finish()?;
    let what = match (places, times, dead) {
        ((None, None), (None, None), true) => Replay::Dead,
        ((None, None), times @ ((Some(_), _) | (_, Some(_))), false) => {
            Replay::Times(times.0, times.1)
        }
        ((after, until), (None, None), false) if after.is_some() || until.is_some() => {
            Replay::Places(after.unwrap_or(0), until)
        }
        _ => {
            return Err(Problem::new(ProblemKind::Invalid).field(
                "",
                "Expected after and until, or since and before, or dead.",
            ));
        }
    };
    let people = operations::replay(id, what, &cx).await?;
    let answer = (StatusCode::ACCEPTED, Json(json!({ "people": people })));
    Ok(private(answer))
}

/// `GET /api/v1/webhooks/{id}/dead`: people whose newest change was given up.
#[utoipa::path(get, path = "/api/v1/webhooks/{id}/dead", tag = "webhooks", params(("id" = String, Path, description = "The webhook's id"), PageParams), responses((status = 200, description = "A page", body = DeadListShape), ApiRefusals), security(("bearer" = ["clients:read"])))]
pub(crate) async fn dead(cx: Cx, At(id): At<Uuid>, query: Query) -> Result<Response, Problem> {
    let name = format!("{PATH}/{id}/dead");
    let (limit, after) = page(query, &name, &cx)?;
    let letters = operations::dead(id, after, limit as i64 + 1, &cx).await?;
    let shown = |letter: &super::model::Letter| {
        json!({
            "user_id": letter.user,
            "attempts": letter.attempts,
            "failed_at": clock::rfc3339(letter.failed_at),
            "dead_at": letter.dead_at.map(clock::rfc3339),
            "error": letter.error,
        })
    };
    Ok(paged(
        letters,
        limit,
        &name,
        |letter| letter.user,
        shown,
        &cx,
    ))
}

/// The members of a body, taken out one by one; what is wrong is gathered.
struct Fields {
    members: Map<String, Value>,
    problem: Option<Problem>,
}

impl Fields {
    fn of(body: JsonBody, media_types: &[&str]) -> Result<Self, Problem> {
        Ok(Self {
            members: body.object(media_types)?,
            problem: None,
        })
    }

    fn wrong(&mut self, name: &str, detail: &'static str) {
        let problem = self.problem.take();
        let problem = problem.unwrap_or_else(|| Problem::new(ProblemKind::Invalid));
        self.problem = Some(problem.field(pointer(name), detail));
    }

    /// A member that is there and not null, as `read` has it.
    fn take<T>(
        &mut self,
        name: &str,
        expected: &'static str,
        read: impl FnOnce(Value) -> Option<T>,
    ) -> Option<T> {
        let value = self.members.remove(name).filter(|value| !value.is_null())?;
        let taken = read(value);
        if taken.is_none() {
            self.wrong(name, expected);
        }
        taken
    }

    fn text(&mut self, name: &str) -> Option<String> {
        self.take(name, "Expected a string.", |value| match value {
            Value::String(text) => Some(text),
            _ => None,
        })
    }

    fn flag(&mut self, name: &str) -> Option<bool> {
        self.take(name, "Expected true or false.", |value| value.as_bool())
    }

    fn number(&mut self, name: &str) -> Option<i64> {
        let read = |value: Value| value.as_i64().filter(|n| *n >= 0);
        self.take(name, "Expected a number that is not negative.", read)
    }

    fn time(&mut self, name: &str) -> Option<OffsetDateTime> {
        const EXPECTED: &str = "Expected an RFC 3339 time such as 2026-01-31T12:00:00Z.";
        self.take(name, EXPECTED, |value| {
            OffsetDateTime::parse(value.as_str()?, &Rfc3339).ok()
        })
    }

    fn url(&mut self) -> Option<Destination> {
        const EXPECTED: &str = "Expected an absolute https URL in its plainest spelling, without user and fragment, of at most 2,048 characters.";
        self.take("url", EXPECTED, |value| value.as_str()?.parse().ok())
    }

    /// `None`: not there; `Some(None)`: null.
    fn description(&mut self) -> Option<Option<String>> {
        if self.members.get("description").is_some_and(Value::is_null) {
            self.members.remove("description");
            return Some(None);
        }
        const EXPECTED: &str =
            "Expected a string of at most 200 characters, without control characters.";
        let read = |value: Value| {
            let text = value.as_str()?;
            let plain = !text.chars().any(char::is_control);
            (plain && text.chars().count() <= LONGEST_DESCRIPTION).then(|| text.to_owned())
        };
        self.take("description", EXPECTED, read).map(Some)
    }

    /// Refuses what is wrong, and by name what was not taken.
    fn finish(mut self) -> Result<(), Problem> {
        let names: Vec<String> = self.members.keys().cloned().collect();
        for name in names {
            self.wrong(&name, "There is no such field.");
        }
        self.problem.map_or(Ok(()), Err)
    }
}

/// `limit` and `after` of the list named so.
fn page<T: DeserializeOwned>(
    mut query: Query,
    name: &str,
    cx: &Cx,
) -> Result<(usize, Option<T>), Problem> {
    let limit = query.take_limit()?;
    let after = query
        .take("after")
        .map(|cursor| cx.app.cursors.decode(name, &cursor))
        .transpose()
        .map_err(|_| Problem::no_cursor())?;
    query.finish()?;
    Ok((limit, after))
}

/// The page of `items`, of which one more than `limit` was looked for.
fn paged<T, P: Serialize>(
    mut items: Vec<T>,
    limit: usize,
    name: &str,
    position: impl Fn(&T) -> P,
    shown: impl Fn(&T) -> Value,
    cx: &Cx,
) -> Response {
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items
        .last()
        .filter(|_| more)
        .map(|last| cx.app.cursors.encode(name, &position(last)));
    let items: Vec<Value> = items.iter().map(shown).collect();
    private(Json(json!({ "items": items, "next": next })))
}

fn one(shown: &Shown, status: StatusCode) -> Response {
    answer(shown.webhook.version, status, shown.view())
}

fn answer(version: i64, status: StatusCode, view: Value) -> Response {
    let etag = HeaderValue::from(ETag(version));
    private((status, [(header::ETAG, etag)], Json(view)))
}

impl From<WebhookError> for Problem {
    fn from(error: WebhookError) -> Self {
        match error {
            WebhookError::Unknown => Self::new(ProblemKind::NotFound),
            WebhookError::ScopesMissing => Self::new(ProblemKind::Forbidden).detail(
                "Webhooks carry people's data out: they are changed by callers that hold all of Doorward's scopes.",
            ),
            WebhookError::Stale => Self::new(ProblemKind::PreconditionFailed),
            WebhookError::Url(refusal) => {
                Self::new(ProblemKind::Invalid).field("/url", format!("Refused: {refusal}."))
            }
            WebhookError::UnknownConsumer => {
                Self::new(ProblemKind::Invalid).field("/consumer", "There is no such consumer.")
            }
            WebhookError::TooMany => Self::new(ProblemKind::Conflict)
                .detail("There are 64 webhooks, as many as there may be."),
            WebhookError::SecretLost => Self::new(ProblemKind::Conflict)
                .detail("Its secret was lost with the sealing key: give it a new one."),
            WebhookError::NothingThere => Self::new(ProblemKind::Invalid)
                .field("", "Nothing that has been sent lies there."),
            WebhookError::Claim(error) => error.into(),
            WebhookError::Fault(fault) => fault.into(),
        }
    }
}
