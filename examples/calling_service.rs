//! A service that calls another one: takes a token from Doorward, keeps it until shortly before it expires, and sends it along.
//!
//!     CLIENT_ID=c_… CLIENT_SECRET=… cargo run --example calling_service -- http://localhost:9000/invoices
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "an example on a terminal, set up by its environment"
)]

use std::env::{args, var};
use std::error::Error;
use std::time::{Duration, Instant};

use oauth2::basic::BasicClient;
use oauth2::reqwest::{self, redirect};
use oauth2::{ClientId, ClientSecret, EndpointNotSet, EndpointSet, TokenResponse, TokenUrl};

type Client =
    BasicClient<EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointSet>;

/// A token and until when it is worth sending.
struct Tokens {
    client: Client,
    http: reqwest::Client,
    kept: Option<(String, Instant)>,
}

impl Tokens {
    async fn get(&mut self) -> Result<String, Box<dyn Error>> {
        if let Some((token, _)) = self.kept.as_ref().filter(|(_, end)| *end > Instant::now()) {
            return Ok(token.clone());
        }
        let request = self.client.exchange_client_credentials();
        let answer = request.request_async(&self.http).await?;
        let token = answer.access_token().secret().clone();
        let life = answer.expires_in().unwrap_or_default();
        let end = Instant::now() + life.saturating_sub(Duration::from_secs(30));
        self.kept = Some((token.clone(), end));
        Ok(token)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let issuer = var("ISSUER").unwrap_or_else(|_| "http://localhost:8080".to_owned());
    let client = BasicClient::new(ClientId::new(var("CLIENT_ID")?))
        .set_client_secret(ClientSecret::new(var("CLIENT_SECRET")?))
        .set_token_uri(TokenUrl::new(format!("{issuer}/oauth2/token"))?);
    let http = reqwest::Client::builder();
    let http = http.redirect(redirect::Policy::none()).build()?;
    let kept = None;
    let mut tokens = Tokens { client, http, kept };
    for url in args().skip(1) {
        let request = tokens.http.get(url).bearer_auth(tokens.get().await?);
        let answer = request.send().await?;
        println!("{} {}", answer.status(), answer.text().await?);
    }
    Ok(())
}
