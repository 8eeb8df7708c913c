//! `/api/v1/clients`.

use axum::Json;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::{Value, json};
use uuid::Uuid;

use super::operations::{self, ClientError, Update};
use super::rank::Rank;
use super::shapes::{
    ClientListParams, ClientListShape, ClientShape, ClientWriteShape, NewClientShape,
    NewSecretShape, SecretListShape, SecretWriteShape,
};
use super::{Client, store};
use crate::cx::Cx;
use crate::http::shapes::{ApiRefusals, BodyRefusals, ProblemShape};
use crate::http::{
    At, ETag, IdempotencyKey, IfMatch, JsonBody, Problem, ProblemKind, Query, Within, is_known,
    located, private, replayed,
};
use crate::idempotency::Claim;
use crate::kernel::ClientId;
use crate::kernel::object::pointer;
use crate::kernel::span::Span;

const PATH: &str = "/api/v1/clients";
/// The longest that an old secret may be promised to stay.
const LONGEST_OVERLAP: Span = Span::days(90);
/// RFC 5789 §3.1.
const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");
/// What an idempotency key stands for.
const CREATION: &str = "clients";
const MERGE_PATCH: &str = "application/merge-patch+json";

/// `GET /api/v1/clients`: a page of clients, oldest first.
#[utoipa::path(get, path = "/api/v1/clients", tag = "clients", operation_id = "list_clients", params(ClientListParams), responses((status = 200, description = "A page, with a Link to the next (RFC 8288)", body = ClientListShape), ApiRefusals), security(("bearer" = ["clients:read"])))]
pub(crate) async fn list(cx: Cx, mut query: Query) -> Result<Response, Problem> {
    let limit = query.take_limit()?;
    let after = query.take("after");
    query.finish()?;
    let after = after.map(|cursor| cx.app.cursors.decode(PATH, &cursor));
    let after = after.transpose().map_err(|_| Problem::no_cursor())?;

    let mut clients = store::page(after, limit as i64 + 1, &mut *cx.connection().await?).await?;
    let more = clients.len() > limit;
    clients.truncate(limit);
    let last = clients.last().filter(|_| more);
    let next = last.map(|last| cx.app.cursors.encode(PATH, &store::Position::of(last)));
    let items: Vec<_> = clients.iter().map(Client::view).collect();
    let mut response = private(Json(json!({ "items": items, "next": next })));
    if let Some(next) = next {
        let link = cx.app.config.issuer.join(PATH);
        let link = format!("<{link}?limit={limit}&after={next}>; rel=\"next\"");
        if let Ok(link) = HeaderValue::try_from(link) {
            response.headers_mut().insert(header::LINK, link);
        }
    }
    Ok(response)
}

/// `POST /api/v1/clients`.
#[utoipa::path(post, path = "/api/v1/clients", tag = "clients", operation_id = "create_client", params(("Idempotency-Key" = Option<String>, Header, description = "A name of your own for this request: sent again within 24 hours it gets the same answer and makes nothing more")), request_body = ClientWriteShape, responses((status = 201, description = "The client with its secret, which is told once, and a strong ETag", body = NewClientShape, headers(("ETag" = String, description = "The version"), ("Location" = String, description = "Where it is"), ("Idempotency-Replayed" = Option<String>, description = "The answer is that of an earlier request"))), ApiRefusals, BodyRefusals), security(("bearer" = ["clients:write"])))]
pub(crate) async fn create(
    cx: Cx,
    key: IdempotencyKey,
    body: JsonBody,
) -> Result<Response, Problem> {
    let claim = Claim::new(&key, CREATION, &body.value, &cx);
    let document = body.object(&["application/json"])?;
    let told = operations::create_from(document, claim.as_ref(), &cx).await?;
    let id = told.view["client_id"].as_str().unwrap_or("");
    let version = told.view["version"].as_i64().unwrap_or(1);
    let made = answer(version, StatusCode::CREATED, &told.view);
    let made = located(made, &format!("{PATH}/{id}"));
    Ok(replayed(made, told.earlier))
}

