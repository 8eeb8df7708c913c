//! What a code buys, how long it lasts, and how often.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256, Sha512};
use time::Duration;

use crate::support::cluster::CLUSTER;
use crate::support::racing::{all, rounds};
use crate::support::sign_on::{
    Application, CALLBACK, PASSWORD, VERIFIER, challenge, claims, field, query, step_of,
};
use crate::support::statements::Statements;
use crate::support::{Answer, Browser, Server, TestClient, csrf, eventually};

/// What is live in a browser's place: 200 while the token counts.
async fn counts(server: &Server, token: &str) -> bool {
    let answer = server
        .call(Method::GET, "/oauth2/userinfo", token, None)
        .await;
    assert!([200, 401].contains(&answer.status), "{}", answer.text);
    answer.status == 200
}

fn text(tokens: &Value, name: &str) -> String {
    tokens[name]
        .as_str()
        .unwrap_or_else(|| panic!("{name}: {tokens}"))
        .to_owned()
}

#[tokio::test]
async fn id_tokens_verify_by_jwks_alone() {
    // S-48: at_hash, whatever the algorithm.
    let server = Server::with_ada().await;
    let jwks: JwkSet =
        serde_json::from_value(server.get("/.well-known/jwks.json").await.json()).unwrap();
    for alg in ["RS256", "ES256", "PS256", "EdDSA"] {
        let shop = server.application().option("--id-token-signing-alg", alg);
        let shop = shop.option("--id-token-lifetime", "5m").application().await;
        let asked = r#"{"id_token":{"email":null,"iss":null,"sid":null,"nickname":null,"auth_time":{"essential":true}}}"#;
        let tokens = shop.tokens(&[("claims", asked)]).await;
        let token = text(&tokens, "id_token");
        let header = decode_header(&token).unwrap();
        assert_eq!(format!("{:?}", header.alg), alg);
        let key = DecodingKey::from_jwk(jwks.find(&header.kid.unwrap()).unwrap()).unwrap();
        let mut validation = Validation::new(header.alg);
        validation.set_audience(&[&shop.client.id]);
        validation.set_issuer(&[&server.url]);
        let claims = decode::<Value>(&token, &key, &validation).unwrap().claims;
        assert_eq!(
            claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(),
            300
        );
        assert_eq!(claims["email"], "ada@example.com", "asked for by name");
        assert_eq!(claims["iss"], json!(server.url), "S-50");
        // The left half of the hash that goes with the signature.
        let access = text(&tokens, "access_token");
        let half = match alg {
            "EdDSA" => Sha512::digest(&access)[..32].to_vec(),
            _ => Sha256::digest(&access)[..16].to_vec(),
        };
        let half = URL_SAFE_NO_PAD.encode(half);
        assert_eq!(claims["at_hash"], json!(half), "{alg}");
        // S-42: neither is taken for the other.
        assert!(!counts(&server, &token).await);
    }
}

