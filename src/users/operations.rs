//! What may be done to people. Each change is one transaction with its event and its audit row.

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use sqlx::PgConnection;

use super::attributes::judge_attributes;
use super::document::{OWNED, Wrong};
use super::filter::Filter;
use super::model::{Fields, User};
use super::password::{self, SetPassword};
use super::patch::{JsonPatch, PatchError};
use super::search::{self, Page, Position};
use super::{index, store, validate};
use crate::audit::{self, Action, Change, Seals, Target};
use crate::credentials::PolicyError;
use crate::cx::{Cx, ScopesMissing};
use crate::db::{OnConstraint, Rule};
use crate::events::{self, EventKind};
use crate::http::IfMatch;
use crate::idempotency::{Claim, ClaimError};
use crate::kernel::{Fault, UserId, object};
use crate::keys::person;
use crate::sessions;

/// Why an operation on a person is refused.
#[derive(Debug)]
pub(crate) enum UserError {
    Unknown,
    Invalid(Vec<Wrong>),
    /// Somebody else has that identifier: the field's name.
    Taken(&'static str),
    /// A JSON patch does not fit.
    Patch(PatchError),
    /// An idempotency key is not good for this request.
    Claim(ClaimError),
    /// The person is not at the version that the caller named.
    Stale,
    /// The same, and these members have changed since that version: each with what it is now, null where it is not set.
    Overtaken(Vec<(String, Value)>),
    /// Only who is deleted can be erased.
    NotDeleted,
    /// What they were then can't be told: their history does not reach so far, or it can't be opened.
    HistoryLost,
    /// The person has `admin`, or would, and the caller does not hold all of Doorward's scopes.
    ScopesMissing,
    Password(PolicyError),
    Fault(Fault),
}

impl From<Fault> for UserError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<ScopesMissing> for UserError {
    fn from(_: ScopesMissing) -> Self {
        Self::ScopesMissing
    }
}

impl From<ClaimError> for UserError {
    fn from(error: ClaimError) -> Self {
        Self::Claim(error)
    }
}

impl From<PatchError> for UserError {
    fn from(error: PatchError) -> Self {
        Self::Patch(error)
    }
}

impl From<sqlx::Error> for UserError {
    fn from(cause: sqlx::Error) -> Self {
        Self::Fault(cause.into())
    }
}

/// How a person is to change.
#[derive(Clone)]
pub(crate) enum Update {
    /// RFC 7396.
    Merge(Map<String, Value>),
    /// RFC 6902.
    Patch(JsonPatch),
    /// The whole person; what is absent takes its default.
    Replace(Map<String, Value>),
}

/// Changes that a caller whose version is stale is told of.
const CHANGES: i64 = 100;

pub(super) const UNIQUE: [Rule<UserError>; 3] = [
    ("user_email_key", || UserError::Taken("email")),
    ("user_username_key", || UserError::Taken("username")),
    ("user_external_id_key", || UserError::Taken("external_ids")),
];

/// A person by id.
pub(crate) async fn get(id: UserId, cx: &Cx) -> Result<User, UserError> {
    store::find(id, &mut *cx.connection().await?)
        .await?
        .ok_or(UserError::Unknown)
}

/// A page of people. Where some are not found yet by what the list is read from, it is refused rather than cut short.
pub(crate) async fn list(
    filter: &Filter,
    after: Option<Position>,
    limit: usize,
    cx: &Cx,
) -> Result<Page, UserError> {
    let mut connection = cx.connection().await?;
    if filter.needs_index() && !cx.app.index.is_whole(&mut connection).await? {
        return Err(Fault::overloaded("indexing people after an upgrade").into());
    }
    Ok(search::page(filter, after, limit, &mut connection).await?)
}

/// A person who was made, as the API shows them.
pub(crate) struct Made {
    pub(crate) person: Map<String, Value>,
    /// By an earlier request with the same idempotency key: so they looked then.
    pub(crate) earlier: bool,
}

/// Makes a person, with a password where one is given; of requests with the same claim the first makes one.
pub(crate) async fn create(
    document: Map<String, Value>,
    password: Option<SetPassword>,
    claim: Option<&Claim>,
    cx: &Cx,
) -> Result<Made, UserError> {
    let owned = OWNED
        .iter()
        .filter(|name| document.contains_key(**name))
        .map(|name| Wrong::new(name, "The server sets this field."));
    let mut wrong: Vec<Wrong> = owned.collect();
    let fields = match read(object::without(&document, &OWNED)) {
        Ok(fields) if wrong.is_empty() => fields,
        Ok(_) => return Err(UserError::Invalid(wrong)),
        Err(more) => {
            wrong.extend(more);
            return Err(UserError::Invalid(wrong));
        }
    };
    admins_only(fields.admin, cx)?;
    let hash = match &password {
        Some(set) => Some(password::hash(&set.password, &fields, cx).await?),
        None => None,
    };
    let user = User {
        id: UserId::new(cx.now),
        version: 1,
        fields,
        password_change_required: password.as_ref().is_some_and(|set| set.change_required),
        created_at: cx.now,
        updated_at: cx.now,
    };
    let mut tx = cx.begin().await?;
    if let Some(claim) = claim
        && let Some(Value::Object(person)) = claim.redeem(&mut tx, cx).await?
    {
        return Ok(Made {
            person,
            earlier: true,
        });
    }
    judge_attributes(None, &user.fields, &mut tx, cx).await?;
    store::insert(&user, hash.as_ref(), cx.now, &mut tx)
        .await
        .on_constraint(&UNIQUE)?;
    let key = person::make(user.id, &mut tx, cx).await?;
    events::append(EventKind::Created, user.id, user.version, cx.now, &mut tx).await?;
    let seals = Seals::with(Some(user.id), Some(key), &mut tx, cx).await?;
    audit::record_under(
        &seals,
        Action::UserCreated,
        Target::Changed(user.id, user.version),
        Change::made(Value::Object(user.fields.to_json())),
        &mut tx,
        cx,
    )
    .await?;
    let made = Made {
        person: user.to_json(),
        earlier: false,
    };
    if let Some(claim) = claim {
        let answer = Value::Object(made.person.clone());
        claim.keep(&answer, Some(user.id), &mut tx, cx).await?;
    }
    tx.commit().await?;
    Ok(made)
}

/// Hides a person, and ends their sessions and tokens.
pub(crate) async fn delete(id: UserId, if_match: &IfMatch, cx: &Cx) -> Result<(), UserError> {
    let mut tx = cx.begin().await?;
    let before = store::find_for_update(id, &mut tx)
        .await?
        .ok_or(UserError::Unknown)?;
    admins_only(before.fields.admin, cx)?;
    let version = store::delete(id, if_match.versions(), cx.now, &mut tx).await?;
    let Some(version) = version else {
        return Err(overtaken(&before, if_match, &mut tx, cx).await);
    };
    index::index(id, Some(&before.fields), None, &mut tx).await?;
    sessions::end_all(id, &mut tx, cx).await?;
    events::append(EventKind::Deleted, id, version, cx.now, &mut tx).await?;
    audit::record(
        Action::UserDeleted,
        Target::Changed(id, version),
        Change::default(),
        &mut tx,
        cx,
    )
    .await?;
    Ok(tx.commit().await?)
}

fn read(document: Map<String, Value>) -> Result<Fields, Vec<Wrong>> {
    let fields = Fields::from_json(document)?;
    validate::validate(&fields)?;
    Ok(fields)
}

/// The fields after the update. The server's own members may be repeated as they are, not changed; a changed address or number is
/// unverified until somebody says otherwise.
pub(super) fn apply(before: &User, update: Update) -> Result<Fields, UserError> {
    let present = before.to_json();
    let (sent, mut document) = match update {
        Update::Merge(patch) => {
            let mut document = before.fields.to_json();
            object::merge(&mut document, object::without(&patch, &OWNED));
            (patch, document)
        }
        Update::Patch(operations) => {
            let mut whole = Value::Object(present.clone());
            operations.apply(&mut whole)?;
            let Value::Object(mut sent) = whole else {
                return Err(PatchError::Malformed("A person is an object.").into());
            };
            let document = object::without(&sent, &OWNED);
            for verified in ["email_verified", "phone_number_verified"] {
                if !operations.sets(verified) {
                    sent.remove(verified);
                }
            }
            (sent, document)
        }
        Update::Replace(whole) => {
            let document = object::without(&whole, &OWNED);
            // A replaced document repeats what it read: its `…_verified` speaks of the address before.
            let mut sent = whole;
            sent.remove("email_verified");
            sent.remove("phone_number_verified");
            (sent, document)
        }
    };
    let mut wrong: Vec<Wrong> = OWNED
        .iter()
        .filter(|name| {
            sent.get(**name)
                .is_some_and(|value| present.get(**name) != Some(value))
        })
        .map(|name| Wrong::new(name, "The server sets this field; it can't be changed."))
        .collect();
    for (address, verified) in [
        ("email", "email_verified"),
        ("phone_number", "phone_number_verified"),
    ] {
        let is = document.get(address).filter(|v| !v.is_null());
        if is != present.get(address) && sent.get(verified) != Some(&Value::Bool(true)) {
            document.insert(verified.to_owned(), Value::Bool(false));
        }
    }
    match read(document) {
        Ok(fields) if wrong.is_empty() => Ok(fields),
        Ok(_) => Err(UserError::Invalid(wrong)),
        Err(more) => {
            wrong.extend(more);
            Err(UserError::Invalid(wrong))
        }
    }
}

/// Tells a caller who may see the person what has changed since the version that they read, as far as the history can say.
pub(super) async fn overtaken(
    present: &User,
    if_match: &IfMatch,
    db: &mut PgConnection,
    cx: &Cx,
) -> UserError {
    let read = if_match.versions().and_then(|read| read.iter().max());
    let Some(read) = read.filter(|read| (1..present.version).contains(*read)) else {
        return UserError::Stale;
    };
    let since = present.version - read;
    if since > CHANGES {
        return UserError::Stale;
    }
    let changes = match audit::list_history(present.id, None, since, db, cx).await {
        Ok(changes) => changes,
        Err(fault) => return fault.into(),
    };
    let mut members = BTreeSet::new();
    let mut known = 0;
    for change in changes.into_iter().filter(|change| change.version > *read) {
        let Some(told) = change.told else {
            return UserError::Stale;
        };
        members.extend(
            told.before
                .into_iter()
                .chain(told.after)
                .map(|(name, _)| name),
        );
        known += 1;
    }
    if known < since {
        return UserError::Stale;
    }
    let now = present.to_json();
    let member = |name: String| {
        let value = now.get(&name).cloned().unwrap_or_default();
        (name, value)
    };
    UserError::Overtaken(members.into_iter().map(member).collect())
}

pub(super) fn admins_only(concerned: bool, cx: &Cx) -> Result<(), UserError> {
    if concerned {
        cx.all_scopes()?;
    }
    Ok(())
}

/// Only who holds all of Doorward's scopes may give or take `admin`, or change address, username or status of who has it.
pub(super) fn check_rank(before: &User, after: &Fields, cx: &Cx) -> Result<(), UserError> {
    let b = &before.fields;
    let door = |f: &Fields| {
        (
            f.email.clone(),
            f.email_verified,
            f.username.clone(),
            f.phone_number.clone(),
            f.phone_number_verified,
            f.status,
            f.external_ids.clone(),
        )
    };
    admins_only(
        b.admin != after.admin || (b.admin && door(b) != door(after)),
        cx,
    )
}
