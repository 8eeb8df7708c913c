//! A system that keeps a copy of people in a table of its own, right over restarts: one statement stores a page of the feed and the place where
//! it ends. Any failure ends the program; start it again and it goes on where it was. Where its client is a registered consumer, the copy holds
//! the consumer's view, and Doorward is told how far it is (docs/propagation.md).
//!
//!     DATABASE_URL=postgres://… ISSUER=http://localhost:8080 CLIENT_ID=c_… CLIENT_SECRET=… cargo run --example copy
#![expect(
    clippy::disallowed_methods,
    reason = "an example, set up by its environment"
)]

use std::env::var;
use std::error::Error;

use reqwest::RequestBuilder;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection, query, query_scalar, raw_sql};

const TABLES: &str = "
    create table if not exists person (id uuid primary key, document jsonb not null);
    create table if not exists place (next text);
    insert into place select null where not exists (select from place)";
const PLACE: &str = "select next from place";
const APPLY: &str = r#"
    with change as (select * from jsonb_to_recordset($1 -> 'items') as change (user_id uuid, "user" jsonb)),
         removed as (delete from person using change where id = user_id and "user" is null),
         stored as (insert into person select user_id, "user" from change where "user" is not null
                        on conflict (id) do update set document = excluded.document)
    update place set next = $1 ->> 'next'"#;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (issuer, id, secret) = (var("ISSUER")?, var("CLIENT_ID")?, var("CLIENT_SECRET")?);
    let http = reqwest::Client::new();
    let mut db = PgConnection::connect(&var("DATABASE_URL")?).await?;
    raw_sql(TABLES).execute(&mut db).await?;
    loop {
        let token = http.post(format!("{issuer}/oauth2/token"));
        let token = token.form(&[("grant_type", "client_credentials")]);
        let token = answer(token.basic_auth(&id, Some(&secret))).await?;
        let token = token["access_token"].as_str().unwrap_or_default();

        let after: Option<String> = query_scalar(PLACE).fetch_one(&mut db).await?;
        let feed = http.get(format!("{issuer}/api/v1/changes?limit=1000&wait=20"));
        let page = answer(feed.query(&[("after", after)]).bearer_auth(token)).await?;
        query(APPLY).bind(&page).execute(&mut db).await?;

        // Who is no registered consumer is refused here, and need not care.
        let applied = http.put(format!("{issuer}/api/v1/changes/position"));
        let applied = applied.json(&json!({ "next": page["next"] }));
        applied.bearer_auth(token).send().await?;
    }
}

async fn answer(request: RequestBuilder) -> Result<Value, Box<dyn Error>> {
    Ok(request.send().await?.error_for_status()?.json().await?)
}
