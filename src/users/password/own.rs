//! A person's own new password, from the account page or the step at sign-in that demands one.

use std::fmt;

use super::super::SignIn;
use super::operations::{demand_changed, password_change};
use super::store::{self, Seen};
use crate::audit::{self, Action, Target};
use crate::credentials::{self, PolicyError, Present};
use crate::cx::Cx;
use crate::events;
use crate::kernel::{Fault, Secret};
use crate::sessions;

/// Why a chosen password was not taken.
#[derive(Debug)]
pub(crate) enum ChoiceError {
    Policy(PolicyError),
    /// It is the one they have.
    Same,
    /// Too many tries lately: again in so many seconds.
    TooMany {
        retry_after: u32,
    },
    /// Since `person` was read somebody set their password, or disabled or deleted them.
    Overtaken,
    Fault(Fault),
}

impl fmt::Display for ChoiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy(problem) => problem.fmt(f),
            Self::Same => f.write_str("That is the password you have. Choose another."),
            Self::Overtaken => f.write_str("Your account has changed meanwhile. Sign in again."),
            Self::TooMany { .. } => f.write_str("Too many attempts. Please wait and try again."),
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}

impl<E: Into<Fault>> From<E> for ChoiceError {
    fn from(fault: E) -> Self {
        Self::Fault(fault.into())
    }
}

/// Gives `person` the password that they chose, and the person as they are then; all their sessions and tokens end. Whoever calls has
/// checked the old one.
pub(crate) async fn choose_password(
    person: &SignIn,
    password: &Secret<String>,
    cx: &Cx,
) -> Result<SignIn, ChoiceError> {
    let known = [&person.email, &person.username, &person.name];
    credentials::policy::check(password.expose(), known, &cx.app.config.passwords)
        .map_err(ChoiceError::Policy)?;
    let hasher = &cx.app.hasher;
    let place = hasher.place()?;
    match credentials::is_present(person, password, &place, cx).await? {
        Present::Other => {}
        Present::Same => return Err(ChoiceError::Same),
        Present::TooMany { retry_after } => return Err(ChoiceError::TooMany { retry_after }),
    }
    let hash = hasher.hash(&place, password).await?;
    let mut tx = cx.begin().await?;
    let seen = Seen::Epoch(person.tokens_valid_from);
    let (version, tokens_valid_from) =
        store::update_password(person.id, Some(&hash), false, seen, cx.now, &mut tx)
            .await?
            .ok_or(ChoiceError::Overtaken)?;
    sessions::end_all(person.id, &mut tx, cx).await?;
    let demanded = demand_changed(person.password_change_required, false);
    events::append_update(person.id, version, &demanded, cx.now, &mut tx).await?;
    let target = Target::Changed(person.id, version);
    audit::record(
        Action::PasswordChanged,
        target,
        password_change(person.password_change_required, false),
        &mut tx,
        cx,
    )
    .await?;
    tx.commit().await?;
    Ok(SignIn {
        tokens_valid_from,
        password_hash: Some(hash),
        password_change_required: false,
        ..person.clone()
    })
}
