//! `/metrics`.

use reqwest::Method;
use serde_json::json;

use crate::support::{Answer, Browser, Server};

#[tokio::test]
async fn what_happens_is_counted_under_labels_of_closed_sets() {
    // S-168
    let server = Server::start().await;
    let made_up = "stranger-made-this-up";
    let client = server.client().machine().register().await;
    client.token(&[]).await;
    client.token(&[]).await;
    client
        .client_credentials(&[("scope", made_up)])
        .await
        .refused(400, "invalid_scope");
    let stranger = crate::support::TestClient {
        id: made_up.to_owned(),
        ..client.clone()
    };
    stranger.client_credentials(&[]).await;
    Browser::new(&server).try_sign_in(made_up, made_up).await;
    server.user(json!({ "username": "ada" })).await;
    server.get(&format!("/{made_up}?{made_up}={made_up}")).await;
    server.get(&format!("/api/v1/users/{made_up}")).await;
    let odd = Method::from_bytes(made_up.as_bytes()).unwrap();
    Answer::of(server.request(odd, "/login")).await;

    let answer = server.get("/metrics").await;
    assert_eq!(answer.status, 200);
    assert!(
        answer
            .header("content-type")
            .starts_with("application/openmetrics-text")
    );
    let text = &answer.text;
    assert!(!text.contains(made_up), "{text}");
    for line in [
        format!("doorward_tokens_issued_total{{grant=\"client_credentials\",client=\"{}\"}} 2", client.id),
        "doorward_http_requests_total{route=\"/oauth2/token\",method=\"POST\",status=\"200\"} ".to_owned(),
        "doorward_http_requests_total{route=\"none\",method=\"GET\",status=\"404\"} 1".to_owned(),
        "doorward_http_requests_total{route=\"/login\",method=\"other\",status=\"405\"} 1".to_owned(),
        "doorward_http_requests_total{route=\"/api/v1/users/{id}\",method=\"GET\",status=\"401\"} 1".to_owned(),
        "doorward_http_request_duration_seconds_count{route=\"/oauth2/token\"} ".to_owned(),
        "doorward_token_errors_total{error=\"invalid_scope\"} 1".to_owned(),
        "doorward_token_errors_total{error=\"invalid_client\"} 1".to_owned(),
        "doorward_passwords_refused_total{door=\"page\",reason=\"wrong\"} 1".to_owned(),
        "doorward_fetches_total{purpose=\"keys\",outcome=\"done\"} 0".to_owned(),
        "doorward_hash_queue 0".to_owned(),
        "doorward_hash_wait_seconds_count 1".to_owned(),
        "doorward_database_connections{state=\"idle\"} ".to_owned(),
        "doorward_client_cache_lookups_total{answer=\"".to_owned(),
        "doorward_caches_trusted ".to_owned(),
        "doorward_signing_key_age_seconds{alg=\"ES256\",step=\"current\"} ".to_owned(),
    ] {
        assert!(
            text.lines().any(|l| l.starts_with(&line)),
            "{line}\n{text}"
        );
    }
    // One spelling for the words of our own.
    for label in ["door", "reason", "answer", "purpose", "outcome", "error"] {
        let label = format!("{label}=\"");
        let values = text.split(&label).skip(1);
        for value in values.filter_map(|rest| rest.split('"').next()) {
            let plain = value.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            assert!(plain, "{label}{value}");
        }
    }
    assert!(text.ends_with("# EOF\n"));
}

#[tokio::test]
async fn metrics_are_for_this_machine_or_a_listener_of_their_own() {
    let server = Server::start().await;
    let through_a_proxy = server
        .request(Method::GET, "/metrics")
        .header("x-forwarded-for", "127.0.0.1");
    assert_eq!(Answer::of(through_a_proxy).await.status, 404);

    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let server = Server::with(|config| config.ops.listen = Some(address)).await;
    assert_eq!(server.get("/metrics").await.status, 404, "only there");
    for (path, status) in [
        ("/metrics", 200),
        ("/healthz", 200),
        ("/readyz", 200),
        ("/login", 404),
        ("/oauth2/token", 404),
    ] {
        let answer = server.http.get(format!("http://{address}{path}"));
        assert_eq!(Answer::of(answer).await.status, status, "{path}");
    }
}
