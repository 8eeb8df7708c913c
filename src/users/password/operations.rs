//! A password that somebody else sets for a person, or demands of them.

use serde_json::json;

use super::super::model::{Fields, User};
use super::super::operations::{UserError, admins_only, get};
use super::super::store::find_for_update;
use super::store::{self, Seen};
use crate::audit::{self, Action, Change, Target};
use crate::credentials::{self, throttle};
use crate::cx::Cx;
use crate::events;
use crate::http::IfMatch;
use crate::kernel::{Secret, UserId};
use crate::sessions;

/// A password for a person.
pub(crate) struct SetPassword {
    pub(crate) password: Secret<String>,
    /// It is good for one sign-in, at which the person chooses their own.
    pub(crate) change_required: bool,
}

/// Sets a person's password, ends their sessions and tokens, and lifts what wrong passwords brought upon them.
pub(crate) async fn set_password(
    id: UserId,
    set: SetPassword,
    if_match: &IfMatch,
    cx: &Cx,
) -> Result<User, UserError> {
    let person = get(id, cx).await?;
    admins_only(person.fields.admin, cx)?;
    // Hashed before the transaction: it takes its time.
    let hash = hash(&set.password, &person.fields, cx).await?;
    let mut tx = cx.begin().await?;
    let before = find_for_update(id, &mut tx)
        .await?
        .ok_or(UserError::Unknown)?;
    admins_only(before.fields.admin, cx)?;
    let seen = Seen::At(if_match.versions());
    let (version, _) =
        store::update_password(id, Some(&hash), set.change_required, seen, cx.now, &mut tx)
            .await?
            .ok_or(UserError::Stale)?;
    sessions::end_all(id, &mut tx, cx).await?;
    throttle::clear(id, &mut tx).await?;
    let demanded = demand_changed(before.password_change_required, set.change_required);
    events::append_update(id, version, &demanded, cx.now, &mut tx).await?;
    audit::record(
        Action::PasswordSet,
        Target::Changed(id, version),
        password_change(before.password_change_required, set.change_required),
        &mut tx,
        cx,
    )
    .await?;
    tx.commit().await?;
    Ok(User {
        version,
        password_change_required: set.change_required,
        updated_at: cx.now,
        ..before
    })
}

/// Demands that the person signs in anew and then chooses a new password. Whoever has the old one is out.
pub(in crate::users) async fn require_password_change(
    id: UserId,
    if_match: &IfMatch,
    cx: &Cx,
) -> Result<User, UserError> {
    let mut tx = cx.begin().await?;
    let before = find_for_update(id, &mut tx)
        .await?
        .ok_or(UserError::Unknown)?;
    admins_only(before.fields.admin, cx)?;
    let seen = Seen::At(if_match.versions());
    let (version, _) = store::update_password(id, None, true, seen, cx.now, &mut tx)
        .await?
        .ok_or(UserError::Stale)?;
    sessions::end_all(id, &mut tx, cx).await?;
    let demanded = demand_changed(before.password_change_required, true);
    events::append_update(id, version, &demanded, cx.now, &mut tx).await?;
    audit::record(
        Action::PasswordChangeRequired,
        Target::Changed(id, version),
        password_change(before.password_change_required, true),
        &mut tx,
        cx,
    )
    .await?;
    tx.commit().await?;
    Ok(User {
        version,
        password_change_required: true,
        updated_at: cx.now,
        ..before
    })
}

/// Judges a password that is to be this person's, and hashes it.
pub(in crate::users) async fn hash(
    password: &Secret<String>,
    fields: &Fields,
    cx: &Cx,
) -> Result<Secret<String>, UserError> {
    let known = [&fields.email, &fields.username, &fields.name];
    credentials::policy::check(password.expose(), known, &cx.app.config.passwords)
        .map_err(UserError::Password)?;
    let hasher = &cx.app.hasher;
    Ok(hasher.hash(&hasher.place()?, password).await?)
}

/// What others see of a new password: whether another is demanded.
pub(super) fn demand_changed(was: bool, is: bool) -> Vec<String> {
    let name = (was != is).then(|| "password_change_required".to_owned());
    name.into_iter().collect()
}

/// A change of the password: whether a new one is demanded, where that changed; the password itself is told by the action alone.
pub(super) fn password_change(before: bool, after: bool) -> Change {
    let told =
        |required: bool| (before != after).then(|| json!({ "password_change_required": required }));
    Change {
        before: told(before),
        after: told(after),
    }
}
