//! The sealing keys come from the settings or from `sealing.key`. One is made only while the database holds nothing sealed.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::config::Config;
use crate::kernel::seal::SealingKeys;
use crate::kernel::{Fault, Secret, random};

const FILE: &str = "sealing.key";

/// Where the sealing keys are to be had. `anything_sealed`: then a missing key is a loss, not a first start.
/// The caller holds the lock under which keys are made.
pub(super) fn load_or_make(config: &Config, anything_sealed: bool) -> Result<SealingKeys, Fault> {
    if let Some(given) = &config.keys.sealing_key {
        return parse(given.expose().split(','), "keys.sealing_key");
    }
    let path = config.keys_dir.join(FILE);
    if !path.exists() {
        if anything_sealed {
            return Err(wrong(format!(
                "{} is missing, and the database holds keys that were sealed under it; restore it from your backup (docs/operations.md, Losing the sealing key)",
                path.display()
            )));
        }
        make(&config.keys_dir, &path)
            .map_err(|e| wrong(format!("{} can't be made: {e}", path.display())))?;
    }
    let mode = fs::metadata(&path)
        .map_err(|e| wrong(format!("{}: {e}", path.display())))?
        .permissions()
        .mode();
    if mode & 0o077 != 0 {
        return Err(wrong(format!(
            "{} is open to others; only its owner may read it (chmod 600)",
            path.display()
        )));
    }
    let text = Secret::new(
        fs::read_to_string(&path)
            .map_err(|e| wrong(format!("{} can't be read: {e}", path.display())))?,
    );
    parse(text.expose().lines(), &path.display().to_string())
}

fn wrong(text: String) -> Fault {
    Fault::internal("loading the sealing key", text)
}

/// Writes a new key beside its place and links it there: a crash leaves no half key, and a file that appeared meanwhile stays.
fn make(folder: &Path, path: &Path) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    let draft = folder.join(format!(".{FILE}.{}", std::process::id()));
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)?;
    writeln!(file, "{}", random::token().expose())?;
    file.sync_all()?;
    let linked = match fs::hard_link(&draft, path) {
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    };
    fs::remove_file(&draft)?;
    fs::File::open(folder)?.sync_all()?;
    linked?;
    tracing::info!(path = %path.display(), "made the sealing key: keep a copy of it apart from the database");
    Ok(())
}

/// Reads keys, newest first, one a part: 32 bytes each, and not one byte over and over.
fn parse<'a>(parts: impl Iterator<Item = &'a str>, source: &str) -> Result<SealingKeys, Fault> {
    let keys = parts
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| {
            let bytes = Secret::new(
                URL_SAFE_NO_PAD
                    .decode(part.trim_end_matches('='))
                    .unwrap_or_default(),
            );
            let key: Option<[u8; 32]> = bytes.expose().as_slice().try_into().ok();
            key.filter(|key| key.iter().any(|byte| *byte != key[0]))
                .map(Secret::new)
        });
    let keys: Option<Vec<_>> = keys.collect();
    let expected = || {
        wrong(format!(
            "{source}: expected keys of 32 random bytes in base64url, newest first"
        ))
    };
    keys.and_then(SealingKeys::new).ok_or_else(expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_or_default_keys_stop_the_start() {
        // S-58
        for bad in [
            "",
            "AAAA",
            "not base64!",
            &URL_SAFE_NO_PAD.encode([0; 32]),
            &URL_SAFE_NO_PAD.encode([7; 31]),
        ] {
            assert!(parse([bad].into_iter(), "x").is_err(), "{bad}");
        }
        let (new, old) = (random::token(), random::token());
        assert!(parse([new.expose().as_str(), "", old.expose()].into_iter(), "x").is_ok());
    }
}
