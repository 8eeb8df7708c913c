//! What is good once: authorization codes, refresh tokens, ids of assertions. One table, and one guarded statement that spends: of any
//! number of racing callers, over all replicas, exactly one gets [`Spend::Fresh`].
//!
//! A kind is a type. Its name begins each of its tokens, is hashed with them and is part of the row's key, so that nothing of one kind
//! is ever read, stored or spent as another.

use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sqlx::PgConnection;
use time::{Duration, OffsetDateTime};

use super::SWEEP_BATCH;
use crate::kernel::{FamilyId, Fault, Secret, TokenHash, random};

/// How long what has expired is kept where no family remembers it for longer: whoever uses a thing again is still known to do so.
const REMEMBERED: Duration = Duration::hours(1);

/// A kind of single-use token.
pub(crate) trait Kind {
    const NAME: &'static str;
    /// What is stored with it.
    type Data: Serialize + DeserializeOwned;
}

/// A token of kind `K`: 256 random bits behind the kind's name.
pub(crate) struct Token<K> {
    text: Secret<String>,
    kind: PhantomData<K>,
}

impl<K: Kind> Token<K> {
    pub(crate) fn new() -> Self {
        let text = Secret::new(format!("{}_{}", K::NAME, random::token().expose()));
        Self {
            text,
            kind: PhantomData,
        }
    }

    /// A token as somebody presents it; `None` for what can't be one of this kind.
    pub(crate) fn parse(text: Secret<String>) -> Option<Self> {
        let rest = text.expose().strip_prefix(K::NAME)?.strip_prefix('_')?;
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        (rest.len() == 43 && rest.bytes().all(plain)).then_some(Self {
            text,
            kind: PhantomData,
        })
    }

    pub(crate) fn secret(&self) -> &Secret<String> {
        &self.text
    }

    fn hash(&self) -> TokenHash {
        TokenHash::of(self.text.expose())
    }
}

/// A token's place: which family, and which number in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) family: FamilyId,
    pub(crate) number: i32,
}

/// A token as it is stored.
pub(crate) struct Held<D> {
    pub(crate) place: Place,
    pub(crate) data: D,
    pub(crate) expires_at: OffsetDateTime,
    /// When it was spent, if it was.
    pub(crate) spent_at: Option<OffsetDateTime>,
}

/// What came of an attempt to spend.
pub(crate) enum Spend<D> {
    /// It is spent now, by this caller alone. It may have expired: that is the caller's to judge.
    Fresh(Held<D>),
    /// Somebody spent it before.
    Again(Held<D>),
    Unknown,
}

struct Row {
    family_id: Option<FamilyId>,
    number: Option<i32>,
    data: Value,
    expires_at: OffsetDateTime,
    spent_at: Option<OffsetDateTime>,
}

impl Row {
    fn held<D: DeserializeOwned>(self) -> Result<Held<D>, Fault> {
        let strange = || Fault::internal("reading a single-use token", "a token without a family");
        Ok(Held {
            place: Place {
                family: self.family_id.ok_or_else(strange)?,
                number: self.number.ok_or_else(strange)?,
            },
            data: serde_json::from_value(self.data)
                .map_err(|e| Fault::internal("reading a single-use token", e))?,
            expires_at: self.expires_at,
            spent_at: self.spent_at,
        })
    }
}

