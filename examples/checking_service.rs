//! A service that checks tokens by itself, with a stock JWT library and the keys that Doorward publishes.
//!
//!     AUDIENCE=https://billing.example cargo run --example checking_service -- 127.0.0.1:9000
#![expect(clippy::disallowed_methods, reason = "its environment, its clock")]

use std::env::{args, var};
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, StatusCode, header::AUTHORIZATION};
use axum::{Router, extract::State, routing::get};
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header, jwk::JwkSet};
use serde_json::Value;
use tokio::{net::TcpListener, sync::Mutex};

type Keys = Arc<Mutex<(JwkSet, Instant)>>;
type Failure = Box<dyn Error + Send + Sync>;

/// The claims of a token that is ours to take (RFC 9068 §4).
async fn check(token: &str, keys: &Keys) -> Result<Value, Failure> {
    let issuer = var("ISSUER").unwrap_or_else(|_| "http://localhost:8080".to_owned());
    let header = decode_header(token)?;
    let typ = header.typ.filter(|typ| typ == "at+jwt");
    let (_, kid) = typ.zip(header.kid).ok_or("not an access token")?;
    let (keys, until) = &mut *keys.lock().await;
    if *until < Instant::now() || keys.find(&kid).is_none() {
        // In production ask for an unknown key at most every few seconds: anybody can make up a kid.
        let answer = reqwest::get(format!("{issuer}/.well-known/jwks.json"));
        *keys = answer.await?.json().await?;
        *until = Instant::now() + Duration::from_secs(300);
    }
    let jwk = keys.find(&kid).ok_or("unknown key")?;
    let alg = jwk.common.key_algorithm.ok_or("a key without alg")?;
    let mut expected = Validation::new(alg.to_string().parse()?);
    expected.set_issuer(&[issuer]);
    expected.set_audience(&[var("AUDIENCE")?]);
    Ok(decode::<Value>(token, &DecodingKey::from_jwk(jwk)?, &expected)?.claims)
}

async fn invoices(State(keys): State<Keys>, headers: HeaderMap) -> Result<String, StatusCode> {
    let sent = headers.get(AUTHORIZATION).and_then(|v| v.to_str().ok());
    let token = sent.and_then(|v| v.strip_prefix("Bearer "));
    let claims = check(token.unwrap_or_default(), &keys).await;
    let claims = claims.map_err(|_| StatusCode::UNAUTHORIZED)?;
    let mut scope = claims["scope"].as_str().unwrap_or_default().split(' ');
    let may = scope.any(|s| s == "invoices:read");
    may.then(|| format!("the invoices, for {}", claims["sub"]))
        .ok_or(StatusCode::FORBIDDEN)
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let keys = Keys::new(Mutex::new((JwkSet { keys: vec![] }, Instant::now())));
    let app = Router::new().route("/invoices", get(invoices));
    let listener = TcpListener::bind(args().nth(1).ok_or("where to listen?")?).await?;
    Ok(axum::serve(listener, app.with_state(keys)).await?)
}
