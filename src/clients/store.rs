//! The clients' SQL.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::PgConnection;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{Client, KeySource, Registration, StoredSecret};
use crate::jose::{Alg, KeySet};
use crate::kernel::span::Span;
use crate::kernel::{ClientId, Fault, ScopeSet, TokenHash};

struct Row {
    id: String,
    version: i64,
    name: String,
    auth_method: String,
    assertion_alg: Option<String>,
    jwks: Option<Value>,
    jwks_uri: Option<String>,
    grants: Vec<String>,
    scopes: Vec<String>,
    audiences: Vec<String>,
    serves: Option<String>,
    signing_alg: String,
    access_token_seconds: Option<i32>,
    password_grant_until: Option<OffsetDateTime>,
    sign_on: Value,
    about: Value,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
    secret_ids: Vec<Uuid>,
    secret_hashes: Vec<Vec<u8>>,
    secrets_created_at: Vec<OffsetDateTime>,
    secrets_expire_at: Vec<Option<OffsetDateTime>>,
    secrets_used_at: Vec<Option<OffsetDateTime>>,
}

impl TryFrom<Row> for Client {
    type Error = Fault;

    fn try_from(row: Row) -> Result<Self, Fault> {
        let strange = || Fault::internal("reading a client's row", format!("client {}", row.id));
        let secrets = (row.secret_ids.iter())
            .zip(&row.secret_hashes)
            .zip(row.secrets_created_at)
            .zip(row.secrets_expire_at)
            .zip(row.secrets_used_at);
        let secrets = secrets.map(|((((id, hash), created_at), expires_at), last_used_at)| {
            let hash = TokenHash::from_stored(hash)?;
            Some(StoredSecret::stored(
                *id,
                hash,
                created_at,
                expires_at,
                last_used_at,
            ))
        });
        let secrets = secrets.collect::<Option<Vec<_>>>().ok_or_else(strange)?;
        let keys = match (row.jwks, row.jwks_uri) {
            (Some(set), _) => Some(KeySource::ByValue(
                KeySet::read(set).map_err(|_| strange())?,
            )),
            (None, uri) => uri.map(KeySource::ByUri),
        };
        let assertion_alg = row.assertion_alg.as_deref().map(str::parse).transpose();
        let registration = Registration {
            name: row.name,
            auth_method: row.auth_method.parse().map_err(|_| strange())?,
            assertion_alg: assertion_alg.map_err(|_| strange())?,
            keys,
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
            sign_on: serde_json::from_value(row.sign_on).map_err(|_| strange())?,
            about: serde_json::from_value(row.about).map_err(|_| strange())?,
        };
        let id = row.id.parse().map_err(|_| strange())?;
        Ok(Self {
            id,
            version: row.version,
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
        select c.id, c.version, c.name, c.auth_method, c.assertion_alg, c.jwks, c.jwks_uri, c.grants, c.scopes, c.audiences, c.serves,
               c.signing_alg, c.access_token_seconds, c.password_grant_until, c.sign_on, c.about, c.created_at, c.updated_at,
               coalesce(s.ids, '{}') as "secret_ids!", coalesce(s.hashes, '{}') as "secret_hashes!",
               coalesce(s.created_at, '{}') as "secrets_created_at!",
               coalesce(s.expires_at, '{}') as "secrets_expire_at!: Vec<Option<OffsetDateTime>>",
               coalesce(s.last_used_at, '{}') as "secrets_used_at!: Vec<Option<OffsetDateTime>>"
          from client c
          left join lateral (
               select array_agg(id order by created_at, id) as ids, array_agg(secret_hash order by created_at, id) as hashes,
                      array_agg(created_at order by created_at, id) as created_at,
                      array_agg(expires_at order by created_at, id) as expires_at,
                      array_agg(last_used_at order by created_at, id) as last_used_at
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

/// A place in the list of clients.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Position {
    /// Microseconds since 1970.
    created_at_us: i64,
    id: String,
}

impl Position {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "microseconds since 1970 fit 64 bits for 290,000 years"
    )]
    pub(super) fn of(client: &Client) -> Self {
        Self {
            created_at_us: (client.created_at.unix_timestamp_nanos() / 1000) as i64,
            id: client.id.to_string(),
        }
    }
}

/// All clients, oldest first, without their secrets' hashes.
pub(crate) async fn list(db: &mut PgConnection) -> Result<Vec<Client>, Fault> {
    page(None, i64::MAX, db).await
}

/// At most `limit` clients from `after` on, oldest first, without their secrets' hashes.
pub(super) async fn page(
    after: Option<Position>,
    limit: i64,
    db: &mut PgConnection,
) -> Result<Vec<Client>, Fault> {
    let at = after
        .as_ref()
        .map(|p| OffsetDateTime::UNIX_EPOCH + Duration::microseconds(p.created_at_us));
    let id = after.map(|p| p.id);
    let rows = sqlx::query_as!(
        Row,
        r#"
        select id, version, name, auth_method, assertion_alg, jwks, jwks_uri, grants, scopes, audiences, serves,
               signing_alg, access_token_seconds, password_grant_until, sign_on, about, created_at, updated_at,
               '{}'::uuid[] as "secret_ids!", '{}'::bytea[] as "secret_hashes!", '{}'::timestamptz[] as "secrets_created_at!",
               '{}'::timestamptz[] as "secrets_expire_at!: Vec<Option<OffsetDateTime>>",
               '{}'::timestamptz[] as "secrets_used_at!: Vec<Option<OffsetDateTime>>"
          from client
         where $1::timestamptz is null or (created_at, id) > ($1, $2)
         order by created_at, id
         limit $3"#,
        at,
        id,
        limit,
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// A registration as the table's columns.
struct Columns {
    grants: Vec<String>,
    scopes: Vec<String>,
    jwks: Option<Value>,
    access_token_seconds: Option<i32>,
    sign_on: Value,
    about: Value,
}

impl Columns {
    fn of(r: &Registration) -> Result<Self, sqlx::Error> {
        let json = |value: Result<Value, serde_json::Error>| {
            value.map_err(|e| sqlx::Error::Encode(Box::new(e)))
        };
        let grants = r.grants.iter().map(|grant| grant.as_str().to_owned());
        Ok(Self {
            grants: grants.collect(),
            scopes: r.scopes.iter().map(str::to_owned).collect(),
            jwks: match &r.keys {
                Some(KeySource::ByValue(set)) => Some(set.to_json()),
                Some(KeySource::ByUri(_)) | None => None,
            },
            access_token_seconds: r
                .access_token_lifetime
                .and_then(|life| i32::try_from(life.whole_seconds()).ok()),
            sign_on: json(serde_json::to_value(&r.sign_on))?,
            about: json(serde_json::to_value(&r.about))?,
        })
    }
}

fn jwks_uri(r: &Registration) -> Option<&str> {
    match &r.keys {
        Some(KeySource::ByUri(uri)) => Some(uri),
        Some(KeySource::ByValue(_)) | None => None,
    }
}

pub(super) async fn insert(client: &Client, db: &mut PgConnection) -> Result<(), sqlx::Error> {
    let r = &client.registration;
    let columns = Columns::of(r)?;
    sqlx::query!(
        "
        insert into client (id, name, auth_method, assertion_alg, jwks, jwks_uri, grants, scopes, audiences, serves, signing_alg,
                            access_token_seconds, password_grant_until, sign_on, about, created_at, updated_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)",
        client.id.as_str(),
        r.name,
        r.auth_method.as_str(),
        r.assertion_alg.map(Alg::as_str),
        columns.jwks,
        jwks_uri(r),
        &columns.grants,
        &columns.scopes,
        &r.audiences,
        r.serves,
        r.signing_alg.as_str(),
        columns.access_token_seconds,
        r.password_grant_until,
        columns.sign_on,
        columns.about,
        client.created_at,
        client.updated_at,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Writes the registration anew where the client is at one of `versions` (`None`: whatever it is at); the new version, or `None` where it is at another.
pub(super) async fn update(
    id: &ClientId,
    r: &Registration,
    versions: Option<&[i64]>,
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<Option<i64>, sqlx::Error> {
    let columns = Columns::of(r)?;
    sqlx::query_scalar!(
        "
        update client
           set name = $3, auth_method = $4, assertion_alg = $5, jwks = $6, jwks_uri = $7, grants = $8, scopes = $9, audiences = $10,
               serves = $11, signing_alg = $12, access_token_seconds = $13, password_grant_until = $14, sign_on = $15, about = $16,
               version = version + 1, updated_at = $17
         where id = $1
           and ($2::bigint[] is null or version = any ($2))
        returning version",
        id.as_str(),
        versions as Option<&[i64]>,
        r.name,
        r.auth_method.as_str(),
        r.assertion_alg.map(Alg::as_str),
        columns.jwks,
        jwks_uri(r),
        &columns.grants,
        &columns.scopes,
        &r.audiences,
        r.serves,
        r.signing_alg.as_str(),
        columns.access_token_seconds,
        r.password_grant_until,
        columns.sign_on,
        columns.about,
        now,
    )
    .fetch_optional(db)
    .await
}

pub(super) async fn insert_secret(
    id: &ClientId,
    secret: &StoredSecret,
    db: &mut PgConnection,
) -> Result<(), Fault> {
    sqlx::query!(
        "
        insert into client_secret (client_id, id, secret_hash, created_at)
        values ($1, $2, $3, $4)",
        id.as_str(),
        secret.id,
        secret.hash.as_bytes(),
        secret.created_at,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Ends the secrets that do not end before `at` anyway (`None`: they stay), and forgets those that have ended.
pub(super) async fn end_secrets(
    id: &ClientId,
    at: Option<OffsetDateTime>,
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<(), Fault> {
    sqlx::query!(
        "
        update client_secret
           set expires_at = $2
         where client_id = $1
           and $2::timestamptz is not null
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

/// Ends one secret; whether there was one.
pub(super) async fn delete_secret(
    id: &ClientId,
    secret: Uuid,
    db: &mut PgConnection,
) -> Result<bool, Fault> {
    let done = sqlx::query!(
        "delete from client_secret where client_id = $1 and id = $2",
        id.as_str(),
        secret,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Writes down when secrets were last used, all in one statement; what is later already stays.
pub(super) async fn write_uses(
    ids: &[Uuid],
    times: &[OffsetDateTime],
    db: &mut PgConnection,
) -> Result<(), Fault> {
    sqlx::query!(
        "
        update client_secret s
           set last_used_at = u.at
          from unnest($1::uuid[], $2::timestamptz[]) as u (id, at)
         where s.id = u.id
           and (s.last_used_at is null or s.last_used_at < u.at)",
        ids,
        times,
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

/// The origins of all clients' pages.
pub(super) async fn list_origins(db: &mut PgConnection) -> Result<Vec<String>, Fault> {
    let origins = sqlx::query_scalar!(
        r#"
        select distinct jsonb_array_elements_text(sign_on -> 'cors_origins') as "origin!"
          from client"#
    )
    .fetch_all(db)
    .await?;
    Ok(origins)
}

/// The longest life that any client's registration gives its access or ID tokens; zero where none says anything.
pub(crate) async fn longest_token_lifetime(db: &mut PgConnection) -> Result<Span, Fault> {
    let seconds = sqlx::query_scalar!(
        r#"
        select coalesce(max(greatest(access_token_seconds, (sign_on ->> 'id_token_lifetime')::integer)), 0) as "seconds!"
          from client"#
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