/// Keeps a new token, good until `expires_at`. A place is taken once.
pub(crate) async fn keep<K: Kind>(
    token: &Token<K>,
    place: Place,
    data: &K::Data,
    expires_at: OffsetDateTime,
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<(), Fault> {
    let hash = token.hash();
    let data =
        serde_json::to_value(data).map_err(|e| Fault::internal("writing a single-use token", e))?;
    sqlx::query!(
        "
        insert into single_use (kind, hash, family_id, number, data, created_at, expires_at)
        values ($1, $2, $3, $4, $5, $6, $7)",
        K::NAME,
        hash.as_bytes(),
        place.family.0,
        place.number,
        data,
        now,
        expires_at,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Spends a token. The guard is in the statement; whoever comes second waits for the first to commit. `successor` is kept with it.
pub(crate) async fn spend<K: Kind>(
    token: &Token<K>,
    successor: Option<&[u8]>,
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<Spend<K::Data>, Fault> {
    let hash = token.hash();
    let fresh = sqlx::query_as!(
        Row,
        r#"
        update single_use
           set spent_at = $3, successor = $4
         where kind = $1
           and hash = $2
           and spent_at is null
        returning family_id as "family_id: FamilyId", number, data, expires_at, spent_at"#,
        K::NAME,
        hash.as_bytes(),
        now,
        successor,
    )
    .fetch_optional(&mut *db)
    .await?;
    Ok(match fresh {
        Some(row) => Spend::Fresh(row.held()?),
        None => find(token, db).await?.map_or(Spend::Unknown, Spend::Again),
    })
}

/// Spends the tokens that are good until `until` at the latest and whose data hold `part`, for nobody.
pub(crate) async fn void<K: Kind>(
    part: &Value,
    until: OffsetDateTime,
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<(), Fault> {
    sqlx::query!(
        "
        update single_use
           set spent_at = $3
         where kind = $1
           and expires_at > $3
           and expires_at <= $4
           and spent_at is null
           and data @> $2",
        K::NAME,
        part,
        now,
        until,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A token as it is, without spending it.
pub(crate) async fn find<K: Kind>(
    token: &Token<K>,
    db: &mut PgConnection,
) -> Result<Option<Held<K::Data>>, Fault> {
    let hash = token.hash();
    let row = sqlx::query_as!(
        Row,
        r#"
        select family_id as "family_id: FamilyId", number, data, expires_at, spent_at
          from single_use
         where kind = $1
           and hash = $2"#,
        K::NAME,
        hash.as_bytes(),
    )
    .fetch_optional(db)
    .await?;
    row.map(Row::held).transpose()
}

/// What became of a token that is told again what came after it.
pub(crate) enum Repeat {
    /// The successor, as it was sealed.
    Granted(Vec<u8>),
    /// It was told as often as may be.
    TooOften,
    /// Too late, or the successor was used.
    Over,
}

/// Tells again what came after a spent token: at most `most` times, only while it was spent after `since`, and only while its successor
/// is unused. The guard is in the statement.
pub(crate) async fn repeat<K: Kind>(
    token: &Token<K>,
    most: i32,
    since: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<Repeat, Fault> {
    let hash = token.hash();
    let told = sqlx::query!(
        r#"
        with within as (
            select t.hash, t.repeats
              from single_use t
              join single_use next on next.family_id = t.family_id and next.number = t.number + 1
             where t.kind = $1
               and t.hash = $2
               and t.spent_at > $3
               and t.successor is not null
               and next.spent_at is null
        ), told as (
            update single_use
               set repeats = repeats + 1
             where kind = $1
               and hash = $2
               and repeats < $4
               and exists (select from within)
            returning successor
        )
        select exists (select from within) as "within!", (select successor from told) as successor"#,
        K::NAME,
        hash.as_bytes(),
        since,
        most,
    )
    .fetch_one(db)
    .await?;
    Ok(match told.successor {
        Some(successor) => Repeat::Granted(successor),
        None if told.within => Repeat::TooOften,
        None => Repeat::Over,
    })
}

/// Something that a stranger made and that counts once, such as the `jti` of an assertion; known by a hash of it and of its maker.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Foreign {
    AssertionId,
}

impl Foreign {
    fn name(self) -> &'static str {
        match self {
            Self::AssertionId => "assertion",
        }
    }
}

/// Whether this caller is the first to bring it. It is remembered until `expires_at`.
pub(crate) async fn first(
    kind: Foreign,
    hash: &TokenHash,
    expires_at: OffsetDateTime,
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<bool, Fault> {
    let done = sqlx::query!(
        "
        insert into single_use (kind, hash, data, created_at, expires_at, spent_at)
        values ($1, $2, '{}', $3, $4, $3)
        on conflict do nothing",
        kind.name(),
        hash.as_bytes(),
        now,
        expires_at,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Forgets what expired an hour ago, and successors that can't be asked for any more, a batch at a time; gives how many.
///
/// What was spent is kept as long as the family that it belongs to, so that whoever uses it again is known to for as long as that ends
/// something (checklist 22, 65). It is moved to the family's end, lest each sweep meet it anew.
pub(crate) async fn sweep(
    grace_ended: OffsetDateTime,
    now: OffsetDateTime,
    db: &mut PgConnection,
) -> Result<u64, Fault> {
    let forgotten = sqlx::query!(
        "
        update single_use
           set successor = null
         where (kind, hash) in (
               select kind, hash
                 from single_use
                where successor is not null
                  and spent_at <= $1
                limit $2
                  for update skip locked
         )",
        grace_ended,
        SWEEP_BATCH,
    )
    .execute(&mut *db)
    .await?;
    let moved = sqlx::query!(
        "
        with expired as (
            select t.kind, t.hash, f.expires_at
              from single_use t
              join token_family f on f.id = t.family_id and f.expires_at > $1
             where t.expires_at <= $1
               and t.spent_at is not null
             limit $2
               for update of t skip locked
        )
        update single_use t
           set expires_at = expired.expires_at
          from expired
         where t.kind = expired.kind
           and t.hash = expired.hash",
        now - REMEMBERED,
        SWEEP_BATCH,
    )
    .execute(&mut *db)
    .await?;
    let deleted = sqlx::query!(
        "
        delete from single_use
         where (kind, hash) in (
               select kind, hash
                 from single_use
                where expires_at <= $1
                  and (family_id is null or not exists (select from token_family f where f.id = family_id))
                limit $2
                  for update skip locked
         )",
        now - REMEMBERED,
        SWEEP_BATCH,
    )
    .execute(db)
    .await?;
    Ok(forgotten.rows_affected() + moved.rows_affected() + deleted.rows_affected())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Red;
    struct Blue;

    impl Kind for Red {
        const NAME: &'static str = "red";
        type Data = ();
    }

    impl Kind for Blue {
        const NAME: &'static str = "blue";
        type Data = ();
    }

    #[test]
    fn one_kind_is_never_another() {
        // S-43, S-62
        let red = Token::<Red>::new();
        let text = || Secret::new(red.secret().expose().clone());
        assert!(Token::<Red>::parse(text()).is_some());
        assert!(Token::<Blue>::parse(text()).is_none());
        let renamed = red.secret().expose().replacen("red", "blue", 1);
        let blue = Token::<Blue>::parse(Secret::new(renamed)).unwrap();
        assert!(!blue.hash().matches(&red.hash()));
        for bad in ["", "red_", "red", "red_short", "redblue_x"] {
            assert!(Token::<Red>::parse(Secret::new(bad.to_owned())).is_none());
        }
    }
}
