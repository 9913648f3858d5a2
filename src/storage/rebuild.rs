//! A cell that is built aside, whole, to take the place of another by one exchange of names.
//!
//! Nobody looks into it before, so it has no writer, no pending rows and no staging: directories and files are made where
//! they belong, from several threads, rows are written in one transaction, and everything is made durable at the end.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use rustix::fs::{Mode, OFlags};

use super::area;
use super::database::schema;
use super::database::{Tx, View};
use super::disk::Disk;
use super::error::{Error, Result};
use super::spool::{self, Spool, SpoolWriter};
use super::tree::{self, Identity};
use crate::base::id::OwnerId;

/// Directories kept open.
const OPEN_FOLDERS: usize = 256;
/// So many zeros, in bytes, become a hole.
const HOLE: usize = 128 << 10;

/// The directory of a new cell: what may be used from several threads.
#[derive(Debug)]
pub struct NewTree {
    path: PathBuf,
    dir: OwnedFd,
    disk: Disk,
    at_once: bool,
    folders: Mutex<HashMap<String, Arc<OwnedFd>>>,
}

/// A new cell, with its rows.
#[derive(Debug)]
pub struct NewCell {
    tree: Arc<NewTree>,
    conn: Option<Connection>,
    owner: OwnerId,
    /// The exchange has happened, or nothing is left to be removed.
    used: bool,
}

/// A file of a new cell that is being written.
#[derive(Debug)]
pub struct NewFile<'t> {
    tree: &'t NewTree,
    file: File,
    path: &'t str,
    /// Bytes so far, and whether the last of them are a hole that nothing has been written behind.
    size: u64,
    open_end: bool,
}

/// The directories that were made in a new cell, as many as there may be: they lie in a spool.
#[derive(Debug)]
pub struct Folders(SpoolWriter);

/// All of them.
#[derive(Debug)]
pub struct AllFolders(Spool);

impl Folders {
    pub fn new(spool: SpoolWriter) -> Self {
        Self(spool)
    }

    /// Notes a directory: the number of its collection, and its path from the cell's directory.
    pub fn push(&mut self, id: i64, path: &str) -> Result<()> {
        self.0.append(&id.to_le_bytes())?;
        self.0.append(&(path.len() as u64).to_le_bytes())?;
        self.0.append(path.as_bytes()).map(drop)
    }

    pub fn finish(self) -> Result<AllFolders> {
        self.0.finish().map(AllFolders)
    }
}

impl AllFolders {
    /// Gives each with its number, in the order in which they were made.
    pub fn each(&self, mut each: impl FnMut(i64, &str) -> Result<()>) -> Result<()> {
        let mut reader = BufReader::new(self.0.reader());
        let (mut word, mut path) = ([0; 8], Vec::new());
        let broken = |e| Error::io("read", "a spool")(e);
        let mut left = self.0.len();
        while left > 0 {
            reader.read_exact(&mut word).map_err(broken)?;
            let id = i64::from_le_bytes(word);
            reader.read_exact(&mut word).map_err(broken)?;
            path.resize(u64::from_le_bytes(word) as usize, 0);
            reader.read_exact(&mut path).map_err(broken)?;
            left -= 16 + path.len() as u64;
            let path = std::str::from_utf8(&path).map_err(|_| Error::Inconsistent("a spool is broken".to_owned()))?;
            each(id, path)?;
        }
        Ok(())
    }
}

fn open_directory(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    rustix::fs::open(path, flags, Mode::empty()).map_err(Error::errno("open", path.display().to_string()))
}

impl NewCell {
    /// Takes over the directory of an empty cell that was just made.
    pub(super) fn of(path: PathBuf, disk: Disk, owner: OwnerId) -> Result<Self> {
        let open = || -> Result<(OwnedFd, Connection)> {
            let conn = schema::open(&path.join("cell.db"), schema::Access::Write)?;
            // All of it becomes durable at once, at the end.
            conn.pragma_update(None, "synchronous", "off").map_err(Error::database("open cell.db"))?;
            conn.pragma_update(None, "cache_size", -32_768).map_err(Error::database("open cell.db"))?;
            Ok((open_directory(&path)?, conn))
        };
        let (dir, conn) = open().inspect_err(|_| discard(&path))?;
        let at_once = disk.can_sync_file_system(dir.as_fd());
        let tree = Arc::new(NewTree { path, dir, disk, at_once, folders: Mutex::default() });
        Ok(Self { tree, conn: Some(conn), owner, used: false })
    }

