//! The life of signing keys: next (published), current (signs), retiring (published until its last token has expired), gone.
//! The schedule advances it by itself, one replica doing it for all; the command line does it by hand.

use std::collections::HashMap;

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use time::OffsetDateTime;

use super::{SigningKey, Step, store};
use crate::audit::{self, Action, Change, Target};
use crate::clients;
use crate::cx::{Actor, Cx};
use crate::db::{self, Topic};
use crate::jose::{Alg, PrivateKey};
use crate::kernel::Fault;
use crate::webhooks;

/// How long a replica may still publish the keys of before: it hears of changes within a second, and looks by itself after two.
const HEARD: time::Duration = time::Duration::seconds(10);

/// Beyond a token's life: how long others may take to hear of a rotation, and how far their clocks may be off.
const SKEW: time::Duration = time::Duration::seconds(60);

/// Why a rotation by hand was refused; nothing has changed.
#[derive(Debug)]
pub(crate) enum RotateError {
    /// The next key has not been published for long enough: services may not know it yet.
    TooEarly {
        alg: Alg,
        possible_at: OffsetDateTime,
    },
    /// What was given is not a key for that algorithm.
    BadKey(&'static str),
    /// Doorward has that key already.
    Known,
    Fault(Fault),
}

impl<E: Into<Fault>> From<E> for RotateError {
    fn from(fault: E) -> Self {
        Self::Fault(fault.into())
    }
}

/// What a replica does with the keys of one algorithm at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Nothing,
    /// There is no next key.
    Publish,
    /// The current key has had its time, and the next is known everywhere.
    Promote,
}

/// Advances every algorithm's keys as the schedule says. Asks nobody while nothing is due; of several replicas one does it.
pub(crate) async fn advance(cx: &Cx) -> Result<(), Fault> {
    let known = cx.app.keyring.now();
    let wanted: Vec<Alg> = Alg::ALL
        .into_iter()
        .filter(|alg| due(*alg, known.all(), cx) != Due::Nothing)
        .collect();
    let over = |key: &SigningKey| key.gone_at.is_some_and(|at| at <= cx.now);
    if wanted.is_empty() && !known.all().iter().any(over) {
        return Ok(());
    }
    let mut fresh = make_fresh(&wanted, cx)?;
    let mut tx = cx.begin().await?;
    if !store::try_lock(&mut tx).await? {
        return Ok(());
    }
    // Read under the lock: another replica may have been quicker.
    let keys = store::list(&mut tx).await?;
    for key in keys.iter().filter(|key| over(key)) {
        remove(key, Action::SigningKeyRemoved, &mut tx, cx).await?;
    }
    for alg in Alg::ALL {
        match due(alg, &keys, cx) {
            Due::Nothing => {}
            Due::Publish => publish(fresh.remove(&alg), &mut tx, cx).await?,
            Due::Promote => promote(alg, &keys, fresh.remove(&alg), &mut tx, cx).await?,
        }
    }
    db::forget(Topic::SigningKeys, "", &mut tx).await?;
    Ok(tx.commit().await?)
}

fn due(alg: Alg, keys: &[SigningKey], cx: &Cx) -> Due {
    let Some(next) = of(keys, alg, Step::Next) else {
        return Due::Publish;
    };
    let old = of(keys, alg, Step::Current)
        .and_then(|key| key.current_at)
        .is_none_or(|since| since + cx.app.config.keys.lifetime.time() <= cx.now);
    if old && may_sign_from(next, cx) + HEARD <= cx.now {
        Due::Promote
    } else {
        Due::Nothing
    }
}

/// When the last copy of a JWKS without this key has expired everywhere (checklist 55).
fn may_sign_from(next: &SigningKey, cx: &Cx) -> OffsetDateTime {
    next.created_at + cx.app.config.keys.jwks_max_age.time()
}

/// Makes the next keys of these algorithms current, by hand, and gives the keys that sign from now on. Fails, changing nothing,
/// while a next key has not been published for one JWKS max-age.
pub(crate) async fn rotate(algs: &[Alg], cx: &Cx) -> Result<Vec<SigningKey>, RotateError> {
    turn(algs, false, cx).await
}

/// The same without waiting, and the present keys and those of before are gone at once: out of JWKS, and what they signed is refused
/// (checklist 56). Whoever must fear for the next key too does it twice.
pub(crate) async fn rotate_in_emergency(
    algs: &[Alg],
    cx: &Cx,
) -> Result<Vec<SigningKey>, RotateError> {
    turn(algs, true, cx).await
}

async fn turn(algs: &[Alg], emergency: bool, cx: &Cx) -> Result<Vec<SigningKey>, RotateError> {
    let mut fresh = make_fresh(algs, cx)?;
    let mut tx = cx.begin().await?;
    store::lock(&mut tx).await?;
    let mut keys = store::list(&mut tx).await?;
    if emergency {
        let revoked = |key: &mut SigningKey| algs.contains(&key.alg) && key.step != Step::Next;
        for key in keys.extract_if(.., revoked) {
            remove(&key, Action::SigningKeyRevoked, &mut tx, cx).await?;
        }
    }
    for alg in algs.iter().copied() {
        if let Some(next) = of(&keys, alg, Step::Next).filter(|_| !emergency) {
            let possible_at = may_sign_from(next, cx);
            if possible_at > cx.now {
                return Err(RotateError::TooEarly { alg, possible_at });
            }
        }
        promote(alg, &keys, fresh.remove(&alg), &mut tx, cx).await?;
    }
    let current = store::list(&mut tx).await?;
    db::forget(Topic::SigningKeys, "", &mut tx).await?;
    tx.commit().await?;
    Ok(current
        .into_iter()
        .filter(|key| key.step == Step::Current && algs.contains(&key.alg))
        .collect())
}