#[tokio::test]
async fn each_check_of_a_code_fails_alone() {
    // S-21, S-24, S-25, S-26, S-14: and spends nothing.
    let server = Server::with_ada().await;
    let shop = server.application().application().await;
    let other = server.application().application().await;
    let mut browser = Browser::new(&server);
    let code = shop.code(&mut browser, &[]).await;
    let mut stranger = shop.clone();
    stranger.client = other.client.clone();
    stranger.redeem(&code).await.refused(400, "invalid_grant");
    let long = "a".repeat(129);
    // A malformed verifier is refused though it is the very one of the challenge.
    let umlauts = "ä".repeat(43);
    for malformed in ["short", &"a".repeat(42), &long, &"+".repeat(43), &umlauts] {
        let challenge = challenge(malformed);
        let asks = [("code_challenge", challenge.as_str())];
        let code = shop.code(&mut browser, &asks).await;
        let proof = [("code_verifier", malformed)];
        let answer = shop.redeem_with(&code, &proof).await;
        answer.refused(400, "invalid_grant");
    }
    for change in [
        ("redirect_uri", "https://shop.example/cb/"),
        ("redirect_uri", ""),
        (
            "code_verifier",
            "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXl",
        ),
        ("code_verifier", ""),
        ("code_verifier", "short"),
        ("code_verifier", &long),
        (
            "code_verifier",
            "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjX+",
        ),
        ("code", "ac_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
        ("code", "nonsense"),
    ] {
        let answer = shop.redeem_with(&code, &[change]).await;
        answer.refused(400, "invalid_grant");
    }
    shop.redeem_with(&code, &[("code", "")])
        .await
        .refused(400, "invalid_request");
    let elsewhere = shop
        .redeem_with(&code, &[("resource", "https://a.example")])
        .await;
    elsewhere.refused(400, "invalid_target");
    let tokens = shop.redeem(&code).await;
    assert_eq!(tokens.status, 200, "{}", tokens.text);
    // S-43: a refresh token is no code, and a code no refresh token.
    let refresh = text(&tokens.json(), "refresh_token");
    shop.redeem(&refresh).await.refused(400, "invalid_grant");
    shop.refresh(&code).await.refused(400, "invalid_grant");

    let code = shop.code(&mut browser, &[]).await;
    server.clock.advance(Duration::seconds(61));
    shop.redeem(&code).await.refused(400, "invalid_grant");

    // Where no challenge was sent, a verifier is refused.
    let certified = server
        .application()
        .option("--require-pkce", "false")
        .application()
        .await;
    let none = [("code_challenge", ""), ("code_challenge_method", "")];
    let code = certified.code(&mut browser, &none).await;
    certified.redeem(&code).await.refused(400, "invalid_grant");
    // An empty one is none: not enough where there was a challenge, and nothing wrong where there was not.
    let empty = async |application: &Application<'_>, code: &str| {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", CALLBACK),
            ("code_verifier", ""),
        ];
        application.client.post(&form).await
    };
    let challenged = shop.code(&mut browser, &[]).await;
    empty(&shop, &challenged)
        .await
        .refused(400, "invalid_grant");
    let without = empty(&certified, &code).await;
    assert_eq!(without.status, 200, "{}", without.text);
    // A session that ended between code and token ends the code.
    let code = shop.code(&mut browser, &[]).await;
    let page = browser.get("/logout").await;
    browser.post("/logout", &[("csrf", &csrf(&page))]).await;
    shop.redeem(&code).await.refused(400, "invalid_grant");
}

#[tokio::test]
async fn a_code_used_twice_ends_what_it_bought() {
    // S-22: however long it has expired, for as long as what it bought lives.
    let server = Server::with_ada().await;
    let shop = server.application().application().await;
    for wait in [0, 30, 600, 7_200, 500_000] {
        let code = shop
            .code(
                &mut Browser::new(&server),
                &[("scope", "openid offline_access")],
            )
            .await;
        let first = shop.redeem(&code).await.json();
        server.clock.advance(Duration::seconds(wait));
        for _ in 0..2 {
            server.sweep().await;
        }
        let tokens = shop.refresh(&text(&first, "refresh_token")).await.json();
        let (access, refresh) = (
            text(&tokens, "access_token"),
            text(&tokens, "refresh_token"),
        );
        assert!(counts(&server, &access).await);
        shop.redeem(&code).await.refused(400, "invalid_grant");
        assert!(!counts(&server, &access).await, "after {wait} s");
        shop.refresh(&refresh).await.refused(400, "invalid_grant");
    }
    let kept = async || {
        let count = "select count(*) from single_use";
        sqlx::query_scalar::<_, i64>(count)
            .fetch_one(&mut server.tables().await)
            .await
            .unwrap()
    };
    assert!(kept().await >= 5);
    server.clock.advance(Duration::days(31));
    server.sweep().await;
    assert_eq!(kept().await, 0, "and no longer");
}

