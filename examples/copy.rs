//! A system that keeps a copy of people in a table of its own, right over restarts: its place in the feed is stored with what it read there.
//! Where its client is a registered consumer, the copy holds the consumer's view (docs/propagation.md).
//!
//!     DATABASE_URL=postgres://… CLIENT_ID=c_… CLIENT_SECRET=… cargo run --example copy
#![expect(
    clippy::disallowed_methods,
    reason = "an example, set up by its environment"
)]

use std::env::var;
use std::error::Error;

use serde_json::{Value, json};
use sqlx::{Connection, PgConnection, query, query_scalar, raw_sql};

const TABLES: &str = "
    create table if not exists person (id uuid primary key, document jsonb not null);
    create table if not exists place (next text not null)";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let issuer = var("ISSUER").unwrap_or_else(|_| "http://localhost:8080".to_owned());
    let (id, secret) = (var("CLIENT_ID")?, var("CLIENT_SECRET")?);
    let http = reqwest::Client::new();
    let mut db = PgConnection::connect(&var("DATABASE_URL")?).await?;
    raw_sql(TABLES).execute(&mut db).await?;
    loop {
        let grant = [
            ("grant_type", "client_credentials"),
            ("scope", "users:read"),
        ];
        let request = http
            .post(format!("{issuer}/oauth2/token"))
            .basic_auth(&id, Some(&secret));
        let token: Value = request
            .form(&grant)
            .send()
            .await?
            .error_for_status()?
            .json()
            .await?;
        let token = token["access_token"].as_str().unwrap_or_default();

        let after: Option<String> = query_scalar("select next from place")
            .fetch_optional(&mut db)
            .await?;
        let after = after.map(|next| ("after", next));
        let feed = http
            .get(format!("{issuer}/api/v1/changes?limit=1000&wait=20"))
            .query(&after.as_slice());
        let page: Value = feed
            .bearer_auth(token)
            .send()
            .await?
            .error_for_status()?
            .json()
            .await?;

        let mut tx = db.begin().await?;
        for change in page["items"].as_array().into_iter().flatten() {
            let remove = query("delete from person where id = $1::uuid");
            remove
                .bind(change["user_id"].as_str())
                .execute(&mut *tx)
                .await?;
            if !change["user"].is_null() {
                let store = query("insert into person values ($1::uuid, $2)");
                store
                    .bind(change["user_id"].as_str())
                    .bind(&change["user"])
                    .execute(&mut *tx)
                    .await?;
            }
        }
        query("delete from place").execute(&mut *tx).await?;
        query("insert into place values ($1)")
            .bind(page["next"].as_str())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;

        // Who is no registered consumer has nobody to tell.
        let applied = http
            .put(format!("{issuer}/api/v1/changes/position"))
            .bearer_auth(token);
        applied
            .json(&json!({ "next": page["next"] }))
            .send()
            .await?;
    }
}
