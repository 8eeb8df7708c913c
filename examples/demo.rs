//! Made-up people, by the REST API, so that there is something to look at. `make demo` runs it.
#![expect(
    clippy::disallowed_methods,
    reason = "an example on a terminal, set up by its environment"
)]

use std::env::{args, var};
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use indicatif::ProgressBar;
use serde_json::{Value, json};

const GIVEN: [&str; 12] = [
    "Ada",
    "Grace",
    "Edsger",
    "Barbara",
    "Alan",
    "Katherine",
    "Donald",
    "Radia",
    "Niklaus",
    "Frances",
    "Ken",
    "Margaret",
];
const FAMILY: [&str; 12] = [
    "Lovelace", "Hopper", "Dijkstra", "Liskov", "Turing", "Johnson", "Knuth", "Perlman", "Wirth",
    "Allen", "Thompson", "Hamilton",
];
const LOCALES: [&str; 5] = ["en-GB", "de-DE", "fr-FR", "pl-PL", "pt-BR"];

fn person(n: usize) -> Value {
    let given = GIVEN[n % GIVEN.len()];
    let family = FAMILY[n / GIVEN.len() % FAMILY.len()];
    let address = format!("{given}.{family}.{n}@example.com").to_lowercase();
    json!({
        "email": address,
        "email_verified": !n.is_multiple_of(7),
        "name": format!("{given} {family}"),
        "given_name": given,
        "family_name": family,
        "locale": LOCALES[n % LOCALES.len()],
        "status": if n.is_multiple_of(40) { "disabled" } else { "active" },
    })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let people = args().nth(1).unwrap_or_default().parse().unwrap_or(3000);
    let issuer = var("ISSUER")?;
    let http = reqwest::Client::builder().build()?;
    let asked = http.post(format!("{issuer}/oauth2/token"));
    let asked = asked.basic_auth(var("CLIENT_ID")?, var("CLIENT_SECRET").ok());
    let form = [("grant_type", "client_credentials")];
    let token: Value = asked.form(&form).send().await?.json().await?;
    let token = token["access_token"].as_str().ok_or("no token")?.to_owned();

    let (bar, next) = (
        ProgressBar::new(people as u64),
        Arc::new(AtomicUsize::new(0)),
    );
    let workers = (0..8).map(|_| {
        let (http, bar, next) = (http.clone(), bar.clone(), next.clone());
        let (url, token) = (format!("{issuer}/api/v1/users"), token.clone());
        tokio::spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= people {
                    return Ok::<_, reqwest::Error>(());
                }
                let request = http.post(&url).bearer_auth(&token).json(&person(n));
                let answer = request.send().await?;
                // 409: a demo before this one made them.
                if answer.status() != 409 {
                    answer.error_for_status()?;
                }
                bar.inc(1);
            }
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await??;
    }
    bar.finish();
    Ok(())
}