    /// A new spool on the file system of this cell.
    pub fn spool(&self) -> Result<SpoolWriter> {
        spool::nameless(&self.tree.path)
    }

    pub fn tree(&self) -> Arc<NewTree> {
        self.tree.clone()
    }

    /// Writes rows, all of them or none.
    pub fn fill<T, E: From<Error>>(&mut self, f: impl FnOnce(&Tx<'_>) -> Result<T, E>) -> Result<T, E> {
        let conn = self.conn.as_ref().expect("invariant: the connection is there until the cell is sealed");
        conn.execute_batch("BEGIN IMMEDIATE").map_err(Error::database("begin"))?;
        let tx = Tx::new(conn, self.owner)?;
        let before = tx.counters();
        tx.next_seq();
        let result = f(&tx)?;
        tx.save_counters(before)?;
        conn.execute_batch("COMMIT").map_err(Error::database("commit"))?;
        Ok(result)
    }

    /// Takes along what a cell keeps when its content is replaced: the snapshot area, the limit on its bytes, its counters,
    /// and with `log` its event log. Nobody may be using the cell.
    pub(super) fn take_over(&mut self, old: &Path, log: bool) -> Result<()> {
        let from = open_directory(old)?;
        let mut folders = vec![area::FOLDER];
        if log {
            folders.extend(["log/current", "log/archive"]);
        }
        for folder in folders {
            self.tree.link_all(&from, folder)?;
        }
        let before = schema::open(&old.join("cell.db"), schema::Access::Read)?;
        let before = View::new(&before);
        let (rows, limit) = (before.snapshots()?, before.quota(0)?);
        let counters = ["seq", "next_id", "stamp", "control_seq"].map(|key| before.meta_number(key));
        self.fill(|tx| {
            for row in &rows {
                tx.put_snapshot(row)?;
            }
            tx.set_quota(limit)?;
            let mut now = tx.counters();
            let [seq, next_id, stamp, control_seq] = counters;
            now.seq = now.seq.max(seq?);
            now.next_id = now.next_id.max(next_id?);
            now.stamp = now.stamp.max(stamp?);
            now.control_seq = now.control_seq.max(control_seq?);
            tx.set_counters(now);
            Ok(())
        })
    }

    /// Makes most of it durable, so that sealing takes little.
    pub(super) fn settle(&mut self) -> Result<()> {
        if let Some(conn) = &self.conn {
            conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).map_err(Error::database("checkpoint"))?;
        }
        if self.tree.at_once {
            let tree = &self.tree;
            tree.disk.sync_file_system(tree.dir.as_fd()).map_err(Error::io("sync", "the file system"))?;
        }
        Ok(())
    }

    /// Makes all of it durable; no row can be written any more. `folders` are all directories that were made.
    pub(super) fn seal(&mut self, folders: &AllFolders) -> Result<()> {
        if let Some(conn) = self.conn.take() {
            conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(Error::database("checkpoint"))?;
            conn.close().map_err(|(_, e)| Error::database("close cell.db")(e))?;
        }
        let tree = &self.tree;
        if tree.at_once {
            return tree.disk.sync_file_system(tree.dir.as_fd()).map_err(Error::io("sync", "the file system"));
        }
        let database = File::open(tree.path.join("cell.db")).map_err(Error::io("open", "cell.db"))?;
        tree.disk.sync_data(&database).map_err(Error::io("sync", "cell.db"))?;
        let own = ["boxes", area::FOLDER, "log", "log/current", "log/archive", "staging"];
        let sync = |path: &str| tree.disk.sync_dir(tree.folder(path)?.as_fd()).map_err(Error::io("sync", path));
        folders.each(|_, path| sync(path))?;
        own.into_iter().try_for_each(sync)?;
        tree.disk.sync_dir(tree.dir.as_fd()).map_err(Error::io("sync", "a new cell"))
    }