#[tokio::test]
async fn refreshing_rotates_narrows_and_ends() {
    // S-29, S-59, S-60, S-69: for public and confidential clients alike.
    let server = Server::with_ada().await;
    for method in ["client_secret_basic", "none"] {
        let shop = server.application().auth_method(method);
        let shop = shop.option("--refresh-token-lifetime", "3d");
        let shop = shop
            .option("--refresh-token-idle-lifetime", "2d")
            .application()
            .await;
        let scope = ("scope", "openid email offline_access");
        let first = shop.tokens(&[scope]).await;
        let token = text(&first, "refresh_token");
        assert!(token.starts_with("rt_") && token.len() == 46, "{token}");
        let stored = "select count(*) from single_use where position(convert_to($1, 'UTF8') in hash) > 0 or data::text like '%' || $1 || '%'";
        let mut db = server.tables().await;
        let readable: i64 = sqlx::query_scalar(stored)
            .bind(&token)
            .fetch_one(&mut db)
            .await
            .unwrap();
        assert_eq!(readable, 0);

        let narrow = shop
            .refresh_with(&token, &[("scope", "openid")])
            .await
            .json();
        assert_eq!(narrow["scope"], "openid");
        let again = claims(&text(&narrow, "id_token"));
        let original = claims(&text(&first, "id_token"));
        for same in ["iss", "sub", "aud", "auth_time", "sid"] {
            assert_eq!(again[same], original[same], "{same}");
        }
        assert!(again["nonce"].is_null(), "Core §12.2");
        let second = text(&narrow, "refresh_token");
        assert_ne!(second, token);
        shop.refresh_with(&second, &[("scope", "openid phone")])
            .await
            .refused(400, "invalid_scope");
        shop.refresh_with(&second, &[("resource", "https://a.example")])
            .await
            .refused(400, "invalid_target");
        let whole = shop.refresh(&second).await.json();
        assert_eq!(
            whole["scope"], "openid email offline_access",
            "what was narrowed was one token"
        );
        // Idle life, then the absolute one, which rotation never moves.
        server.clock.advance(Duration::hours(47));
        let third = shop.refresh(&text(&whole, "refresh_token")).await.json();
        server.clock.advance(Duration::hours(24));
        let fourth = shop.refresh(&text(&third, "refresh_token")).await.json();
        server.clock.advance(Duration::hours(2));
        shop.refresh(&text(&fourth, "refresh_token"))
            .await
            .refused(400, "invalid_grant");
        let idle = shop.tokens(&[scope]).await;
        server.clock.advance(Duration::hours(49));
        shop.refresh(&text(&idle, "refresh_token"))
            .await
            .refused(400, "invalid_grant");
    }
}

#[tokio::test]
async fn refreshing_leads_to_no_other_audience() {
    // S-29: though the client might have asked for it at first.
    let server = Server::with_ada().await;
    let shop = server.application();
    let shop = shop.audience("https://a.example");
    let shop = shop.audience("https://b.example").application().await;
    let mut token: Option<String> = None;
    for (resource, expected) in [
        ("https://a.example", 200),
        ("https://b.example", 400),
        ("https://a.example", 200),
        ("", 200),
    ] {
        let asked = [("resource", resource)];
        let asked = if resource.is_empty() { &[] } else { &asked[..] };
        let answer = match &token {
            None => {
                let code = shop.code(&mut Browser::new(&server), asked).await;
                shop.redeem(&code).await
            }
            Some(token) => shop.refresh_with(token, asked).await,
        };
        assert_eq!(answer.status, expected, "{resource}: {}", answer.text);
        if expected == 400 {
            answer.refused(400, "invalid_target");
            continue;
        }
        let tokens = answer.json();
        let access = claims(&text(&tokens, "access_token"));
        assert_eq!(access["aud"], "https://a.example");
        token = Some(text(&tokens, "refresh_token"));
    }
}

