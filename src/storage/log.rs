//! A cell's event log on disk: `log/current/default.log`, and what it was rotated to below `log/archive/`.
//!
//! Lines are appended in one write, so that several processes may write at the same time. A file that has grown beyond its
//! limit becomes `default.log.{milliseconds since 1970}`; the twelve latest of these are kept. Nothing here is synced: the log
//! tells about changes, it is none.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{FileType, FlockOperation};
use rustix::io::Errno;

use super::cell::Cell;
use super::error::{Error, Result};
use super::tree;
use crate::base::clock;

/// The name of the file that is written.
pub const CURRENT: &str = "default.log";
/// Size, in bytes, above which the file is rotated.
pub const ROTATE_BYTES: u64 = 50 << 20;
/// Rotated files that are kept.
const KEPT: usize = 12;

/// The two folders of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFolder {
    Current,
    Archive,
}

impl LogFolder {
    fn path(self) -> &'static str {
        match self {
            Self::Current => "log/current",
            Self::Archive => "log/archive",
        }
    }
}

/// One file of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFile {
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// Milliseconds since 1970: of a rotated file the moment of its rotation, else that of the last line.
    pub modified_ms: i64,
}

impl Cell {
    /// Appends whole lines, each with its newline, and rotates the file if it has more than `limit` bytes then.
    pub fn append_log(&self, lines: &[u8], limit: u64) -> Result<()> {
        let current = self.log_folder(LogFolder::Current)?;
        let mut file =
            self.core.disk.open_to_append(current.as_fd(), CURRENT).map_err(Error::io("open the log", CURRENT))?;
        self.core.disk.write_all(&mut file, lines).map_err(Error::io("write the log", CURRENT))?;
        let stat = rustix::fs::fstat(&file).map_err(Error::errno("look at the log", CURRENT))?;
        if stat.st_size as u64 > limit { self.rotate_log(&current, stat.st_ino) } else { Ok(()) }
    }

    /// The files of a folder, oldest first; none where nothing was logged.
    pub fn logs(&self, folder: LogFolder) -> Result<Vec<LogFile>> {
        let dir = self.log_folder(folder)?;
        let mut files = Vec::new();
        for (name, _) in tree::read_names(dir.as_fd()).map_err(Error::io("read", folder.path()))? {
            if is_log_name(folder, &name)
                && let Some(file) = look_at(&dir, &name)?
            {
                files.push(file);
            }
        }
        files.sort_by_key(|f| f.modified_ms);
        Ok(files)
    }

    /// Opens a file of the log to read it; none if there is no such file.
    pub fn open_log(&self, folder: LogFolder, name: &str) -> Result<Option<(LogFile, File)>> {
        if !is_log_name(folder, name) {
            return Ok(None);
        }
        let dir = self.log_folder(folder)?;
        match tree::open_file(dir.as_fd(), name) {
            Ok((file, stat)) => {
                let modified_ms = rotated_at(name).unwrap_or_else(|| tree::mtime_ns(&stat) / 1_000_000);
                let found = LogFile { name: name.to_owned(), size: stat.st_size as u64, modified_ms };
                Ok(Some((found, file)))
            }
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(Error::errno("open", name)(e)),
        }
    }

    /// Removes a rotated file; tells whether it was there.
    pub fn remove_archived_log(&self, name: &str) -> Result<bool> {
        let dir = self.log_folder(LogFolder::Archive)?;
        if !is_log_name(LogFolder::Archive, name) || look_at(&dir, name)?.is_none() {
            return Ok(false);
        }
        self.core.disk.remove_file(dir.as_fd(), name).map_err(Error::io("remove", name))?;
        Ok(true)
    }

    /// A folder of the log, made where the cell came without it.
    fn log_folder(&self, folder: LogFolder) -> Result<OwnedFd> {
        match tree::open_dir(self.core.dir.as_fd(), folder.path()) {
            Err(Errno::NOENT) => {}
            other => return other.map_err(Error::errno("open the directory", folder.path())),
        }
        for path in ["log", folder.path()] {
            match self.core.disk.make_dir(self.core.dir.as_fd(), path) {
                Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => return Err(Error::io("create", path)(e)),
                _ => {}
            }
        }
        tree::open_dir(self.core.dir.as_fd(), folder.path()).map_err(Error::errno("open the directory", folder.path()))
    }

