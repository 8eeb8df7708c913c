//! `POST /api/v1/users/batch`: many operations in one request. Each is the single request that it stands for, with its checks and its own
//! transaction, and gets its own result.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::change;
use super::document::Wrong;
use super::operations::{self, Update, UserError};
use super::shapes::{BatchResultsShape, BatchShape};
use crate::cx::Cx;
use crate::http::shapes::{ApiRefusals, BodyRefusals};
use crate::http::{ETag, IdempotencyKey, IfMatch, JsonBody, Problem, ProblemKind};
use crate::idempotency::Claim;
use crate::kernel::{UserId, clock};

/// Operations of one batch.
const MOST: usize = 1000;
/// What an idempotency key and an operation's number stand for.
const CREATION: &str = "users in a batch";

/// What one operation came to.
struct Done {
    status: StatusCode,
    id: Value,
    version: Option<i64>,
}

#[utoipa::path(post, path = "/api/v1/users/batch", tag = "users", params(("Idempotency-Key" = Option<String>, Header, description = "Sent again within 24 hours, what was made is not made again"), ("Doorward-Reason" = Option<String>, Header, description = "Why, for the histories: one line, at most 500 characters")), request_body = BatchShape, responses((status = 200, description = "A result for each operation, in their order", body = BatchResultsShape), ApiRefusals, BodyRefusals), security(("bearer" = ["users:write"])))]
pub(crate) async fn post(cx: Cx, key: IdempotencyKey, body: JsonBody) -> Result<Response, Problem> {
    let operations = read(body)?;
    let cx = cx.via("batch");
    // Within the time that a request may take: what there is no time for is not begun, and said so.
    let began = clock::monotonic();
    let time = cx.app.config.http.handler_timeout.std() / 2;
    let mut results = Vec::with_capacity(operations.len());
    for (n, operation) in operations.into_iter().enumerate() {
        let outcome = if began.elapsed() < time {
            let key = IdempotencyKey(key.0.as_ref().map(|key| format!("{key}/{n}")));
            Box::pin(run(operation, &key, &cx)).await
        } else {
            Err(Problem::new(ProblemKind::Unavailable)
                .detail("The batch took too long before this one; it was not begun."))
        };
        results.push(match outcome {
            Ok(done) => {
                let etag = done.version.map(|version| ETag(version).to_string());
                json!({ "status": done.status.as_u16(), "id": done.id, "etag": etag })
            }
            Err(problem) => {
                let status = problem.status().as_u16();
                json!({ "status": status, "problem": problem.into_json(&cx.origin.request_id) })
            }
        });
    }
    let headers = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    Ok((headers, Json(json!({ "results": results }))).into_response())
}

fn read(body: JsonBody) -> Result<Vec<Value>, Problem> {
    let mut members = body.object(&["application/json"])?;
    let Some(Value::Array(operations)) = members.remove("operations") else {
        return Err(invalid("/operations", "Expected a list."));
    };
    if let Some(name) = members.keys().next() {
        let wrong = Wrong::new(name, "There is no such field.");
        return Err(invalid(wrong.pointer, wrong.detail));
    }
    if !(1..=MOST).contains(&operations.len()) {
        return Err(invalid("/operations", "Expected 1 to 1,000 operations."));
    }
    Ok(operations)
}

async fn run(operation: Value, key: &IdempotencyKey, cx: &Cx) -> Result<Done, Problem> {
    let Value::Object(mut members) = operation else {
        return Err(invalid("", "Expected an object."));
    };
    let op = text(&mut members, "op")?.unwrap_or_default();
    let id = match text(&mut members, "id")? {
        None if op == "create" => None,
        None => return Err(invalid("/id", "Expected the person's id.")),
        // What is no id names nobody.
        Some(id) => Some(
            id.parse::<UserId>()
                .map_err(|_| Problem::new(ProblemKind::NotFound))?,
        ),
    };
    let if_match =
        text(&mut members, "if_match")?.map_or(IfMatch::Any, |text| IfMatch::parse(&text));
    let user = members.remove("user");
    let mut done = Done {
        status: StatusCode::OK,
        id: json!(id),
        version: None,
    };
    if let Some(name) = members.keys().next() {
        let wrong = Wrong::new(name, "There is no such field.");
        return Err(invalid(wrong.pointer, wrong.detail));
    }
    match (op.as_str(), id, user) {
        ("create", None, Some(Value::Object(user))) if if_match == IfMatch::Any => {
            let claim = Claim::new(key, CREATION, &Value::Object(user.clone()), cx);
            let made = operations::create(user, None, claim.as_ref(), cx).await;
            let mut made = made.map_err(within_user)?;
            done.status = StatusCode::CREATED;
            done.version = made.person.get("version").and_then(Value::as_i64);
            done.id = made.person.remove("id").unwrap_or_default();
        }
        (op @ ("update" | "replace"), Some(id), Some(Value::Object(user))) => {
            let update = if op == "update" {
                Update::Merge(user)
            } else {
                Update::Replace(user)
            };
            let updated = change::update(id, update, &if_match, cx).await;
            done.version = Some(updated.map_err(within_user)?.version);
        }
        ("delete", Some(id), None) => {
            operations::delete(id, &if_match, cx).await?;
            done.status = StatusCode::NO_CONTENT;
        }
        _ => {
            return Err(invalid(
                "/op",
                "Expected create with user; update or replace with id and user; or delete with id.",
            ));
        }
    }
    Ok(done)
}

/// Pointers into the operation rather than into the person.
fn within_user(error: UserError) -> Problem {
    match error {
        UserError::Invalid(wrong) => {
            UserError::Invalid(wrong.into_iter().map(|w| w.within("user")).collect()).into()
        }
        other => other.into(),
    }
}

fn text(members: &mut Map<String, Value>, name: &str) -> Result<Option<String>, Problem> {
    match members.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(invalid(format!("/{name}"), "Expected a string.")),
    }
}

fn invalid(
    pointer: impl Into<String>,
    detail: impl Into<std::borrow::Cow<'static, str>>,
) -> Problem {
    Problem::new(ProblemKind::Invalid).field(pointer, detail)
}
