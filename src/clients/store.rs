//! The clients' SQL.

use sqlx::PgConnection;
use time::OffsetDateTime;

use super::{Client, Registration, StoredSecret};
use crate::kernel::span::Span;
use crate::kernel::{ClientId, Fault, ScopeSet, TokenHash};

struct Row {
    id: String,
    name: String,
    auth_method: String,
    grants: Vec<String>,
    scopes: Vec<String>,
    audiences: Vec<String>,
    serves: Option<String>,
    signing_alg: String,
    access_token_seconds: Option<i32>,
    password_grant_until: Option<OffsetDateTime>,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
    hashes: Vec<Vec<u8>>,
    secrets_created_at: Vec<OffsetDateTime>,
    secrets_expire_at: Vec<Option<OffsetDateTime>>,
}

impl TryFrom<Row> for Client {
    type Error = Fault;

    fn try_from(row: Row) -> Result<Self, Fault> {
        let strange = || Fault::internal("reading a client's row", format!("client {}", row.id));
        let secrets = row
            .hashes
            .iter()
            .zip(row.secrets_created_at)
            .zip(row.secrets_expire_at);
        let secrets = secrets.map(|((hash, created_at), expires_at)| {
            Some(StoredSecret {
                hash: TokenHash::from_stored(hash)?,
                created_at,
                expires_at,
            })
        });
        let secrets = secrets.collect::<Option<Vec<_>>>().ok_or_else(strange)?;
        let registration = Registration {
            name: row.name,
            auth_method: row.auth_method.parse().map_err(|_| strange())?,
            grants: row
                .grants
                .iter()
                .map(|grant| grant.parse())
                .collect::<Result<_, _>>()
                .map_err(|_| strange())?,
            scopes: ScopeSet::parse(&row.scopes.join(" ")).map_err(|_| strange())?,
            audiences: row.audiences,
            serves: row.serves,
            signing_alg: row.signing_alg.parse().map_err(|_| strange())?,
            access_token_lifetime: row
                .access_token_seconds
                .and_then(|s| u32::try_from(s).ok())
                .map(Span::seconds),
            password_grant_until: row.password_grant_until,
        };
        let id = row.id.parse().map_err(|_| strange())?;
        Ok(Self {
            id,
            registration,
            secrets,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

/// A client with its secrets, in one statement.
pub(crate) async fn find(id: &ClientId, db: &mut PgConnection) -> Result<Option<Client>, Fault> {
    let row = sqlx::query_as!(
        Row,
        r#"
        select c.id, c.name, c.auth_method, c.grants, c.scopes, c.audiences, c.serves, c.signing_alg, c.access_token_seconds,
               c.password_grant_until, c.created_at, c.updated_at,
               coalesce(s.hashes, '{}') as "hashes!", coalesce(s.created_at, '{}') as "secrets_created_at!",
               coalesce(s.expires_at, '{}') as "secrets_expire_at!: Vec<Option<OffsetDateTime>>"
          from client c
          left join lateral (
               select array_agg(secret_hash) as hashes, array_agg(created_at) as created_at, array_agg(expires_at) as expires_at
                 from client_secret
                where client_id = c.id
          ) s on true
         where c.id = $1"#,
        id.as_str(),
    )
    .fetch_optional(db)
    .await?;
    row.map(TryInto::try_into).transpose()
}

/// All clients, oldest first, without their secrets' hashes.
pub(crate) async fn list(db: &mut PgConnection) -> Result<Vec<Client>, Fault> {
    let rows = sqlx::query_as!(
        Row,
        r#"
        select id, name, auth_method, grants, scopes, audiences, serves, signing_alg, access_token_seconds,
               password_grant_until, created_at, updated_at,
               '{}'::bytea[] as "hashes!", '{}'::timestamptz[] as "secrets_created_at!",
               '{}'::timestamptz[] as "secrets_expire_at!: Vec<Option<OffsetDateTime>>"
          from client
         order by created_at, id"#
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

pub(super) async fn insert(client: &Client, db: &mut PgConnection) -> Result<(), sqlx::Error> {
    let r = &client.registration;
    let grants: Vec<String> = r
        .grants
        .iter()
        .map(|grant| grant.as_str().to_owned())
        .collect();
    let scopes: Vec<String> = r.scopes.iter().map(str::to_owned).collect();
    sqlx::query!(
        "
        insert into client (id, name, auth_method, grants, scopes, audiences, serves, signing_alg, access_token_seconds,
                            password_grant_until, created_at, updated_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        client.id.as_str(),
        r.name,
        r.auth_method.as_str(),
        &grants,
        &scopes,
        &r.audiences,
        r.serves,
        r.signing_alg.as_str(),
        r.access_token_lifetime.and_then(|life| i32::try_from(life.whole_seconds()).ok()),
        r.password_grant_until,
        client.created_at,
        client.updated_at,
    )
    .execute(db)
    .await?;
    Ok(())
}

pub(super) async fn insert_secret(
    id: &ClientId,
    hash: &TokenHash,
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<(), Fault> {
    sqlx::query!(
        "
        insert into client_secret (client_id, secret_hash, created_at)
        values ($1, $2, $3)",
        id.as_str(),
        hash.as_bytes(),
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Ends the secrets that do not end before `at` anyway, and forgets those that have ended.
pub(super) async fn end_secrets(
    id: &ClientId,
    at: OffsetDateTime,
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<(), Fault> {
    sqlx::query!(
        "
        update client_secret
           set expires_at = $2
         where client_id = $1
           and (expires_at is null or expires_at > $2)",
        id.as_str(),
        at,
    )
    .execute(&mut *db)
    .await?;
    sqlx::query!(
        "delete from client_secret where client_id = $1 and expires_at <= $2",
        id.as_str(),
        now
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Locks the client for a change; `None` where there is none.
pub(super) async fn lock(id: &ClientId, db: &mut PgConnection) -> Result<Option<()>, Fault> {
    let row = sqlx::query_scalar!(
        "select id from client where id = $1 for update",
        id.as_str()
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|_| ()))
}

pub(super) async fn touch(
    id: &ClientId,
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<(), Fault> {
    sqlx::query!(
        "update client set version = version + 1, updated_at = $2 where id = $1",
        id.as_str(),
        now
    )
    .execute(db)
    .await?;
    Ok(())
}

pub(super) async fn delete(id: &ClientId, db: &mut PgConnection) -> Result<(), Fault> {
    sqlx::query!("delete from client where id = $1", id.as_str())
        .execute(db)
        .await?;
    Ok(())
}

/// Until when some client has the password grant, in seconds of Unix time: `i64::MAX` for ever, `None` where none has it.
pub(super) async fn password_grant_until(db: &mut PgConnection) -> Result<Option<i64>, Fault> {
    let until = sqlx::query_scalar!(
        r#"
        select max(coalesce(extract(epoch from password_grant_until)::bigint, $1)) as until
          from client
         where 'password' = any (grants)"#,
        i64::MAX,
    )
    .fetch_one(db)
    .await?;
    Ok(until)
}

/// The longest life that any client's registration gives its access tokens; zero where none says anything.
pub(crate) async fn longest_token_lifetime(db: &mut PgConnection) -> Result<Span, Fault> {
    let seconds = sqlx::query_scalar!(
        r#"select coalesce(max(access_token_seconds), 0) as "seconds!" from client"#
    )
    .fetch_one(db)
    .await?;
    Ok(Span::seconds(u32::try_from(seconds).unwrap_or(0)))
}

/// Whether there is any client at all.
pub(crate) async fn any(db: &mut PgConnection) -> Result<bool, Fault> {
    Ok(
        sqlx::query_scalar!(r#"select exists (select from client) as "any!""#)
            .fetch_one(db)
            .await?,
    )
}