/// `GET /api/v1/clients/{id}`.
#[utoipa::path(get, path = "/api/v1/clients/{id}", tag = "clients", operation_id = "get_client", params(("id" = String, Path, description = "The client's id"), ("If-None-Match" = Option<String>, Header, description = "Answer only where the client has changed")), responses((status = 200, description = "The client, with a strong ETag", body = ClientShape, headers(("ETag" = String, description = "The version"))), (status = 304, description = "It has not changed"), ApiRefusals), security(("bearer" = ["clients:read"])))]
pub(crate) async fn get(
    cx: Cx,
    At(id): At<ClientId>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let client = operations::get(&id, &cx).await?;
    let etag = HeaderValue::from(ETag(client.version));
    if is_known(&etag, &headers) {
        let known = (StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]);
        return Ok(private(known));
    }
    Ok(one(&client))
}

/// `PATCH /api/v1/clients/{id}`: a JSON merge patch.
#[utoipa::path(patch, path = "/api/v1/clients/{id}", tag = "clients", operation_id = "patch_client", params(("id" = String, Path, description = "The client's id"), ("If-Match" = Option<String>, Header, description = "Write only where the client is at this version")), request_body(content = ClientWriteShape, content_type = "application/merge-patch+json", description = "RFC 7396: null removes"), responses((status = 200, description = "The client, with a strong ETag", body = ClientShape, headers(("ETag" = String, description = "The version"))), ApiRefusals, BodyRefusals), security(("bearer" = ["clients:write"])))]
pub(crate) async fn patch(
    cx: Cx,
    At(id): At<ClientId>,
    if_match: IfMatch,
    body: JsonBody,
) -> Result<Response, Problem> {
    let document = body.object(&[MERGE_PATCH, "application/json"])?;
    let client = operations::update(&id, Update::Merge(document), &if_match, &cx).await?;
    Ok(one(&client))
}

/// `PUT /api/v1/clients/{id}`: the whole registration.
#[utoipa::path(put, path = "/api/v1/clients/{id}", tag = "clients", operation_id = "put_client", params(("id" = String, Path, description = "The client's id"), ("If-Match" = Option<String>, Header, description = "Write only where the client is at this version")), request_body = ClientWriteShape, responses((status = 200, description = "The client, with a strong ETag", body = ClientShape, headers(("ETag" = String, description = "The version"))), ApiRefusals, BodyRefusals), security(("bearer" = ["clients:write"])))]
pub(crate) async fn put(
    cx: Cx,
    At(id): At<ClientId>,
    if_match: IfMatch,
    body: JsonBody,
) -> Result<Response, Problem> {
    let document = body.object(&["application/json"])?;
    let client = operations::update(&id, Update::Replace(document), &if_match, &cx).await?;
    Ok(one(&client))
}

