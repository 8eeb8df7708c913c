//! `?wait=NAME` on a change of a person: the answer comes when that consumer has the change, or says that it does not yet.

use std::time::Duration;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time::{Instant, timeout_at};

use super::{Consumer, store};
use crate::app::App;
use crate::cx::Cx;
use crate::http::{Problem, ProblemKind};
use crate::kernel::{Fault, UserId};
use crate::users;

/// Unless `Prefer: wait=` (RFC 7240 §4.3) says otherwise, and at most.
const PATIENCE: u64 = 10;
const LONGEST: u64 = 30;
const WAITED: HeaderName = HeaderName::from_static("doorward-wait");

/// Runs the request and, where it asks to wait and has changed a person, waits. What was written stays written however long the consumer
/// takes: 202 says that it does not have it yet.
pub(crate) async fn waiting(State(app): State<App>, request: Request, next: Next) -> Response {
    if !request.uri().query().is_some_and(|q| q.contains("wait=")) {
        return next.run(request).await;
    }
    let (mut parts, body) = request.into_parts();
    // Infallible.
    let Ok(cx) = Cx::from_request_parts(&mut parts, &app).await;
    let (name, uri) = match without_wait(&parts.uri) {
        Ok(split) => split,
        Err(problem) => return problem.into_response(),
    };
    let Some(name) = name else {
        return next.run(Request::from_parts(parts, body)).await;
    };
    let consumer = match cx.app.consumers.named(&name, &cx).await {
        Ok(Some(consumer)) => consumer,
        Ok(None) => return invalid("There is no consumer of that name.").into_response(),
        Err(fault) => return Problem::from(fault).into_response(),
    };
    let until = Instant::now() + patience(&parts.headers);
    let person = person_of(parts.uri.path());
    if person.is_none() && parts.uri.path() != "/api/v1/users" {
        return invalid("Only a change of one person is waited for.").into_response();
    }
    parts.uri = uri;
    let answer = next.run(Request::from_parts(parts, body)).await;
    let made = answer.headers().get(header::LOCATION);
    let made = made.and_then(|at| person_of(at.to_str().ok()?));
    match person.or(made) {
        Some(person) if answer.status().is_success() => {
            match wait(&consumer, person, until, &cx).await {
                Ok(has_it) => answered(answer, &name, has_it),
                // It is written, and that is what must be told.
                Err(fault) => {
                    tracing::warn!(cause = %fault, "waiting for a consumer failed");
                    answered(answer, &name, false)
                }
            }
        }
        _ => answer,
    }
}

fn answered(mut answer: Response, name: &str, has_it: bool) -> Response {
    let state = if has_it { "acknowledged" } else { "pending" };
    if let Ok(value) = HeaderValue::try_from(format!("{name}; {state}")) {
        answer.headers_mut().insert(WAITED, value);
    }
    if !has_it {
        *answer.status_mut() = StatusCode::ACCEPTED;
    }
    answer
}

/// Whether the consumer has the person's present state before `until`.
async fn wait(consumer: &Consumer, person: UserId, until: Instant, cx: &Cx) -> Result<bool, Fault> {
    let version = {
        let mut connection = cx.connection().await?;
        users::find_version(person, &mut connection).await?
    };
    // They were there a moment ago.
    let Some(version) = version else {
        return Ok(false);
    };
    let mut in_time = true;
    loop {
        let progress = {
            let mut connection = cx.connection().await?;
            store::progress(&consumer.name, person, version, &mut connection).await?
        };
        let Some(progress) = progress else {
            return Ok(false);
        };
        let news = async {
            match progress.place {
                Some(place) if progress.numbered && progress.ready => {
                    cx.app.news.acknowledgement(consumer.feed, place).await;
                }
                _ => {
                    let everybodys = crate::kernel::FeedId::EVERYBODYS;
                    cx.app.news.after(everybodys, progress.head).await;
                }
            }
        };
        if progress.numbered && progress.ready {
            match progress.place {
                // Not in its view: it has all that it is to have.
                None => return Ok(true),
                Some(place) if place <= progress.acknowledged => return Ok(true),
                Some(_) => {}
            }
        }
        if !in_time {
            return Ok(false);
        }
        let stopped = cx.app.tasks.stopped();
        let waited = async {
            tokio::select! {
                () = news => true,
                () = stopped => false,
            }
        };
        // A last look once time is up: a word may have been missed.
        in_time = timeout_at(until, waited).await == Ok(true);
    }
}

/// The consumer named by `wait`, and the request's address without it.
fn without_wait(uri: &Uri) -> Result<(Option<String>, Uri), Problem> {
    let mut name = None;
    let mut rest = form_urlencoded::Serializer::new(String::new());
    for (key, value) in form_urlencoded::parse(uri.query().unwrap_or("").as_bytes()) {
        if key != "wait" {
            rest.append_pair(&key, &value);
        } else if name.replace(value.into_owned()).is_some() {
            return Err(Problem::new(ProblemKind::InvalidQuery)
                .detail("A parameter is given more than once."));
        }
    }
    let rest = rest.finish();
    let path = uri.path();
    let address = if rest.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{rest}")
    };
    let uri = address.parse();
    Ok((
        name,
        uri.map_err(|_| Problem::new(ProblemKind::InvalidQuery))?,
    ))
}

/// The person whom a path is of: `/api/v1/users/{id}` and what is below it.
fn person_of(path: &str) -> Option<UserId> {
    let below = path.strip_prefix("/api/v1/users/")?;
    below.split('/').next()?.parse().ok()
}

fn patience(headers: &HeaderMap) -> Duration {
    let prefer = headers
        .get_all("prefer")
        .iter()
        .filter_map(|v| v.to_str().ok());
    let wait = prefer
        .flat_map(|prefer| prefer.split(','))
        .find_map(|preference| preference.trim().strip_prefix("wait=")?.parse().ok());
    Duration::from_secs(wait.unwrap_or(PATIENCE).min(LONGEST))
}

fn invalid(detail: &'static str) -> Problem {
    Problem::invalid_query("wait", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_handler_does_not_see_the_wait() {
        let split = |uri: &str| {
            let (name, rest) = without_wait(&uri.parse().unwrap()).ok()?;
            Some((name.unwrap_or_default(), rest.to_string()))
        };
        let pair = |a: &str, b: &str| Some((a.to_owned(), b.to_owned()));
        assert_eq!(split("/a?wait=billing"), pair("billing", "/a"));
        assert_eq!(split("/a?x=1&wait=b&y=2"), pair("b", "/a?x=1&y=2"));
        assert_eq!(split("/a?await=b"), pair("", "/a?await=b"));
        assert_eq!(split("/a?wait=a&wait=b"), None);
    }

    #[test]
    fn patience_is_bounded() {
        let of = |prefer: &'static str| {
            let headers = HeaderMap::from_iter([(
                HeaderName::from_static("prefer"),
                HeaderValue::from_static(prefer),
            )]);
            patience(&headers).as_secs()
        };
        assert_eq!(
            [
                of("wait=3"),
                of("respond-async, wait=0"),
                of("wait=9999"),
                of("wait=x"),
                of("")
            ],
            [3, 0, 30, 10, 10]
        );
    }
}
