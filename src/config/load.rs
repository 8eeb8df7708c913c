//! Reads the file, then the environment, then the flags. An unknown setting stops the start.

use std::fmt;
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Env, Format, Toml};

use super::check;
use super::sections::Config;

/// What the command line says of settings; it wins over everything else.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// `--config FILE`: must exist. Without it `doorward.toml` is read where there is one.
    pub config: Option<PathBuf>,
}

/// A setting that is unknown, missing or wrong: its name, where its value came from, and what is expected.
#[derive(Debug)]
pub struct SettingsError(pub(super) String);

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SettingsError {}

/// The environment's fixed names, and where they stand in [`Config`].
const FIXED: [(&str, &str); 5] = [
    ("DATABASE_URL", "database.url"),
    ("DOORWARD_LISTEN", "listen"),
    ("DOORWARD_ISSUER", "issuer"),
    ("DOORWARD_DATA_DIR", "data_dir"),
    ("DOORWARD_KEYS_DIR", "keys_dir"),
];

/// Reads and checks all settings.
pub fn load(flags: &Flags) -> Result<Config, SettingsError> {
    let file = flags
        .config
        .as_deref()
        .unwrap_or(Path::new("doorward.toml"));
    if flags.config.is_some() && !file.is_file() {
        return Err(SettingsError(format!(
            "--config: there is no file {}",
            file.display()
        )));
    }
    let config: Config = Figment::new()
        .merge(Toml::file(file))
        .merge(
            Env::raw()
                .filter_map(|key| setting_of(key.as_str()).map(Into::into))
                .split("."),
        )
        .extract()
        .map_err(|e| SettingsError(e.to_string()))?;
    check::check(&config)?;
    Ok(config)
}

fn setting_of(variable: &str) -> Option<String> {
    if let Some((_, setting)) = FIXED
        .iter()
        .find(|(name, _)| variable.eq_ignore_ascii_case(name))
    {
        return Some((*setting).to_owned());
    }
    let rest = variable
        .strip_prefix("DOORWARD_")
        .filter(|rest| rest.contains("__"))?;
    Some(rest.to_ascii_lowercase().replace("__", "."))
}
