//! The families' SQL.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{EndReason, Family, FamilyRow, Standing};
use crate::db::SWEEP_BATCH;
use crate::kernel::{ClientId, FamilyId, Fault, ScopeSet, UserId};

struct Row {
    id: FamilyId,
    client_id: String,
    user_id: UserId,
    session_id: Uuid,
    scope: String,
    audience: String,
    claims: Vec<String>,
    offline: bool,
    auth_time: OffsetDateTime,
    valid_from: OffsetDateTime,
    expires_at: OffsetDateTime,
    live: bool,
    admin: bool,
}

impl TryFrom<Row> for Standing {
    type Error = Fault;

    fn try_from(row: Row) -> Result<Self, Fault> {
        Ok(Self {
            live: row.live,
            admin: row.admin,
            family: Family {
                client_id: client(&row.client_id, row.id)?,
                scope: scope(&row.scope, row.id)?,
                id: row.id,
                user_id: row.user_id,
                session_id: row.session_id,
                audience: row.audience,
                claims: row.claims,
                offline: row.offline,
                auth_time: row.auth_time,
                valid_from: row.valid_from,
                expires_at: row.expires_at,
            },
        })
    }
}

fn strange(id: FamilyId) -> Fault {
    Fault::internal("reading a token family's row", format!("family {}", id.0))
}

fn client(text: &str, id: FamilyId) -> Result<ClientId, Fault> {
    text.parse().map_err(|_| strange(id))
}

fn named(text: &str) -> Result<ClientId, Fault> {
    let strange = |_| Fault::internal("reading a token family's row", format!("client {text}"));
    text.parse().map_err(strange)
}

fn scope(text: &str, id: FamilyId) -> Result<ScopeSet, Fault> {
    ScopeSet::parse(text).map_err(|_| strange(id))
}

/// When a family ends that has begun, and the families that made room for it.
pub(super) struct Begun {
    pub(super) expires_at: OffsetDateTime,
    pub(super) ended: Vec<FamilyId>,
}

/// Begins a family, where its person is active and in the epoch of their sign-in and its session is there still (checklist 17, 71): the
/// guard is in the statement, and a session that is being ended meanwhile has one of the two wait for the other. One that is not to outlive
/// its session ends when that must. Beside it the person keeps `most - 1` at this client: of this session's own and of those used longest ago
/// the rest make room, at most a hundred at once. One that somebody is refreshing at this moment is passed over, so nothing waits.
pub(super) async fn begin(
    family: &Family,
    most: i64,
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<Option<Begun>, Fault> {
    let row = sqlx::query!(
        r#"
        with surplus as (
            update token_family
               set ended_at = $11, end_reason = $13
             where id in (
                   select id
                     from token_family
                    where id in (
                          select id
                            from token_family
                           where user_id = $3
                             and client_id = $2
                             and ended_at is null
                             and expires_at > $11
                           order by session_id = $4 and not offline, last_used_at desc, id desc
                          offset $14
                           limit 100
                    )
                      and ended_at is null
                      for update skip locked
             )
            returning id
        )
        insert into token_family (id, client_id, user_id, session_id, scope, audience, claims, offline, auth_time, valid_from,
                                  created_at, last_used_at, expires_at)
        select $1, $2, u.id, s.public_id, $5, $6, $7, $8, $9, u.tokens_valid_from, $11, $11,
               case when $8 then $12 else least($12, s.expires_at) end
          from "user" u
          join session s on s.user_id = u.id and s.public_id = $4 and s.expires_at > $11
         where u.id = $3
           and u.status = 'active'
           and u.deleted_at is null
           and u.tokens_valid_from = $10
           for key share of s
        returning expires_at, array(select id from surplus) as "ended!: Vec<FamilyId>""#,
        family.id.0,
        family.client_id.as_str(),
        family.user_id.0,
        family.session_id,
        family.scope.to_string(),
        family.audience,
        &family.claims,
        family.offline,
        family.auth_time,
        family.valid_from,
        now,
        family.expires_at,
        EndReason::TooMany.as_str(),
        most - 1,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| Begun {
        expires_at: row.expires_at,
        ended: row.ended,
    }))
}

