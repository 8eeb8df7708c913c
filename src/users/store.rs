//! People's SQL.

use std::collections::HashMap;

use serde_json::Value;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::fold;
use super::model::{Fields, SignIn, Standing, Status, User};
use crate::kernel::{Fault, Secret, UserId};

/// The columns of a person as the API shows them.
#[derive(sqlx::FromRow)]
pub(super) struct Row {
    id: UserId,
    version: i64,
    status: String,
    admin: bool,
    email: Option<String>,
    email_verified: bool,
    username: Option<String>,
    phone_number: Option<String>,
    phone_number_verified: bool,
    name: Option<String>,
    claims: Value,
    password_change_required: bool,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
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
               name, claims, password_change_required, created_at, updated_at
          from "user"
         where id = $1
           and deleted_at is null"#,
        id.0,
    )
    .fetch_optional(db)
    .await?;
    row.map(TryInto::try_into).transpose()
}

/// Those of these people who are there, in no particular order.
pub(crate) async fn find_many(ids: &[UserId], db: &mut PgConnection) -> Result<Vec<User>, Fault> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let rows = sqlx::query_as!(
        Row,
        r#"
        select id as "id: UserId", version, status, admin, email, email_verified, username, phone_number, phone_number_verified,
               name, claims, password_change_required, created_at, updated_at
          from "user"
         where id = any ($1)
           and deleted_at is null"#,
        &ids,
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// The same, each as JSON as the API shows them.
pub(crate) async fn documents(
    ids: &[UserId],
    db: &mut PgConnection,
) -> Result<HashMap<UserId, String>, Fault> {
    let people = find_many(ids, db).await?;
    let written = people
        .iter()
        .map(|user| (user.id, Value::Object(user.to_json()).to_string()));
    Ok(written.collect())
}

/// The same, locked until the transaction ends: changes of one person follow one another.
pub(super) async fn find_for_update(
    id: UserId,
    db: &mut PgConnection,
) -> Result<Option<User>, Fault> {
    let row = sqlx::query_as!(
        Row,
        r#"
        select id as "id: UserId", version, status, admin, email, email_verified, username, phone_number, phone_number_verified,
               name, claims, password_change_required, created_at, updated_at
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

/// The same by id, for people who are signed in.
pub(crate) async fn find_sign_in_by_id(
    id: UserId,
    db: &mut PgConnection,
) -> Result<Option<SignIn>, Fault> {
    let row = sqlx::query!(
        r#"
        select id as "id: UserId", status, admin, email, username, name, password_hash, password_change_required, tokens_valid_from
          from "user"
         where id = $1
           and deleted_at is null"#,
        id.0,
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

/// Writes a new person. The constraints decide whether the identifiers are free.
pub(super) async fn insert(
    user: &User,
    password_hash: Option<&Secret<String>>,
    tokens_valid_from: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<(), sqlx::Error> {
    let f = &user.fields;
    sqlx::query!(
        r#"
        insert into "user" (id, version, status, admin, email, email_folded, email_verified, username, username_folded, phone_number,
                            phone_number_verified, name, claims, password_hash, password_change_required, tokens_valid_from,
                            created_at, updated_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)"#,
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
        serde_json::to_value(&f.claims).unwrap_or_default(),
        password_hash.map(Secret::expose),
        user.password_change_required,
        tokens_valid_from,
        user.created_at,
        user.updated_at,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Writes the fields where the person is at one of `versions` (`None`: at any) and gives the new version. Of racing writers that
/// name the same version exactly one finds it: the guard is in the statement. `ends`: and ends everything given out before.
pub(super) async fn update(
    id: UserId,
    fields: &Fields,
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
               version = version + 1,
               updated_at = $15
         where id = $1
           and deleted_at is null
           and ($2::bigint[] is null or version = any ($2))
        returning version"#,
        id.0,
        versions as Option<&[i64]>,
        fields.status.as_str(),
        fields.admin,
        fields.email,
        fields.email.as_deref().map(fold),
        fields.email_verified,
        fields.username,
        fields.username.as_deref().map(fold),
        fields.phone_number,
        fields.phone_number_verified,
        fields.name,
        serde_json::to_value(&fields.claims).unwrap_or_default(),
        ends,
        now,
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
               name, claims, password_change_required, created_at, updated_at
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
               name, claims, password_change_required, created_at, updated_at
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

/// Sets a new password: ends all tokens given out before, and gives the new version.
pub(crate) async fn update_password(
    id: UserId,
    hash: &Secret<String>,
    change_required: bool,
    versions: Option<&[i64]>,
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<Option<i64>, Fault> {
    let version = sqlx::query_scalar!(
        r#"
        update "user"
           set password_hash = $3, password_change_required = $4, tokens_valid_from = greatest(tokens_valid_from + interval '1 microsecond', $5), version = version + 1, updated_at = $5
         where id = $1
           and deleted_at is null
           and ($2::bigint[] is null or version = any ($2))
        returning version"#,
        id.0,
        versions as Option<&[i64]>,
        hash.expose(),
        change_required,
        now,
    )
    .fetch_optional(db)
    .await?;
    Ok(version)
}

/// Sets the password that a person chose, and gives the new version and the new epoch; nothing where anything has ended their sessions since `person`
/// was read: an admin's new password is not undone by somebody who knew the old one.
pub(super) async fn replace_own_password(
    person: &SignIn,
    hash: &Secret<String>,
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<Option<(i64, OffsetDateTime)>, Fault> {
    let row = sqlx::query!(
        r#"
        update "user"
           set password_hash = $3, password_change_required = false, tokens_valid_from = greatest(tokens_valid_from + interval '1 microsecond', $4), version = version + 1, updated_at = $4
         where id = $1
           and deleted_at is null
           and status = 'active'
           and tokens_valid_from = $2
        returning version, tokens_valid_from"#,
        person.id.0,
        person.tokens_valid_from,
        hash.expose(),
        now,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| (row.version, row.tokens_valid_from)))
}

/// Demands a new password at the next sign-in, ends all tokens given out before, and gives the new version.
pub(super) async fn require_password_change(
    id: UserId,
    versions: Option<&[i64]>,
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<Option<i64>, Fault> {
    let version = sqlx::query_scalar!(
        r#"
        update "user"
           set password_change_required = true, tokens_valid_from = greatest(tokens_valid_from + interval '1 microsecond', $3), version = version + 1, updated_at = $3
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

/// The same password under newer parameters; guarded by the old hash, so that a password set meanwhile stays.
pub(crate) async fn renew_password_hash(
    id: UserId,
    old: &Secret<String>,
    new: &Secret<String>,
    db: &mut PgConnection,
) -> Result<(), Fault> {
    sqlx::query!(
        r#"update "user" set password_hash = $3 where id = $1 and password_hash = $2"#,
        id.0,
        old.expose(),
        new.expose()
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Whether there is anybody at all.
pub(crate) async fn any(db: &mut PgConnection) -> Result<bool, Fault> {
    Ok(
        sqlx::query_scalar!(r#"select exists (select from "user") as "any!""#)
            .fetch_one(db)
            .await?,
    )
}
