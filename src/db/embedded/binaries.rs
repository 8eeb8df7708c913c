//! The system's PostgreSQL binaries: the newest, or those of the data's major version.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::EmbeddedError;

const DISTRIBUTION: &str = "/usr/lib/postgresql";

/// The folder of `postgres` and `initdb` that fit `data`, a cluster's folder that need not exist yet.
pub(super) fn find(data: &Path) -> Result<PathBuf, EmbeddedError> {
    choose(version_of(data), installed())
}

/// The major version that wrote the data.
fn version_of(data: &Path) -> Option<u32> {
    fs::read_to_string(data.join("PG_VERSION"))
        .ok()?
        .trim()
        .parse()
        .ok()
}

fn choose(data: Option<u32>, mut installed: Vec<(u32, PathBuf)>) -> Result<PathBuf, EmbeddedError> {
    installed.sort();
    let fitting = installed
        .iter()
        .rfind(|(version, _)| data.is_none_or(|data| data == *version));
    match (fitting, data) {
        (Some((_, folder)), _) => Ok(folder.clone()),
        (None, Some(data)) if !installed.is_empty() => {
            let installed = installed.into_iter().map(|(version, _)| version).collect();
            Err(EmbeddedError::OtherVersion { data, installed })
        }
        (None, _) => Err(EmbeddedError::NoBinaries),
    }
}

/// Major versions and their folders: the distribution's, and what the path leads to.
fn installed() -> Vec<(u32, PathBuf)> {
    let versioned = fs::read_dir(DISTRIBUTION)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        });
    // PATH is the system's, not a setting of ours.
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).filter_map(|folder| {
        let folder = folder
            .join("postgres")
            .canonicalize()
            .ok()?
            .parent()?
            .to_owned();
        Some((ask_version(&folder)?, folder))
    });
    versioned
        .chain(on_path)
        .filter(|(_, folder)| folder.join("postgres").exists() && folder.join("initdb").exists())
        .collect()
}

/// Asks `postgres --version`: `postgres (PostgreSQL) 15.18 (Debian …)`.
fn ask_version(folder: &Path) -> Option<u32> {
    let output = Command::new(folder.join("postgres"))
        .arg("--version")
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.split_whitespace()
        .nth(2)?
        .split('.')
        .next()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_that_fits_the_data() {
        let folder = |version: u32| PathBuf::from(format!("/pg/{version}"));
        let installed = || {
            [15, 17, 16]
                .map(|version| (version, folder(version)))
                .to_vec()
        };
        assert_eq!(choose(None, installed()).ok(), Some(folder(17)));
        assert_eq!(choose(Some(15), installed()).ok(), Some(folder(15)));
        let wrong = choose(Some(14), installed()).unwrap_err().to_string();
        assert!(
            wrong.contains("PostgreSQL 14")
                && wrong.contains("15, 16, 17")
                && wrong.contains("carry the data over"),
            "{wrong}"
        );
        let none = choose(None, Vec::new()).unwrap_err().to_string();
        assert!(none.contains("apt-get install postgresql"), "{none}");
    }
}