/// A family, and whether it counts now. One look-up for userinfo, introspection and the guard.
pub(crate) async fn find(
    id: FamilyId,
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<Option<Standing>, Fault> {
    let row = sqlx::query_as!(
        Row,
        r#"
        select f.id as "id: FamilyId", f.client_id, f.user_id as "user_id: UserId", f.session_id, f.scope, f.audience, f.claims,
               f.offline, f.auth_time, f.valid_from, f.expires_at, u.admin,
               f.ended_at is null and f.expires_at > $2 and u.status = 'active' and u.deleted_at is null
                   and u.tokens_valid_from = f.valid_from as "live!"
          from token_family f
          join "user" u on u.id = f.user_id
         where f.id = $1"#,
        id.0,
        now,
    )
    .fetch_optional(db)
    .await?;
    row.map(TryInto::try_into).transpose()
}

/// The same for whoever is about to refresh: locked, and marked as used now where it counts.
pub(crate) async fn find_refreshable(
    id: FamilyId,
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<Option<Standing>, Fault> {
    let row = sqlx::query_as!(
        Row,
        r#"
        update token_family f
           set last_used_at = greatest(f.last_used_at, $2)
          from "user" u
         where f.id = $1
           and u.id = f.user_id
        returning f.id as "id: FamilyId", f.client_id, f.user_id as "user_id: UserId", f.session_id, f.scope, f.audience, f.claims,
               f.offline, f.auth_time, f.valid_from, f.expires_at, u.admin,
               f.ended_at is null and f.expires_at > $2 and u.status = 'active' and u.deleted_at is null
                   and u.tokens_valid_from = f.valid_from as "live!""#,
        id.0,
        now,
    )
    .fetch_optional(db)
    .await?;
    row.map(TryInto::try_into).transpose()
}

/// A person's families that count, last used first; of each client `most` at most.
pub(crate) async fn list(
    user: UserId,
    most: i64,
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<Vec<FamilyRow>, Fault> {
    let rows = sqlx::query!(
        r#"
        select id as "id: FamilyId", client_id, session_id, offline, created_at, last_used_at
          from (
               select f.id, f.client_id, f.session_id, f.offline, f.created_at, f.last_used_at,
                      row_number() over (partition by f.client_id order by f.last_used_at desc, f.id) as place
                 from token_family f
                 join "user" u on u.id = f.user_id
                where f.user_id = $1
                  and f.expires_at > $2
                  and f.ended_at is null
                  and f.valid_from = u.tokens_valid_from
         ) as live
         where place <= $3
         order by last_used_at desc, id"#,
        user.0,
        now,
        most,
    )
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(FamilyRow {
                client_id: client(&row.client_id, row.id)?,
                id: row.id,
                session_id: row.session_id,
                offline: row.offline,
                began_at: row.created_at,
                last_used_at: row.last_used_at,
            })
        })
        .collect()
}

/// The clients of whom a family of this person ended because something of it was used twice, and when last; last first.
pub(crate) async fn list_replayed(
    user: UserId,
    most: i64,
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<Vec<(ClientId, OffsetDateTime)>, Fault> {
    let rows = sqlx::query!(
        r#"
        select client_id, max(ended_at) as "ended_at!"
          from token_family
         where user_id = $1
           and expires_at > $2
           and end_reason in ($4, $5)
         group by client_id
         order by max(ended_at) desc, client_id
         limit $3"#,
        user.0,
        now,
        most,
        EndReason::CodeReplayed.as_str(),
        EndReason::RefreshTokenReplayed.as_str(),
    )
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|row| Ok((named(&row.client_id)?, row.ended_at)))
        .collect()
}

/// Whose it was that ended.
pub(super) struct Ended {
    pub(super) client_id: ClientId,
    pub(super) user_id: UserId,
    pub(super) session_id: Uuid,
}

/// Ends a family, of this person where one is named; `None` where there is none, or it has ended.
pub(super) async fn end(
    id: FamilyId,
    of: Option<UserId>,
    reason: EndReason,
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<Option<Ended>, Fault> {
    let row = sqlx::query!(
        r#"
        update token_family
           set ended_at = $2, end_reason = $3
         where id = $1
           and ended_at is null
           and ($4::uuid is null or user_id = $4)
        returning client_id, user_id as "user_id: UserId", session_id"#,
        id.0,
        now,
        reason.as_str(),
        of.map(|user| user.0),
    )
    .fetch_optional(db)
    .await?;
    row.map(|row| {
        Ok(Ended {
            client_id: client(&row.client_id, id)?,
            user_id: row.user_id,
            session_id: row.session_id,
        })
    })
    .transpose()
}

/// Ends the families of a session, but for those that outlive a logout; gives whether there were any, and the clients that got something
/// by the session, however it ended, but for those that were told before.
pub(super) async fn end_of_session(
    session: Uuid,
    user: UserId,
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<(bool, Vec<(ClientId, Uuid)>), Fault> {
    let rows = sqlx::query!(
        r#"
        with ended as (
            update token_family
               set ended_at = $3, end_reason = $4
             where session_id = $1
               and user_id = $2
               and not offline
               and ended_at is null
               and expires_at > $3
            returning client_id
        )
        select distinct client_id, exists (select from ended) as "any!"
          from token_family
         where session_id = $1
           and user_id = $2
           and (end_reason is null or end_reason in ('code_replayed', 'refresh_token_replayed', 'revoked', 'too_many'))"#,
        session,
        user.0,
        now,
        EndReason::SignedOut.as_str(),
    )
    .fetch_all(db)
    .await?;
    let any = rows.iter().any(|row| row.any);
    let told = rows.iter().map(|row| Ok((named(&row.client_id)?, session)));
    Ok((any, told.collect::<Result<_, Fault>>()?))
}

/// The first `most` sessions after `after` of which something lives that they gave at `until` or before, and whose they are or were; but for
/// what outlives a logout.
pub(crate) async fn list_sessions(
    after: Uuid,
    until: OffsetDateTime,
    most: i64,
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<Vec<(Uuid, UserId)>, Fault> {
    let rows = sqlx::query!(
        r#"
        select distinct f.session_id, f.user_id as "user_id: UserId"
          from token_family f
         where f.session_id > $1
           and f.created_at <= $2
           and f.expires_at > $4
           and f.ended_at is null
           and not f.offline
         order by f.session_id
         limit $3"#,
        after,
        until,
        most,
        now,
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.session_id, row.user_id))
        .collect())
}

/// Ends all that a person gave to clients; gives the clients and the sessions by which they got it.
pub(super) async fn end_of_user(
    user: UserId,
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<Vec<(ClientId, Uuid)>, Fault> {
    let rows = sqlx::query!(
        r#"
        with ended as (
            update token_family
               set ended_at = $2, end_reason = $3
             where user_id = $1
               and ended_at is null
            returning client_id, session_id
        )
        select distinct client_id as "client_id!", session_id as "session_id!" from ended"#,
        user.0,
        now,
        EndReason::SignedOut.as_str(),
    )
    .fetch_all(db)
    .await?;
    let told = rows
        .iter()
        .map(|row| Ok((named(&row.client_id)?, row.session_id)));
    told.collect()
}

/// Ends all that this client has of this person; gives the sessions by which it got it.
pub(super) async fn end_of_consent(
    user: UserId,
    client: &ClientId,
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<Vec<(ClientId, Uuid)>, Fault> {
    let sessions = sqlx::query_scalar!(
        r#"
        with ended as (
            update token_family
               set ended_at = $3, end_reason = $4
             where user_id = $1
               and client_id = $2
               and ended_at is null
            returning session_id
        )
        select distinct session_id as "session_id!" from ended"#,
        user.0,
        client.as_str(),
        now,
        EndReason::ConsentWithdrawn.as_str(),
    )
    .fetch_all(db)
    .await?;
    Ok(sessions
        .into_iter()
        .map(|session| (client.clone(), session))
        .collect())
}

/// Those of these clients that somebody signed in to lately.
pub(crate) async fn used_among(
    clients: &[String],
    db: &mut PgConnection,
) -> Result<Vec<String>, Fault> {
    let used = sqlx::query_scalar!(
        "select distinct client_id from token_family where client_id = any ($1)",
        clients
    )
    .fetch_all(db)
    .await?;
    Ok(used)
}

/// Deletes families whose life is over, a batch at a time; gives how many. While a session lives, what it gave is remembered: its end is
/// told to every client that got something by it.
pub(crate) async fn sweep(now: OffsetDateTime, db: &mut PgConnection) -> Result<u64, Fault> {
    let done = sqlx::query!(
        "
        delete from token_family
         where id in (
               select id
                 from token_family
                where expires_at <= $1
                  and not exists (select from session s where s.public_id = session_id)
                limit $2
                  for update skip locked
         )",
        now,
        SWEEP_BATCH,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}
