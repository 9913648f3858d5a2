//! Other users of the machine: what holds secrets, hashes of passwords above all, is nobody's but its owner's.
//!
//! Databases and snapshots are made with mode 0600, the directories that keep strangers out with 0700 (docs/on-disk.md). What an
//! older version made is restricted when it is next opened. What users put into boxes has the modes that the umask leaves.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// The mode of files with secrets.
pub(super) const FILE: u32 = 0o600;
/// The mode of directories that nobody else is to enter.
pub(super) const DIRECTORY: u32 = 0o700;

/// Makes an empty file where there is none: SQLite gives its log the mode of the database.
pub(super) fn create_database(path: &Path) -> io::Result<()> {
    match File::options().write(true).create_new(true).mode(FILE).open(path) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(e),
        _ => Ok(()),
    }
}

/// Makes a directory that nobody else enters, where there is none, with the parents that it lacks.
pub(super) fn create_directory(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    match DirBuilder::new().mode(DIRECTORY).create(path) {
        Err(_) if path.is_dir() => Ok(()),
        other => other,
    }
}

/// Takes a database with its log from all others who could read it.
pub(super) fn restrict_database(path: &Path) {
    for end in ["", "-wal", "-shm"] {
        let mut name = OsString::from(path);
        name.push(end);
        restrict(Path::new(&name), FILE);
    }
}

/// Keeps all others from a directory, but not its group, which somebody may have let in on purpose.
pub(super) fn keep_strangers_out(path: &Path) {
    restrict(path, DIRECTORY | 0o070);
}

/// Removes the bits of a mode that are not in `most`. What belongs to somebody else stays as it is.
fn restrict(path: &Path, most: u32) {
    let Ok(found) = fs::metadata(path) else { return };
    let mode = found.permissions().mode() & 0o7777;
    if mode & 0o777 & !most == 0 {
        return;
    }
    if let Err(e) = fs::set_permissions(path, Permissions::from_mode(mode & !(0o777 & !most))) {
        tracing::warn!(error = %e, path = %path.display(), "others on this machine can look into it");
        return;
    }
    tracing::info!(path = %path.display(), "others on this machine could look into it, and cannot any more");
}