#[tokio::test]
async fn a_lost_answer_logs_nobody_out() {
    // S-63, S-64, S-65, S-67, S-68
    let server = Server::with_ada().await;
    let replica = server.replica().await;
    let shop = server.application().application().await;
    let there = Application {
        client: TestClient {
            server: &replica,
            ..shop.client.clone()
        },
        ..shop.clone()
    };
    let first = text(&shop.tokens(&[]).await, "refresh_token");
    let second = text(&shop.refresh(&first).await.json(), "refresh_token");
    server.clock.advance(Duration::seconds(9));
    for place in [&there, &shop, &there] {
        let told = place.refresh(&first).await.json();
        assert_eq!(text(&told, "refresh_token"), second, "the same successor");
    }
    shop.refresh(&first).await.refused(400, "invalid_grant");
    let third = shop.refresh(&second).await;
    assert_eq!(
        third.status, 200,
        "a repeat too many changes nothing: {}",
        third.text
    );
    let third = third.json();
    // Once the successor was used, the token is a thief's.
    assert!(counts(&server, &text(&third, "access_token")).await);
    there.refresh(&first).await.refused(400, "invalid_grant");
    shop.refresh(&text(&third, "refresh_token"))
        .await
        .refused(400, "invalid_grant");
    assert!(!counts(&server, &text(&third, "access_token")).await);

    // So it is after the grace, and with another client.
    let first = text(&shop.tokens(&[]).await, "refresh_token");
    let second = text(&shop.refresh(&first).await.json(), "refresh_token");
    server.clock.advance(Duration::seconds(10));
    shop.refresh(&first).await.refused(400, "invalid_grant");
    shop.refresh(&second).await.refused(400, "invalid_grant");
    let other = server.application().application().await;
    let first = text(&shop.tokens(&[]).await, "refresh_token");
    other.refresh(&first).await.refused(400, "invalid_grant");
    shop.refresh(&first).await.refused(400, "invalid_grant");

    let mut db = server.tables().await;
    let ended = "select count(*) from token_family join audit on target_id = token_family.user_id::text and action = 'token_family.ended' where end_reason = 'refresh_token_replayed'";
    let ended: i64 = sqlx::query_scalar(ended).fetch_one(&mut db).await.unwrap();
    assert_eq!(ended, 3 * 3, "three families, and a word of each");
}

#[tokio::test]
async fn what_ends_a_person_ends_their_tokens() {
    // S-70, S-71
    let server = Server::with_ada().await;
    let shop = server.application().application().await;
    let admin = server.admin_token().await;
    let path = server.path_of("ada").await;
    let scope = ("scope", "openid offline_access");
    let ways: [(Method, String, Value); 3] = [
        (Method::PATCH, path.clone(), json!({ "status": "disabled" })),
        (
            Method::PUT,
            format!("{path}/password"),
            json!({ "password": PASSWORD }),
        ),
        (
            Method::POST,
            format!("{path}/require-password-change"),
            Value::Null,
        ),
    ];
    for (method, path, body) in ways {
        let tokens = shop.tokens(&[scope]).await;
        let (access, refresh) = (
            text(&tokens, "access_token"),
            text(&tokens, "refresh_token"),
        );
        assert!(counts(&server, &access).await);
        let answer = server.call(method, &path, &admin, Some(body)).await;
        assert!([200, 204].contains(&answer.status), "{}", answer.text);
        shop.refresh(&refresh).await.refused(400, "invalid_grant");
        assert!(!counts(&server, &access).await, "{path}");
        server
            .call(
                Method::PATCH,
                path.trim_end_matches("/password"),
                &admin,
                Some(json!({ "status": "active" })),
            )
            .await;
    }
    let set = json!({ "password": PASSWORD });
    server
        .call(Method::PUT, &format!("{path}/password"), &admin, Some(set))
        .await;

    // A logout ends what is not for offline use, and nothing else.
    let mut browser = Browser::new(&server);
    let mut kept = Vec::new();
    for scope in ["openid", "openid offline_access"] {
        let code = shop.code(&mut browser, &[("scope", scope)]).await;
        kept.push(shop.redeem(&code).await.json());
    }
    let page = browser.get("/logout").await;
    browser.post("/logout", &[("csrf", &csrf(&page))]).await;
    shop.refresh(&text(&kept[0], "refresh_token"))
        .await
        .refused(400, "invalid_grant");
    assert!(!counts(&server, &text(&kept[0], "access_token")).await);
    assert_eq!(
        shop.refresh(&text(&kept[1], "refresh_token")).await.status,
        200
    );
    assert!(counts(&server, &text(&kept[1], "access_token")).await);
    // So does a client that goes.
    let refresh = text(&shop.tokens(&[scope]).await, "refresh_token");
    assert_eq!(
        server
            .cli(&["client", "delete", &shop.client.id])
            .await
            .status,
        0
    );
    let gone = shop.refresh(&refresh).await;
    assert!([400, 401].contains(&gone.status), "{}", gone.text);
}

