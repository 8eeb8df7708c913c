//! An application that people sign in to through Doorward, in one file. Start it twice, on two ports and with two clients: who has signed in to
//! one is signed in to the other.
//!
//!     CLIENT_ID=c_… CLIENT_SECRET=… cargo run --example application -- 127.0.0.1:9001
#![expect(
    clippy::disallowed_methods,
    reason = "an example, set up by its environment"
)]

use std::collections::HashMap;
use std::env::{args, var};
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;
use oauth2::basic::BasicClient;
use oauth2::reqwest::{self, redirect};
use oauth2::{
    AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken, EndpointNotSet, EndpointSet,
    PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, Scope, TokenResponse, TokenUrl,
};
use serde::Deserialize;

type Client = BasicClient<EndpointSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointSet>;

/// What this application knows of a browser, by the cookie that it gave it.
enum Visitor {
    /// Sent to Doorward with this `state`.
    Away(PkceCodeVerifier),
    SignedIn(String),
}

struct App {
    issuer: String,
    client: Client,
    http: reqwest::Client,
    visitors: Mutex<HashMap<String, Visitor>>,
}

impl App {
    fn visitors(&self) -> MutexGuard<'_, HashMap<String, Visitor>> {
        let visitors = self.visitors.lock();
        visitors.unwrap_or_else(PoisonError::into_inner)
    }
}

/// What Doorward's answer carries.
#[derive(Deserialize)]
struct Answer {
    code: Option<String>,
    error: Option<String>,
    state: String,
    iss: String,
}

#[derive(Deserialize)]
struct Person {
    sub: String,
    name: Option<String>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = args().nth(1).unwrap_or("127.0.0.1:9001".to_owned());
    let issuer = var("ISSUER").unwrap_or("http://localhost:8080".to_owned());
    let client = BasicClient::new(ClientId::new(var("CLIENT_ID")?))
        .set_client_secret(ClientSecret::new(var("CLIENT_SECRET")?))
        .set_auth_uri(AuthUrl::new(format!("{issuer}/oauth2/authorize"))?)
        .set_token_uri(TokenUrl::new(format!("{issuer}/oauth2/token"))?)
        .set_redirect_uri(RedirectUrl::new(format!("http://{address}/callback"))?);
    let http = reqwest::Client::builder();
    let http = http.redirect(redirect::Policy::none()).build()?;
    let app = App {
        issuer,
        client,
        http,
        visitors: Mutex::default(),
    };
    let router = Router::new()
        .route("/", get(home))
        .route("/callback", get(callback))
        .with_state(Arc::new(app));
    let listener = tokio::net::TcpListener::bind(address).await?;
    Ok(axum::serve(listener, router).await?)
}

/// The cookie is the `state` that the browser was sent away with: whoever brings another back is not the browser that left.
fn cookie(headers: &HeaderMap) -> Option<String> {
    let cookies = headers.get(header::COOKIE)?.to_str().ok()?;
    let pairs = cookies
        .split(';')
        .filter_map(|pair| pair.trim().split_once('='));
    let mut ours = pairs.filter(|(name, _)| *name == "example");
    ours.next().map(|(_, value)| value.to_owned())
}

/// Greets who is signed in, and sends everybody else to Doorward.
async fn home(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let mut visitors = app.visitors();
    if let Some(Visitor::SignedIn(name)) = cookie(&headers).and_then(|c| visitors.get(&c)) {
        let name = name.replace('&', "&amp;").replace('<', "&lt;");
        let page =
            format!("<title>Example</title><h1>Hello, {name}</h1><footer>An example</footer>");
        return Html(page).into_response();
    }
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let request = app.client.authorize_url(CsrfToken::new_random);
    let request = request.add_scope(Scope::new("openid profile".to_owned()));
    let (address, state) = request.set_pkce_challenge(challenge).url();
    let cookie = format!("example={}; Path=/; HttpOnly; SameSite=Lax", state.secret());
    visitors.insert(state.into_secret(), Visitor::Away(verifier));
    (
        [(header::SET_COOKIE, cookie)],
        Redirect::to(address.as_str()),
    )
        .into_response()
}

/// Takes the answer: the browser that left, from the server that it was sent to.
async fn callback(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Query(answer): Query<Answer>,
) -> Response {
    let refuse = |why: String| (StatusCode::BAD_REQUEST, why).into_response();
    let known =
        cookie(&headers).filter(|cookie| *cookie == answer.state && answer.iss == app.issuer);
    let away = known.and_then(|state| app.visitors().remove(&state));
    let (Some(Visitor::Away(verifier)), Some(code)) = (away, answer.code) else {
        return refuse(
            answer
                .error
                .unwrap_or("that login was not begun here".to_owned()),
        );
    };
    match person(&app, code, verifier).await {
        Ok(person) => {
            let name = person.name.unwrap_or(person.sub);
            let signed_in = Visitor::SignedIn(name);
            app.visitors().insert(answer.state, signed_in);
            Redirect::to("/").into_response()
        }
        Err(error) => refuse(error.to_string()),
    }
}

/// Exchanges the code and asks who it was. The answer comes over our own connection to Doorward, so it needs no signature checked.
async fn person(
    app: &App,
    code: String,
    verifier: PkceCodeVerifier,
) -> Result<Person, Box<dyn Error>> {
    let exchange = app.client.exchange_code(AuthorizationCode::new(code));
    let tokens = exchange
        .set_pkce_verifier(verifier)
        .request_async(&app.http)
        .await?;
    let userinfo = app.http.get(format!("{}/oauth2/userinfo", app.issuer));
    let answer = userinfo
        .bearer_auth(tokens.access_token().secret())
        .send()
        .await?;
    Ok(answer.error_for_status()?.json().await?)
}
