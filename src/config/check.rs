//! Rules across sections.

use super::{Config, SettingsError};

/// Fails with the setting's name and what is expected of it.
pub(super) fn check(config: &Config) -> Result<(), SettingsError> {
    rule(
        config.database.max_connections >= 1,
        "database.max_connections",
        "1 or more",
    )?;
    Ok(())
}

fn rule(holds: bool, setting: &str, expected: &str) -> Result<(), SettingsError> {
    if holds {
        Ok(())
    } else {
        Err(SettingsError(format!("{setting}: expected {expected}")))
    }
}
