//! `cellar check`: compares every row with what lies on disk, and mends what differs if asked to.
//!
//! Opening a cell recovers it, so what is found is not what a crash left but what somebody did by hand, or damage.

use std::collections::HashMap;
use std::os::fd::AsFd;

use rustix::fs::FileType;
use serde::Serialize;

use super::cell::Cell;
use super::database::cell_box::{Lookup, disk_path};
use super::database::resource::Resource;
use super::database::schema::PARENT_BOXES;
use super::error::{Error, Result};
use super::tree::{self, Identity};
use super::writer::{ChangeAt, Context, Footprint};
use crate::base::path::{ResourcePath, Segment};

/// What is to be done about findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mend {
    /// Only report.
    Nothing,
    /// Let rows follow the disk; in a cell that came from elsewhere, missing files keep their rows.
    Repair,
    /// Let rows follow the disk, in a cell that came from elsewhere too.
    Adopt,
}

/// What can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Problem {
    /// A row whose file or directory is not there.
    Missing,
    /// A file or directory without a row.
    Unknown,
    /// A file that is not the one the row describes.
    Changed,
    /// A collection whose number of members is wrong.
    Count,
    /// Something in `staging/` that no row names and no process uses.
    Litter,
    /// A link, device, FIFO, socket or mount, or a name that cannot be served. Reported only.
    NotServed,
    /// The cell's database cannot be read. Never mended.
    Unreadable,
}

impl Problem {
    /// Whether a clean unit may have it.
    pub fn is_note(self) -> bool {
        self == Self::NotServed
    }
}

/// One difference between rows and disk.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    pub problem: Problem,
    pub cell: String,
    /// From the cell's directory.
    pub path: String,
    pub mended: bool,
}

/// Compares a whole cell.
pub fn check(cell: &Cell, mend: Mend) -> Result<Vec<Finding>> {
    if mend == Mend::Adopt {
        cell.take_as_own()?;
    }
    let mut checker = Checker { cell, mend, findings: Vec::new() };
    let mut boxes = Vec::new();
    cell.read(|v| {
        boxes = v.boxes()?;
        Ok(())
    })?;
    for cell_box in boxes {
        let lookup = match cell.read(|v| v.lookup(&cell_box.name, &ResourcePath::root())) {
            Err(Error::Busy(_)) => continue,
            other => other?,
        };
        checker.tree(lookup)?;
    }
    checker.staging()?;
    Ok(checker.findings)
}

struct Checker<'c> {
    cell: &'c Cell,
    mend: Mend,
    findings: Vec<Finding>,
}