    /// Moves the file away if it is still the one with this inode: another process may have been faster.
    fn rotate_log(&self, current: &OwnedFd, ino: u64) -> Result<()> {
        rustix::fs::flock(current, FlockOperation::LockExclusive).map_err(Error::errno("lock", "log/current"))?;
        let there = tree::stat_name(current.as_fd(), CURRENT).map_err(Error::errno("look at the log", CURRENT))?;
        if there.is_none_or(|stat| stat.st_ino != ino) {
            return Ok(());
        }
        let archive = self.log_folder(LogFolder::Archive)?;
        // A name that is free because its file was removed would be older than what is there.
        let newest = self.logs(LogFolder::Archive)?.last().map_or(0, |f| f.modified_ms);
        let mut at = clock::now_ms().max(newest + 1);
        loop {
            match self.core.disk.rename((current, CURRENT), (&archive, &format!("{CURRENT}.{at}"))) {
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => at += 1,
                other => break other.map_err(Error::io("rotate the log", CURRENT))?,
            }
        }
        let files = self.logs(LogFolder::Archive)?;
        for old in files.iter().take(files.len().saturating_sub(KEPT)) {
            let name = old.name.as_str();
            self.core.disk.remove_file(archive.as_fd(), name).map_err(Error::io("remove", name))?;
        }
        Ok(())
    }
}

fn rotated_at(name: &str) -> Option<i64> {
    let digits = name.strip_prefix(CURRENT)?.strip_prefix('.')?;
    if digits.bytes().all(|b| b.is_ascii_digit()) { digits.parse().ok() } else { None }
}

/// Whether a file that was rotated can have this name.
pub fn is_archived_name(name: &str) -> bool {
    is_log_name(LogFolder::Archive, name)
}

fn is_log_name(folder: LogFolder, name: &str) -> bool {
    match folder {
        LogFolder::Current => name == CURRENT,
        LogFolder::Archive => rotated_at(name).is_some(),
    }
}

fn look_at(dir: &OwnedFd, name: &str) -> Result<Option<LogFile>> {
    let stat = tree::stat_name(dir.as_fd(), name).map_err(Error::errno("look at", name))?;
    Ok(stat.filter(|s| FileType::from_raw_mode(s.st_mode) == FileType::RegularFile).map(|s| LogFile {
        name: name.to_owned(),
        size: s.st_size as u64,
        modified_ms: rotated_at(name).unwrap_or_else(|| tree::mtime_ns(&s) / 1_000_000),
    }))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::storage::cell::Limits;
    use crate::storage::unit::{Role, Unit};

    fn unit() -> (Unit, tempfile::TempDir) {
        let dir = tempfile::tempdir().expect("a directory");
        let unit = Unit::open(&dir.path().join("unit"), Role::Server, Limits::default()).expect("a unit");
        unit.create_cell("c").expect("a cell");
        (unit, dir)
    }

    fn text(cell: &Cell, folder: LogFolder, name: &str) -> Option<String> {
        let mut text = String::new();
        cell.open_log(folder, name).expect("looked for")?.1.read_to_string(&mut text).expect("readable");
        Some(text)
    }

    #[test]
    fn lines_are_appended() {
        let (unit, _dir) = unit();
        let cell = unit.cell("c").expect("the cell");
        assert_eq!(text(&cell, LogFolder::Current, CURRENT), None);
        cell.append_log(b"one\n", 100).expect("appended");
        cell.append_log(b"two\nthree\n", 100).expect("appended");
        assert_eq!(text(&cell, LogFolder::Current, CURRENT).as_deref(), Some("one\ntwo\nthree\n"));
        assert_eq!(text(&cell, LogFolder::Current, "other"), None);
        assert_eq!(text(&cell, LogFolder::Archive, "../current/default.log"), None);
        let files = cell.logs(LogFolder::Current).expect("listed");
        assert_eq!(files.iter().map(|f| (f.name.as_str(), f.size)).collect::<Vec<_>>(), [(CURRENT, 14)]);
    }

    #[test]
    fn a_large_file_is_rotated_and_twelve_are_kept() {
        let (unit, _dir) = unit();
        let cell = unit.cell("c").expect("the cell");
        for n in 0..15 {
            cell.append_log(format!("{n:03}\n").as_bytes(), 3).expect("appended");
        }
        assert_eq!(cell.logs(LogFolder::Current).expect("listed"), []);
        let files = cell.logs(LogFolder::Archive).expect("listed");
        let texts: Vec<_> = files.iter().filter_map(|f| text(&cell, LogFolder::Archive, &f.name)).collect();
        assert_eq!(texts, (3..15).map(|n| format!("{n:03}\n")).collect::<Vec<_>>());
        assert!(cell.remove_archived_log(&files[0].name).expect("removed"));
        assert!(!cell.remove_archived_log(&files[0].name).expect("looked for"));
    }

    #[test]
    fn a_cell_without_its_folders_gets_them() {
        let (unit, dir) = unit();
        std::fs::remove_dir_all(dir.path().join("unit/cells/c/log")).expect("removed");
        let cell = unit.cell("c").expect("the cell");
        cell.append_log(b"x\n", 1).expect("appended");
        assert_eq!(cell.logs(LogFolder::Archive).expect("listed").len(), 1);
    }
}
