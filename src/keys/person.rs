//! A key for each person, kept sealed: what audit and history hold of them is sealed under it, so deleting the key erases all of that
//! at once; a backup from before still has both (docs/security.md, Erasing a person).

use sqlx::PgConnection;

use super::store;
use crate::cx::Cx;
use crate::kernel::seal::{DataKey, SealingKeys};
use crate::kernel::{Fault, UserId};

/// Keys that [`reseal`] takes at a time.
const BATCH: i64 = 500;

/// Makes the key of a person who has none yet.
pub(crate) async fn make(id: UserId, db: &mut PgConnection, cx: &Cx) -> Result<DataKey, Fault> {
    match insert(id, db, cx).await? {
        Some(key) => Ok(key),
        None => Err(Fault::internal(
            "making a person's key",
            format!("user {id} has one already, or does not exist"),
        )),
    }
}

/// The key of a person, made where there is none yet; `None` for somebody who does not exist (any more).
pub(crate) async fn find_or_make(
    id: UserId,
    db: &mut PgConnection,
    cx: &Cx,
) -> Result<Option<DataKey>, Fault> {
    if let Some(key) = find(id, db, cx).await? {
        return Ok(Some(key));
    }
    match insert(id, db, cx).await? {
        Some(key) => Ok(Some(key)),
        // Somebody else was quicker, or there is no such person.
        None => find(id, db, cx).await,
    }
}

/// The key of a person, where there is one.
pub(crate) async fn find(
    id: UserId,
    db: &mut PgConnection,
    cx: &Cx,
) -> Result<Option<DataKey>, Fault> {
    let sealed = store::find_person_key(id, db).await?;
    sealed
        .map(|sealed| open(id, &sealed, &cx.app.sealing))
        .transpose()
}

/// Opens a key that was read with its person.
pub(crate) fn open(id: UserId, sealed: &[u8], sealing: &SealingKeys) -> Result<DataKey, Fault> {
    let plain = sealing.open(&purpose(id), sealed).ok();
    plain
        .as_ref()
        .and_then(DataKey::from_bytes)
        .ok_or_else(|| unopenable(id))
}

fn unopenable(id: UserId) -> Fault {
    let text = format!(
        "the key of user {id} was sealed under another key than the present sealing keys (docs/operations.md, Losing the sealing key)"
    );
    Fault::internal("opening a person's key", text)
}

async fn insert(id: UserId, db: &mut PgConnection, cx: &Cx) -> Result<Option<DataKey>, Fault> {
    let key = DataKey::fresh();
    let sealed = cx.app.sealing.seal(&purpose(id), key.expose());
    let name = cx.app.sealing.names()[0];
    let mine = store::insert_person_key(id, &sealed, &name, db).await?;
    Ok(mine.then_some(key))
}

/// Seals keys that are under an older sealing key under the newest; gives how many.
pub(crate) async fn reseal(cx: &Cx) -> Result<usize, Fault> {
    let mut count = 0;
    loop {
        match reseal_some(cx).await? {
            0 => return Ok(count),
            some => count += some,
        }
    }
}

async fn reseal_some(cx: &Cx) -> Result<usize, Fault> {
    let sealing = &cx.app.sealing;
    let names = sealing.names();
    let [newest, older @ ..] = names.as_slice() else {
        return Ok(0);
    };
    if older.is_empty() {
        return Ok(0);
    }
    let older: Vec<Vec<u8>> = older.iter().map(|name| name.to_vec()).collect();
    let mut tx = cx.begin().await?;
    let batch = store::lock_person_keys(&older, BATCH, &mut tx).await?;
    let (mut ids, mut sealed) = (Vec::new(), Vec::new());
    for (id, old) in &batch {
        let renewed = sealing.renew(&purpose(*id), old);
        let renewed = renewed.map_err(|_| unopenable(*id))?;
        ids.push(id.0);
        sealed.push(renewed.unwrap_or_else(|| old.clone()));
    }
    store::update_person_keys(&ids, &sealed, newest, &mut tx).await?;
    tx.commit().await?;
    Ok(batch.len())
}

/// Fails where people's keys are sealed under a key that is not among these: it was taken away too early, or lost.
pub(super) async fn check(sealing: &SealingKeys, db: &mut PgConnection) -> Result<(), Fault> {
    let names = sealing.names();
    let used = store::list_sealed_under(db).await?;
    if used
        .iter()
        .all(|name| names.iter().any(|known| known == name.as_slice()))
    {
        return Ok(());
    }
    let text = "people's keys were sealed under another key than the present sealing keys; restore the right one beside them (docs/operations.md, Losing the sealing key)";
    Err(Fault::internal("looking at people's keys", text))
}

/// What a key is sealed for: this person and nobody else.
fn purpose(id: UserId) -> String {
    format!("person_key/{id}")
}
