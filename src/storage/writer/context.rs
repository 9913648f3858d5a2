//! What an operation sees while it decides: the transaction, and the cell's directory with descriptors kept for the batch.

use std::cell::RefCell;
use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::io::Errno;

use super::places::Places;
use crate::base::id::ResourceId;
use crate::base::path::ResourcePath;
use crate::storage::cell::Core;
use crate::storage::database::cell_box::Lookup;
use crate::storage::database::pending::Gone;
use crate::storage::database::schema::{PARENT_HIDDEN, PARENT_TRASH};
use crate::storage::database::{Resource, Tx};
use crate::storage::error::{Error, Result};
use crate::storage::tree;

/// A collection whose directory an operation changes, with the directory's mtime as the rows know it.
#[derive(Debug, Clone)]
pub struct Touched {
    pub id: ResourceId,
    pub path: String,
    pub known_mtime_ns: i64,
}

/// Directories of the cell that are open, by path.
#[derive(Debug, Default)]
pub(super) struct Directories {
    open: HashMap<String, Arc<OwnedFd>>,
}

impl Directories {
    pub(super) fn get(&mut self, core: &Core, path: &str) -> Result<Arc<OwnedFd>, Errno> {
        if let Some(fd) = self.open.get(path) {
            return Ok(fd.clone());
        }
        let fd = Arc::new(tree::open_dir(core.dir.as_fd(), path)?);
        if self.open.len() > 256 {
            self.open.clear();
        }
        self.open.insert(path.to_owned(), fd.clone());
        Ok(fd)
    }

    pub(super) fn clear(&mut self) {
        self.open.clear();
    }
}

/// The surroundings of a decision.
#[derive(Debug)]
pub struct Context<'c> {
    pub tx: &'c Tx<'c>,
    pub(crate) core: &'c Core,
    pub(super) directories: &'c RefCell<Directories>,
    pub(super) places: &'c RefCell<Places>,
}

impl Context<'_> {
    /// Follows the path of a collection, as far as it is known from before.
    pub(crate) fn place(&self, box_name: &str, path: &ResourcePath) -> Result<Lookup> {
        if let Some(known) = self.places.borrow().get(box_name, path) {
            return Ok(known);
        }
        let mut lookup = self.tx.lookup(box_name, path)?;
        if let Some(row) = lookup.chain.last_mut() {
            row.children += self.tx.uncounted_members(row.id);
        }
        self.places.borrow_mut().keep(box_name, path, &lookup);
        Ok(lookup)
    }

    /// Says that a collection has got one member more.
    pub(crate) fn note_member(&self, collection: ResourceId) {
        self.places.borrow_mut().note_member(collection);
    }

    /// The directory at a path relative to the cell's.
    pub fn directory(&self, path: &str) -> Result<Arc<OwnedFd>> {
        self.directories.borrow_mut().get(self.core, path).map_err(Error::errno("open the directory", path))
    }

    /// Says that an operation changes the directory of a collection.
    pub fn touch(&self, collection: &Resource, path: &str) -> Touched {
        Touched { id: collection.id, path: path.to_owned(), known_mtime_ns: self.core.known_mtime(collection) }
    }

    /// Settles what is pending below a directory that the operation moves.
    pub(crate) fn settle_below(&self, path: &str) -> Result<()> {
        super::replay::settle_below(self.core, self.tx, path)
    }

    /// Creates an empty directory in `staging/`; returns its name and inode.
    pub(crate) fn stage_directory(&self) -> Result<(String, i64, i64)> {
        let name = self.staging_name();
        let staging = self.core.staging.as_fd();
        self.core.disk.make_dir(staging, &name).map_err(Error::io("stage", name.clone()))?;
        let stat = tree::stat_name(staging, &name).map_err(Error::errno("look at", name.clone()))?;
        let stat = stat.ok_or_else(|| Error::Inconsistent(format!("{name} vanished from staging")))?;
        Ok((name, stat.st_ino as i64, tree::mtime_ns(&stat)))
    }

    /// Gives up a tree that was being built aside: its rows and bytes are reaped.
    pub(crate) fn bury_hidden(&self, name: &str) -> Result<()> {
        if let Some(row) = self.tx.child(PARENT_HIDDEN, name)? {
            let seq = self.tx.seq();
            self.tx.place_resource(row.id, PARENT_TRASH, name, seq)?;
            self.tx.insert_gone(&Gone { id: row.id, version: 0, name: name.to_owned(), seq, tree: true })?;
        } else {
            let id = self.tx.next_id();
            self.tx.insert_gone(&Gone { id, version: 0, name: name.to_owned(), seq: self.tx.seq(), tree: true })?;
        }
        Ok(())
    }

    /// A name below `staging/` that nobody else has.
    pub fn staging_name(&self) -> String {
        self.core.staging_name()
    }
}