#[tokio::test]
async fn an_ordinary_family_ends_with_the_whole_life_of_its_session() {
    // S-69: however it was refreshed.
    let server = Server::with_ada().await;
    let shop = server.application().flag("--first-party");
    let shop = shop.application().await;
    let mut browser = Browser::new(&server);
    let mut kept = Vec::new();
    for scope in ["openid", "openid offline_access"] {
        let code = shop.code(&mut browser, &[("scope", scope)]).await;
        kept.push(shop.redeem(&code).await.json());
    }
    for hours in [12, 11] {
        server.clock.advance(Duration::hours(hours));
        for tokens in &mut kept {
            *tokens = shop.refresh(&text(tokens, "refresh_token")).await.json();
        }
    }
    server.clock.advance(Duration::hours(1));
    let ended = shop.refresh(&text(&kept[0], "refresh_token")).await;
    ended.refused(400, "invalid_grant");
    let offline = shop.refresh(&text(&kept[1], "refresh_token")).await;
    assert_eq!(offline.status, 200, "{}", offline.text);
}

#[tokio::test]
async fn what_a_client_lost_is_lost_when_it_refreshes() {
    // S-71
    let server = Server::with_ada().await;
    let shop = server.application().application().await;
    let admin = server.admin_token().await;
    let all = "openid email offline_access";
    for (change, expected) in [
        (
            json!({ "scope": "openid offline_access" }),
            "openid offline_access",
        ),
        (json!({ "scope": "openid email" }), "invalid_grant"),
        (
            json!({ "grant_types": ["authorization_code"] }),
            "unauthorized_client",
        ),
    ] {
        let tokens = shop.tokens(&[("scope", all)]).await;
        let mut token = text(&tokens, "refresh_token");
        let path = format!("/api/v1/clients/{}", shop.client.id);
        let call = async |body| {
            let answer = server.call(Method::PATCH, &path, &admin, Some(body)).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
        };
        call(change).await;
        let soon = std::time::Duration::from_secs(10);
        eventually(soon, expected, async || {
            let answer = shop.refresh(&token).await.json();
            if let Some(next) = answer["refresh_token"].as_str() {
                token = next.to_owned();
            }
            let told = answer["error"].as_str().or(answer["scope"].as_str());
            told == Some(expected)
        })
        .await;
        call(json!({ "scope": all, "grant_types": ["authorization_code", "refresh_token"] })).await;
        eventually(soon, "it is as it was", async || {
            let page = server.get(&shop.authorize(&[("scope", all)])).await;
            page.header("location").starts_with("/login")
        })
        .await;
    }
}

#[tokio::test]
async fn of_racing_uses_one_counts() {
    // S-23, S-62, S-66: over three replicas.
    let server = Server::with_ada().await;
    let replicas = [server.replica().await, server.replica().await];
    let shop = server
        .application()
        .flag("--first-party")
        .application()
        .await;
    let places = [&server, &replicas[0], &replicas[1]].map(|at| shop.at(at));
    let mut browser = Browser::new(&server);
    for _ in 0..rounds(3) {
        let code = shop.code(&mut browser, &[]).await;
        let uses = (0..64).map(|n| places[n % 3].redeem(&code));
        let answers = all(uses).await;
        let good: Vec<&Answer> = answers.iter().filter(|a| a.status == 200).collect();
        assert_eq!(good.len(), 1);
        for refused in answers.iter().filter(|a| a.status != 200) {
            refused.refused(400, "invalid_grant");
        }

        let code = shop.code(&mut browser, &[]).await;
        let token = text(&shop.redeem(&code).await.json(), "refresh_token");
        let answers = all((0..64).map(|n| places[n % 3].refresh(&token))).await;
        let mut next: Vec<String> = answers
            .iter()
            .filter(|a| a.status == 200)
            .map(|a| text(&a.json(), "refresh_token"))
            .collect();
        assert_eq!(next.len(), 4, "one, and three that were told again");
        next.dedup();
        assert_eq!(next.len(), 1, "one live successor");
        for refused in answers.iter().filter(|a| a.status != 200) {
            refused.refused(400, "invalid_grant");
        }
        assert_eq!(
            shop.refresh(&next[0]).await.status,
            200,
            "nobody is thrown out"
        );
    }
}

