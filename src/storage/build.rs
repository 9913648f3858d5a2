//! Trees that are built aside: directories and files below `staging/{name}`, and rows below the hidden parent, seen by nobody
//! until one rename puts them in place.
//!
//! Files may be made from several threads. Nothing is synced one by one where the file system can be synced at once; that begins
//! while files are still being made, so that less is left to the end. After [`BuildTree::sync`] all of it is durable. Paths are names joined by slashes, relative to the tree; the tree itself is the
//! empty path. Names must be checked already: this module makes what it is told.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use super::cell::{Cell, Core, received};
use super::database::property::Property;
use super::database::resource::{HAS_PROPERTIES, Resource};
use super::error::{Error, Result};
use super::tree::{self, Identity};
use super::writer::{Change, Context, HiddenChange};
use crate::base::id::ResourceId;

/// Rows that are written in one transaction.
pub const CHUNK: usize = 1000;
/// Bytes after which a sync begins, at most and at least.
const MUCH: u64 = 64 << 20;
const LITTLE: u64 = 8 << 20;
/// Directories kept open.
const OPEN_FOLDERS: usize = 256;

/// A row that is about to be written, with what hangs on it. Stamp, times and sequence are filled in then.
#[derive(Debug, Clone)]
pub struct NewRow {
    pub row: Resource,
    pub properties: Vec<Property>,
}

/// A directory below `staging/` and what is made in it.
#[derive(Debug)]
pub struct BuildTree {
    core: Arc<Core>,
    name: String,
    /// Where everything can be synced at once, a descriptor of its own: it hears of every error since it was opened.
    at_once: Option<OwnedFd>,
    /// Bytes written since a sync was begun.
    written: AtomicU64,
    /// Bytes after which the next is.
    much: u64,
    syncing: Arc<AtomicBool>,
    /// Nothing is synced.
    lax: bool,
    folders: Mutex<HashMap<String, Arc<OwnedFd>>>,
}

/// A file that is being written.
#[derive(Debug)]
pub struct NewFile<'t> {
    tree: &'t BuildTree,
    file: File,
    path: &'t str,
}

impl BuildTree {
    /// Makes an empty tree.
    pub fn new(cell: &Cell) -> Result<Self> {
        let name = cell.core.staging_name();
        cell.core.disk.make_dir(cell.core.staging.as_fd(), &name).map_err(Error::io("stage", name.clone()))?;
        Ok(Self::at(cell, name))
    }

    /// A tree whose directory is there already.
    pub fn at(cell: &Cell, name: String) -> Self {
        let core = cell.core.clone();
        let at_once = core.syncs_whole.then(|| tree::open_dir(core.dir.as_fd(), "staging").ok()).flatten();
        let (written, syncing, folders) = (AtomicU64::new(0), Arc::default(), Mutex::default());
        Self { core, name, at_once, written, much: MUCH, syncing, lax: false, folders }
    }

    /// Says how many bytes will be written: the sooner most of them are on their way to the disk, the shorter is the wait at the end.
    pub(crate) fn expect(&mut self, bytes: u64) {
        self.much = (bytes / 3).clamp(LITTLE, MUCH);
    }

    /// Leaves it to the kernel when content and directories reach the disk: a power cut may take them, a killed process does not.
    pub(crate) fn lax(&mut self) {
        self.lax = true;
    }

    /// The name below `staging/`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A directory of the tree.
    pub(crate) fn folder(&self, path: &str) -> Result<Arc<OwnedFd>> {
        let open = || self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(fd) = open().get(path) {
            return Ok(fd.clone());
        }
        let below = if path.is_empty() { self.name.clone() } else { format!("{}/{path}", self.name) };
        let fd = tree::open_dir(self.core.staging.as_fd(), &below);
        let fd = Arc::new(fd.map_err(Error::errno("open the directory", path))?);
        let mut folders = open();
        if folders.len() >= OPEN_FOLDERS {
            folders.clear();
        }
        folders.insert(path.to_owned(), fd.clone());
        Ok(fd)
    }

    /// Makes a directory; its parent must be there. Returns its inode.
    pub fn make_folder(&self, path: &str) -> Result<i64> {
        let (parent, name) = tree::split(path);
        let parent = self.folder(parent)?;
        self.core.disk.make_dir(parent.as_fd(), name).map_err(Error::io("create", path))?;
        let stat = tree::stat_name(parent.as_fd(), name).map_err(Error::errno("look at", path))?;
        stat.map(|s| s.st_ino as i64).ok_or_else(|| Error::Inconsistent(format!("{path} vanished from staging")))
    }

    /// The inode and the mtime of a directory.
    pub fn look_at_folder(&self, path: &str) -> Result<(i64, i64)> {
        let stat = rustix::fs::fstat(&self.folder(path)?).map_err(Error::errno("look at", path))?;
        Ok((stat.st_ino as i64, tree::mtime_ns(&stat)))
    }