/// `DELETE /api/v1/clients/{id}`.
#[utoipa::path(delete, path = "/api/v1/clients/{id}", tag = "clients", operation_id = "delete_client", params(("id" = String, Path, description = "The client's id"), ("If-Match" = Option<String>, Header, description = "Delete only where the client is at this version")), responses((status = 204, description = "Deleted; its tokens are refused within a second"), ApiRefusals, (status = 412, description = "If-Match is stale", body = ProblemShape, content_type = "application/problem+json")), security(("bearer" = ["clients:write"])))]
pub(crate) async fn delete(
    cx: Cx,
    At(id): At<ClientId>,
    if_match: IfMatch,
) -> Result<StatusCode, Problem> {
    operations::delete(&id, &if_match, &cx).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /api/v1/clients/{id}/secrets`: when each was made, ends, and was last used.
#[utoipa::path(get, path = "/api/v1/clients/{id}/secrets", tag = "clients", operation_id = "list_client_secrets", params(("id" = String, Path, description = "The client's id")), responses((status = 200, description = "What is told of its secrets", body = SecretListShape), ApiRefusals), security(("bearer" = ["clients:read"])))]
pub(crate) async fn list_secrets(cx: Cx, At(id): At<ClientId>) -> Result<Response, Problem> {
    let client = operations::get(&id, &cx).await?;
    let live = client.secrets.iter().filter(|s| s.is_live(cx.now));
    let items: Vec<_> = live.map(super::StoredSecret::view).collect();
    Ok(private(Json(json!({ "items": items, "next": null }))))
}

/// `POST /api/v1/clients/{id}/secrets`: `{"others_end_in": 86400}`.
#[utoipa::path(post, path = "/api/v1/clients/{id}/secrets", tag = "clients", operation_id = "create_client_secret", params(("id" = String, Path, description = "The client's id"), ("Idempotency-Key" = Option<String>, Header, description = "As for a client")), request_body = SecretWriteShape, responses((status = 201, description = "The secret, which is told once", body = NewSecretShape, headers(("Idempotency-Replayed" = Option<String>, description = "The answer is that of an earlier request"))), ApiRefusals, BodyRefusals), security(("bearer" = ["clients:write"])))]
pub(crate) async fn create_secret(
    cx: Cx,
    At(id): At<ClientId>,
    key: IdempotencyKey,
    body: JsonBody,
) -> Result<Response, Problem> {
    let claim = Claim::new(&key, &format!("{CREATION}/{id}/secrets"), &body.value, &cx);
    let mut document = body.object(&["application/json"])?;
    let overlap = match document.remove("others_end_in") {
        None | Some(Value::Null) => None,
        Some(value) => {
            let seconds = value.as_u64().and_then(|n| u32::try_from(n).ok());
            let span = seconds
                .map(Span::seconds)
                .filter(|span| *span <= LONGEST_OVERLAP);
            Some(span.ok_or_else(|| {
                Problem::new(ProblemKind::Invalid)
                    .field("/others_end_in", "Expected 0 to 7776000 seconds, or null.")
            })?)
        }
    };
    if let Some(name) = document.keys().next() {
        return Err(
            Problem::new(ProblemKind::Invalid).field(pointer(name), "There is no such member.")
        );
    }
    let told = operations::add_secret(&id, overlap, claim.as_ref(), &cx).await?;
    let made = private((StatusCode::CREATED, Json(told.view)));
    Ok(replayed(made, told.earlier))
}

/// `DELETE /api/v1/clients/{id}/secrets/{secret_id}`.
#[utoipa::path(delete, path = "/api/v1/clients/{id}/secrets/{secret_id}", tag = "clients", operation_id = "delete_client_secret", params(("id" = String, Path, description = "The client's id"), ("secret_id" = String, Path, description = "The secret's id")), responses((status = 204, description = "Ended; it is refused within a second"), ApiRefusals), security(("bearer" = ["clients:write"])))]
pub(crate) async fn delete_secret(
    cx: Cx,
    Within(id, secret): Within<ClientId, Uuid>,
) -> Result<StatusCode, Problem> {
    operations::end_secret(&id, secret, &cx).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn one(client: &Client) -> Response {
    answer(client.version, StatusCode::OK, &client.view())
}

fn answer(version: i64, status: StatusCode, view: &Value) -> Response {
    let headers = [
        (header::ETAG, HeaderValue::from(ETag(version))),
        (ACCEPT_PATCH, HeaderValue::from_static(MERGE_PATCH)),
    ];
    private((status, headers, Json(view)))
}

impl From<ClientError> for Problem {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Unknown => Self::new(ProblemKind::NotFound),
            ClientError::Invalid(wrong) => wrong
                .into_iter()
                .fold(Self::new(ProblemKind::Invalid), |problem, w| {
                    problem.field(pointer(&w.part), w.detail)
                }),
            ClientError::ServesTaken => Self::new(ProblemKind::Conflict)
                .field("/serves", "Another client serves that audience."),
            ClientError::NoSecrets => Self::new(ProblemKind::Conflict)
                .detail("The client does not prove itself with a secret."),
            ClientError::TooManySecrets => Self::new(ProblemKind::Conflict)
                .detail("Two secrets are good already; end one first, or all by others_end_in 0."),
            ClientError::Claim(error) => error.into(),
            ClientError::Stale => Self::new(ProblemKind::PreconditionFailed),
            ClientError::Above(Rank::Operator) => Self::new(ProblemKind::Forbidden).detail(
                "Clients that are first-party or have the password grant are touched by callers that hold all of Doorward's scopes.",
            ),
            ClientError::Above(Rank::Scope(own)) => Self::new(ProblemKind::Forbidden).detail(
                format!("The client has the scope {own}, which the caller does not hold."),
            ),
            ClientError::Fault(fault) => fault.into(),
        }
    }
}