/// What a login or a refresh costs: statements beside BEGIN and COMMIT, and commits, a statement that changes something by itself included.
fn cost(asked: &[String]) -> (usize, usize) {
    let (mut statements, mut commits, mut within) = (0, 0, false);
    for sql in asked.iter().map(|sql| sql.trim().to_lowercase()) {
        match sql.as_str() {
            "begin" => within = true,
            "commit" => {
                within = false;
                commits += 1;
            }
            sql => {
                statements += 1;
                let changes = ["insert ", "update ", "delete "];
                if !within && changes.iter().any(|word| sql.contains(word)) {
                    commits += 1;
                }
            }
        }
    }
    (statements, commits)
}

#[tokio::test]
async fn codes_racing_the_logout_of_their_session_leave_nothing_alive() {
    // S-17, S-71: over three replicas; a code is refused, or what it bought has ended.
    let server = Server::with_ada().await;
    let replicas = [server.replica().await, server.replica().await];
    let shop = server
        .application()
        .flag("--first-party")
        .application()
        .await;
    let places = [&server, &replicas[0], &replicas[1]].map(|at| shop.at(at));
    for round in 0..rounds(4) {
        let mut browser = Browser::new(&server);
        let mut codes = Vec::new();
        for _ in 0..16 {
            codes.push(shop.code(&mut browser, &[]).await);
        }
        let page = browser.get("/logout").await;
        let form = [("csrf", csrf(&page))];
        let form = form.each_ref().map(|(name, value)| (*name, value.as_str()));
        // Anywhere among the codes, and at any replica.
        let mut elsewhere = browser.at(places[(round + 1) % 3].client.server);
        let redeem = |n: usize| places[n % 3].redeem(&codes[n]);
        let before = round * 3 % 16;
        let (mut answers, out, rest) = tokio::join!(
            all((0..before).map(redeem)),
            elsewhere.post("/logout", &form),
            all((before..16).map(redeem)),
        );
        assert_eq!(out.status, 303, "{}", out.text);
        answers.extend(rest);
        for answer in answers {
            if answer.status != 200 {
                answer.refused(400, "invalid_grant");
                continue;
            }
            let tokens = answer.json();
            for place in &places {
                let server = place.client.server;
                assert!(!counts(server, &text(&tokens, "access_token")).await);
            }
            let refreshed = places[2].refresh(&text(&tokens, "refresh_token")).await;
            refreshed.refused(400, "invalid_grant");
        }
    }
}

#[tokio::test]
async fn a_person_has_a_hundred_logins_at_a_client() {
    let server = Server::with_ada().await;
    let shop = server.application().flag("--first-party");
    let shop = shop.application().await;
    let forum = server.application().flag("--first-party");
    let forum = forum.application().await;
    let mut browser = Browser::new(&server);
    let mut log_in = async |application: &Application<'_>| {
        server.clock.advance(Duration::seconds(20));
        let code = application.code(&mut browser, &[]).await;
        application.redeem(&code).await.json()
    };
    let elsewhere = log_in(&forum).await;
    let refreshed = log_in(&shop).await;
    let unused = log_in(&shop).await;
    server.clock.advance(Duration::seconds(20));
    let refreshed = shop.refresh(&text(&refreshed, "refresh_token")).await;
    let refreshed = refreshed.json();
    // As many more as there may be.
    let copies = "insert into token_family (id, client_id, user_id, session_id, scope, audience, claims, offline, auth_time, valid_from, created_at, last_used_at, expires_at)
        select gen_random_uuid(), client_id, user_id, session_id, scope, audience, claims, offline, auth_time, valid_from, created_at, last_used_at, expires_at
          from (select * from token_family where client_id = $1 order by last_used_at desc limit 1) as last, generate_series(1, 98)";
    let mut db = server.tables().await;
    let copied = sqlx::query(copies).bind(&shop.client.id);
    copied.execute(&mut db).await.unwrap();
    let live = "select count(*) from token_family where client_id = $1 and ended_at is null";
    let mut live = async || {
        let count = sqlx::query_scalar::<_, i64>(live).bind(&shop.client.id);
        count.fetch_one(&mut db).await.unwrap()
    };
    assert_eq!(live().await, 100);
    assert!(counts(&server, &text(&unused, "access_token")).await);

    let newest = log_in(&shop).await;
    assert_eq!(live().await, 100);
    assert!(!counts(&server, &text(&unused, "access_token")).await);
    let token = text(&unused, "refresh_token");
    shop.refresh(&token).await.refused(400, "invalid_grant");
    for (application, tokens) in [(&shop, &refreshed), (&shop, &newest), (&forum, &elsewhere)] {
        assert!(counts(&server, &text(tokens, "access_token")).await);
        let token = text(tokens, "refresh_token");
        assert_eq!(application.refresh(&token).await.status, 200);
    }
    let told = "select count(*) from audit where action = 'token_family.ended' and target_id = $1";
    let told = sqlx::query_scalar::<_, i64>(told);
    let person = claims(&text(&newest, "id_token"))["sub"].clone();
    let told = told.bind(person.as_str().unwrap().to_owned());
    let mut db = server.tables().await;
    assert_eq!(told.fetch_one(&mut db).await.unwrap(), 1);
    log_in(&shop).await;
    assert_eq!(live().await, 100);
}

