//! Back from a deletion, or gone for ever.

use super::model::User;
use super::operations::{UserError, admins_only};
use super::{index, store};
use crate::audit::{self, Action, Change, Target};
use crate::credentials::throttle;
use crate::cx::Cx;
use crate::events::{self, EventKind};
use crate::http::IfMatch;
use crate::kernel::UserId;

/// Brings a deleted person back as they were. Nothing that they were given before is good again: they sign in anew.
pub(crate) async fn restore(id: UserId, if_match: &IfMatch, cx: &Cx) -> Result<User, UserError> {
    let mut tx = cx.begin().await?;
    let before = store::find_deleted_for_update(id, &mut tx)
        .await?
        .ok_or(UserError::Unknown)?;
    // Who comes back with `admin` is given it: by nobody who may not give it (checklist 149).
    admins_only(before.fields.admin, cx)?;
    let version = store::restore(id, if_match.versions(), cx.now, &mut tx)
        .await?
        .ok_or(UserError::Stale)?;
    index::index(id, None, Some(&before.fields), &mut tx).await?;
    events::append(EventKind::Restored, id, version, cx.now, &mut tx).await?;
    let change = Change::default();
    audit::record(
        Action::UserRestored,
        Target::Changed(id, version),
        change,
        &mut tx,
        cx,
    )
    .await?;
    tx.commit().await?;
    Ok(User {
        version,
        updated_at: cx.now,
        ..before
    })
}

/// Erases a deleted person for ever: what is left is their id, that it was so, and when. Whatever refers to them goes with their row; what
/// audit and history hold of them goes with their key. A reason is not kept: it may be about them.
pub(crate) async fn erase(id: UserId, if_match: &IfMatch, cx: &Cx) -> Result<(), UserError> {
    let mut tx = cx.begin().await?;
    let Some(person) = store::find_deleted_for_update(id, &mut tx).await? else {
        let there = store::find(id, &mut tx).await?;
        return Err(there.map_or(UserError::Unknown, |_| UserError::NotDeleted));
    };
    admins_only(person.fields.admin, cx)?;
    let version = store::erase(id, if_match.versions(), cx.now, &mut tx)
        .await?
        .ok_or(UserError::Stale)?;
    index::hold_external_ids(id, Some(&person.fields), None, &mut tx).await?;
    let identifiers = [&person.fields.email, &person.fields.username];
    throttle::erase(id, identifiers.into_iter().flatten(), &mut tx).await?;
    audit::blank(id, &mut tx).await?;
    events::append(EventKind::Erased, id, version, cx.now, &mut tx).await?;
    let change = Change::default();
    audit::record(
        Action::UserErased,
        Target::Changed(id, version),
        change,
        &mut tx,
        cx,
    )
    .await?;
    Ok(tx.commit().await?)
}
