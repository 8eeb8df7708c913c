//! People's SQL.

use serde_json::{Map, Value, json};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::index::{listed, pairs, searched_attributes};
use super::model::{Fields, SignIn, Standing, Status, User};
use super::{fold, words};
use crate::kernel::{Fault, Secret, UserId};

/// The columns of a person as the API shows them.
#[derive(sqlx::FromRow)]
pub(super) struct Row {
    pub(super) id: UserId,
    pub(super) version: i64,
    pub(super) status: String,
    pub(super) admin: bool,
    pub(super) email: Option<String>,
    pub(super) email_verified: bool,
    pub(super) username: Option<String>,
    pub(super) phone_number: Option<String>,
    pub(super) phone_number_verified: bool,
    pub(super) name: Option<String>,
    pub(super) claims: Value,
    pub(super) external_ids: Value,
    pub(super) attributes: Value,
    pub(super) password_change_required: bool,
    pub(super) created_at: OffsetDateTime,
    pub(super) updated_at: OffsetDateTime,
}

impl TryFrom<Row> for User {
    type Error = Fault;

    fn try_from(row: Row) -> Result<Self, Fault> {
        let id = row.id;
        Ok(Self {
            id,
            version: row.version,
            fields: Fields {
                email: row.email,
                email_verified: row.email_verified,
                username: row.username,
                phone_number: row.phone_number,
                phone_number_verified: row.phone_number_verified,
                name: row.name,
                status: status(&row.status, id)?,
                admin: row.admin,
                claims: serde_json::from_value(row.claims)
                    .map_err(|e| Fault::internal("reading a person's claims", e))?,
                external_ids: serde_json::from_value(row.external_ids)
                    .map_err(|e| Fault::internal("reading a person's external ids", e))?,
                attributes: match row.attributes {
                    Value::Object(attributes) => attributes,
                    _ => Map::new(),
                },
            },
            password_change_required: row.password_change_required,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

fn status(text: &str, id: UserId) -> Result<Status, Fault> {
    Status::parse(text)
        .ok_or_else(|| Fault::internal("reading a person's status", format!("user {id}")))
}

pub(super) async fn find(id: UserId, db: &mut PgConnection) -> Result<Option<User>, Fault> {
    let row = sqlx::query_as!(
        Row,
        r#"
        select id as "id: UserId", version, status, admin, email, email_verified, username, phone_number, phone_number_verified,
               name, claims, external_ids, attributes, password_change_required, created_at, updated_at
          from "user"
         where id = $1
           and deleted_at is null"#,
        id.0,
    )
    .fetch_optional(db)
    .await?;
    row.map(TryInto::try_into).transpose()
}

/// The version that a person is at, also where they are deleted or erased.
pub(crate) async fn find_version(id: UserId, db: &mut PgConnection) -> Result<Option<i64>, Fault> {
    let version = sqlx::query_scalar!(
        r#"
        select version as "version!" from "user" where id = $1
        union all
        select version from erased_user where id = $1"#,
        id.0,
    )
    .fetch_optional(db)
    .await?;
    Ok(version)
}

/// Those of these people who are there, in no particular order.
pub(crate) async fn find_many(ids: &[UserId], db: &mut PgConnection) -> Result<Vec<User>, Fault> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let rows = sqlx::query_as!(
        Row,
        r#"
        select id as "id: UserId", version, status, admin, email, email_verified, username, phone_number, phone_number_verified,
               name, claims, external_ids, attributes, password_change_required, created_at, updated_at
          from "user"
         where id = any ($1)
           and deleted_at is null"#,
        &ids,
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// As [`find`], locked until the transaction ends: changes of one person follow one another.
pub(super) async fn find_for_update(
    id: UserId,
    db: &mut PgConnection,
) -> Result<Option<User>, Fault> {
    let row = sqlx::query_as!(
        Row,
        r#"
        select id as "id: UserId", version, status, admin, email, email_verified, username, phone_number, phone_number_verified,
               name, claims, external_ids, attributes, password_change_required, created_at, updated_at
          from "user"
         where id = $1
           and deleted_at is null
           for update"#,
        id.0,
    )
    .fetch_optional(db)
    .await?;
    row.map(TryInto::try_into).transpose()
}

/// Whoever may sign in by this e-mail address or username.
pub(crate) async fn find_sign_in(
    identifier: &str,
    db: &mut PgConnection,
) -> Result<Option<SignIn>, Fault> {
    let folded = fold(identifier);
    let row = sqlx::query!(
        r#"
        select id as "id: UserId", status, admin, email, username, name, password_hash, password_change_required, tokens_valid_from
          from "user"
         where (email_folded = $1 or username_folded = $1)
           and deleted_at is null"#,
        folded,
    )
    .fetch_optional(db)
    .await?;
    row.map(|row| {
        Ok(SignIn {
            id: row.id,
            status: status(&row.status, row.id)?,
            admin: row.admin,
            email: row.email,
            username: row.username,
            name: row.name,
            password_hash: row.password_hash.map(Secret::new),
            password_change_required: row.password_change_required,
            tokens_valid_from: row.tokens_valid_from,
        })
    })
    .transpose()
}

/// Whether the person is still let in; `None` for the unknown and the deleted.
pub(crate) async fn find_standing(
    id: UserId,
    db: &mut PgConnection,
) -> Result<Option<Standing>, Fault> {
    let row = sqlx::query!(
        r#"
        select status, admin, tokens_valid_from
          from "user"
         where id = $1
           and deleted_at is null"#,
        id.0,
    )
    .fetch_optional(db)
    .await?;
    row.map(|row| {
        Ok(Standing {
            active: status(&row.status, id)? == Status::Active,
            admin: row.admin,
            tokens_valid_from: row.tokens_valid_from,
        })
    })
    .transpose()
}

/// Writes a new person and what they are found by. The constraints decide whether the identifiers are free.
pub(super) async fn insert(
    user: &User,
    password_hash: Option<&Secret<String>>,
    tokens_valid_from: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<(), sqlx::Error> {
    let f = &user.fields;
    let (systems, external_ids) = pairs(&f.external_ids);
    let attributes = searched_attributes(f);
    let (names, values) = pairs(&attributes);
    sqlx::query!(
        r#"
        with word as (
            insert into user_word (suffix, user_id)
            select suffix, $1
              from unnest($22::text[]) as listed (suffix)
        ), external_id as (
            insert into user_external_id (system, external_id, user_id)
            select system, external_id, $1
              from unnest($23::text[], $24::text[]) as listed (system, external_id)
        ), attribute as (
            insert into user_attribute (name, value, user_id)
            select name, value, $1
              from unnest($25::text[], $26::text[]) as listed (name, value)
        )
        insert into "user" (id, version, status, admin, email, email_folded, email_verified, username, username_folded, phone_number,
                            phone_number_verified, name, claims, password_hash, password_change_required, tokens_valid_from,
                            created_at, updated_at, external_ids, attributes, name_folded)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)"#,
        user.id.0,
        user.version,
        f.status.as_str(),
        f.admin,
        f.email,
        f.email.as_deref().map(fold),
        f.email_verified,
        f.username,
        f.username.as_deref().map(fold),
        f.phone_number,
        f.phone_number_verified,
        f.name,
        json!(f.claims),
        password_hash.map(Secret::expose),
        user.password_change_required,
        tokens_valid_from,
        user.created_at,
        user.updated_at,
        json!(f.external_ids),
        json!(f.attributes),
        words::name_folded(f.name.as_deref()),
        &listed(words::suffixes(f)),
        &systems,
        &external_ids,
        &names,
        &values,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Writes the fields where the person is at one of `versions` (`None`: at any), and gives the new version. `ends`: and ends everything given
/// out before. Of somebody whom no search finds yet ([`super::index_older`]) that stays so.
pub(super) async fn update(
    id: UserId,
    f: &Fields,
    versions: Option<&[i64]>,
    ends: bool,
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        update "user"
           set status = $3, admin = $4, email = $5, email_folded = $6, email_verified = $7, username = $8, username_folded = $9,
               phone_number = $10, phone_number_verified = $11, name = $12, claims = $13,
               tokens_valid_from = case when $14 then greatest(tokens_valid_from + interval '1 microsecond', $15) else tokens_valid_from end,
               external_ids = $16, attributes = $17, name_folded = case when name_folded is not null then $18 end,
               version = version + 1,
               updated_at = $15
         where id = $1
           and deleted_at is null
           and ($2::bigint[] is null or version = any ($2))
        returning version"#,
        id.0,
        versions as Option<&[i64]>,
        f.status.as_str(),
        f.admin,
        f.email,
        f.email.as_deref().map(fold),
        f.email_verified,
        f.username,
        f.username.as_deref().map(fold),
        f.phone_number,
        f.phone_number_verified,
        f.name,
        json!(f.claims),
        ends,
        now,
        json!(f.external_ids),
        json!(f.attributes),
        words::name_folded(f.name.as_deref()),
    )
    .fetch_optional(db)
    .await
}

/// Hides the person where they are at one of `versions`, and gives the new version. Nothing is freed until they are erased.
pub(super) async fn delete(
    id: UserId,
    versions: Option<&[i64]>,
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<Option<i64>, Fault> {
    let version = sqlx::query_scalar!(
        r#"
        update "user"
           set deleted_at = $3, tokens_valid_from = $3, version = version + 1, updated_at = $3
         where id = $1
           and deleted_at is null
           and ($2::bigint[] is null or version = any ($2))
        returning version"#,
        id.0,
        versions as Option<&[i64]>,
        now,
    )
    .fetch_optional(db)
    .await?;
    Ok(version)
}

/// Somebody who is deleted, locked like [`find_for_update`].
pub(super) async fn find_deleted_for_update(
    id: UserId,
    db: &mut PgConnection,
) -> Result<Option<User>, Fault> {
    let row = sqlx::query_as!(
        Row,
        r#"
        select id as "id: UserId", version, status, admin, email, email_verified, username, phone_number, phone_number_verified,
               name, claims, external_ids, attributes, password_change_required, created_at, updated_at
          from "user"
         where id = $1
           and deleted_at is not null
           for update"#,
        id.0,
    )
    .fetch_optional(db)
    .await?;
    row.map(TryInto::try_into).transpose()
}

/// Somebody, deleted or not.
pub(super) async fn find_even_deleted(
    id: UserId,
    db: &mut PgConnection,
) -> Result<Option<User>, Fault> {
    let row = sqlx::query_as!(
        Row,
        r#"
        select id as "id: UserId", version, status, admin, email, email_verified, username, phone_number, phone_number_verified,
               name, claims, external_ids, attributes, password_change_required, created_at, updated_at
          from "user"
         where id = $1"#,
        id.0,
    )
    .fetch_optional(db)
    .await?;
    row.map(TryInto::try_into).transpose()
}

/// Brings a deleted person back where they are at one of `versions`, and gives the new version.
pub(super) async fn restore(
    id: UserId,
    versions: Option<&[i64]>,
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<Option<i64>, Fault> {
    let version = sqlx::query_scalar!(
        r#"
        update "user"
           set deleted_at = null, tokens_valid_from = greatest(tokens_valid_from + interval '1 microsecond', $3), version = version + 1, updated_at = $3
         where id = $1
           and deleted_at is not null
           and ($2::bigint[] is null or version = any ($2))
        returning version"#,
        id.0,
        versions as Option<&[i64]>,
        now,
    )
    .fetch_optional(db)
    .await?;
    Ok(version)
}

/// Erases a deleted person where they are at one of `versions`: their row goes, and with it whatever refers to them; what is left is the
/// id, and the version that this was.
pub(super) async fn erase(
    id: UserId,
    versions: Option<&[i64]>,
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<Option<i64>, Fault> {
    let version = sqlx::query_scalar!(
        r#"
        with gone as (
            delete from "user"
             where id = $1
               and deleted_at is not null
               and ($2::bigint[] is null or version = any ($2))
            returning version
        )
        insert into erased_user (id, version, erased_at)
        select $1, version + 1, $3
          from gone
        returning version"#,
        id.0,
        versions as Option<&[i64]>,
        now,
    )
    .fetch_optional(db)
    .await?;
    Ok(version)
}

/// Whether somebody had this id and was erased.
pub(super) async fn is_erased(id: UserId, db: &mut PgConnection) -> Result<bool, Fault> {
    let erased = sqlx::query_scalar!(
        r#"select exists (select from erased_user where id = $1) as "erased!""#,
        id.0
    )
    .fetch_one(db)
    .await?;
    Ok(erased)
}

/// Whether there is anybody at all.
pub(crate) async fn any(db: &mut PgConnection) -> Result<bool, Fault> {
    Ok(
        sqlx::query_scalar!(r#"select exists (select from "user") as "any!""#)
            .fetch_one(db)
            .await?,
    )
}

/// Lets nothing count any more that was given out for this person before, sign-ins that are under way included; gives whether they are an admin.
/// They are no other person for it, so it is no change of theirs.
pub(super) async fn begin_epoch(
    id: UserId,
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<Option<bool>, Fault> {
    let admin = sqlx::query_scalar!(
        r#"
        update "user"
           set tokens_valid_from = greatest(tokens_valid_from + interval '1 microsecond', $2)
         where id = $1
           and deleted_at is null
        returning admin"#,
        id.0,
        now,
    )
    .fetch_optional(db)
    .await?;
    Ok(admin)
}
