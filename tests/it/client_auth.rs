//! How clients prove themselves (RFC 6749 §2.3).

use reqwest::Method;
use reqwest::RequestBuilder;

use crate::support::{Answer, Server, TestClient};

const BASIC: &str = r#"Basic realm="doorward", charset="UTF-8""#;

fn post(server: &Server, form: &[(&str, &str)]) -> RequestBuilder {
    let form: Vec<(&str, &str)> = [&[("grant_type", "client_credentials")], form].concat();
    server.request(Method::POST, "/oauth2/token").form(&form)
}

async fn basic(client: &TestClient<'_>, id: &str, secret: &str) -> Answer {
    Answer::of(post(client.server, &[]).basic_auth(id, Some(secret))).await
}

#[tokio::test]
async fn each_client_has_exactly_one_method() {
    // S-32, S-33
    let server = Server::start().await;
    let by_header = server.client().machine().register().await;
    let by_body = server
        .client()
        .machine()
        .auth_method("client_secret_post")
        .register()
        .await;
    let public = server
        .client()
        .option("--serves", "https://public.example")
        .auth_method("none")
        .register()
        .await;
    assert!(public.secret.is_none());
    let (id, secret) = (by_header.id.as_str(), by_header.secret.as_deref().unwrap());
    let (post_id, post_secret) = (by_body.id.as_str(), by_body.secret.as_deref().unwrap());

    assert_eq!(basic(&by_header, id, secret).await.status, 200);
    let in_body = Answer::of(post(
        &server,
        &[("client_id", post_id), ("client_secret", post_secret)],
    ))
    .await;
    assert_eq!(in_body.status, 200, "{}", in_body.text);
    // The other method, with the right secret.
    assert_eq!(
        basic(&by_body, post_id, post_secret)
            .await
            .refused(401, "invalid_client")
            .header("www-authenticate"),
        BASIC
    );
    let answer = Answer::of(post(
        &server,
        &[("client_id", id), ("client_secret", secret)],
    ))
    .await;
    assert_eq!(
        answer
            .refused(401, "invalid_client")
            .header("www-authenticate"),
        "",
        "no challenge where the header was not used"
    );
    // Two methods at once; the id beside Basic is fine when it is the same.
    Answer::of(
        post(&server, &[("client_id", id), ("client_secret", secret)]).basic_auth(id, Some(secret)),
    )
    .await
    .refused(400, "invalid_request");
    Answer::of(post(&server, &[("client_secret", secret)]).basic_auth(id, Some(secret)))
        .await
        .refused(400, "invalid_request");
    assert_eq!(
        Answer::of(post(&server, &[("client_id", id)]).basic_auth(id, Some(secret)))
            .await
            .status,
        200
    );
    Answer::of(post(&server, &[("client_id", post_id)]).basic_auth(id, Some(secret)))
        .await
        .refused(400, "invalid_request");
    let twice = post(&server, &[])
        .basic_auth(id, Some(secret))
        .header("authorization", "Basic eDp5");
    Answer::of(twice).await.refused(400, "invalid_request");
    // Only the id.
    Answer::of(post(&server, &[("client_id", id)]))
        .await
        .refused(401, "invalid_client");
    Answer::of(post(&server, &[("client_id", post_id)]))
        .await
        .refused(401, "invalid_client");
    Answer::of(post(&server, &[]))
        .await
        .refused(401, "invalid_client");
    // A public client names itself; with a secret it is somebody else.
    Answer::of(post(&server, &[("client_id", &public.id)]))
        .await
        .refused(400, "unauthorized_client");
    Answer::of(post(
        &server,
        &[("client_id", &public.id), ("client_secret", "x")],
    ))
    .await
    .refused(401, "invalid_client");
}

#[tokio::test]
async fn an_empty_secret_proves_nothing() {
    // S-34
    let server = Server::start().await;
    let client = server.client().machine().register().await;
    let by_body = server
        .client()
        .machine()
        .auth_method("client_secret_post")
        .register()
        .await;
    for empty in ["", " ", "\t", "%20", "+"] {
        basic(&client, &client.id, empty)
            .await
            .refused(401, "invalid_client");
        Answer::of(post(
            &server,
            &[("client_id", &by_body.id), ("client_secret", empty)],
        ))
        .await
        .refused(401, "invalid_client");
    }
}

