//! A registered consumer sees its view and nothing else: whatever it calls is refused, unless it is known to keep to the view.

use axum::body::Body;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::View;
use crate::app::App;
use crate::cx::Cx;
use crate::http::{Problem, ProblemKind, is_known};
use crate::kernel::Fault;

/// What a route of the API is to a registered consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// Not for consumers.
    Nothing,
    /// The handler knows views.
    ByItself,
    /// Answers with a person, or a page of people: what the view does not show is taken out here.
    People,
}

/// Lets callers who are no consumer through, and consumers where the route keeps to their view.
pub(crate) async fn within_view(
    State((app, shown)): State<(App, Shown)>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    // Infallible.
    let Ok(cx) = Cx::from_request_parts(&mut parts, &app).await;
    let request = Request::from_parts(parts, body);
    match cx.app.consumers.of_caller(&cx).await {
        Err(fault) => Problem::from(fault).into_response(),
        Ok(None) => next.run(request).await,
        Ok(Some(consumer)) => match shown {
            Shown::Nothing => Problem::new(ProblemKind::Forbidden)
                .detail("The client is a registered consumer: it reads its view, and nothing else.")
                .into_response(),
            Shown::ByItself => next.run(request).await,
            Shown::People => {
                if let Err(refused) = may_ask(request.uri().query().unwrap_or(""), &consumer.view) {
                    return refused.into_response();
                }
                // What is compared is what the consumer sees: the person's own version says when they changed outside the view, too.
                let mut request = request;
                let sent = request.headers().clone();
                request.headers_mut().remove(header::IF_NONE_MATCH);
                shown_of(next.run(request).await, &consumer.view, &sent)
                    .await
                    .unwrap_or_else(IntoResponse::into_response)
            }
        },
    }
}

/// Filters and orders speak of members: whoever may not see one may not ask about it either.
fn may_ask(query: &str, view: &View) -> Result<(), Problem> {
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let members: Vec<String> = match name.as_ref() {
            "limit" | "after" => continue,
            "email" | "username" | "status" | "name" => vec![name.to_string()],
            "updated_since" => vec!["updated_at".to_owned()],
            "q" => ["name", "email", "username"].map(str::to_owned).into(),
            "sort" => match value.trim_start_matches('-') {
                "id" => continue,
                member => vec![member.to_owned()],
            },
            "external_id" => {
                let system = value.split_once(':').map_or("", |(system, _)| system);
                vec![format!("external_ids.{system}")]
            }
            attribute if attribute.starts_with("attributes.") => vec![attribute.to_owned()],
            _ => vec![String::new()],
        };
        if !members.iter().all(|member| view.shows(member)) {
            let name: String = name.chars().take(64).collect();
            return Err(Problem::invalid_query(
                name,
                "The consumer's view does not show what this asks about.",
            ));
        }
    }
    Ok(())
}

/// The answer with what the view shows of each person, and an ETag of that. One that can't be looked into is not passed on.
async fn shown_of(answer: Response, view: &View, sent: &HeaderMap) -> Result<Response, Problem> {
    if !answer.status().is_success() {
        return Ok(answer);
    }
    let (mut parts, body) = answer.into_parts();
    let is_json = parts
        .headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|t| t == "application/json");
    if !is_json {
        return Err(Problem::new(ProblemKind::Forbidden)
            .detail("A registered consumer reads everybody by /api/v1/changes."));
    }
    let bytes = body.collect().await;
    let bytes = bytes
        .map_err(|e| Fault::internal("collecting an answer", e))?
        .to_bytes();
    let document = serde_json::from_slice(&bytes);
    let document: Map<String, Value> =
        document.map_err(|e| Fault::internal("reading an answer of our own", e))?;
    let shown = Value::Object(in_view(document, view)).to_string();
    parts.headers.remove(header::CONTENT_LENGTH);
    if parts.headers.remove(header::ETAG).is_some() {
        let etag = etag(&shown)?;
        if is_known(&etag, sent) {
            return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response());
        }
        parts.headers.insert(header::ETAG, etag);
    }
    Ok(Response::from_parts(parts, Body::from(shown)))
}

fn etag(text: &str) -> Result<HeaderValue, Fault> {
    let hash: String = Sha256::digest(text)[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    HeaderValue::try_from(format!("\"{hash}\"")).map_err(|e| Fault::internal("making an ETag", e))
}

/// A page, or a person.
fn in_view(mut document: Map<String, Value>, view: &View) -> Map<String, Value> {
    let Some(Value::Array(items)) = document.get_mut("items") else {
        return view.show(&document);
    };
    for item in items {
        let person = std::mem::take(item);
        *item = match person {
            Value::Object(person) => Value::Object(view.show(&person)),
            _ => Value::Null,
        };
    }
    let kept = |name: &str| ["items", "next"].contains(&name);
    document.retain(|name, _| kept(name));
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view() -> View {
        let shown = [
            ("mail", "email"),
            ("customer", "external_ids.billing"),
            ("plan", "attributes.plan"),
            ("name", "name"),
        ];
        View::new(shown.map(|(name, source)| (name.to_owned(), source.to_owned())))
    }

    #[test]
    fn what_is_not_seen_is_not_asked_about() {
        // S-153
        let may = |query: &str| may_ask(query, &view()).is_ok();
        for fine in [
            "",
            "limit=5&after=x",
            "email=a%40b",
            "external_id=billing%3A7",
            "sort=name",
            "sort=-id",
            "attributes.plan=x",
        ] {
            assert!(may(fine), "{fine}");
        }
        for oracle in [
            "username=a",
            "status=active",
            "q=ada",
            "updated_since=2026-01-01T00:00:00Z",
            "external_id=shop%3A7",
            "external_id=7",
            "sort=updated_at",
            "sort=-updated_at",
            "attributes.age=7",
            "new=x",
            "emai%6C=a&us%65rname=b",
        ] {
            assert!(!may(oracle), "{oracle}");
        }
    }
}
