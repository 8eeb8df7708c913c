//! Lists of people, each read from an index, with a keyset cursor. The one room of dynamic SQL.
//!
//! A list by `sort` is the merge of its statuses, each in the order of an index of its own. A search walks the rows of an index that begin
//! with a word of `q`, and a filter by an attribute those of its value; both look at a bounded number of rows a page, so a page may hold fewer
//! people than it may and the list goes on all the same.

use std::ops::Bound;

use serde::{Deserialize, Serialize};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder, Row as _};
use time::OffsetDateTime;

use super::filter::{By, Filter, Search, Sort};
use super::model::{Status, User};
use super::store::Row;
use super::{fold, words};
use crate::kernel::{Fault, UserId};

/// Rows that one page looks at, at most, and at once.
const EXAMINED: usize = 2000;
const BATCH: usize = 1000;

const COLUMNS: &str = "id, version, status, admin, email, email_verified, username, phone_number, phone_number_verified, \
     name, claims, external_ids, attributes, password_change_required, created_at, updated_at";

/// A place in a list.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Position {
    id: UserId,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<Key>,
}

/// What the list is ordered by before the id.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Key {
    /// Microseconds since 1970, in lists by time of change.
    At(i64),
    /// The folded name.
    Name(String),
    /// The row of a search, and which of its words is followed.
    Suffix(String, usize),
}

/// A part of a list.
pub(crate) struct Page {
    pub(crate) people: Vec<User>,
    /// Where the list goes on; `None` at its end.
    pub(crate) next: Option<Position>,
}

/// At most `limit` people of the list from `after` on.
pub(crate) async fn page(
    filter: &Filter,
    after: Option<Position>,
    limit: usize,
    db: &mut PgConnection,
) -> Result<Page, Fault> {
    if filter.walks() {
        walk(filter, after, limit, db).await
    } else {
        sorted(filter, after, limit, db).await
    }
}

type Query = QueryBuilder<Postgres>;

/// A list by `sort`.
async fn sorted(
    filter: &Filter,
    after: Option<Position>,
    limit: usize,
    db: &mut PgConnection,
) -> Result<Page, Fault> {
    let order = filter.order();
    let mut query = Query::new(format!("select {COLUMNS} from ("));
    // Constants, so that the plan knows the index of each part: within it the rows lie in the list's order.
    let parts = match (filter.deleted, filter.status, filter.is_unique()) {
        (true, _, _) => vec!["deleted_at is not null".to_owned()],
        (false, Some(status), _) => vec![of(status)],
        (false, None, true) => vec!["deleted_at is null".to_owned()],
        (false, None, false) => Status::ALL.map(of).to_vec(),
    };
    // Limits are written out: the plan that is kept for a statement must know that few rows are wanted.
    let ordered = format!(" order by {} limit {}", order.columns(), limit + 1);
    for (n, part) in parts.into_iter().enumerate() {
        query.push(if n == 0 { "(" } else { " union all (" });
        query.push(format!(
            r#"select {COLUMNS}, name_folded from "user" where {part}"#
        ));
        conditions(filter, order, after.as_ref(), &mut query);
        query.push(&ordered).push(")");
    }
    query.push(") as listed").push(&ordered);
    let rows: Vec<Row> = query.build_query_as().fetch_all(db).await?;
    let more = rows.len() > limit;
    let people = rows.into_iter().take(limit).map(TryInto::try_into);
    let people: Vec<User> = people.collect::<Result<_, _>>()?;
    let next = people.last().filter(|_| more).map(|last| Position {
        id: last.id,
        key: match order.by {
            By::Id => None,
            By::UpdatedAt => Some(Key::At(micros(last.updated_at))),
            By::Name => Some(Key::Name(words::name_folded(last.fields.name.as_deref()))),
        },
    });
    Ok(Page { people, next })
}

fn of(status: Status) -> String {
    format!("deleted_at is null and status = '{}'", status.as_str())
}

fn conditions(filter: &Filter, order: Sort, after: Option<&Position>, query: &mut Query) {
    if let Some(email) = &filter.email {
        query.push(" and email_folded = ").push_bind(fold(email));
    }
    if let Some(username) = &filter.username {
        query
            .push(" and username_folded = ")
            .push_bind(fold(username));
    }
    if let Some((system, id)) = &filter.external_id {
        query.push(" and id = (select user_id from user_external_id where system = ");
        query.push_bind(system.clone()).push(" and external_id = ");
        query.push_bind(id.clone()).push(")");
    }
    if let Some(since) = filter.updated_since {
        query.push(" and updated_at >= ").push_bind(since);
    }
    if order.by == By::Name {
        query.push(" and name_folded is not null");
    }
    let Some(Position { id, key }) = after else {
        return;
    };
    let further = if order.backwards { " < " } else { " > " };
    match key {
        None => _ = query.push(" and id").push(further).push_bind(id.0),
        Some(Key::At(us)) => {
            let at = OffsetDateTime::UNIX_EPOCH + time::Duration::microseconds(*us);
            query.push(" and (updated_at, id)").push(further).push("(");
            query.push_bind(at).push(", ").push_bind(id.0).push(")");
        }
        Some(Key::Name(name) | Key::Suffix(name, _)) => {
            query.push(" and (name_folded, id)").push(further).push("(");
            query.push_bind(name.clone()).push(", ");
            query.push_bind(id.0).push(")");
        }
    }
}

/// A row of the index that is walked, and the person that it leads to, where they are within the filter.
struct Step {
    user_id: UserId,
    suffix: Option<String>,
    person: Option<Row>,
}

impl FromRow<'_, PgRow> for Step {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let within: bool = row.try_get("within")?;
        Ok(Self {
            user_id: row.try_get("user_id")?,
            suffix: row.try_get("suffix")?,
            person: within.then(|| Row::from_row(row)).transpose()?,
        })
    }
}

