//! `/api/v1/users`.

use axum::Json;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::document::Wrong;
use super::operations::{self, SetPassword, Update, UserError};
use super::search::{Filter, Search, Sort};
use super::shapes::{ListParams, PasswordShape, UserListShape, UserShape, UserWriteShape};
use super::{Status, User, history, life, validate};
use crate::cx::Cx;
use crate::http::shapes::{ApiRefusals, BodyRefusals, ProblemShape};
use crate::http::{ETag, IfMatch, JsonBody, Problem, ProblemKind, Query, is_known};
use crate::kernel::{Secret, UserId};

const PATH: &str = "/api/v1/users";
/// People in a page, at most and unless asked for otherwise.
const MAX_LIMIT: usize = 200;
const DEFAULT_LIMIT: usize = 50;
/// RFC 5789 §3.1.
const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");
const MERGE_PATCH: &str = "application/merge-patch+json";

/// `GET /api/v1/users`: a page of people.
#[utoipa::path(get, path = "/api/v1/users", tag = "users", params(ListParams), responses((status = 200, description = "A page, with a Link to the next (RFC 8288)", body = UserListShape), ApiRefusals), security(("bearer" = ["users:read"])))]
pub(crate) async fn list(cx: Cx, mut query: Query) -> Result<Response, Problem> {
    let limit = limit(query.take("limit"))?;
    let after = query.take("after");
    let (filter, link) = filter(&mut query)?;
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
    let after = after.map_err(|_| invalid("after", "This is not a cursor of this list."))?;

    let page = operations::list(&filter, after, limit, &cx).await?;
    let next = page.next.map(|next| cx.app.cursors.encode(&name, &next));
    let items: Vec<_> = page.people.iter().map(User::to_json).collect();
    let mut response = private(Json(json!({ "items": items, "next": next })).into_response());
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

pub(super) fn limit(sent: Option<String>) -> Result<usize, Problem> {
    let Some(sent) = sent else {
        return Ok(DEFAULT_LIMIT);
    };
    let limit = sent.parse().ok().filter(|limit| {
        (1..=MAX_LIMIT).contains(limit) && sent.bytes().all(|b| b.is_ascii_digit())
    });
    limit.ok_or_else(|| invalid("limit", "Expected a number from 1 to 200."))
}

/// The filter, and the same parameters for the link to the next page.
fn filter(query: &mut Query) -> Result<(Filter, String), Problem> {
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
                invalid(
                    "external_id",
                    "Expected a system and an id such as billing:cus_81.",
                )
            })?),
        },
        q: match take("q") {
            None => None,
            Some(text) => Some(Search::parse(&text).map_err(|expected| invalid("q", expected))?),
        },
        attribute: None,
        status: match take("status") {
            None => None,
            Some(text) => Some(
                Status::parse(&text)
                    .ok_or_else(|| invalid("status", "Expected active or disabled."))?,
            ),
        },
        updated_since: match take("updated_since") {
            None => None,
            Some(text) => Some(time_in("updated_since", &text)?),
        },
        deleted: match take("deleted").as_deref() {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => return Err(invalid("deleted", "Expected true or false.")),
        },
        sort: match take("sort") {
            None => None,
            Some(text) => Some(Sort::parse(&text).ok_or_else(|| {
                invalid(
                    "sort",
                    "Expected id, updated_at or name, with - before it for backwards.",
                )
            })?),
        },
    };
    Ok((filter, link.finish()))
}

fn time_in(parameter: &str, text: &str) -> Result<OffsetDateTime, Problem> {
    OffsetDateTime::parse(text, &Rfc3339).map_err(|_| {
        invalid(
            parameter,
            "Expected an RFC 3339 time such as 2026-01-31T12:00:00Z.",
        )
    })
}

fn external_id(text: &str) -> Option<(String, String)> {
    let (system, id) = text.split_once(':')?;
    let good = validate::is_system(system) && validate::is_external_id(id);
    good.then(|| (system.to_owned(), id.to_owned()))
}

pub(super) fn invalid(parameter: &str, detail: &'static str) -> Problem {
    Problem::new(ProblemKind::InvalidQuery).parameter(parameter, detail)
}

