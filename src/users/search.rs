//! Lists of people: filters, each served by an index, and a keyset cursor. The one room of dynamic SQL.

use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, Postgres, QueryBuilder};
use time::OffsetDateTime;

use super::fold;
use super::model::{Status, User};
use super::store::Row;
use crate::kernel::{Fault, UserId};

/// Which people, all conditions together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    pub(crate) email: Option<String>,
    pub(crate) username: Option<String>,
    pub(crate) status: Option<Status>,
    /// Changed at this time or later; the list is then in the order of the changes, otherwise in that of the ids (of creation).
    pub(crate) updated_since: Option<OffsetDateTime>,
    /// Those who are deleted and not erased, instead of the others.
    pub(crate) deleted: bool,
}

impl Filter {
    /// Names the list: a cursor of one is no cursor of another.
    pub(crate) fn name(&self) -> String {
        let status = self.status.map(Status::as_str);
        format!(
            "users {:?}",
            (
                &self.email,
                &self.username,
                status,
                self.updated_since.map(OffsetDateTime::unix_timestamp_nanos),
                self.deleted
            )
        )
    }

    /// Where the list goes on after this person.
    pub(crate) fn position(&self, user: &User) -> Position {
        Position {
            id: user.id,
            updated_at_us: self.updated_since.map(|_| micros(user.updated_at)),
        }
    }
}

/// A place in a list.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Position {
    id: UserId,
    /// Microseconds since 1970, in lists by time of change.
    updated_at_us: Option<i64>,
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "microseconds since 1970 fit 64 bits for 290,000 years"
)]
fn micros(at: OffsetDateTime) -> i64 {
    (at.unix_timestamp_nanos() / 1000) as i64
}

/// At most `limit` people of the list from `after` on.
pub(crate) async fn list(
    filter: &Filter,
    after: Option<Position>,
    limit: i64,
    db: &mut PgConnection,
) -> Result<Vec<User>, Fault> {
    let mut query = QueryBuilder::<Postgres>::new(
        r#"
        select id, version, status, admin, email, email_verified, username, phone_number, phone_number_verified,
               name, claims, password_change_required, created_at, updated_at
          from "user"
         where deleted_at is "#,
    );
    query.push(if filter.deleted { "not null" } else { "null" });
    if let Some(email) = &filter.email {
        query.push(" and email_folded = ").push_bind(fold(email));
    }
    if let Some(username) = &filter.username {
        query
            .push(" and username_folded = ")
            .push_bind(fold(username));
    }
    if let Some(status) = filter.status {
        query.push(" and status = ").push_bind(status.as_str());
    }
    if let Some(since) = filter.updated_since {
        query.push(" and updated_at >= ").push_bind(since);
    }
    match after {
        Some(Position {
            id,
            updated_at_us: Some(us),
        }) => {
            let at = OffsetDateTime::UNIX_EPOCH + time::Duration::microseconds(us);
            query
                .push(" and (updated_at, id) > (")
                .push_bind(at)
                .push(", ")
                .push_bind(id.0)
                .push(")");
        }
        Some(Position {
            id,
            updated_at_us: None,
        }) => {
            query.push(" and id > ").push_bind(id.0);
        }
        None => {}
    }
    query.push(if filter.updated_since.is_some() {
        " order by updated_at, id"
    } else {
        " order by id"
    });
    query.push(" limit ").push_bind(limit);
    let rows: Vec<Row> = query.build_query_as().fetch_all(db).await?;
    rows.into_iter().map(TryInto::try_into).collect()
}