#[tokio::test]
async fn unknown_and_wrong_are_answered_alike() {
    // S-31, S-39
    let server = Server::start().await;
    let client = server.client().machine().register().await;
    let shape = |answer: &Answer| {
        let mut headers: Vec<(String, String)> = answer
            .headers
            .iter()
            .map(|(n, v)| (n.to_string(), v.to_str().unwrap().to_owned()))
            .collect();
        headers.retain(|(name, _)| !["date", "x-request-id"].contains(&name.as_str()));
        headers.sort();
        (answer.status, headers, answer.text.clone())
    };
    let wrong = basic(&client, &client.id, "wrong").await;
    wrong.refused(401, "invalid_client");
    for (id, secret) in [
        ("c_AAAAAAAAAAAAAAAAAAAAAA", "wrong"),
        ("nonsense", "wrong"),
        ("c_", ""),
        ("", "x"),
        ("c_AAAAAAAAAAAAAAAAAAAAAA", ""),
    ] {
        assert_eq!(
            shape(&basic(&client, id, secret).await),
            shape(&wrong),
            "{id}"
        );
    }
}

#[tokio::test]
async fn malformed_credentials_are_refused() {
    let server = Server::start().await;
    for header in [
        "Basic",
        "Basic ",
        "Basic %%%",
        "Basic bm8tY29sb24=",
        "Bearer x",
        "Digest x",
        "Basic YTolenc=",
    ] {
        let answer = Answer::of(post(&server, &[]).header("authorization", header)).await;
        assert_eq!(
            answer
                .refused(401, "invalid_client")
                .header("www-authenticate"),
            BASIC,
            "{header}"
        );
    }
}

#[tokio::test]
async fn secrets_are_long_hashed_and_told_once() {
    // S-35, S-150, E6
    let server = Server::start().await;
    let client = server.client().machine().register().await;
    let secret = client.secret.clone().unwrap();
    assert!(
        secret.len() == 43
            && secret
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'),
        "{secret}"
    );
    for args in [
        &["client", "show", &client.id, "--json"][..],
        &["client", "list", "--json"],
    ] {
        let output = server.cli(args).await;
        assert!(
            !output.stdout.contains(&secret) && !output.stdout.contains("client_secret\""),
            "{}",
            output.stdout
        );
    }
    let mut tables = server.tables().await;
    let stored: Vec<u8> =
        sqlx::query_scalar("select secret_hash from client_secret where client_id = $1")
            .bind(&client.id)
            .fetch_one(&mut tables)
            .await
            .unwrap();
    assert_eq!(stored.len(), 32);

    // Two are good while one takes the other's place; both end when they were to.
    let rotated = server
        .cli(&[
            "client",
            "rotate-secret",
            &client.id,
            "--overlap",
            "10m",
            "--json",
        ])
        .await
        .json();
    let new = rotated["client_secret"].as_str().unwrap();
    crate::support::eventually(
        std::time::Duration::from_secs(1),
        "the new secret is good",
        async || basic(&client, &client.id, new).await.status == 200,
    )
    .await;
    assert_eq!(basic(&client, &client.id, &secret).await.status, 200);
    server.clock.advance(time::Duration::minutes(11));
    basic(&client, &client.id, &secret)
        .await
        .refused(401, "invalid_client");
    assert_eq!(basic(&client, &client.id, new).await.status, 200);
}

#[tokio::test]
async fn failures_are_limited_and_lock_nobody_out() {
    // S-40
    let server = Server::with(|config| {
        config.http.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    let client = server.client().machine().register().await;
    let ask = async |secret: &str, address: &str| {
        let request = server
            .request(Method::POST, "/oauth2/token")
            .header("x-forwarded-for", address)
            .basic_auth(&client.id, Some(secret))
            .form(&[("grant_type", "client_credentials")]);
        Answer::of(request).await
    };
    for _ in 0..60 {
        ask("wrong", "192.0.2.1")
            .await
            .refused(401, "invalid_client");
    }
    let over = ask("wrong", "192.0.2.1").await;
    over.refused(429, "invalid_client");
    assert_eq!(over.header("retry-after"), "60");
    ask("wrong", "192.0.2.2")
        .await
        .refused(401, "invalid_client");
    let secret = client.secret.clone().unwrap();
    for address in ["192.0.2.1", "192.0.2.2"] {
        assert_eq!(
            ask(&secret, address).await.status,
            200,
            "the right one is let in"
        );
    }
}