/// `POST /api/v1/users`.
#[utoipa::path(post, path = "/api/v1/users", tag = "users", request_body = UserWriteShape, responses((status = 201, description = "The person, with a strong ETag", body = UserShape, headers(("ETag" = String, description = "The version"))), ApiRefusals, BodyRefusals), security(("bearer" = ["users:write"])))]
pub(crate) async fn create(cx: Cx, body: JsonBody) -> Result<Response, Problem> {
    let document = object(body, &["application/json"])?;
    let user = operations::create(document, None, &cx).await?;
    let location = format!("{PATH}/{}", user.id);
    let mut response = one(&user, StatusCode::CREATED);
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// `GET /api/v1/users/{id}`.
#[utoipa::path(get, path = "/api/v1/users/{id}", tag = "users", params(("id" = String, Path, description = "The person's id"), ("If-None-Match" = Option<String>, Header, description = "Answer only where the person has changed"), ("at" = Option<String>, Query, description = "As they were at this time (RFC 3339); without an ETag")), responses((status = 200, description = "The person, with a strong ETag", body = UserShape, headers(("ETag" = String, description = "The version"))), (status = 304, description = "It has not changed"), ApiRefusals), security(("bearer" = ["users:read"])))]
pub(crate) async fn get(
    cx: Cx,
    PersonPath(id): PersonPath,
    mut query: Query,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let at = query.take("at").map(|text| time_in("at", &text));
    query.finish()?;
    if let Some(at) = at {
        let person = history::as_of(id, at?, &cx).await?;
        return Ok(private(Json(person).into_response()));
    }
    let user = operations::get(id, &cx).await?;
    let etag = HeaderValue::from(ETag(user.version));
    if is_known(&etag, &headers) {
        return Ok(private(
            (StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response(),
        ));
    }
    Ok(one(&user, StatusCode::OK))
}

/// `PATCH /api/v1/users/{id}`: a JSON merge patch.
#[utoipa::path(patch, path = "/api/v1/users/{id}", tag = "users", params(("id" = String, Path, description = "The person's id"), ("If-Match" = Option<String>, Header, description = "Write only where the person is at this version"), ("Doorward-Reason" = Option<String>, Header, description = "Why, for the history: one line, at most 500 characters")), request_body(content = UserWriteShape, content_type = "application/merge-patch+json", description = "RFC 7396: null removes"), responses((status = 200, description = "The person, with a strong ETag", body = UserShape, headers(("ETag" = String, description = "The version"))), ApiRefusals, BodyRefusals), security(("bearer" = ["users:write"])))]
pub(crate) async fn patch(
    cx: Cx,
    PersonPath(id): PersonPath,
    if_match: IfMatch,
    body: JsonBody,
) -> Result<Response, Problem> {
    let document = object(body, &[MERGE_PATCH, "application/json"])?;
    let user = operations::update(id, Update::Merge(document), &if_match, &cx).await?;
    Ok(one(&user, StatusCode::OK))
}

/// `PUT /api/v1/users/{id}`: the whole person.
#[utoipa::path(put, path = "/api/v1/users/{id}", tag = "users", params(("id" = String, Path, description = "The person's id"), ("If-Match" = Option<String>, Header, description = "Write only where the person is at this version"), ("Doorward-Reason" = Option<String>, Header, description = "Why, for the history: one line, at most 500 characters")), request_body = UserWriteShape, responses((status = 200, description = "The person, with a strong ETag", body = UserShape, headers(("ETag" = String, description = "The version"))), ApiRefusals, BodyRefusals), security(("bearer" = ["users:write"])))]
pub(crate) async fn put(
    cx: Cx,
    PersonPath(id): PersonPath,
    if_match: IfMatch,
    body: JsonBody,
) -> Result<Response, Problem> {
    let document = object(body, &["application/json"])?;
    let user = operations::update(id, Update::Replace(document), &if_match, &cx).await?;
    Ok(one(&user, StatusCode::OK))
}

/// `DELETE /api/v1/users/{id}`.
#[utoipa::path(delete, path = "/api/v1/users/{id}", tag = "users", params(("id" = String, Path, description = "The person's id"), ("If-Match" = Option<String>, Header, description = "Write only where the person is at this version"), ("Doorward-Reason" = Option<String>, Header, description = "Why, for the history: one line, at most 500 characters")), responses((status = 204, description = "Deleted"), ApiRefusals, (status = 412, description = "If-Match is stale", body = ProblemShape, content_type = "application/problem+json")), security(("bearer" = ["users:write"])))]
pub(crate) async fn delete(
    cx: Cx,
    PersonPath(id): PersonPath,
    if_match: IfMatch,
) -> Result<StatusCode, Problem> {
    operations::delete(id, &if_match, &cx).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /api/v1/users/{id}/restore`.
#[utoipa::path(post, path = "/api/v1/users/{id}/restore", tag = "users", params(("id" = String, Path, description = "The person's id"), ("If-Match" = Option<String>, Header, description = "Write only where the person is at this version"), ("Doorward-Reason" = Option<String>, Header, description = "Why, for the history: one line, at most 500 characters")), responses((status = 200, description = "The person as they were deleted, with a strong ETag; they sign in anew", body = UserShape, headers(("ETag" = String, description = "The version"))), ApiRefusals, (status = 412, description = "If-Match is stale", body = ProblemShape, content_type = "application/problem+json")), security(("bearer" = ["users:write"])))]
pub(crate) async fn restore(
    cx: Cx,
    PersonPath(id): PersonPath,
    if_match: IfMatch,
) -> Result<Response, Problem> {
    let user = life::restore(id, &if_match, &cx).await?;
    Ok(one(&user, StatusCode::OK))
}

/// `POST /api/v1/users/{id}/erase`: for ever.
#[utoipa::path(post, path = "/api/v1/users/{id}/erase", tag = "users", params(("id" = String, Path, description = "The person's id"), ("If-Match" = Option<String>, Header, description = "Write only where the person is at this version")), responses((status = 204, description = "Erased: nothing is left but the id and that it was so"), ApiRefusals, (status = 409, description = "They are not deleted", body = ProblemShape, content_type = "application/problem+json"), (status = 412, description = "If-Match is stale", body = ProblemShape, content_type = "application/problem+json")), security(("bearer" = ["users:write"])))]
pub(crate) async fn erase(
    cx: Cx,
    PersonPath(id): PersonPath,
    if_match: IfMatch,
) -> Result<StatusCode, Problem> {
    life::erase(id, &if_match, &cx).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `PUT /api/v1/users/{id}/password`: `{"password": "…", "change_required": false}`.
#[utoipa::path(put, path = "/api/v1/users/{id}/password", tag = "users", params(("id" = String, Path, description = "The person's id"), ("If-Match" = Option<String>, Header, description = "Write only where the person is at this version"), ("Doorward-Reason" = Option<String>, Header, description = "Why, for the history: one line, at most 500 characters")), request_body = PasswordShape, responses((status = 204, description = "Set; sessions and tokens have ended"), ApiRefusals, BodyRefusals), security(("bearer" = ["users:write"])))]
pub(crate) async fn put_password(
    cx: Cx,
    PersonPath(id): PersonPath,
    if_match: IfMatch,
    body: JsonBody,
) -> Result<Response, Problem> {
    let mut document = object(body, &["application/json"])?;
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
    let user = operations::set_password(id, set, &if_match, &cx).await?;
    Ok(no_content(&user))
}

/// `POST /api/v1/users/{id}/require-password-change`.
#[utoipa::path(post, path = "/api/v1/users/{id}/require-password-change", tag = "users", params(("id" = String, Path, description = "The person's id"), ("If-Match" = Option<String>, Header, description = "Write only where the person is at this version"), ("Doorward-Reason" = Option<String>, Header, description = "Why, for the history: one line, at most 500 characters")), responses((status = 204, description = "Demanded; sessions and tokens have ended"), ApiRefusals, (status = 412, description = "If-Match is stale", body = ProblemShape, content_type = "application/problem+json")), security(("bearer" = ["users:write"])))]
pub(crate) async fn require_password_change(
    cx: Cx,
    PersonPath(id): PersonPath,
    if_match: IfMatch,
) -> Result<Response, Problem> {
    let user = operations::require_password_change(id, &if_match, &cx).await?;
    Ok(no_content(&user))
}

/// The id in the path; what is no id names nobody.
pub(crate) struct PersonPath(pub(super) UserId);

impl<S: Send + Sync> axum::extract::FromRequestParts<S> for PersonPath {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut axum::http::request::Parts,
        state: &S,
    ) -> Result<Self, Problem> {
        let Path(id) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| Problem::new(ProblemKind::NotFound))?;
        id.parse()
            .map(Self)
            .map_err(|_| Problem::new(ProblemKind::NotFound))
    }
}

fn object(body: JsonBody, media_types: &[&str]) -> Result<Map<String, Value>, Problem> {
    if !media_types.contains(&body.media_type.as_str()) {
        return Err(Problem::new(ProblemKind::UnsupportedMediaType)
            .detail(format!("Send {}.", media_types.join(" or "))));
    }
    match body.value {
        Value::Object(members) => Ok(members),
        _ => Err(Problem::new(ProblemKind::Invalid).field("", "Expected an object.")),
    }
}

fn one(user: &User, status: StatusCode) -> Response {
    let headers = [
        (header::ETAG, HeaderValue::from(ETag(user.version))),
        (ACCEPT_PATCH, HeaderValue::from_static(MERGE_PATCH)),
    ];
    private((status, headers, Json(user.to_json())).into_response())
}

fn no_content(user: &User) -> Response {
    private(
        (
            StatusCode::NO_CONTENT,
            [(header::ETAG, HeaderValue::from(ETag(user.version)))],
        )
            .into_response(),
    )
}

/// Personal data is kept by no cache.
pub(super) fn private(mut response: Response) -> Response {
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
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
            UserError::Stale => Self::new(ProblemKind::PreconditionFailed),
            UserError::NotDeleted => Self::new(ProblemKind::NotDeleted),
            UserError::HistoryLost => Self::new(ProblemKind::HistoryLost),
            UserError::AdminsOnly => Self::new(ProblemKind::Forbidden).detail(
                "People who have admin are changed by callers that hold all of Doorward's scopes.",
            ),
            UserError::Password(policy) => {
                Self::new(ProblemKind::Invalid).field("/password", policy.to_string())
            }
            UserError::Fault(fault) => fault.into(),
        }
    }
}
