//! Signing in, signing out, and ending a session from another one.
//!
//! tower-sessions writes sessions on a connection of its own, so signing in and out are recorded first: a crash between the two leaves
//! a record too many, never a session that nobody has heard of.

use tower_sessions::Session;
use uuid::Uuid;

use super::{SessionData, Stage, guard, store};
use crate::audit::{self, Action, Change, Target};
use crate::cx::{Actor, Cx};
use crate::families;
use crate::kernel::{Fault, UserId};
use crate::users::SignIn;

/// Signs `person` in at this browser, under a new session id.
pub(crate) async fn sign_in(session: &Session, person: &SignIn, cx: &Cx) -> Result<(), Fault> {
    let acting = cx.acting(Actor::Session { user_id: person.id });
    record(Action::SignedIn, person.id, &acting).await?;
    guard::begin(session, person, Stage::SignedIn, cx).await?;
    cx.app.meters.signed_in();
    Ok(())
}

/// Lets `person`, whose password was right, no further than to the step that demands a new one.
pub(crate) async fn demand_new_password(
    session: &Session,
    person: &SignIn,
    cx: &Cx,
) -> Result<(), Fault> {
    guard::begin(session, person, Stage::NewPassword, cx).await
}

/// Signs `person` out at this browser: the server's record goes, what belongs to it ends, and the cookie goes with the answer.
pub(crate) async fn sign_out(
    session: &Session,
    data: &SessionData,
    person: &SignIn,
    cx: &Cx,
) -> Result<(), Fault> {
    let mut tx = cx.begin().await?;
    families::end_of_session(data.public_id, &mut tx, cx).await?;
    let target = Target::User(person.id);
    audit::record(Action::SignedOut, target, Change::default(), &mut tx, cx).await?;
    tx.commit().await?;
    guard::end(session).await
}

/// Ends one session of `user`, by its public id. Somebody else's session is none of theirs: nothing happens.
pub(crate) async fn end_one(public_id: Uuid, user: UserId, cx: &Cx) -> Result<(), Fault> {
    let mut tx = cx.begin().await?;
    if store::end_one(public_id, user, &mut tx).await? {
        families::end_of_session(public_id, &mut tx, cx).await?;
        let target = Target::User(user);
        audit::record(Action::SessionEnded, target, Change::default(), &mut tx, cx).await?;
    }
    Ok(tx.commit().await?)
}

async fn record(action: Action, user: UserId, cx: &Cx) -> Result<(), Fault> {
    let mut connection = cx.connection().await?;
    let target = Target::User(user);
    audit::record(action, target, Change::default(), &mut connection, cx).await
}