impl Checker<'_> {
    fn report(&mut self, problem: Problem, path: String) {
        let mended = self.mend != Mend::Nothing && !problem.is_note();
        self.findings.push(Finding { problem, cell: self.cell.name().to_owned(), path, mended });
    }

    /// A box from its root down.
    fn tree(&mut self, root: Lookup) -> Result<()> {
        let mut todo = vec![root.chain.clone()];
        while let Some(chain) = todo.pop() {
            let before = self.findings.len();
            let collections = self.collection(&chain)?;
            let wrong = self.findings[before..].iter().any(|f| f.mended);
            let collections = if wrong { self.mend_collection(&root, &chain)? } else { collections };
            for child in collections {
                let mut below = chain.clone();
                below.push(child);
                todo.push(below);
            }
        }
        Ok(())
    }

    /// One collection; returns the collections in it.
    fn collection(&mut self, chain: &[Resource]) -> Result<Vec<Resource>> {
        let collection = chain.last().expect("invariant: a chain has a root");
        let path = disk_path(chain);
        let mut rows: HashMap<String, Resource> = HashMap::new();
        self.cell.read(|v| {
            v.children(collection.id, |row| {
                rows.insert(row.name.clone(), row);
                Ok(())
            })
        })?;
        let count = self.cell.read(|v| v.resource(collection.id))?.map_or(0, |r| r.children);
        if count != rows.len() as i64 {
            self.report(Problem::Count, path.clone());
        }
        let Ok(dir) = tree::open_dir(self.cell.core.dir.as_fd(), &path) else {
            self.report(Problem::Missing, path);
            return Ok(Vec::new());
        };
        let mut collections = Vec::new();
        for (name, kind) in tree::read_names(dir.as_fd()).map_err(Error::io("read", path.clone()))? {
            let at = format!("{path}/{name}");
            let served = matches!(kind, FileType::RegularFile | FileType::Directory);
            if !served || Segment::new(name.clone()).is_err() {
                self.report(Problem::NotServed, at);
                continue;
            }
            match rows.remove(&name) {
                None if tree::is_mount(dir.as_fd(), &name).unwrap_or(false) => self.report(Problem::NotServed, at),
                None => self.report(Problem::Unknown, at),
                Some(row) if row.is_file() != (kind == FileType::RegularFile) => self.report(Problem::Changed, at),
                Some(row) if row.is_file() => {
                    let stat = tree::stat_name(dir.as_fd(), &name).map_err(Error::errno("look at", at.clone()))?;
                    if stat.is_none_or(|s| Identity::of(&s) != row.identity()) {
                        self.report(Problem::Changed, at);
                    }
                }
                Some(row) => collections.push(row),
            }
        }
        for name in rows.into_keys() {
            self.report(Problem::Missing, format!("{path}/{name}"));
        }
        Ok(collections)
    }

    /// Lets the rows of a collection follow its directory; returns the collections in it.
    fn mend_collection(&self, root: &Lookup, chain: &[Resource]) -> Result<Vec<Resource>> {
        let lookup = Lookup { cell_box: root.cell_box.clone(), chain: chain.to_vec(), missing: 0 };
        let path =
            ResourcePath::from_segments(chain[1..].iter().filter_map(|r| Segment::new(r.name.clone()).ok()).collect());
        let footprint = Footprint::of(&root.cell_box.name, &path);
        self.cell.change(ChangeAt(footprint, move |ctx: &Context<'_>| ctx.mend(&lookup)))
    }

    fn staging(&mut self) -> Result<()> {
        for name in self.cell.litter()? {
            self.report(Problem::Litter, format!("staging/{name}"));
        }
        Ok(())
    }
}

impl Context<'_> {
    /// Compares every member of a collection, counts them anew, and returns the collections among them.
    fn mend(&self, lookup: &Lookup) -> Result<Vec<Resource>> {
        let id = lookup.nearest().id;
        self.tx.set_dir_mtime(id, 0)?;
        self.core.remember_mtime(id, 0);
        if self.directory(&lookup.disk_path()).is_err() {
            // A directory that is gone is forgotten where its parent is mended; a box's own is made again.
            if lookup.chain.len() == 1 {
                self.remake_box(lookup)?;
            }
            return Ok(Vec::new());
        }
        for row in self.tx.all_children(id)? {
            self.settle_name(&lookup.chain, &row.name)?;
        }
        self.reconcile(lookup)?;
        let rows = self.tx.all_children(id)?;
        self.tx.set_children(id, rows.len() as i64)?;
        self.tx.touch_box(lookup.cell_box.id);
        Ok(rows.into_iter().filter(|r| !r.is_file()).collect())
    }

    /// Gives a box whose directory is gone an empty one; what it held is forgotten.
    fn remake_box(&self, lookup: &Lookup) -> Result<()> {
        let boxes = self.directory("boxes")?;
        let name = &lookup.cell_box.name;
        self.core.disk.make_dir(boxes.as_fd(), name).map_err(Error::io("create", name.clone()))?;
        self.core.disk.sync_dir(boxes.as_fd()).map_err(Error::io("sync", "boxes"))?;
        let stat = tree::stat_name(boxes.as_fd(), name).map_err(Error::errno("look at", name.clone()))?;
        let row = self.tx.child(PARENT_BOXES, name)?.ok_or(Error::BoxMissing)?;
        self.tx.update_resource(&Resource { ino: stat.map_or(0, |s| s.st_ino as i64), dir_mtime_ns: 0, ..row })?;
        for child in self.tx.all_children(lookup.nearest().id)? {
            self.settle_name(&lookup.chain, &child.name)?;
        }
        self.tx.set_children(lookup.nearest().id, 0)
    }
}
