//! A person's own new password, from the account page or the step at sign-in that demands one.

use super::{SignIn, store};
use crate::audit::{self, Action, Change, Target};
use crate::credentials::{self, PolicyError, Verdict};
use crate::cx::Cx;
use crate::events::{self, EventKind};
use crate::kernel::{Fault, Secret};
use crate::sessions;

/// Why a chosen password was not taken.
#[derive(Debug)]
pub(crate) enum ChoiceError {
    Policy(PolicyError),
    /// It is the one they have.
    Same,
    /// Since `person` was read somebody set their password, or disabled or deleted them.
    Overtaken,
    Fault(Fault),
}

impl<E: Into<Fault>> From<E> for ChoiceError {
    fn from(fault: E) -> Self {
        Self::Fault(fault.into())
    }
}

/// Gives `person` the password that they chose; all their sessions and tokens end. Whoever calls has checked the old one.
pub(crate) async fn choose_password(
    person: &SignIn,
    password: &Secret<String>,
    cx: &Cx,
) -> Result<(), ChoiceError> {
    let known: Vec<&str> = [&person.email, &person.username, &person.name]
        .into_iter()
        .flatten()
        .map(String::as_str)
        .collect();
    credentials::policy::check(password.expose(), &known, &cx.app.config.passwords)
        .map_err(ChoiceError::Policy)?;
    let hasher = &cx.app.hasher;
    let present = person.password_hash.as_ref();
    if hasher.verify(password, present).await? != Verdict::Wrong {
        return Err(ChoiceError::Same);
    }
    let hash = hasher.hash(password).await?;
    let mut tx = cx.begin().await?;
    let version = store::replace_own_password(person, &hash, cx.now, &mut tx)
        .await?
        .ok_or(ChoiceError::Overtaken)?;
    sessions::end_all(person.id, &mut tx).await?;
    events::append(EventKind::Updated, person.id, version, cx.now, &mut tx).await?;
    let target = Target::User(person.id);
    audit::record(
        Action::PasswordChanged,
        target,
        Change::default(),
        &mut tx,
        cx,
    )
    .await?;
    Ok(tx.commit().await?)
}
