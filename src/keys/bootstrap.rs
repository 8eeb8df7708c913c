//! What a start needs of keys: the sealing keys, and for each algorithm a key that signs and one to come. Everything under one lock in one
//! transaction, so that any number of replicas starting at once on an empty database make one set (checklist 57).

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use time::OffsetDateTime;

use super::ring::KeyRing;
use super::{SigningKey, Step, person, sealing, store};
use crate::audit::{self, Action, Target};
use crate::config::Config;
use crate::cx::Actor;
use crate::jose::{Alg, PrivateKey};
use crate::kernel::Fault;
use crate::kernel::seal::SealingKeys;
use crate::webhooks;

pub(crate) struct Bootstrapped {
    pub(crate) sealing: SealingKeys,
    pub(crate) ring: KeyRing,
}

/// Loads the keys, or makes the first ones. Fails where the sealing key is missing or does not open what is sealed.
pub(crate) async fn bootstrap(
    config: &Config,
    direct: &PgConnectOptions,
    now: OffsetDateTime,
) -> Result<Bootstrapped, Fault> {
    let mut connection = PgConnection::connect_with(direct).await?;
    let mut tx = connection.begin().await?;
    store::lock(&mut tx).await?;
    let mut keys = store::list(&mut tx).await?;
    let anything_sealed = !keys.is_empty() || !store::list_sealed_under(&mut tx).await?.is_empty();
    let sealing = sealing::load_or_make(config, anything_sealed)?;
    webhooks::check_secrets(&sealing, &mut tx).await?;
    person::check(&sealing, &mut tx).await?;
    for alg in Alg::ALL {
        for step in [Step::Current, Step::Next] {
            if keys.iter().any(|key| key.alg == alg && key.step == step) {
                continue;
            }
            let private = PrivateKey::generate(alg, config.keys.rsa_bits)?;
            let key = SigningKey::seal(&private, alg, step, &sealing, now);
            store::insert(&key, &mut tx).await?;
            let target = Target::SigningKey(&key.kid);
            audit::record_start(&Actor::System, Action::SigningKeyMade, target, now, &mut tx)
                .await?;
            keys.push(key);
        }
    }
    // As everybody else reads them, in the same order.
    let keys = store::list(&mut tx).await?;
    tx.commit().await?;
    connection.close().await?;
    let ring = KeyRing::new(keys, &sealing, config.keys.jwks_max_age)?;
    Ok(Bootstrapped { sealing, ring })
}
