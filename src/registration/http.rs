//! `/oauth2/register` (RFC 7591, RFC 7592) and `/api/v1/initial-access-tokens`.

use axum::Json;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::initial_tokens::{self, InitialTokenError};
use super::operations::{self, Managed, RegistrationFailure};
use super::shapes::{
    InitialTokenListShape, InitialTokenWriteShape, NewInitialTokenShape, RegistrationShape,
};
use super::{Allowance, InitialToken, store};
use crate::app::App;
use crate::clients::RegistrationError;
use crate::config::RegistrationMode;
use crate::cx::Cx;
use crate::http::shapes::{ApiRefusals, BodyRefusals, OAuthErrorShape};
use crate::http::{
    At, BearerError, IdempotencyKey, JsonBody, OAuthCode, OAuthError, Problem, ProblemKind,
    private, replayed,
};
use crate::idempotency::Claim;
use crate::kernel::ClientId;
use crate::kernel::object::pointer;
use crate::kernel::span::Span;
use crate::token;

const PATH: &str = "/oauth2/register";
/// What an idempotency key is for.
const TOKEN_CREATION: &str = "POST /api/v1/initial-access-tokens";
/// In seconds.
const HOUR: u32 = 3600;

/// `POST /oauth2/register`.
#[utoipa::path(post, path = "/oauth2/register", tag = "tokens", operation_id = "register", request_body(content = Object, description = "Client metadata (RFC 7591 §2); what Doorward does not know is ignored"), responses((status = 201, description = "Registered, with all that was (RFC 7591 §3.2.1)", body = RegistrationShape), (status = 400, description = "invalid_redirect_uri or invalid_client_metadata", body = OAuthErrorShape), (status = 401, description = "The initial access token is missing or not good"), (status = 404, description = "Registration is switched off", body = OAuthErrorShape), (status = 429, description = "Too many registered themselves", body = OAuthErrorShape)), security(("registration" = []), ()))]
pub(crate) async fn register(
    _: SwitchedOn,
    cx: Cx,
    headers: HeaderMap,
    Metadata(metadata): Metadata,
) -> Result<Response, Refusal> {
    let token = match token::bearer(&headers) {
        Ok(token) => Some(token),
        Err(BearerError::MissingToken) => None,
        Err(error) => return Err(Refusal::Bearer(error)),
    };
    let managed = operations::register(metadata, token, &cx).await?;
    Ok(answer(&managed, StatusCode::CREATED, &cx))
}

/// `GET /oauth2/register/{id}`.
#[utoipa::path(get, path = "/oauth2/register/{id}", tag = "tokens", operation_id = "read_registration", params(("id" = String, Path, description = "The client's id")), responses((status = 200, description = "What is registered", body = RegistrationShape), (status = 401, description = "The registration access token is missing or not good"), (status = 404, description = "Registration is switched off", body = OAuthErrorShape)), security(("registration" = [])))]
pub(crate) async fn show(
    _: SwitchedOn,
    cx: Cx,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let token = token::bearer(&headers)?;
    let managed = operations::show(&client(&id)?, token, &cx).await?;
    Ok(answer(&managed, StatusCode::OK, &cx))
}

/// `PUT /oauth2/register/{id}`: the whole registration.
#[utoipa::path(put, path = "/oauth2/register/{id}", tag = "tokens", operation_id = "replace_registration", params(("id" = String, Path, description = "The client's id")), request_body(content = Object, description = "All client metadata, with client_id (RFC 7592 §2.2)"), responses((status = 200, description = "What is registered now", body = RegistrationShape), (status = 400, description = "invalid_redirect_uri or invalid_client_metadata", body = OAuthErrorShape), (status = 401, description = "The registration access token is missing or not good"), (status = 403, description = "An operator gave the client more than it may manage", body = OAuthErrorShape), (status = 404, description = "Registration is switched off", body = OAuthErrorShape), (status = 429, description = "Changed too often", body = OAuthErrorShape)), security(("registration" = [])))]
pub(crate) async fn replace(
    _: SwitchedOn,
    cx: Cx,
    Path(id): Path<String>,
    headers: HeaderMap,
    Metadata(metadata): Metadata,
) -> Result<Response, Refusal> {
    let token = token::bearer(&headers)?;
    let managed = operations::replace(&client(&id)?, token, metadata, &cx).await?;
    Ok(answer(&managed, StatusCode::OK, &cx))
}