    /// Creates a file that is not there yet.
    pub fn create<'t>(&'t self, path: &'t str) -> Result<NewFile<'t>> {
        let (parent, name) = tree::split(path);
        let parent = self.folder(parent)?;
        let file = self.core.disk.create(parent.as_fd(), name).map_err(Error::io("create", path))?;
        Ok(NewFile { tree: self, file, path })
    }

    /// As [`Self::create`], in a directory of the tree.
    pub(crate) fn create_in<'t>(&'t self, folder: &OwnedFd, name: &'t str) -> Result<NewFile<'t>> {
        let file = self.core.disk.create(folder.as_fd(), name).map_err(Error::io("create", name))?;
        Ok(NewFile { tree: self, file, path: name })
    }

    /// Takes a file back.
    pub fn remove_file(&self, path: &str) -> Result<()> {
        let (parent, name) = tree::split(path);
        let parent = self.folder(parent)?;
        self.core.disk.remove_file(parent.as_fd(), name).map_err(Error::io("remove", path))
    }

    /// Lets the disk begin, once much has been written.
    fn count(&self, bytes: u64) {
        let is_much = self.written.fetch_add(bytes, Ordering::Relaxed) + bytes >= self.much;
        if self.lax || !is_much || self.at_once.is_none() {
            return;
        }
        if self.syncing.swap(true, Ordering::AcqRel) {
            return;
        }
        self.written.store(0, Ordering::Relaxed);
        // Its outcome does not count, and its descriptor is not the one that is asked in the end.
        let (core, syncing) = (self.core.clone(), self.syncing.clone());
        let begun = std::thread::Builder::new().name("early sync".to_owned()).spawn(move || {
            let outcome = tree::open_dir(core.dir.as_fd(), "staging").and_then(rustix::fs::syncfs);
            tracing::debug!(?outcome, "an early sync");
            syncing.store(false, Ordering::Release);
        });
        drop(begun);
    }

    /// Makes everything durable, unless that was left to the kernel. `folders` are the paths of all directories of the tree, itself too.
    pub fn sync<'p>(&self, folders: impl Iterator<Item = &'p str>) -> Result<()> {
        if self.lax {
            return Ok(());
        }
        if let Some(dir) = &self.at_once {
            let done = self.core.disk.sync_file_system(dir.as_fd());
            return done.map_err(Error::io("sync", "the file system"));
        }
        for path in folders {
            self.core.disk.sync_dir(self.folder(path)?.as_fd()).map_err(Error::io("sync", path))?;
        }
        Ok(())
    }
}

impl NewFile<'_> {
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.tree.core.disk.write_all(&mut self.file, bytes).map_err(Error::io("write", self.path))
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Closes the file; what identifies its content is returned.
    pub fn finish(self) -> Result<Identity> {
        if self.tree.at_once.is_none() && !self.tree.lax {
            self.tree.core.disk.sync_data(&self.file).map_err(Error::io("sync", self.path))?;
        }
        let stat = rustix::fs::fstat(&self.file).map_err(Error::errno("look at", self.path))?;
        self.tree.count(stat.st_size as u64);
        Ok(Identity::of(&stat))
    }
}

/// Takes `count` numbers for resources; the first is returned, the others follow.
pub fn reserve_ids(cell: &Cell, count: usize) -> Result<ResourceId> {
    cell.change(Change(move |ctx: &Context<'_>| {
        let first = ctx.tx.next_id();
        for _ in 1..count {
            ctx.tx.next_id();
        }
        Ok(first)
    }))
}

/// Writes rows in one transaction that need not be durable before what shows them is, and what else `also` writes.
pub fn write_rows(
    cell: &Cell,
    rows: Vec<NewRow>,
    also: impl FnMut(&Context<'_>) -> Result<()> + Send + 'static,
) -> Result<()> {
    received(submit_rows(cell, rows, also).blocking_recv())
}

/// As [`write_rows`], without waiting for the answer.
pub(crate) fn submit_rows(
    cell: &Cell,
    mut rows: Vec<NewRow>,
    mut also: impl FnMut(&Context<'_>) -> Result<()> + Send + 'static,
) -> oneshot::Receiver<Result<()>> {
    cell.submit(HiddenChange(move |ctx: &Context<'_>| {
        let now = ctx.tx.now_ms();
        for NewRow { row, properties } in &mut rows {
            row.stamp = ctx.tx.next_stamp();
            (row.created_ms, row.mtime_ms) = (now, now);
            (row.seq, row.placed_seq) = (ctx.tx.seq(), ctx.tx.seq());
            if !properties.is_empty() {
                row.flags |= HAS_PROPERTIES;
            }
            ctx.tx.insert_resource(row)?;
            for property in properties.iter() {
                ctx.tx.set_property(row.id, property)?;
            }
        }
        also(ctx)
    }))
}
