//! The notices' SQL.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::Notice;
use crate::kernel::id::uuid_v7;
use crate::kernel::{ClientId, Fault, UserId};

/// Keeps, in the transaction of whatever ended their sessions, which applications are to be told; each session once an application.
pub(crate) async fn append(
    user: UserId,
    told: &[(ClientId, Uuid)],
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<(), Fault> {
    if told.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = told.iter().map(|_| uuid_v7(now)).collect();
    let clients: Vec<&str> = told.iter().map(|(client, _)| client.as_str()).collect();
    let sessions: Vec<Uuid> = told.iter().map(|(_, session)| *session).collect();
    sqlx::query!(
        "
        insert into logout_notice (id, client_id, user_id, session_id, created_at, due_at)
        select id, client_id, $4, session_id, $5, $5
          from unnest($1::uuid[], $2::text[], $3::uuid[]) as told (id, client_id, session_id)
        on conflict do nothing",
        &ids,
        &clients as &[&str],
        &sessions,
        user.0,
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Claims notices that are due, at most `of_each` of one application, so that one that hangs keeps no other waiting. Until `until` no
/// other replica claims them.
pub(crate) async fn claim(
    most: i64,
    of_each: i64,
    until: OffsetDateTime,
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<Vec<Notice>, Fault> {
    let rows = sqlx::query!(
        r#"
        with due as (
            select id
              from (select id, due_at, row_number() over (partition by client_id order by due_at, id) as place
                      from logout_notice
                     where due_at <= $1) as queue
             where place <= $3
             order by due_at, id
             limit $4
        ), mine as (
            select id
              from logout_notice
             where id in (select id from due)
               and due_at <= $1
               for update skip locked
        )
        update logout_notice n
           set due_at = $2, attempts = n.attempts + 1
          from mine
         where n.id = mine.id
        returning n.id, n.client_id, n.user_id as "user_id: UserId", n.session_id, n.created_at, n.attempts"#,
        now,
        until,
        of_each,
        most,
    )
    .fetch_all(db)
    .await?;
    let notice = |row: &str| Fault::internal("reading a logout notice", row.to_owned());
    rows.into_iter()
        .map(|row| {
            Ok(Notice {
                client_id: row.client_id.parse().map_err(|_| notice(&row.client_id))?,
                id: row.id,
                user_id: row.user_id,
                session_id: row.session_id,
                created_at: row.created_at,
                attempts: row.attempts,
            })
        })
        .collect()
}

/// The application was told, or can't be.
pub(crate) async fn delete(id: Uuid, db: &mut PgConnection) -> Result<(), Fault> {
    sqlx::query!("delete from logout_notice where id = $1", id)
        .execute(db)
        .await?;
    Ok(())
}

/// It is to be tried again then.
pub(crate) async fn postpone(
    id: Uuid,
    due_at: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<(), Fault> {
    sqlx::query!(
        "update logout_notice set due_at = $2 where id = $1",
        id,
        due_at
    )
    .execute(db)
    .await?;
    Ok(())
}