    /// The name below the unit's `staging/`.
    pub(super) fn name(&self) -> String {
        self.tree.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Says that the directory is a cell's now; its old one has its name.
    pub(super) fn use_up(mut self) {
        self.used = true;
    }
}

impl Drop for NewCell {
    fn drop(&mut self) {
        self.conn = None;
        if !self.used {
            discard(&self.tree.path);
        }
    }
}

fn discard(path: &Path) {
    if let Err(e) = fs::remove_dir_all(path) {
        tracing::warn!(error = %e, path = %path.display(), "a cell that was not completed is not removed yet");
    }
}

impl NewTree {
    fn folder(&self, path: &str) -> Result<Arc<OwnedFd>> {
        let open = || self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(fd) = open().get(path) {
            return Ok(fd.clone());
        }
        let fd = Arc::new(tree::open_dir(self.dir.as_fd(), path).map_err(Error::errno("open the directory", path))?);
        let mut folders = open();
        if folders.len() >= OPEN_FOLDERS {
            folders.clear();
        }
        folders.insert(path.to_owned(), fd.clone());
        Ok(fd)
    }

    /// Makes a directory, unless it is there; its parent must be. Paths are from the cell's directory.
    pub fn make_folder(&self, path: &str) -> Result<()> {
        let (parent, name) = tree::split(path);
        match self.disk.make_dir(self.folder(parent)?.as_fd(), name) {
            Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => Err(Error::io("create", path)(e)),
            _ => Ok(()),
        }
    }

    /// The inode and the mtime of a directory.
    pub fn look_at_folder(&self, path: &str) -> Result<(i64, i64)> {
        let stat = rustix::fs::fstat(&self.folder(path)?).map_err(Error::errno("look at", path))?;
        Ok((stat.st_ino as i64, tree::mtime_ns(&stat)))
    }

    /// Creates a file that is not there yet.
    pub fn create<'t>(&'t self, path: &'t str) -> Result<NewFile<'t>> {
        let (parent, name) = tree::split(path);
        let file = self.disk.create(self.folder(parent)?.as_fd(), name).map_err(Error::io("create", path))?;
        Ok(NewFile { tree: self, file, path, size: 0, open_end: false })
    }

    /// Gives every file of a folder of another cell a second name here, or copies it where that cannot be.
    fn link_all(&self, from: &OwnedFd, folder: &str) -> Result<()> {
        let source = match tree::open_dir(from.as_fd(), folder) {
            Err(rustix::io::Errno::NOENT) => return Ok(()),
            other => other.map_err(Error::errno("open the directory", folder))?,
        };
        let target = self.folder(folder)?;
        for (name, _) in tree::read_names(source.as_fd()).map_err(Error::io("read", folder))? {
            let path = format!("{folder}/{name}");
            let Ok((file, stat)) = tree::open_file(source.as_fd(), &name) else { continue };
            self.disk.point("link").map_err(Error::io("link", path.clone()))?;
            let flags = rustix::fs::AtFlags::empty();
            if rustix::fs::linkat(&source, &*name, &*target, &*name, flags).is_ok() {
                continue;
            }
            let copy = self.disk.create_private(target.as_fd(), &name).map_err(Error::io("copy", path.clone()))?;
            let copied = super::sparse::copy(&file, &copy, stat.st_size as u64);
            copied.and_then(|()| self.disk.sync_data(&copy)).map_err(Error::io("copy", path))?;
        }
        Ok(())
    }
}

impl NewFile<'_> {
    /// Appends. Long runs of zeros become holes, as they were in files that had some.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        for piece in bytes.chunks(HOLE) {
            if piece.len() == HOLE && piece.iter().all(|b| *b == 0) {
                let skipped =
                    self.tree.disk.point("write").and_then(|()| self.file.seek(SeekFrom::Current(HOLE as i64)));
                skipped.map_err(Error::io("write", self.path))?;
                self.open_end = true;
            } else {
                self.tree.disk.write_all(&mut self.file, piece).map_err(Error::io("write", self.path))?;
                self.open_end = false;
            }
            self.size += piece.len() as u64;
        }
        Ok(())
    }

    /// Closes the file; what identifies its content is returned.
    pub fn finish(self) -> Result<Identity> {
        if self.open_end {
            self.file.set_len(self.size).map_err(Error::io("write", self.path))?;
        }
        if !self.tree.at_once {
            self.tree.disk.sync_data(&self.file).map_err(Error::io("sync", self.path))?;
        }
        let stat = rustix::fs::fstat(&self.file).map_err(Error::errno("look at", self.path))?;
        Ok(Identity::of(&stat))
    }
}