#[tokio::test]
async fn a_login_costs_few_statements() {
    let statements = Statements::default();
    let database = Arc::new(CLUSTER.database().await);
    let wire = statements.wire(&database).await;
    let server = Server::on_wire(database, wire).await;
    let ada = json!({ "username": "ada", "name": "Ada Lovelace" });
    server.user_with_password(ada, PASSWORD).await;
    let own = server.application().flag("--first-party");
    let own = own.application().await;
    let consented = server.application().application().await;
    let mut browser = Browser::new(&server);
    for (round, shop) in [&own, &consented].into_iter().enumerate() {
        // Consents, and puts the client into the cache.
        let earlier = challenge(&format!("another {round}"));
        let asks = [
            ("code_challenge", earlier.as_str()),
            ("scope", "openid email"),
        ];
        shop.code(&mut browser, &asks).await;
        let (mut logins, mut refreshes) = (Vec::new(), Vec::new());
        // What each login costs, all of them do: the cheapest is one that no cache's doubt or job fell into.
        for login in 0..5 {
            // Long enough for the session's last use to be noted.
            server.clock.advance(time::Duration::minutes(2));
            let verifier = format!("{VERIFIER}{round}{login}");
            let challenge = challenge(&verifier);
            let asks = [
                ("code_challenge", challenge.as_str()),
                ("scope", "openid email"),
            ];
            let asks = shop.authorize(&asks);
            statements.take();
            let answer = browser.get(&asks).await;
            let code = query(answer.header("location"))["code"]
                .as_str()
                .unwrap()
                .to_owned();
            let proof = [("code_verifier", verifier.as_str())];
            let tokens = shop.redeem_with(&code, &proof).await.json();
            assert!(counts(&server, &text(&tokens, "access_token")).await);
            logins.push(statements.take());
            let refreshed = shop.refresh(&text(&tokens, "refresh_token")).await;
            assert_eq!(refreshed.status, 200);
            refreshes.push(statements.take());
        }
        let (asked, commits) = logins.iter().map(|asked| cost(asked)).min().unwrap();
        assert!(asked <= 8 && commits <= 3, "{logins:#?}");
        let (asked, _) = refreshes.iter().map(|asked| cost(asked)).min().unwrap();
        assert!(asked <= 3, "{refreshes:#?}");
    }
}

/// What somebody does at their browser, in whatever order.
#[derive(Clone, Copy, Debug)]
enum Move {
    Open,
    SignIn,
    SignInWrongly,
    NewPassword,
    Choose,
    Allow,
    GoOn,
    Empty,
}