/// `DELETE /oauth2/register/{id}`.
#[utoipa::path(delete, path = "/oauth2/register/{id}", tag = "tokens", operation_id = "delete_registration", params(("id" = String, Path, description = "The client's id")), responses((status = 204, description = "The client is gone"), (status = 401, description = "The registration access token is missing or not good"), (status = 403, description = "An operator gave the client more than it may manage", body = OAuthErrorShape), (status = 404, description = "Registration is switched off", body = OAuthErrorShape), (status = 429, description = "Changed too often", body = OAuthErrorShape)), security(("registration" = [])))]
pub(crate) async fn remove(
    _: SwitchedOn,
    cx: Cx,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Refusal> {
    let token = token::bearer(&headers)?;
    operations::remove(&client(&id)?, token, &cx).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /api/v1/initial-access-tokens`: those that are good.
#[utoipa::path(get, path = "/api/v1/initial-access-tokens", tag = "clients", operation_id = "list_initial_access_tokens", responses((status = 200, description = "What is told of them", body = InitialTokenListShape), ApiRefusals), security(("bearer" = ["clients:read"])))]
pub(crate) async fn list_tokens(cx: Cx) -> Result<Response, Problem> {
    let tokens = store::list_tokens(cx.now, &mut *cx.connection().await?).await?;
    let items: Vec<_> = tokens.iter().map(InitialToken::view).collect();
    Ok(private(Json(json!({ "items": items, "next": null }))))
}

/// `POST /api/v1/initial-access-tokens`: `{"uses": 1, "expires_in": 86400}`.
#[utoipa::path(post, path = "/api/v1/initial-access-tokens", tag = "clients", operation_id = "create_initial_access_token", params(("Idempotency-Key" = Option<String>, Header, description = "A name of your own for this request: sent again within 24 hours it gets the same answer and makes nothing more")), request_body = InitialTokenWriteShape, responses((status = 201, description = "The token, which is told once", body = NewInitialTokenShape, headers(("Idempotency-Replayed" = Option<String>, description = "The answer is that of an earlier request"))), ApiRefusals, BodyRefusals), security(("bearer" = ["clients:write"])))]
pub(crate) async fn create_token(
    cx: Cx,
    key: IdempotencyKey,
    body: JsonBody,
) -> Result<Response, Problem> {
    let claim = Claim::new(&key, TOKEN_CREATION, &body.value, &cx);
    let (allowance, uses, life) = asked(body)?;
    let told = initial_tokens::create_token(allowance, uses, life, claim.as_ref(), &cx).await?;
    let made = private((StatusCode::CREATED, Json(told.view)));
    Ok(replayed(made, told.earlier))
}

/// `DELETE /api/v1/initial-access-tokens/{id}`.
#[utoipa::path(delete, path = "/api/v1/initial-access-tokens/{id}", tag = "clients", operation_id = "delete_initial_access_token", params(("id" = String, Path, description = "The token's id")), responses((status = 204, description = "It is good no more"), ApiRefusals), security(("bearer" = ["clients:write"])))]
pub(crate) async fn delete_token(cx: Cx, At(id): At<Uuid>) -> Result<StatusCode, Problem> {
    if initial_tokens::delete_token(id, &cx).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::new(ProblemKind::NotFound))
    }
}

fn asked(body: JsonBody) -> Result<(Allowance, u32, Span), Problem> {
    let mut document = body.object(&["application/json"])?;
    let mut problem = Problem::new(ProblemKind::Invalid);
    let mut wrong = false;
    let mut take = |name: &str| document.remove(name).filter(|value| !value.is_null());
    let (uses, life) = (take("uses"), take("expires_in"));
    let (grants, pkce) = (take("grant_types"), take("require_pkce"));
    let number = |value: Option<Value>, default| match value {
        None => Some(default),
        Some(value) => value.as_u64().and_then(|n| u32::try_from(n).ok()),
    };
    let texts = |value: Value| -> Option<Vec<String>> {
        let texts = value.as_array()?.iter();
        texts.map(|text| text.as_str().map(str::to_owned)).collect()
    };
    let uses = number(uses, 1);
    let life = number(life, 24 * HOUR);
    let grants = match grants {
        None => Some(Allowance::of_strangers().grants),
        Some(value) => texts(value),
    };
    let pkce = pkce.map_or(Some(true), |value| value.as_bool());
    for (name, is_read, expected) in [
        ("uses", uses.is_some(), "a number"),
        ("expires_in", life.is_some(), "a number of seconds"),
        ("grant_types", grants.is_some(), "a list of strings"),
        ("require_pkce", pkce.is_some(), "true or false"),
    ] {
        if !is_read {
            wrong = true;
            problem = problem.field(pointer(name), format!("Expected {expected}."));
        }
    }
    for name in document.keys() {
        wrong = true;
        problem = problem.field(pointer(name), "There is no such member.");
    }
    match (uses, life, grants, pkce) {
        (Some(uses), Some(life), Some(grants), Some(require_pkce)) if !wrong => {
            let allowance = Allowance {
                grants,
                require_pkce,
            };
            Ok((allowance, uses, Span::seconds(life)))
        }
        _ => Err(problem),
    }
}

/// The door is there at all.
pub(crate) struct SwitchedOn;

impl FromRequestParts<App> for SwitchedOn {
    type Rejection = OAuthError;

    async fn from_request_parts(_: &mut Parts, app: &App) -> Result<Self, OAuthError> {
        if app.config.registration.mode == RegistrationMode::Off {
            return Err(
                OAuthError::invalid_request("Clients do not register themselves here.")
                    .status(StatusCode::NOT_FOUND),
            );
        }
        Ok(Self)
    }
}

/// A JSON object of client metadata.
pub(crate) struct Metadata(Map<String, Value>);

impl FromRequest<App> for Metadata {
    type Rejection = OAuthError;

    async fn from_request(request: Request, app: &App) -> Result<Self, OAuthError> {
        let refused = || {
            OAuthError::new(
                OAuthCode::InvalidClientMetadata,
                "Send the client's metadata as a JSON object (application/json).",
            )
        };
        let body = JsonBody::from_request(request, app).await;
        match body.map_err(|_| refused())?.value {
            Value::Object(members) => Ok(Self(members)),
            _ => Err(refused()),
        }
    }
}

/// How a registration is refused.
pub(crate) enum Refusal {
    OAuth(OAuthError),
    Bearer(BearerError),
}

impl From<BearerError> for Refusal {
    fn from(error: BearerError) -> Self {
        Self::Bearer(error)
    }
}

impl From<RegistrationFailure> for Refusal {
    fn from(failure: RegistrationFailure) -> Self {
        match failure {
            RegistrationFailure::NoToken => Self::Bearer(BearerError::MissingToken),
            RegistrationFailure::BadToken => Self::Bearer(BearerError::InvalidToken),
            RegistrationFailure::NoRoom => Self::OAuth(
                OAuthError::new(
                    OAuthCode::TemporarilyUnavailable,
                    "Too many clients have registered themselves; come again later.",
                )
                .status(StatusCode::TOO_MANY_REQUESTS)
                .retry_after(HOUR),
            ),
            RegistrationFailure::TooOften(wait) => Self::OAuth(
                OAuthError::new(
                    OAuthCode::TemporarilyUnavailable,
                    "Registrations from there were changed too often; come again later.",
                )
                .status(StatusCode::TOO_MANY_REQUESTS)
                .retry_after(wait),
            ),
            RegistrationFailure::OutOfReach => Self::OAuth(
                OAuthError::invalid_request(
                    "An operator gave this client more than it may manage by itself.",
                )
                .status(StatusCode::FORBIDDEN),
            ),
            RegistrationFailure::Invalid(wrong) => Self::OAuth(invalid(&wrong)),
            RegistrationFailure::Fault(fault) => Self::OAuth(fault.into()),
        }
    }
}

/// RFC 7591 §3.2.2: the first code that fits, and all that is wrong.
fn invalid(wrong: &[RegistrationError]) -> OAuthError {
    let code = if wrong.iter().any(|w| w.part == "redirect_uris") {
        OAuthCode::InvalidRedirectUri
    } else {
        OAuthCode::InvalidClientMetadata
    };
    let told: Vec<_> = wrong.iter().map(ToString::to_string).collect();
    OAuthError::new(code, told.join(" "))
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::OAuth(error) => error.into_response(),
            Self::Bearer(error) => error.into_response(),
        }
    }
}

impl From<InitialTokenError> for Problem {
    fn from(error: InitialTokenError) -> Self {
        match error {
            InitialTokenError::Invalid(wrong) => wrong
                .into_iter()
                .fold(Self::new(ProblemKind::Invalid), |problem, w| {
                    problem.field(pointer(&w.part), w.detail)
                }),
            InitialTokenError::Claim(error) => error.into(),
            InitialTokenError::Fault(fault) => fault.into(),
        }
    }
}

fn client(id: &str) -> Result<ClientId, Refusal> {
    id.parse()
        .map_err(|_| Refusal::Bearer(BearerError::InvalidToken))
}

/// RFC 7591 §3.2.1, RFC 7592 §3: all that is registered, and how to manage it.
fn answer(managed: &Managed, status: StatusCode, cx: &Cx) -> Response {
    let client = &managed.client;
    let mut members = client.registration.to_json();
    members.retain(|_, value| !value.is_null());
    // What only an operator sets is no news to the client, and none of its business.
    for name in ["serves", "audiences", "first_party"] {
        members.remove(name);
    }
    members.insert("client_id".to_owned(), json!(client.id));
    let issued_at = client.created_at.unix_timestamp();
    members.insert("client_id_issued_at".to_owned(), json!(issued_at));
    if let Some(secret) = &managed.secret {
        members.insert("client_secret".to_owned(), json!(secret.expose()));
        members.insert("client_secret_expires_at".to_owned(), json!(0));
    }
    let token = managed.token.expose();
    members.insert("registration_access_token".to_owned(), json!(token));
    let uri = cx.app.config.issuer.join(&format!("{PATH}/{}", client.id));
    members.insert("registration_client_uri".to_owned(), json!(uri));
    private((status, Json(Value::Object(members))))
}