/// Takes a private key in PEM as the next one of its algorithm, in the place of the one that waits there.
pub(crate) async fn import(alg: Alg, pem: &[u8], cx: &Cx) -> Result<SigningKey, RotateError> {
    let private = PrivateKey::from_pem(alg, pem).map_err(RotateError::BadKey)?;
    let key = SigningKey::seal(&private, alg, Step::Next, &cx.app.sealing, cx.now);
    let mut tx = cx.begin().await?;
    store::lock(&mut tx).await?;
    let keys = store::list(&mut tx).await?;
    if keys.iter().any(|known| known.kid == key.kid) {
        return Err(RotateError::Known);
    }
    if let Some(waiting) = of(&keys, alg, Step::Next) {
        remove(waiting, Action::SigningKeyRemoved, &mut tx, cx).await?;
    }
    insert(&key, Action::SigningKeyImported, &mut tx, cx).await?;
    db::forget(Topic::SigningKeys, "", &mut tx).await?;
    tx.commit().await?;
    Ok(key)
}

/// What was given up with a sealing key.
pub(crate) struct Abandoned {
    pub(crate) keys: usize,
    /// People whose history can't be read again.
    pub(crate) people: u64,
    /// Webhooks that stand still until they get new secrets.
    pub(crate) webhooks: usize,
}

/// Gives up all signing keys, everybody's own and webhooks' secrets, for when the sealing key is lost. What audit and history hold of people
/// can't be read again. Works without a sealing key, as the operator.
pub(crate) async fn abandon(
    direct: &PgConnectOptions,
    now: OffsetDateTime,
) -> Result<Abandoned, Fault> {
    let mut connection = PgConnection::connect_with(direct).await?;
    let mut tx = connection.begin().await?;
    store::lock(&mut tx).await?;
    let keys = store::list(&mut tx).await?;
    for key in &keys {
        store::delete(&key.kid, &mut tx).await?;
        let target = Target::SigningKey(&key.kid);
        let action = Action::SigningKeyRemoved;
        audit::record_start(&Actor::Operator, action, target, now, &mut tx).await?;
    }
    let people = store::delete_person_keys(&mut tx).await?;
    let webhooks = webhooks::abandon_secrets(now, &mut tx).await?;
    tx.commit().await?;
    connection.close().await?;
    Ok(Abandoned {
        keys: keys.len(),
        people,
        webhooks,
    })
}

fn of(keys: &[SigningKey], alg: Alg, step: Step) -> Option<&SigningKey> {
    keys.iter().find(|key| key.alg == alg && key.step == step)
}

/// Made before any transaction: RSA keys take their time.
fn make_fresh(algs: &[Alg], cx: &Cx) -> Result<HashMap<Alg, SigningKey>, Fault> {
    algs.iter()
        .map(|alg| {
            let private = PrivateKey::generate(*alg, cx.app.config.keys.rsa_bits)?;
            let key = SigningKey::seal(&private, *alg, Step::Next, &cx.app.sealing, cx.now);
            Ok((*alg, key))
        })
        .collect()
}

async fn publish(fresh: Option<SigningKey>, db: &mut PgConnection, cx: &Cx) -> Result<(), Fault> {
    // None: it became due between the look before the lock and the one under it; the next turn has one.
    if let Some(key) = fresh {
        insert(&key, Action::SigningKeyMade, db, cx).await?;
    }
    Ok(())
}

/// Current retires, next signs, and `fresh` is the new next.
async fn promote(
    alg: Alg,
    keys: &[SigningKey],
    fresh: Option<SigningKey>,
    db: &mut PgConnection,
    cx: &Cx,
) -> Result<(), Fault> {
    if let Some(current) = of(keys, alg, Step::Current) {
        let longest = clients::longest_token_lifetime(db).await?;
        let tokens = &cx.app.config.tokens;
        let longest = longest
            .max(tokens.access_token_lifetime)
            .max(tokens.id_token_lifetime);
        // Replicas sign with it until they have heard, and others' clocks may be a little slow.
        let gone_at = cx.now + longest.time() + SKEW;
        store::retire(&current.kid, cx.now, gone_at, db).await?;
    }
    let Some(next) = of(keys, alg, Step::Next) else {
        // Every start and every turn leaves one.
        return Err(Fault::internal("rotating", "there is no next key"));
    };
    store::make_current(&next.kid, cx.now, db).await?;
    record(Action::SigningKeyPromoted, &next.kid, db, cx).await?;
    publish(fresh, db, cx).await
}

async fn insert(
    key: &SigningKey,
    action: Action,
    db: &mut PgConnection,
    cx: &Cx,
) -> Result<(), Fault> {
    store::insert(key, db).await?;
    record(action, &key.kid, db, cx).await
}

async fn remove(
    key: &SigningKey,
    action: Action,
    db: &mut PgConnection,
    cx: &Cx,
) -> Result<(), Fault> {
    store::delete(&key.kid, db).await?;
    record(action, &key.kid, db, cx).await
}

async fn record(action: Action, kid: &str, db: &mut PgConnection, cx: &Cx) -> Result<(), Fault> {
    audit::record(action, Target::SigningKey(kid), Change::default(), db, cx).await
}
