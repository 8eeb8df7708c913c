//! A service that checks tokens by itself, with a stock JWT library and the keys that Doorward publishes.
//!
//!     AUDIENCE=https://billing.example cargo run --example checking_service -- 127.0.0.1:9000
#![expect(clippy::disallowed_methods, reason = "set up by its environment")]

use std::env::{args, var};
use std::error::Error;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header::AUTHORIZATION};
use axum::{Router, routing::get};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header, jwk::JwkSet};
use serde_json::Value;
use tokio::{net::TcpListener, sync::Mutex};

type Keys = Arc<Mutex<JwkSet>>;
type Failure = Box<dyn Error + Send + Sync>;

/// The claims of a token that is ours to take (RFC 9068 §4): kind, key, issuer, audience, time, signature.
async fn check(token: &str, keys: &Keys) -> Result<Value, Failure> {
    let issuer = var("ISSUER").unwrap_or_else(|_| "http://localhost:8080".to_owned());
    let header = decode_header(token)?;
    let typ = header.typ.filter(|typ| typ == "at+jwt");
    let (_, kid) = typ.zip(header.kid).ok_or("not an access token")?;
    let mut keys = keys.lock().await;
    if keys.find(&kid).is_none() {
        // A key we have not met. In production ask at most every few seconds: anybody can make up a kid.
        let url = format!("{issuer}/.well-known/jwks.json");
        *keys = reqwest::get(url).await?.json().await?;
    }
    let key = DecodingKey::from_jwk(keys.find(&kid).ok_or("unknown key")?)?;
    let mut expected = Validation::new(Algorithm::ES256);
    expected.set_issuer(&[issuer]);
    expected.set_audience(&[var("AUDIENCE")?]);
    Ok(decode::<Value>(token, &key, &expected)?.claims)
}

async fn invoices(State(keys): State<Keys>, headers: HeaderMap) -> (StatusCode, String) {
    let sent = headers.get(AUTHORIZATION).and_then(|v| v.to_str().ok());
    let token = sent.and_then(|v| v.strip_prefix("Bearer "));
    let Ok(claims) = check(token.unwrap_or_default(), &keys).await else {
        return (StatusCode::UNAUTHORIZED, "invalid_token".to_owned());
    };
    let mut scope = claims["scope"].as_str().unwrap_or_default().split(' ');
    if scope.any(|s| s == "invoices:read") {
        let whose = format!("the invoices, for {}", claims["sub"]);
        return (StatusCode::OK, whose);
    }
    (StatusCode::FORBIDDEN, "insufficient_scope".to_owned())
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let keys = Keys::new(Mutex::new(JwkSet { keys: Vec::new() }));
    let app = Router::new().route("/invoices", get(invoices));
    let listener = TcpListener::bind(args().nth(1).ok_or("where to listen?")?).await?;
    Ok(axum::serve(listener, app.with_state(keys)).await?)
}
