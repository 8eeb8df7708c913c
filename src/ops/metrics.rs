//! `/metrics`, in the text format of Prometheus: what was counted, and what is looked up when it is asked for.

use std::fmt::Write;
use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};

use crate::app::App;
use crate::http::{Peer, ProblemKind, refusal};
use crate::kernel::Fault;

const TEXT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// On the public listener for callers of this machine alone; a request that came through a proxy is somebody else's.
#[utoipa::path(get, path = "/metrics", tag = "operators", responses((status = 200, description = "Prometheus' text format", content_type = "application/openmetrics-text", body = String), (status = 404, description = "Not for callers of other machines", content_type = "text/html", body = String), (status = 405, description = "GET only")))]
pub(crate) async fn for_loopback(State(app): State<App>, request: Request) -> Response {
    let peer = request.extensions().get::<Peer>().map(|peer| peer.0.ip());
    if app.config.ops.listen.is_none() && is_of_this_machine(peer, request.headers()) {
        show(&app)
    } else {
        refusal(request.uri().path(), ProblemKind::NotFound)
    }
}

/// On `ops.listen`, for whoever reaches it.
pub(crate) async fn for_everybody(State(app): State<App>) -> Response {
    show(&app)
}

fn is_of_this_machine(peer: Option<IpAddr>, headers: &HeaderMap) -> bool {
    let forwarded = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];
    peer.is_some_and(|ip| ip.to_canonical().is_loopback())
        && !forwarded.iter().any(|name| headers.contains_key(*name))
}

fn show(app: &App) -> Response {
    match write(app) {
        Ok(text) => (
            [
                (header::CONTENT_TYPE, TEXT),
                (header::CACHE_CONTROL, "no-store"),
            ],
            text,
        )
            .into_response(),
        Err(cause) => {
            let fault = Fault::internal("writing the metrics", cause);
            crate::http::Problem::from(fault).into_response()
        }
    }
}

fn write(app: &App) -> Result<String, std::fmt::Error> {
    let mut text = String::with_capacity(16 * 1024);
    let version = env!("CARGO_PKG_VERSION");
    gauge(&mut text, "build_info", "The running version")?;
    writeln!(text, "doorward_build_info{{version=\"{version}\"}} 1")?;

    let pool = &app.pool;
    gauge(
        &mut text,
        "database_connections",
        "Connections to the database, by state",
    )?;
    let (open, idle) = (pool.size() as usize, pool.num_idle());
    for (state, count) in [("used", open.saturating_sub(idle)), ("idle", idle)] {
        writeln!(
            text,
            "doorward_database_connections{{state=\"{state}\"}} {count}"
        )?;
    }
    gauge(
        &mut text,
        "database_connections_limit",
        "Connections that there may be",
    )?;
    let most = app.config.database.max_connections;
    writeln!(text, "doorward_database_connections_limit {most}")?;

    gauge(&mut text, "client_cache_entries", "Clients in memory")?;
    let entries = app.clients.entries();
    writeln!(text, "doorward_client_cache_entries {entries}")?;
    gauge(
        &mut text,
        "caches_trusted",
        "Whether the notifier was heard within the last second",
    )?;
    let trusted = u8::from(app.trust.holds());
    writeln!(text, "doorward_caches_trusted {trusted}")?;

    gauge(
        &mut text,
        "signing_key_age_seconds",
        "Since a signing key was made, by algorithm and step",
    )?;
    let now = app.clock.now();
    for key in app.keyring.now().all() {
        let seconds = (now - key.created_at).whole_seconds();
        let (alg, step) = (key.alg.as_str(), key.step.as_str());
        writeln!(
            text,
            "doorward_signing_key_age_seconds{{alg=\"{alg}\",step=\"{step}\"}} {seconds}"
        )?;
    }
    let lags = app.consumers.lags();
    if !lags.is_empty() {
        let help = "Changes that a consumer has not acknowledged, counted up to 100,000";
        gauge(&mut text, "consumer_lag_changes", help)?;
        for (name, lag) in &lags {
            let changes = lag.changes;
            writeln!(
                text,
                "doorward_consumer_lag_changes{{consumer=\"{name}\"}} {changes}"
            )?;
        }
        let help = "Since the oldest change that a consumer has not acknowledged";
        gauge(&mut text, "consumer_lag_seconds", help)?;
        for (name, lag) in &lags {
            let seconds = lag.seconds;
            writeln!(
                text,
                "doorward_consumer_lag_seconds{{consumer=\"{name}\"}} {seconds}"
            )?;
        }
    }
    app.meters.write(&mut text)?;
    Ok(text)
}

fn gauge(text: &mut String, name: &str, help: &str) -> std::fmt::Result {
    writeln!(text, "# HELP doorward_{name} {help}.")?;
    writeln!(text, "# TYPE doorward_{name} gauge")
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_request_through_a_proxy_is_not_of_this_machine() {
        let ip = |text: &str| text.parse::<IpAddr>().ok();
        let mut headers = HeaderMap::new();
        assert!(is_of_this_machine(ip("127.0.0.1"), &headers));
        assert!(is_of_this_machine(ip("::1"), &headers));
        assert!(is_of_this_machine(ip("::ffff:127.0.0.1"), &headers));
        assert!(!is_of_this_machine(ip("192.0.2.1"), &headers));
        assert!(!is_of_this_machine(None, &headers));
        headers.insert("x-forwarded-for", HeaderValue::from_static("192.0.2.1"));
        assert!(!is_of_this_machine(ip("127.0.0.1"), &headers));
    }
}
