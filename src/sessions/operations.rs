//! Signing in, signing out, and ending a session from another one.
//!
//! tower-sessions writes new sessions on a connection of its own, so signing in is recorded first: a crash between the two leaves a record
//! too many, never a session that nobody has heard of.

use sqlx::PgConnection;
use tower_sessions::Session;
use uuid::Uuid;

use super::{SessionData, Stage, guard, store};
use crate::audit::{self, Action, Change, Target};
use crate::cx::{Actor, Cx};
use crate::families::{self, Record};
use crate::kernel::id::uuid_v7;
use crate::kernel::{Fault, UserId};
use crate::users::SignIn;

/// Signs `person` in at this browser, under a new session id. Who proves themselves again stays in their session; of somebody else who was
/// signed in here, the session ends, and what belongs to it (checklist 77).
pub(crate) async fn sign_in(
    session: &Session,
    person: &SignIn,
    cx: &Cx,
) -> Result<SessionData, Fault> {
    let acting = cx.acting(Actor::Session { user_id: person.id });
    let public_id = hand_over(session, person, Action::SignedIn, &acting).await?;
    let data = guard::begin(session, person, Stage::SignedIn, public_id, cx).await?;
    cx.app.meters.signed_in();
    Ok(data)
}

/// Ends whoever else was signed in here, and gives the session's public id for `person`.
async fn hand_over(
    session: &Session,
    person: &SignIn,
    action: Action,
    cx: &Cx,
) -> Result<Uuid, Fault> {
    let before = guard::before(session).await?;
    let same = |data: &SessionData| {
        data.user_id == person.id && data.valid_from == person.tokens_valid_from
    };
    let mut tx = cx.begin().await?;
    let public_id = match before {
        Some(data) if same(&data) => data.public_id,
        Some(data) => {
            end(data.public_id, data.user_id, &mut tx, cx).await?;
            uuid_v7(cx.now)
        }
        None => uuid_v7(cx.now),
    };
    make_room(person.id, public_id, &mut tx, cx).await?;
    let target = Target::User(person.id);
    audit::record(action, target, Change::default(), &mut tx, cx).await?;
    tx.commit().await?;
    Ok(public_id)
}

/// Ends the person's oldest sessions where one beside them would be too many.
async fn make_room(
    user: UserId,
    beside: Uuid,
    db: &mut PgConnection,
    cx: &Cx,
) -> Result<(), Fault> {
    let most = i64::from(cx.app.config.sessions.max_per_user) - 1;
    for ended in store::end_surplus(user, most, beside, db).await? {
        families::end_of_session(ended, Record::Ended, user, cx.now, db).await?;
    }
    Ok(())
}

/// The server's record, and what belongs to the session: that may be there still when the record, idle for too long, is gone. Gives whether
/// there was anything.
pub(super) async fn end(
    public_id: Uuid,
    user: UserId,
    db: &mut PgConnection,
    cx: &Cx,
) -> Result<bool, Fault> {
    let record = if store::end_one(public_id, user, db).await? {
        Record::Ended
    } else {
        Record::Gone
    };
    families::end_of_session(public_id, record, user, cx.now, db).await
}

/// Lets `person`, whose password was right, no further than to the step that demands a new one.
pub(crate) async fn demand_new_password(
    session: &Session,
    person: &SignIn,
    cx: &Cx,
) -> Result<SessionData, Fault> {
    let acting = cx.acting(Actor::Session { user_id: person.id });
    let action = Action::NewPasswordDemanded;
    let public_id = hand_over(session, person, action, &acting).await?;
    guard::begin(session, person, Stage::NewPassword, public_id, cx).await
}

/// Signs `person` out at this browser: the server's record goes, what belongs to it ends, and the cookie goes with the answer. An `earlier`
/// session of theirs ends with it.
pub(crate) async fn sign_out(
    session: &Session,
    data: &SessionData,
    person: &SignIn,
    earlier: Option<Uuid>,
    cx: &Cx,
) -> Result<(), Fault> {
    let mut tx = cx.begin().await?;
    // In one order, so that two logouts that mean each other's session don't wait for each other.
    let mut ending: Vec<Uuid> = earlier.into_iter().chain([data.public_id]).collect();
    ending.sort_unstable();
    ending.dedup();
    for public_id in ending {
        let ended = end(public_id, person.id, &mut tx, cx).await?;
        if ended && public_id != data.public_id {
            record_end(person.id, &mut tx, cx).await?;
        }
    }
    let target = Target::User(person.id);
    audit::record(Action::SignedOut, target, Change::default(), &mut tx, cx).await?;
    tx.commit().await?;
    guard::end(session).await
}

/// Ends one session of `user`, by its public id, and what belongs to it. Somebody else's session is none of theirs: nothing happens.
pub(crate) async fn end_one(public_id: Uuid, user: UserId, cx: &Cx) -> Result<(), Fault> {
    let mut tx = cx.begin().await?;
    if end(public_id, user, &mut tx, cx).await? {
        record_end(user, &mut tx, cx).await?;
    }
    Ok(tx.commit().await?)
}

/// Keeps in the audit that a session of `user` was ended from elsewhere.
pub(super) async fn record_end(user: UserId, db: &mut PgConnection, cx: &Cx) -> Result<(), Fault> {
    let target = Target::User(user);
    audit::record(Action::SessionEnded, target, Change::default(), db, cx).await
}

/// Ends all sessions of a person, with everything that they gave to clients.
pub(crate) async fn end_all(user: UserId, db: &mut PgConnection, cx: &Cx) -> Result<(), Fault> {
    store::end_all(user, db).await?;
    families::end_of_user(user, cx.now, db).await
}