#[tokio::test]
async fn a_code_comes_only_after_every_step() {
    // S-18, S-123: a random walk through the steps, in two tabs.
    let server = Server::with(|config| {
        config.throttle.address_burst = 10_000;
        config.throttle.pair_burst = 10_000;
        config.throttle.free_failures = 100;
    })
    .await;
    let shop = server.application().application().await;
    let moves = proptest::sample::select(vec![
        Move::Open,
        Move::SignIn,
        Move::SignInWrongly,
        Move::NewPassword,
        Move::Choose,
        Move::Allow,
        Move::GoOn,
        Move::Empty,
    ]);
    let mut runner = TestRunner::deterministic();
    let walks = proptest::collection::vec((moves, 0..2usize), 12);
    let (mut codes, mut walked) = (0, 0);
    while walked < 25 {
        walked += 1;
        let name = format!("walker{walked}");
        let person = server
            .user_with_password(json!({ "username": name }), PASSWORD)
            .await;
        let path = format!(
            "/api/v1/users/{}/require-password-change",
            person["id"].as_str().unwrap()
        );
        let admin = server.admin_token().await;
        server.call(Method::POST, &path, &admin, None).await;
        let walk = walks.new_tree(&mut runner).unwrap().current();
        let mut browser = Browser::new(&server);
        let asks = shop.authorize(&[("prompt", "login consent select_account")]);
        let mut tabs: [Option<String>; 2] = [None, None];
        // What was done, as the server alone could know it.
        let (mut signed_in, mut renewed, mut password) = (false, false, PASSWORD.to_owned());
        for (step, tab) in walk {
            let Some(request) = tabs[tab].clone() else {
                let page = browser.follow(&asks).await;
                tabs[tab] = field(&page, "request");
                continue;
            };
            let (answer, tried) = act(&mut browser, step, &request, &name, &password).await;
            match step {
                Move::SignIn if tried => signed_in = true,
                Move::NewPassword if tried && signed_in && !renewed => {
                    renewed = true;
                    password = "quiet harbours 12".to_owned();
                }
                _ => {}
            }
            if answer.header("location").contains("code=") {
                codes += 1;
                assert!(
                    matches!(step, Move::Allow),
                    "{step:?}: only consent ends it"
                );
                assert!(signed_in && renewed, "every step was done");
                tabs[tab] = None;
            }
        }
        // The straight way is open all the same.
        let page = browser.follow(&asks).await;
        let password_now = if renewed {
            "quiet harbours 12"
        } else {
            PASSWORD
        };
        let mut page = browser.sign_in_at(&page, &name, password_now).await;
        if step_of(&page) == Some("/login/new-password") {
            let request = field(&page, "request").unwrap();
            page = act(&mut browser, Move::NewPassword, &request, &name, PASSWORD)
                .await
                .0;
        }
        assert_eq!(step_of(&page), Some("/consent"), "{}", page.text);
        let answer = browser.agree_at("/consent", &page).await;
        assert!(answer.header("location").starts_with(CALLBACK));
    }
    assert!(codes > 0, "some walks arrive");
}

/// Makes a move with whatever token the pages give out, due or not; whether its form was taken.
async fn act(
    browser: &mut Browser<'_>,
    step: Move,
    request: &str,
    name: &str,
    password: &str,
) -> (Answer, bool) {
    // Any page with a form gives a token: the sign-in's, or the session's.
    let page = browser.follow(&format!("/login?request={request}")).await;
    let token = field(&page, "csrf").unwrap_or_default();
    let seal = field(&page, "seal").unwrap_or_default();
    let common = [("csrf", token.as_str()), ("request", request)];
    let (path, more): (&str, Vec<(&str, &str)>) = match step {
        Move::Open => ("/login", vec![]),
        Move::SignIn => ("/login", vec![("username", name), ("password", password)]),
        Move::SignInWrongly => ("/login", vec![("username", name), ("password", "wrong")]),
        Move::NewPassword => (
            "/login/new-password",
            vec![("new_password", "quiet harbours 12")],
        ),
        Move::Choose => ("/login/account", vec![("decision", "allow")]),
        Move::Allow => ("/consent", vec![("decision", "allow"), ("seal", &seal)]),
        Move::GoOn => {
            let answer = browser
                .follow(&format!("/oauth2/authorize/continue?request={request}"))
                .await;
            return (answer, false);
        }
        Move::Empty => ("/consent", vec![]),
    };
    let due = step_of(&page) == Some(path);
    let answer = browser
        .send_and_follow(path, &[&common[..], &more].concat())
        .await;
    let taken = due && step_of(&answer) != Some(path) && answer.status < 400;
    (answer, taken)
}

/// The verifier of the tests is RFC 7636's own.
#[test]
fn the_verifier_is_long_enough() {
    assert!((43..=128).contains(&VERIFIER.len()));
}
