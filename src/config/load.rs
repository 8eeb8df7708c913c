//! Reads the file, then the environment, then the flags. An unknown setting stops the start.

use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::error::Kind;
use figment::providers::{Env, Format, Serialized, Toml};

use super::check;
use super::sections::Config;

/// What the command line says of settings; it wins over everything else.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// `--config FILE`: must exist. Without it `doorward.toml` is read where there is one.
    pub config: Option<PathBuf>,
    pub listen: Option<String>,
    pub issuer: Option<String>,
    pub data_dir: Option<PathBuf>,
    pub keys_dir: Option<PathBuf>,
}

/// A setting that is unknown, missing or wrong: its name, where its value came from, and what is expected.
#[derive(Debug)]
pub struct SettingsError(String);

impl SettingsError {
    pub(crate) fn expected(setting: &str, expected: impl fmt::Display) -> Self {
        Self(format!("{setting}: expected {expected}"))
    }
}

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

/// What a number may be, for people.
const WHOLE: &str = "a whole number from 0 to 4294967295";

/// Settings that are secrets: a file that holds one must not be open to everybody.
const SECRETS: [&str; 3] = ["database.url", "database.direct_url", "keys.sealing_key"];

/// Reads and checks all settings. Beside them, what the operator should know: variables that look like settings and are none.
pub fn load(flags: &Flags) -> Result<(Config, Vec<String>), SettingsError> {
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
    let toml = Figment::from(Toml::file_exact(file));
    check_permissions(file, &toml)?;
    let environment = Env::raw()
        .filter_map(|name| setting_of(name.as_str()).map(Into::into))
        .split(".");
    let mut figment = if file.is_file() { toml } else { Figment::new() }.merge(environment);
    let text = |path: &PathBuf| path.display().to_string();
    let given = [
        ("listen", flags.listen.clone()),
        ("issuer", flags.issuer.clone()),
        ("data_dir", flags.data_dir.as_ref().map(text)),
        ("keys_dir", flags.keys_dir.as_ref().map(text)),
    ];
    for (setting, value) in given {
        if let Some(value) = value {
            figment = figment.merge(Serialized::default(setting, value));
        }
    }
    let config: Config = figment.extract().map_err(|e| SettingsError(describe(e)))?;
    check::check(&config)?;
    Ok((config, strangers()))
}

/// One line for each wrong setting: what is wrong, its name, where it stands.
fn describe(errors: figment::Error) -> String {
    let lines = errors.into_iter().map(|error| {
        let path = error.path.join(".");
        // A secret of the wrong type would be shown as what was found, and a line that is no TOML as it stands.
        let what = if SECRETS.contains(&path.as_str()) {
            "expected a text".to_owned()
        } else if path.is_empty() && matches!(error.kind, Kind::Message(_)) {
            "this is not TOML".to_owned()
        } else {
            plainly(error.kind).to_string()
        };
        let source = error.metadata.as_ref().map_or_else(String::new, |m| {
            let place = m.source.as_ref().map_or_else(
                || m.name.to_string(),
                |source| format!("{} {source}", m.name),
            );
            format!(" (from {place})")
        });
        format!(
            "{}: {what}{source}",
            if path.is_empty() { "settings" } else { &path }
        )
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Rust's name of a type tells an operator nothing.
fn plainly(kind: Kind) -> Kind {
    match kind {
        Kind::InvalidType(found, expected) if expected == "u32" => {
            Kind::InvalidType(found, WHOLE.to_owned())
        }
        Kind::InvalidValue(found, expected) if expected == "u32" => {
            Kind::InvalidValue(found, WHOLE.to_owned())
        }
        other => other,
    }
}

fn check_permissions(file: &Path, toml: &Figment) -> Result<(), SettingsError> {
    let Ok(metadata) = file.metadata() else {
        return Ok(());
    };
    let open = metadata.permissions().mode() & 0o007 != 0;
    match SECRETS.iter().find(|secret| open && toml.contains(secret)) {
        Some(secret) => Err(SettingsError(format!(
            "{secret}: {} holds it and is open to everybody; expected a file that only its owner and group read (chmod 640)",
            file.display()
        ))),
        None => Ok(()),
    }
}

fn setting_of(variable: &str) -> Option<String> {
    if let Some((_, setting)) = FIXED.iter().find(|(name, _)| *name == variable) {
        return Some((*setting).to_owned());
    }
    let rest = variable
        .strip_prefix("DOORWARD_")
        .filter(|rest| rest.contains("__"))?;
    Some(rest.to_ascii_lowercase().replace("__", "."))
}

/// Whether OpenTelemetry's standard variables say where traces go. The exporter reads them itself.
pub(crate) fn wants_traces() -> bool {
    [
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    ]
    .iter()
    .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

/// `DOORWARD_…` variables that are no settings: a container platform injects some, a typing error others.
fn strangers() -> Vec<String> {
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    names
        .filter(|name| name.starts_with("DOORWARD_") && setting_of(name).is_none())
        .map(|name| format!("the environment's {name} is no setting and is ignored"))
        .collect()
}
