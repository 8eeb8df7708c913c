//! JSON bodies, read strictly: the right media type, at most 1 MiB, no key twice (kernel::json).

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::header;
use http_body_util::BodyExt;
use serde_json::{Map, Value};

use super::form::FormError;
use super::layers::BodyTimeout;
use super::{Problem, ProblemKind};
use crate::kernel::json;

const MAX_BYTES: usize = 1024 * 1024;
/// How long what follows an oversized body's limit is read and dropped, so that the answer arrives (checklist 173).
const DRAIN: Duration = Duration::from_secs(1);

/// A JSON document and the media type that it came with.
pub(crate) struct JsonBody {
    pub(crate) value: Value,
    /// Lower-case, without parameters: `application/json`, `application/merge-patch+json`.
    pub(crate) media_type: String,
}

impl JsonBody {
    /// The members of an object that came as one of these media types.
    pub(crate) fn object(self, media_types: &[&str]) -> Result<Map<String, Value>, Problem> {
        if !media_types.contains(&self.media_type.as_str()) {
            return Err(Problem::new(ProblemKind::UnsupportedMediaType)
                .detail(format!("Send {}.", media_types.join(" or "))));
        }
        match self.value {
            Value::Object(members) => Ok(members),
            _ => Err(Problem::new(ProblemKind::Invalid).field("", "Expected an object.")),
        }
    }
}

impl<S: Sync> FromRequest<S> for JsonBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let sent = request
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|v| v.to_str().ok())
            .unwrap_or("");
        let media_type = sent
            .split(';')
            .next()
            .unwrap_or("")
            .trim()
            .to_ascii_lowercase();
        if media_type != "application/json"
            && !(media_type.starts_with("application/") && media_type.ends_with("+json"))
        {
            return Err(Problem::new(ProblemKind::UnsupportedMediaType)
                .detail("Send application/json, or the media type of the patch that it is."));
        }
        let bytes = read_body(request, MAX_BYTES).await.map_err(|e| match e {
            FormError::TooLarge => {
                Problem::new(ProblemKind::TooLarge).detail("A body may have 1 MiB.")
            }
            FormError::TooSlow => {
                Problem::new(ProblemKind::Timeout).detail("The body did not arrive in time.")
            }
            _ => Problem::new(ProblemKind::MalformedRequest).detail("The body could not be read."),
        })?;
        let value = json::parse(&bytes).map_err(|e| {
            Problem::new(ProblemKind::MalformedRequest)
                .detail(format!("Not JSON as we read it: {e}."))
        })?;
        Ok(Self { value, media_type })
    }
}

/// Reads a body of at most `limit` bytes within the time that the settings allow. What follows the limit is not kept.
pub(super) async fn read_body(request: Request, limit: usize) -> Result<Bytes, FormError> {
    let timeout = request
        .extensions()
        .get::<BodyTimeout>()
        .map_or(Duration::from_secs(15), |t| t.0);
    let mut body = request.into_body();
    match tokio::time::timeout(timeout, collect(&mut body, limit)).await {
        Ok(Err(FormError::TooLarge)) => {
            let drain = async { while body.frame().await.is_some_and(|frame| frame.is_ok()) {} };
            let _ = tokio::time::timeout(DRAIN, drain).await;
            Err(FormError::TooLarge)
        }
        Ok(result) => result,
        Err(_) => Err(FormError::TooSlow),
    }
}

async fn collect(body: &mut Body, limit: usize) -> Result<Bytes, FormError> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| FormError::Malformed)?;
        if let Ok(data) = frame.into_data() {
            if bytes.len() + data.len() > limit {
                return Err(FormError::TooLarge);
            }
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes.into())
}
