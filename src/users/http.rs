//! `/api/v1/users`.

use axum::Json;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::document::Wrong;
use super::export;
use super::filter::{Filter, Search, Sort};
use super::operations::{self, Update, UserError};
use super::password::{self, SetPassword};
use super::patch::{JsonPatch, PatchError};
use super::shapes::{
    ChangeHeaders, ListParams, PasswordShape, Pending, UserListShape, UserShape, UserWriteShape,
    WaitParams,
};
use super::{Status, User, change, history, leave, life, validate};
use crate::cx::Cx;
use crate::http::shapes::{ApiRefusals, BodyRefusals, ProblemShape};
use crate::http::{
    At, ETag, IdempotencyKey, IfMatch, JsonBody, Problem, ProblemKind, Query, is_known, located,
    private, replayed, time_in,
};
use crate::idempotency::Claim;
use crate::kernel::{Secret, UserId};

const PATH: &str = "/api/v1/users";
/// RFC 5789 §3.1.
const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");
const MERGE_PATCH: &str = "application/merge-patch+json";
const JSON_PATCH: &str = "application/json-patch+json";
const PATCHES: &str = "application/merge-patch+json, application/json-patch+json";
/// What a filter by an attribute begins with.
const ATTRIBUTES: &str = "attributes.";
/// What an idempotency key stands for.
const CREATION: &str = "users";

