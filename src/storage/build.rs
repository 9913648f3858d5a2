//! Trees that are built aside: directories and files below `staging/{name}`, and rows below the hidden parent, seen by nobody
//! until one rename puts them in place.
//!
//! Files may be made from several threads. Nothing is synced one by one where the file system can be synced at once; after
//! [`BuildTree::sync`] all of it is durable. Paths are names joined by slashes, relative to the tree; the tree itself is the
//! empty path. Names must be checked already: this module makes what it is told.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use super::cell::{Cell, Core};
use super::database::property::Property;
use super::database::resource::{HAS_PROPERTIES, Resource};
use super::error::{Error, Result};
use super::tree::{self, Identity};
use super::writer::{Change, Context};
use crate::base::id::ResourceId;

/// Rows that are written in one transaction.
pub const CHUNK: usize = 1000;
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
    at_once: bool,
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
        Self { core: cell.core.clone(), name, at_once: cell.core.syncs_whole, folders: Mutex::default() }
    }

    /// The name below `staging/`.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn folder(&self, path: &str) -> Result<Arc<OwnedFd>> {
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

    /// Takes a file back.
    pub fn remove_file(&self, path: &str) -> Result<()> {
        let (parent, name) = tree::split(path);
        let parent = self.folder(parent)?;
        self.core.disk.remove_file(parent.as_fd(), name).map_err(Error::io("remove", path))
    }

    /// Makes everything durable. `folders` are the paths of all directories of the tree, itself too.
    pub fn sync<'p>(&self, folders: impl Iterator<Item = &'p str>) -> Result<()> {
        if self.at_once {
            let done = self.core.disk.sync_file_system(self.core.dir.as_fd());
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
        if !self.tree.at_once {
            self.tree.core.disk.sync_data(&self.file).map_err(Error::io("sync", self.path))?;
        }
        let stat = rustix::fs::fstat(&self.file).map_err(Error::errno("look at", self.path))?;
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

/// Writes rows in one transaction, and what else `also` writes.
pub fn write_rows(
    cell: &Cell,
    mut rows: Vec<NewRow>,
    mut also: impl FnMut(&Context<'_>) -> Result<()> + Send + 'static,
) -> Result<()> {
    cell.change(Change(move |ctx: &Context<'_>| {
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
