//! The one check of a password, for the login page and the password grant alike: the same look-up, the same throttle, the same hash,
//! the same account states, the same time.

use crate::cx::Cx;
use crate::kernel::{ClientId, Fault, Secret};
use crate::meters::{Door, Refusal};
use crate::users::{self, SignIn, Status};

use super::hash::{Place, Verdict};
use super::throttle::{self, Attempt};

/// The door that somebody stands at; failures are counted by account and by this.
#[derive(Clone, Copy)]
pub(crate) enum Via<'a> {
    /// A page: the address is the person's own.
    Page,
    /// The password grant: the address is the calling service's, so the client is counted instead.
    Grant(&'a ClientId),
}

impl Via<'_> {
    fn door(self) -> Door {
        match self {
            Self::Page => Door::Page,
            Self::Grant(_) => Door::Grant,
        }
    }
}

/// What came of it.
pub(crate) enum Checked {
    Welcome(SignIn),
    /// The password is right; a new one is demanded first.
    MustChangePassword(SignIn),
    /// Unknown, wrong, disabled, without a password: nobody learns which.
    Refused,
    /// Too many failures lately: again in so many seconds.
    TooMany {
        retry_after: u32,
    },
}

/// Checks who says `identifier` (e-mail address or username) with `password`.
pub(crate) async fn check(
    identifier: &str,
    password: &Secret<String>,
    via: Via<'_>,
    cx: &Cx,
) -> Result<Checked, Fault> {
    let place = cx.app.hasher.place()?;
    let person = {
        let mut connection = cx.connection().await?;
        users::find_sign_in(identifier, &mut connection).await?
    };
    judge(person, identifier, password, via, &place, cx).await
}

/// The same for somebody who is known already: a person at their own pages.
pub(crate) async fn check_person(
    person: SignIn,
    password: &Secret<String>,
    cx: &Cx,
) -> Result<Checked, Fault> {
    let place = cx.app.hasher.place()?;
    judge(Some(person), "", password, Via::Page, &place, cx).await
}

async fn judge(
    person: Option<SignIn>,
    identifier: &str,
    password: &Secret<String>,
    via: Via<'_>,
    place: &Place,
    cx: &Cx,
) -> Result<Checked, Fault> {
    let attempt = Attempt::of(person.as_ref().map(|p| p.id), identifier, via, cx);
    let stored = person.as_ref().and_then(|p| p.password_hash.as_ref());
    let verdict = match attempted(&attempt, password, stored, place, cx).await? {
        Ok(verdict) => verdict,
        Err(retry_after) => {
            cx.app.meters.password_refused(via.door(), Refusal::TooMany);
            return Ok(Checked::TooMany { retry_after });
        }
    };
    let Some(person) = person.filter(|p| verdict != Verdict::Wrong && p.status == Status::Active)
    else {
        cx.app.meters.password_refused(via.door(), Refusal::Wrong);
        return Ok(Checked::Refused);
    };
    throttle::give_back(&attempt, true, cx).await?;
    if verdict == Verdict::RightButOld
        && let Some(old) = &person.password_hash
    {
        let new = cx.app.hasher.hash(place, password).await?;
        users::renew_password_hash(person.id, old, &new, &mut *cx.connection().await?).await?;
    }
    Ok(if person.password_change_required {
        Checked::MustChangePassword(person)
    } else {
        Checked::Welcome(person)
    })
}

/// What came of holding a password that a person chose against the one they have.
pub(crate) enum Present {
    /// It is the same. Counted as a failure: whoever tries many learns which one it is.
    Same,
    Other,
    /// Too many failures lately: again in so many seconds.
    TooMany {
        retry_after: u32,
    },
}

/// Whether a person who has proven themselves already has this password.
pub(crate) async fn is_present(
    person: &SignIn,
    password: &Secret<String>,
    place: &Place,
    cx: &Cx,
) -> Result<Present, Fault> {
    let attempt = Attempt::of(Some(person.id), person.identifier(), Via::Page, cx);
    let stored = person.password_hash.as_ref();
    match attempted(&attempt, password, stored, place, cx).await? {
        Err(retry_after) => Ok(Present::TooMany { retry_after }),
        Ok(Verdict::Wrong) => {
            throttle::give_back(&attempt, false, cx).await?;
            Ok(Present::Other)
        }
        Ok(Verdict::Right | Verdict::RightButOld) => Ok(Present::Same),
    }
}

/// One try of a password: `Err` with the seconds to wait where the throttle refuses it. It stays counted until it is given back.
async fn attempted(
    attempt: &Attempt,
    password: &Secret<String>,
    stored: Option<&Secret<String>>,
    place: &Place,
    cx: &Cx,
) -> Result<Result<Verdict, u32>, Fault> {
    // Counted before the hash: of many tries at once no more get through than the count allows.
    if let Some(retry_after) = throttle::count(attempt, cx).await? {
        return Ok(Err(retry_after));
    }
    match cx.app.hasher.verify(place, password, stored).await {
        Ok(verdict) => Ok(Ok(verdict)),
        Err(fault) => {
            // Nothing was learnt about the password, so nothing is held against anybody.
            throttle::give_back(attempt, false, cx).await?;
            Err(fault)
        }
    }
}