/// A list by the rows of an index, in its own order.
async fn walk(
    filter: &Filter,
    after: Option<Position>,
    limit: usize,
    db: &mut PgConnection,
) -> Result<Page, Fault> {
    let followed = match (&filter.q, &after) {
        (None, _) => 0,
        (Some(q), None) => rarest(q, db).await?,
        (Some(_), Some(position)) => match position.key {
            Some(Key::Suffix(_, word)) => word,
            _ => 0,
        },
    };
    let mut page = Page {
        people: Vec::new(),
        next: after,
    };
    let mut examined = 0;
    // What is asked for lies side by side as a rule; where much is passed over, more is looked at at once.
    let mut batch = limit + 1;
    while examined < EXAMINED {
        let steps = steps(filter, followed, page.next.as_ref(), batch, db).await?;
        let exhausted = steps.len() < batch;
        examined += steps.len();
        for step in steps {
            if page.people.len() == limit {
                return Ok(page);
            }
            page.next = Some(Position {
                id: step.user_id,
                key: step.suffix.clone().map(|s| Key::Suffix(s, followed)),
            });
            let Some(person) = step.person else {
                continue;
            };
            let person = User::try_from(person)?;
            if is_first(filter, followed, step.suffix.as_deref(), &person) {
                page.people.push(person);
            }
        }
        if exhausted {
            page.next = None;
            break;
        }
        batch = BATCH;
    }
    Ok(page)
}

/// Whether the person is shown at this row: at the least of theirs that begin with the word, so at one alone; and at none that a replica
/// of an older release left behind.
fn is_first(filter: &Filter, followed: usize, suffix: Option<&str>, person: &User) -> bool {
    let (Some(q), Some(suffix)) = (&filter.q, suffix) else {
        return true;
    };
    let theirs = words::suffixes(&person.fields);
    let word = q.long[followed].as_str();
    theirs
        .range::<str, _>((Bound::Included(word), Bound::Unbounded))
        .next()
        .is_some_and(|first| first == suffix)
}

async fn steps(
    filter: &Filter,
    followed: usize,
    after: Option<&Position>,
    batch: usize,
    db: &mut PgConnection,
) -> Result<Vec<Step>, Fault> {
    let order = filter.order();
    let (direction, further) = if order.backwards {
        ("desc", " < ")
    } else {
        ("asc", " > ")
    };
    let mut query = Query::new(format!(
        r#"select step.user_id, step.suffix, "user".id is not null as within, {COLUMNS} from ("#
    ));
    if let Some(q) = &filter.q {
        query.push("select user_id, suffix from user_word where ");
        begins_with(&q.long[followed], &mut query);
        if let Some(Position {
            id,
            key: Some(Key::Suffix(suffix, _)),
        }) = after
        {
            query.push(" and (suffix, user_id) > ((select ");
            query.push_bind(suffix.clone()).push("), (select ");
            query.push_bind(id.0).push("))");
        }
        query.push(" order by suffix, user_id");
    } else if let Some((name, value)) = &filter.attribute {
        query.push("select user_id, null as suffix from user_attribute where name = ");
        query.push_bind(name.clone()).push(" and value = ");
        query.push_bind(value.clone());
        if let Some(Position { id, .. }) = after {
            query.push(" and user_id").push(further).push_bind(id.0);
        }
        query.push(" order by user_id ").push(direction);
    }
    query.push(format!(" limit {batch}"));
    query.push(r#") as step left join "user" on "user".id = step.user_id and deleted_at is null"#);
    if let Some(status) = filter.status {
        query.push(" and status = ").push_bind(status.as_str());
    }
    if let Some(q) = &filter.q {
        for (n, word) in q.long.iter().chain(&q.short).enumerate() {
            if n != followed {
                // Letters and digits alone: nothing that `like` would take for a sign of its own.
                let like = format!("%{word}%");
                for (before, column) in [
                    (" and (", "name_folded"),
                    (" or ", "email_folded"),
                    (" or ", "username_folded"),
                ] {
                    query.push(before).push(column).push(" like ");
                    query.push_bind(like.clone());
                }
                query.push(")");
            }
        }
    }
    query.push(if filter.q.is_some() {
        " order by step.suffix, step.user_id"
    } else {
        " order by step.user_id "
    });
    if filter.q.is_none() {
        query.push(direction);
    }
    Ok(query.build_query_as().fetch_all(db).await?)
}

/// The word of which there are fewest rows, as far as a page would look.
async fn rarest(q: &Search, db: &mut PgConnection) -> Result<usize, Fault> {
    let mut rarest = (0, i64::MAX);
    if q.long.len() == 1 {
        return Ok(0);
    }
    for (n, word) in q.long.iter().enumerate() {
        let mut query = Query::new("select count(*) from (select from user_word where ");
        begins_with(word, &mut query);
        query
            .push(" limit ")
            .push_bind(rarest.1.min(EXAMINED as i64 + 1));
        query.push(") as counted");
        let count: i64 = query.build_query_scalar().fetch_one(&mut *db).await?;
        if count < rarest.1 {
            rarest = (n, count);
        }
    }
    Ok(rarest.0)
}

/// The word is handed over in a sub-select, which the planner can't see into, so one plan does for all words: to make one for each takes longer
/// than the search.
fn begins_with(word: &str, query: &mut Query) {
    query.push("suffix >= (select ").push_bind(word.to_owned());
    query.push(") and suffix < (select ");
    query.push_bind(format!("{word}\u{10ffff}")).push(")");
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "microseconds since 1970 fit 64 bits for 290,000 years"
)]
fn micros(at: OffsetDateTime) -> i64 {
    (at.unix_timestamp_nanos() / 1000) as i64
}
