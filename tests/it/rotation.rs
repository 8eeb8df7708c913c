//! Signing keys through their steps: by hand, in an emergency, imported, and by themselves under load.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use doorward::kernel::clock::{Clock, MovableClock};
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
use reqwest::Method;
use serde_json::Value;
use time::OffsetDateTime;

use crate::support::cluster::CLUSTER;
use crate::support::command;
use crate::support::{Answer, Server, TestClient, eventually};

/// From a change of keys to the last replica that knows.
const HEARD: Duration = Duration::from_secs(5);

async fn kids(server: &Server) -> Vec<String> {
    let body = server.get("/.well-known/jwks.json").await.json();
    let keys = body["keys"].as_array().unwrap();
    keys.iter()
        .map(|key| key["kid"].as_str().unwrap().to_owned())
        .collect()
}

fn kid(token: &str) -> String {
    decode_header(token).unwrap().kid.unwrap()
}

/// The `kid` at this step, as `keys list` says.
async fn at(server: &Server, alg: &str, step: &str) -> String {
    let listed = server.cli(&["keys", "list", "--json"]).await.json();
    let mut items = listed["items"].as_array().unwrap().iter();
    let key = items.find(|key| key["alg"] == alg && key["step"] == step);
    key.unwrap_or_else(|| panic!("no {step} {alg}: {listed}"))["kid"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// `doorward keys rotate` where services may keep JWKS for a second only.
async fn rotate(server: &Server, further: &[&str]) -> (bool, String) {
    rotate_kept(server, "1s", further).await
}

/// The same where they may keep it for `max_age`.
async fn rotate_kept(server: &Server, max_age: &str, further: &[&str]) -> (bool, String) {
    let output = command::doorward(&server.database.url(), &CLUSTER.keys_dir)
        .env("DOORWARD_KEYS__JWKS_MAX_AGE", max_age)
        .args(["keys", "rotate", "--json"])
        .args(further)
        .output()
        .await
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

#[tokio::test]
async fn by_hand_it_waits_until_services_know_the_next_key() {
    // S-55
    let server = Server::start().await;
    let other = server.replica().await;
    let before = server.admin_token().await;
    let next = at(&server, "ES256", "next").await;
    assert!(
        kids(&server).await.contains(&next),
        "next is published before it signs"
    );

    // The keys are as old as the run of all tests.
    let (rotated, said) = rotate_kept(&server, "1h", &[]).await;
    assert!(
        !rotated && said.contains("possible from") && said.contains('Z'),
        "{said}"
    );
    assert_eq!(at(&server, "ES256", "next").await, next, "nothing changed");
    let unknown = server.cli(&["keys", "rotate", "--alg", "HS256"]).await;
    assert!(unknown.status != 0 && unknown.stderr.contains("ES256, RS256"));

    let mut rotated = (false, String::new());
    eventually(HEARD, "the next key is a second old", async || {
        rotated = rotate(&server, &["--alg", "ES256"]).await;
        rotated.0
    })
    .await;
    let listed: Value = serde_json::from_str(&rotated.1).unwrap();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    assert_eq!(listed["items"][0]["kid"], next.as_str());
    for replica in [&server, &other] {
        eventually(HEARD, "the next key signs", async || {
            kid(&replica.admin_token().await) == next
        })
        .await;
        let published = kids(replica).await;
        assert!(published.contains(&kid(&before)), "the old one retires");
        assert_eq!(published.len(), 9, "and a new next one is published");
        let answer = replica
            .call(Method::GET, "/api/v1/users", &before, None)
            .await;
        assert_eq!(answer.status, 200, "what the old one signed is good");
    }
    let (again, said) = rotate(&server, &["--alg", "ES256"]).await;
    assert!(!again, "the new next key is younger than a second: {said}");

    // As long as its last token lives, it stays.
    server.clock.advance(time::Duration::minutes(9));
    for replica in [&server, &other] {
        assert!(kids(replica).await.contains(&kid(&before)));
        let answer = replica
            .call(Method::GET, "/api/v1/users", &before, None)
            .await;
        assert_eq!(answer.status, 200, "nine of its ten minutes have passed");
    }
    // Its last token has expired, and it goes.
    server.clock.advance(time::Duration::minutes(3));
    for replica in [&server, &other] {
        eventually(HEARD, "the old one has gone", async || {
            !kids(replica).await.contains(&kid(&before))
        })
        .await;
    }
    other.stop().await;
}

#[tokio::test]
async fn in_an_emergency_the_present_key_is_gone_at_once() {
    // S-56
    let server = Server::start().await;
    let other = server.replica().await;
    let before = server.admin_token().await;
    let next = at(&server, "ES256", "next").await;
    let done = server
        .cli(&["keys", "rotate", "--alg", "ES256", "--emergency", "--json"])
        .await
        .json();
    assert_eq!(done["items"][0]["kid"], next.as_str());
    for replica in [&server, &other] {
        eventually(HEARD, "the key is out of JWKS", async || {
            !kids(replica).await.contains(&kid(&before))
        })
        .await;
        let refused = replica
            .call(Method::GET, "/api/v1/users", &before, None)
            .await;
        assert_eq!(refused.status, 401);
        let after = replica.admin_token().await;
        assert_eq!(kid(&after), next);
        let answer = replica
            .call(Method::GET, "/api/v1/users", &after, None)
            .await;
        assert_eq!(answer.status, 200);
    }
    let mut tables = server.tables().await;
    let recorded: Vec<String> = sqlx::query_scalar(
        "select action from audit where target_kind = 'signing_key' and actor_kind = 'operator' order by action",
    )
    .fetch_all(&mut tables)
    .await
    .unwrap();
    assert_eq!(
        recorded,
        [
            "signing_key.made",
            "signing_key.promoted",
            "signing_key.revoked"
        ]
    );
    other.stop().await;
}

#[tokio::test]
async fn keys_of_any_algorithm_are_imported() {
    use josekit::jws::{ES256, EdDSA, RS256};

    let server = Server::start().await;
    let rsa = RS256.generate_key_pair(2048).unwrap();
    let ec = ES256.generate_key_pair().unwrap();
    let ed = EdDSA
        .generate_key_pair(josekit::jwk::alg::ed::EdCurve::Ed25519)
        .unwrap();
    let weak = RS256.generate_key_pair(1024).ok();
    let pems = [
        ("RS256", rsa.to_pem_private_key()),
        (
            "PS256",
            RS256
                .generate_key_pair(2048)
                .unwrap()
                .to_traditional_pem_private_key(),
        ),
        ("ES256", ec.to_pem_private_key()),
        ("EdDSA", ed.to_pem_private_key()),
    ];
    let import = async |alg: &str, pem: &[u8]| {
        let pem = String::from_utf8(pem.to_vec()).unwrap();
        server
            .cli_with(&["keys", "import", "-", "--alg", alg, "--json"], &pem)
            .await
    };
    for (alg, pem) in &pems {
        let made = import(alg, pem).await.json();
        assert_eq!(
            (&made["alg"], &made["step"]),
            (&Value::from(*alg), &Value::from("next"))
        );
        assert_eq!(at(&server, alg, "next").await, made["kid"]);
        let again = import(alg, pem).await;
        assert!(
            again.status != 0 && again.stderr.contains("already"),
            "{}",
            again.stderr
        );
    }
    assert_eq!(
        kids(&server).await.len(),
        8,
        "each took the waiting one's place"
    );
    for (alg, pem, expected) in [
        ("ES256", &pems[0].1[..], "P-256"),
        ("RS256", &pems[2].1, "RSA"),
        ("EdDSA", &pems[2].1, "Ed25519"),
        ("ES256", b"nonsense", "P-256"),
        ("PS256", b"", "RSA"),
    ] {
        let refused = import(alg, pem).await;
        assert!(
            refused.status != 0 && refused.stderr.contains(expected),
            "{alg}: {}",
            refused.stderr
        );
    }
    if let Some(weak) = weak {
        let refused = import("RS256", &weak.to_pem_private_key()).await;
        assert!(refused.status != 0 && refused.stderr.contains("2048"));
    }

    // They sign what any library verifies.
    let (done, said) = {
        let mut last = (false, String::new());
        eventually(HEARD, "they are a second old", async || {
            last = rotate(&server, &[]).await;
            last.0
        })
        .await;
        last
    };
    assert!(done, "{said}");
    for (alg, _) in &pems {
        let client = client(&server, alg).await;
        let expected = at(&server, alg, "current").await;
        eventually(HEARD, "the imported key signs", async || {
            kid(&client.token(&[]).await) == expected
        })
        .await;
        let token = client.token(&[]).await;
        let mut verifier = Verifier::new(server.clock.clone());
        assert_eq!(verifier.verify(&token, &server).await, Ok(()), "{alg}");
    }
}

async fn client<'a>(server: &'a Server, alg: &str) -> TestClient<'a> {
    server
        .client()
        .grant("client_credentials")
        .scope("s")
        .audience("https://a.example")
        .option("--signing-alg", alg)
        .register()
        .await
}

/// A service that follows the same clock, keeps JWKS for exactly as long as it is told, and asks for it no sooner.
struct Verifier {
    clock: Arc<MovableClock>,
    keys: HashMap<String, Jwk>,
    until: OffsetDateTime,
}

impl Verifier {
    fn new(clock: Arc<MovableClock>) -> Self {
        Self {
            clock,
            keys: HashMap::new(),
            until: OffsetDateTime::UNIX_EPOCH,
        }
    }

    async fn verify(&mut self, token: &str, server: &Server) -> Result<(), String> {
        if self.until <= self.clock.now() {
            let asked_at = self.clock.now();
            let answer = server.get("/.well-known/jwks.json").await;
            let set: JwkSet = serde_json::from_str(&answer.text).map_err(|e| e.to_string())?;
            let max_age = answer.header("cache-control").rsplit('=').next().unwrap();
            self.until = asked_at + time::Duration::seconds(max_age.parse().unwrap());
            let named = set.keys.into_iter();
            self.keys = named
                .map(|jwk| (jwk.common.key_id.clone().unwrap(), jwk))
                .collect();
        }
        let header = decode_header(token).map_err(|e| e.to_string())?;
        let jwk = header.kid.and_then(|kid| self.keys.get(&kid));
        let key = DecodingKey::from_jwk(jwk.ok_or("unknown kid")?).map_err(|e| e.to_string())?;
        let mut expected = Validation::new(header.alg);
        expected.validate_exp = false;
        expected.set_audience(&["https://a.example"]);
        let claims = decode::<Value>(token, &key, &expected).map_err(|e| e.to_string())?;
        if claims.claims["exp"].as_i64() <= Some(self.clock.now().unix_timestamp()) {
            return Err("expired".to_owned());
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_rotations_under_load_fail_nobody() {
    // S-55: two replicas, four algorithms, verifiers that keep JWKS for as long as it says and take no second look.
    let settings = |config: &mut doorward::config::Config| {
        config.keys.lifetime = "6m".parse().unwrap();
    };
    let server = Server::with(settings).await;
    let other = Server::on(
        server.database.clone(),
        server.clock.clone(),
        Some(&server.url),
        None,
        settings,
    )
    .await;
    let (stop, taken) = (AtomicBool::new(false), AtomicUsize::new(0));
    let load = async |alg: &str| -> Vec<String> {
        let here = client(&server, alg).await;
        let there = TestClient {
            server: &other,
            ..here.clone()
        };
        let mut verifiers = [0, 1].map(|_| Verifier::new(server.clock.clone()));
        let mut failures = Vec::new();
        let mut seen: Vec<String> = Vec::new();
        while !stop.load(Ordering::SeqCst) {
            for client in [&here, &there] {
                let answer: Answer = client.client_credentials(&[]).await;
                if answer.status != 200 {
                    failures.push(format!("{}: {}", answer.status, answer.text));
                    continue;
                }
                taken.fetch_add(1, Ordering::SeqCst);
                let token = answer.json()["access_token"].as_str().unwrap().to_owned();
                if !seen.contains(&kid(&token)) {
                    seen.push(kid(&token));
                }
                for (verifier, from) in verifiers.iter_mut().zip([&server, &other]) {
                    if let Err(why) = verifier.verify(&token, from).await {
                        failures.push(format!("{alg}: {why}"));
                    }
                }
            }
        }
        assert!(seen.len() > 10, "{alg} rotated {} times", seen.len() - 1);
        failures
    };
    let rotations = async {
        let mut signers = 0;
        let mut present = String::new();
        while signers <= 10 {
            server.clock.advance(time::Duration::seconds(130));
            // Time does not jump in life: both replicas have heard of what was due before it goes on.
            tokio::time::sleep(Duration::from_millis(1200)).await;
            eventually(HEARD, "the replicas agree", async || {
                kids(&server).await == kids(&other).await
            })
            .await;
            let now = at(&server, "RS256", "current").await;
            if now != present {
                present = now;
                signers += 1;
            }
        }
        // Whoever has not seen the last one yet sees it now.
        tokio::time::sleep(Duration::from_millis(500)).await;
        stop.store(true, Ordering::SeqCst);
    };
    let (es256, eddsa, rs256, ps256, ()) = tokio::join!(
        load("ES256"),
        load("EdDSA"),
        load("RS256"),
        load("PS256"),
        rotations
    );
    let failures = [es256, eddsa, rs256, ps256].concat();
    let taken = taken.load(Ordering::SeqCst);
    assert!(failures.is_empty(), "of {taken}: {failures:?}");
    assert!(taken > 500, "{taken}");
    other.stop().await;
}