/// `GET /api/v1/users`: a page of people.
#[utoipa::path(get, path = "/api/v1/users", tag = "users", params(ListParams, ("Accept" = Option<String>, Header, description = "`application/x-ndjson`: the whole list, a person a line")), responses((status = 200, description = "A page, with a Link to the next (RFC 8288); or the whole list as NDJSON", content((UserListShape = "application/json"), (UserShape = "application/x-ndjson"))), ApiRefusals), security(("bearer" = ["users:read"])))]
pub(crate) async fn list(
    cx: Cx,
    headers: HeaderMap,
    mut query: Query,
) -> Result<Response, Problem> {
    let whole = export::is_asked_for(&headers);
    if whole && query.take("limit").is_some() {
        return Err(Problem::invalid_query("limit", "A stream has none."));
    }
    let limit = query.take_limit()?;
    let after = query.take("after");
    let (filter, link) = filter(&mut query, &cx).await?;
    query.finish()?;
    let unserved = filter.unserved().into_iter();
    let refused = unserved.fold(None, |problem: Option<Problem>, parameter| {
        let problem = problem.unwrap_or_else(|| Problem::new(ProblemKind::InvalidQuery));
        Some(problem.parameter(parameter, "No index serves these parameters together."))
    });
    if let Some(refused) = refused {
        return Err(refused);
    }
    let name = filter.name();
    let after = after
        .map(|cursor| cx.app.cursors.decode(&name, &cursor))
        .transpose();
    let after = after.map_err(|_| Problem::no_cursor())?;

    if whole {
        return Ok(private(export::answer(filter, after, cx).await?));
    }
    let page = operations::list(&filter, after, limit, &cx).await?;
    let next = page.next.map(|next| cx.app.cursors.encode(&name, &next));
    // Straight to its bytes: a value for each member in between costs more than the look-up.
    let mut body = br#"{"items":["#.to_vec();
    for (n, person) in page.people.iter().enumerate() {
        if n > 0 {
            body.push(b',');
        }
        person.write(&mut body)?;
    }
    body.extend_from_slice(format!(r#"],"next":{}}}"#, json!(next)).as_bytes());
    let media_type = HeaderValue::from_static("application/json");
    let mut response = private(([(header::CONTENT_TYPE, media_type)], body));
    if let Some(next) = next {
        let query = form_urlencoded::Serializer::new(link)
            .append_pair("limit", &limit.to_string())
            .append_pair("after", &next)
            .finish();
        let link = format!(
            "<{}?{query}>; rel=\"next\"",
            cx.app.config.issuer.join(PATH)
        );
        if let Ok(link) = HeaderValue::try_from(link) {
            response.headers_mut().insert(header::LINK, link);
        }
    }
    Ok(response)
}

/// The filter, and the same parameters for the link to the next page.
async fn filter(query: &mut Query, cx: &Cx) -> Result<(Filter, String), Problem> {
    let attribute = match query.take_beginning(ATTRIBUTES) {
        None => None,
        Some((name, text)) => Some((attribute(&name, &text, cx).await?, name, text)),
    };
    let mut link = form_urlencoded::Serializer::new(String::new());
    let mut take = |name: &'static str| {
        let value = query.take(name);
        if let Some(value) = &value {
            link.append_pair(name, value);
        }
        value
    };
    let filter = Filter {
        email: take("email"),
        username: take("username"),
        external_id: match take("external_id") {
            None => None,
            Some(text) => Some(external_id(&text).ok_or_else(|| {
                Problem::invalid_query(
                    "external_id",
                    "Expected a system and an id such as billing:cus_81.",
                )
            })?),
        },
        q: match take("q") {
            None => None,
            Some(text) => Some(
                Search::parse(&text).map_err(|expected| Problem::invalid_query("q", expected))?,
            ),
        },
        attribute: attribute
            .as_ref()
            .map(|(value, name, _)| (name.clone(), value.clone())),
        status: match take("status") {
            None => None,
            Some(text) => {
                Some(Status::parse(&text).ok_or_else(|| {
                    Problem::invalid_query("status", "Expected active or disabled.")
                })?)
            }
        },
        updated_since: match take("updated_since") {
            None => None,
            Some(text) => Some(time_in("updated_since", &text)?),
        },
        deleted: match take("deleted").as_deref() {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => return Err(Problem::invalid_query("deleted", "Expected true or false.")),
        },
        sort: match take("sort") {
            None => None,
            Some(text) => Some(Sort::parse(&text).ok_or_else(|| {
                Problem::invalid_query(
                    "sort",
                    "Expected id, updated_at or name, with - before it for backwards.",
                )
            })?),
        },
    };
    if let Some((_, name, text)) = attribute {
        link.append_pair(&format!("{ATTRIBUTES}{name}"), &text);
    }
    Ok((filter, link.finish()))
}

/// The value of a declared attribute that a filter looks for.
async fn attribute(name: &str, text: &str, cx: &Cx) -> Result<String, Problem> {
    let declared = cx
        .app
        .attributes
        .present(&mut *cx.connection().await?)
        .await?;
    let value = declared.and_then(|declared| declared.filter(name, text));
    value.ok_or_else(|| {
        let name: String = name.chars().take(64).collect();
        Problem::invalid_query(
            format!("{ATTRIBUTES}{name}"),
            "It is not declared with x-filter, or has no such values.",
        )
    })
}

fn external_id(text: &str) -> Option<(String, String)> {
    let (system, id) = text.split_once(':')?;
    let good = validate::is_system(system) && validate::is_external_id(id);
    good.then(|| (system.to_owned(), id.to_owned()))
}

/// `POST /api/v1/users`.
#[utoipa::path(post, path = "/api/v1/users", tag = "users", params(("Idempotency-Key" = Option<String>, Header, description = "A name of your own for this request: sent again within 24 hours it gets the same answer and makes nothing more"), WaitParams, ChangeHeaders), request_body = UserWriteShape, responses((status = 201, description = "The person, with a strong ETag", body = UserShape, headers(("ETag" = String, description = "The version"), ("Location" = String, description = "Where it is"), ("Doorward-Wait" = Option<String>, description = "The consumer that was waited for; acknowledged"), ("Idempotency-Replayed" = Option<String>, description = "The answer is that of an earlier request"))), Pending, ApiRefusals, BodyRefusals), security(("bearer" = ["users:write"])))]
pub(crate) async fn create(
    cx: Cx,
    key: IdempotencyKey,
    body: JsonBody,
) -> Result<Response, Problem> {
    let claim = Claim::new(&key, CREATION, &body.value, &cx);
    let document = body.object(&["application/json"])?;
    let made = operations::create(document, None, claim.as_ref(), &cx).await?;
    let id = made.person.get("id").and_then(Value::as_str).unwrap_or("");
    let path = format!("{PATH}/{id}");
    let version = made.person.get("version").and_then(Value::as_i64);
    let answer = answer(version.unwrap_or(1), made.person, StatusCode::CREATED);
    Ok(replayed(located(answer, &path), made.earlier))
}

/// `GET /api/v1/users/{id}`.
#[utoipa::path(get, path = "/api/v1/users/{id}", tag = "users", params(("id" = String, Path, description = "The person's id"), ("If-None-Match" = Option<String>, Header, description = "Answer only where the person has changed"), ("at" = Option<String>, Query, description = "As they were at this time (RFC 3339); without an ETag")), responses((status = 200, description = "The person, with a strong ETag", body = UserShape, headers(("ETag" = String, description = "The version"))), (status = 304, description = "It has not changed"), ApiRefusals), security(("bearer" = ["users:read"])))]
pub(crate) async fn get(
    cx: Cx,
    At(id): At<UserId>,
    mut query: Query,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let at = query.take("at").map(|text| time_in("at", &text));
    query.finish()?;
    if let Some(at) = at {
        let person = history::as_of(id, at?, &cx).await?;
        return Ok(private(Json(person)));
    }
    let user = operations::get(id, &cx).await?;
    let etag = HeaderValue::from(ETag(user.version));
    if is_known(&etag, &headers) {
        return Ok(private((StatusCode::NOT_MODIFIED, [(header::ETAG, etag)])));
    }
    Ok(one(&user, StatusCode::OK))
}

/// `PATCH /api/v1/users/{id}`: a JSON merge patch, or a JSON patch.
#[utoipa::path(patch, path = "/api/v1/users/{id}", tag = "users", params(("id" = String, Path, description = "The person's id"), ("If-Match" = Option<String>, Header, description = "Write only where the person is at this version"), WaitParams, ChangeHeaders), request_body(content((UserWriteShape = "application/merge-patch+json"), (Vec<Object> = "application/json-patch+json")), description = "RFC 7396: null removes; or RFC 6902"), responses((status = 200, description = "The person, with a strong ETag", body = UserShape, headers(("ETag" = String, description = "The version"), ("Doorward-Wait" = Option<String>, description = "The consumer that was waited for; acknowledged"))), Pending, ApiRefusals, BodyRefusals), security(("bearer" = ["users:write"])))]
pub(crate) async fn patch(
    cx: Cx,
    At(id): At<UserId>,
    if_match: IfMatch,
    body: JsonBody,
) -> Result<Response, Problem> {
    let update = if body.media_type == JSON_PATCH {
        Update::Patch(JsonPatch::parse(body.value).map_err(UserError::Patch)?)
    } else {
        Update::Merge(body.object(&[MERGE_PATCH, JSON_PATCH, "application/json"])?)
    };
    let user = change::update(id, update, &if_match, &cx).await?;
    Ok(one(&user, StatusCode::OK))
}

/// `PUT /api/v1/users/{id}`: the whole person.
#[utoipa::path(put, path = "/api/v1/users/{id}", tag = "users", params(("id" = String, Path, description = "The person's id"), ("If-Match" = Option<String>, Header, description = "Write only where the person is at this version"), WaitParams, ChangeHeaders), request_body = UserWriteShape, responses((status = 200, description = "The person, with a strong ETag", body = UserShape, headers(("ETag" = String, description = "The version"), ("Doorward-Wait" = Option<String>, description = "The consumer that was waited for; acknowledged"))), Pending, ApiRefusals, BodyRefusals), security(("bearer" = ["users:write"])))]
pub(crate) async fn put(
    cx: Cx,
    At(id): At<UserId>,
    if_match: IfMatch,
    body: JsonBody,
) -> Result<Response, Problem> {
    let document = body.object(&["application/json"])?;
    let user = change::update(id, Update::Replace(document), &if_match, &cx).await?;
    Ok(one(&user, StatusCode::OK))
}

/// `DELETE /api/v1/users/{id}`.
#[utoipa::path(delete, path = "/api/v1/users/{id}", tag = "users", params(("id" = String, Path, description = "The person's id"), ("If-Match" = Option<String>, Header, description = "Write only where the person is at this version"), WaitParams, ChangeHeaders), responses((status = 204, description = "Deleted", headers(("Doorward-Wait" = Option<String>, description = "The consumer that was waited for; acknowledged"))), Pending, ApiRefusals, (status = 412, description = "If-Match is stale", body = ProblemShape, content_type = "application/problem+json")), security(("bearer" = ["users:write"])))]
pub(crate) async fn delete(
    cx: Cx,
    At(id): At<UserId>,
    if_match: IfMatch,
) -> Result<StatusCode, Problem> {
    operations::delete(id, &if_match, &cx).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /api/v1/users/{id}/restore`.
#[utoipa::path(post, path = "/api/v1/users/{id}/restore", tag = "users", params(("id" = String, Path, description = "The person's id"), ("If-Match" = Option<String>, Header, description = "Write only where the person is at this version"), WaitParams, ChangeHeaders), responses((status = 200, description = "The person as they were deleted, with a strong ETag; they sign in anew", body = UserShape, headers(("ETag" = String, description = "The version"), ("Doorward-Wait" = Option<String>, description = "The consumer that was waited for; acknowledged"))), Pending, ApiRefusals, (status = 412, description = "If-Match is stale", body = ProblemShape, content_type = "application/problem+json")), security(("bearer" = ["users:write"])))]
pub(crate) async fn restore(
    cx: Cx,
    At(id): At<UserId>,
    if_match: IfMatch,
) -> Result<Response, Problem> {
    let user = life::restore(id, &if_match, &cx).await?;
    Ok(one(&user, StatusCode::OK))
}

/// `POST /api/v1/users/{id}/erase`: for ever.
#[utoipa::path(post, path = "/api/v1/users/{id}/erase", tag = "users", params(("id" = String, Path, description = "The person's id"), ("If-Match" = Option<String>, Header, description = "Write only where the person is at this version"), WaitParams, ChangeHeaders), responses((status = 204, description = "Erased: nothing is left but the id and that it was so", headers(("Doorward-Wait" = Option<String>, description = "The consumer that was waited for; acknowledged"))), Pending, ApiRefusals, (status = 409, description = "They are not deleted", body = ProblemShape, content_type = "application/problem+json"), (status = 412, description = "If-Match is stale", body = ProblemShape, content_type = "application/problem+json")), security(("bearer" = ["users:write"])))]
pub(crate) async fn erase(
    cx: Cx,
    At(id): At<UserId>,
    if_match: IfMatch,
) -> Result<StatusCode, Problem> {
    life::erase(id, &if_match, &cx).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `PUT /api/v1/users/{id}/password`: `{"password": "…", "change_required": false}`.
#[utoipa::path(put, path = "/api/v1/users/{id}/password", tag = "users", params(("id" = String, Path, description = "The person's id"), ("If-Match" = Option<String>, Header, description = "Write only where the person is at this version"), WaitParams, ChangeHeaders), request_body = PasswordShape, responses((status = 204, description = "Set; sessions and tokens have ended", headers(("Doorward-Wait" = Option<String>, description = "The consumer that was waited for; acknowledged"))), Pending, ApiRefusals, BodyRefusals), security(("bearer" = ["users:write"])))]
pub(crate) async fn put_password(
    cx: Cx,
    At(id): At<UserId>,
    if_match: IfMatch,
    body: JsonBody,
) -> Result<Response, Problem> {
    let mut document = body.object(&["application/json"])?;
    let mut problem = Problem::new(ProblemKind::Invalid);
    let password = document.remove("password");
    let change_required = document
        .remove("change_required")
        .unwrap_or(Value::Bool(false));
    let mut wrong = false;
    for name in document.keys() {
        problem = problem.field(Wrong::new(name, "").pointer, "There is no such field.");
        wrong = true;
    }
    let (Some(Value::String(password)), Value::Bool(change_required), false) =
        (password, change_required, wrong)
    else {
        let problem = if wrong {
            problem
        } else {
            problem.field(
                "/password",
                "Expected a string, and change_required true or false.",
            )
        };
        return Err(problem);
    };
    let set = SetPassword {
        password: Secret::new(password),
        change_required,
    };
    let user = password::set_password(id, set, &if_match, &cx).await?;
    Ok(no_content(&user))
}

/// `POST /api/v1/users/{id}/require-password-change`.
#[utoipa::path(post, path = "/api/v1/users/{id}/require-password-change", tag = "users", params(("id" = String, Path, description = "The person's id"), ("If-Match" = Option<String>, Header, description = "Write only where the person is at this version"), WaitParams, ChangeHeaders), responses((status = 204, description = "Demanded; sessions and tokens have ended", headers(("Doorward-Wait" = Option<String>, description = "The consumer that was waited for; acknowledged"))), Pending, ApiRefusals, (status = 412, description = "If-Match is stale", body = ProblemShape, content_type = "application/problem+json")), security(("bearer" = ["users:write"])))]
pub(crate) async fn require_password_change(
    cx: Cx,
    At(id): At<UserId>,
    if_match: IfMatch,
) -> Result<Response, Problem> {
    let user = password::require_password_change(id, &if_match, &cx).await?;
    Ok(no_content(&user))
}

/// `DELETE /api/v1/users/{id}/sessions`.
#[utoipa::path(delete, path = "/api/v1/users/{id}/sessions", tag = "users", operation_id = "end_persons_sessions", params(("id" = String, Path, description = "The person's id")), responses((status = 204, description = "Their sessions have ended, and all that they gave to applications; of a person with `admin` only for callers with all four scopes"), ApiRefusals), security(("bearer" = ["users:write"])))]
pub(crate) async fn end_sessions(cx: Cx, At(id): At<UserId>) -> Result<Response, Problem> {
    leave::end_sessions(id, &cx).await?;
    Ok(private(StatusCode::NO_CONTENT))
}

fn one(user: &User, status: StatusCode) -> Response {
    answer(user.version, user.to_json(), status)
}

fn answer(version: i64, person: Map<String, Value>, status: StatusCode) -> Response {
    let headers = [
        (header::ETAG, HeaderValue::from(ETag(version))),
        (ACCEPT_PATCH, HeaderValue::from_static(PATCHES)),
    ];
    private((status, headers, Json(person)))
}

fn no_content(user: &User) -> Response {
    private((
        StatusCode::NO_CONTENT,
        [(header::ETAG, HeaderValue::from(ETag(user.version)))],
    ))
}

impl From<UserError> for Problem {
    fn from(error: UserError) -> Self {
        match error {
            UserError::Unknown => Self::new(ProblemKind::NotFound),
            UserError::Invalid(wrong) => wrong
                .into_iter()
                .fold(Self::new(ProblemKind::Invalid), |problem, w| {
                    problem.field(w.pointer, w.detail)
                }),
            UserError::Taken(field) => Self::new(ProblemKind::Conflict)
                .field(format!("/{field}"), "Somebody has it already."),
            UserError::Patch(PatchError::Malformed(expected)) => {
                Self::new(ProblemKind::Invalid).field("", expected)
            }
            UserError::Patch(PatchError::Unfit(operation, why)) => {
                Self::new(ProblemKind::PatchFailed).field(format!("/{operation}"), why)
            }
            UserError::Claim(error) => error.into(),
            UserError::Stale => Self::new(ProblemKind::PreconditionFailed),
            UserError::Overtaken(members) => members.into_iter().fold(
                Self::new(ProblemKind::PreconditionFailed),
                |problem, (name, present)| problem.changed(Wrong::new(&name, "").pointer, present),
            ),
            UserError::NotDeleted => Self::new(ProblemKind::NotDeleted),
            UserError::HistoryLost => Self::new(ProblemKind::HistoryLost),
            UserError::ScopesMissing => Self::new(ProblemKind::Forbidden).detail(
                "People who have admin are changed by callers that hold all of Doorward's scopes.",
            ),
            UserError::Password(policy) => {
                Self::new(ProblemKind::Invalid).field("/password", policy.to_string())
            }
            UserError::Fault(fault) => fault.into(),
        }
    }
}
