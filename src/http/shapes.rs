//! What the kit's errors look like, for `/openapi.json`. The answers themselves are written by the errors' own files; a test holds the two
//! together.

// Read by the derive macros alone.
#![expect(dead_code, reason = "descriptions: nothing is ever made of these")]

use utoipa::{IntoResponses, ToSchema};

/// RFC 6749 §5.2.
#[derive(ToSchema)]
#[schema(as = OAuthError)]
pub(crate) struct OAuthErrorShape {
    error: String,
    /// A fixed text for the developer.
    error_description: String,
}

/// A problem document (RFC 9457).
#[derive(ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemShape {
    /// An anchor of docs/errors.md.
    r#type: String,
    title: String,
    status: u16,
    detail: Option<String>,
    /// The answer's `X-Request-Id`; the log has the cause under it.
    request_id: String,
    errors: Option<Vec<FieldErrorShape>>,
}

/// What is wrong, and where.
#[derive(ToSchema)]
#[schema(as = FieldError)]
pub(crate) struct FieldErrorShape {
    /// A JSON pointer into the body.
    pointer: Option<String>,
    /// A query parameter.
    parameter: Option<String>,
    detail: String,
    /// With `precondition-failed`: what the field is now, null where it is not set.
    #[schema(value_type = Option<Object>)]
    present: Option<()>,
}

/// What every route of the REST API may answer.
#[derive(IntoResponses)]
pub(crate) enum ApiRefusals {
    /// The request, or its query, could not be read
    #[response(status = 400, content_type = "application/problem+json")]
    Malformed(#[to_schema] ProblemShape),
    /// No access token, or none that is valid here
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthorized(#[to_schema] ProblemShape),
    /// The access token does not allow this
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(#[to_schema] ProblemShape),
    /// There is nothing here
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(#[to_schema] ProblemShape),
    /// Such methods there are none here
    #[response(status = 405, content_type = "application/problem+json")]
    MethodNotAllowed(#[to_schema] ProblemShape),
    /// The database is away, or there is too much to do
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(#[to_schema] ProblemShape),
}

/// What every route that takes a JSON body may answer beside [`ApiRefusals`].
#[derive(IntoResponses)]
pub(crate) enum BodyRefusals {
    /// The body did not arrive in time
    #[response(status = 408, content_type = "application/problem+json")]
    TooSlow(#[to_schema] ProblemShape),
    /// It would take what another has, or can't be done as things stand
    #[response(status = 409, content_type = "application/problem+json")]
    Conflict(#[to_schema] ProblemShape),
    /// `If-Match` is stale; nothing was written
    #[response(status = 412, content_type = "application/problem+json")]
    Stale(#[to_schema] ProblemShape),
    /// The body is too large
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(#[to_schema] ProblemShape),
    /// Another media type is expected
    #[response(status = 415, content_type = "application/problem+json")]
    MediaType(#[to_schema] ProblemShape),
    /// Some fields are not valid; `errors` names each
    #[response(status = 422, content_type = "application/problem+json")]
    Invalid(#[to_schema] ProblemShape),
}

/// What every page may answer.
#[derive(IntoResponses)]
pub(crate) enum PageRefusals {
    /// The form is not from here, or could not be read
    #[response(status = 400, content_type = "text/html")]
    Malformed(String),
    /// The form is another browser's or another site's
    #[response(status = 403, content_type = "text/html")]
    Foreign(String),
    /// There is nothing here
    #[response(status = 404, content_type = "text/html")]
    NotFound(String),
    /// Such methods there are none here
    #[response(status = 405, content_type = "text/html")]
    MethodNotAllowed(String),
    /// The form did not arrive in time
    #[response(status = 408, content_type = "text/html")]
    TooSlow(String),
    /// The form is too large
    #[response(status = 413, content_type = "text/html")]
    TooLarge(String),
    /// A form is expected
    #[response(status = 415, content_type = "text/html")]
    MediaType(String),
    /// What was sent is refused; the form is shown again
    #[response(status = 422, content_type = "text/html")]
    Refused(String),
    /// Too many attempts; `Retry-After` says when to come again
    #[response(status = 429, content_type = "text/html")]
    TooMany(String),
    /// The database is away, or there is too much to do
    #[response(status = 503, content_type = "text/html")]
    Unavailable(String),
}
