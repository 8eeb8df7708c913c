//! Who PostgreSQL runs as: the user that Doorward runs as or, where that is root, `postgres` (never `nobody`).

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use tokio::process::Command;

use super::EmbeddedError;

/// The user of the cluster.
#[derive(Clone, Copy, Debug)]
pub(super) enum Owner {
    Ourselves,
    Postgres { uid: u32, gid: u32 },
}

impl Owner {
    pub(super) fn find() -> Result<Self, EmbeddedError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self::Ourselves);
        }
        let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
        from_passwd(&users).ok_or(EmbeddedError::NoUser)
    }

    /// Makes `command` run as this user, with no other groups.
    pub(super) fn run(self, command: &mut Command) {
        if let Self::Postgres { uid, gid } = self {
            command.uid(uid).gid(gid);
        }
    }

    /// Whether what has this uid is ours or this user's.
    pub(super) fn is(self, uid: u32) -> bool {
        let ours = uid == rustix::process::geteuid().as_raw();
        ours || matches!(self, Self::Postgres { uid: theirs, .. } if theirs == uid)
    }

    /// Gives the folder to this user alone.
    pub(super) fn take(self, folder: &Path) -> Result<(), EmbeddedError> {
        let io = |e| EmbeddedError::Io(folder.to_owned(), e);
        if let Self::Postgres { uid, gid } = self {
            chown(folder, Some(uid), Some(gid)).map_err(io)?;
        }
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).map_err(io)
    }

    /// Fails with the first folder on the way to `folder` that this user can't enter.
    pub(super) fn can_enter(self, folder: &Path) -> Result<(), EmbeddedError> {
        let Self::Postgres { uid, gid } = self else {
            return Ok(());
        };
        let mut way: Vec<&Path> = folder.ancestors().collect();
        way.reverse();
        for step in way {
            let meta = fs::metadata(step).map_err(|e| EmbeddedError::Io(step.to_owned(), e))?;
            let bit = if meta.uid() == uid {
                0o100
            } else if meta.gid() == gid {
                0o010
            } else {
                0o001
            };
            if meta.mode() & bit == 0 {
                return Err(EmbeddedError::Closed(step.to_owned()));
            }
        }
        Ok(())
    }
}

fn from_passwd(users: &str) -> Option<Owner> {
    let line = users
        .lines()
        .find_map(|line| line.strip_prefix("postgres:"))?;
    let mut fields = line.split(':').skip(1);
    let uid = fields.next()?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    Some(Owner::Postgres { uid, gid })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn postgres_and_nobody_else() {
        let users = "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\npostgres:x:101:104::/var/lib/postgresql:/bin/bash\n";
        assert!(matches!(
            from_passwd(users),
            Some(Owner::Postgres { uid: 101, gid: 104 })
        ));
        assert!(from_passwd("nobody:x:65534:65534::/:/bin/false\n").is_none());
    }

    #[test]
    fn a_closed_folder_is_named() {
        let root = std::env::temp_dir().join(format!("doorward-owner-{}", std::process::id()));
        let (closed, below) = (root.join("closed"), root.join("closed/data"));
        fs::create_dir_all(&below).unwrap();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
        // Nobody on this machine has that id.
        let stranger = Owner::Postgres {
            uid: 4_000_000,
            gid: 4_000_000,
        };
        let error = stranger
            .can_enter(&below.canonicalize().unwrap())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("closed.") && error.contains("DOORWARD_DATA_DIR"),
            "{error}"
        );
        assert!(
            stranger
                .can_enter(&std::env::temp_dir().canonicalize().unwrap())
                .is_ok()
        );
        fs::remove_dir_all(&root).unwrap();
    }
}
