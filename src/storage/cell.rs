//! An open cell: its directory, its readers, its writer.
//!
//! Readers take rows from connections of their own and content from the tree, and compare the file's identity with the row's.
//! Where they differ they look at what is pending and what is gone; the last look runs in the writer, where rows and tree agree.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

use rustix::fs::{Mode, OFlags};
use tokio::sync::oneshot;

use super::changes::ChangeNumber;
use super::database::cell_box::{CellBox, Lookup, disk_path};
use super::database::{Resource, Tx, View, migration, schema};
use super::disk::Disk;
use super::error::{Error, Result};
use super::lease::Lease;
use super::operation::boxes::AdoptBoxes;
use super::operation::look::{Look, Refresh};
use super::private;
use super::reserve::Reserve;
use super::tree;
use super::writer::{self, Operation, Queue, Settler};
use crate::base::clock;
use crate::base::id::{OwnerId, ResourceId};
use crate::base::path::{ResourcePath, Segment};

use readers::Readers;
use syncs::Syncs;

mod content;
mod glance;
mod now;
mod readers;
mod syncs;

/// Limits that the store keeps.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Members of one collection.
    pub children: i64,
    /// Collections below one another, counted from the box.
    pub depth: usize,
    /// Bytes in a cell that has no limit of its own; 0 for any number.
    pub cell_bytes: i64,
    /// A power cut may take the last seconds.
    pub relaxed: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { children: 1_000_000, depth: 50, cell_bytes: 0, relaxed: false }
    }
}

/// What the readers, the writer and the settler of a cell share.
#[derive(Debug)]
pub struct Core {
    pub number: i64,
    pub name: String,
    pub path: PathBuf,
    pub limits: Limits,
    pub(crate) dir: OwnedFd,
    pub(crate) staging: OwnedFd,
    pub(crate) gone: OwnedFd,
    pub(crate) lease: Lease,
    pub(crate) disk: Disk,
    pub(crate) settler: Settler,
    /// What is kept of the rows holds while this is the same.
    pub(crate) changes: ChangeNumber,
    pub(crate) reserve: Reserve,
    /// Whether one call makes everything on the cell's file system durable.
    pub(crate) syncs_whole: bool,
    pub(crate) syncs: Syncs,
    inode: u64,
    /// Mtimes of directories after this process's own renames, until the rows have them.
    mtimes: Mutex<HashMap<ResourceId, i64>>,
    /// The directory came from elsewhere: what is missing in it is not taken for removed.
    foreign: AtomicBool,
}

static STAGED: AtomicU64 = AtomicU64::new(0);

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn open_directory(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    rustix::fs::open(path, flags, Mode::empty()).map_err(Error::errno("open", path.display().to_string()))
}

impl Core {
    /// Whether the directory at the cell's path is still this one.
    pub(crate) fn still_there(&self) -> Result<()> {
        match rustix::fs::stat(&self.path) {
            Ok(stat) if stat.st_ino == self.inode => Ok(()),
            Ok(_) | Err(rustix::io::Errno::NOENT) => Err(Error::CellMissing),
            Err(e) => Err(Error::errno("look at", self.path.display().to_string())(e)),
        }
    }

    /// A name below `staging/` that no process ever uses again while this one lives.
    pub(crate) fn staging_name(&self) -> String {
        format!("{:x}-{:x}", self.lease.owner(), STAGED.fetch_add(1, Ordering::Relaxed))
    }

    /// Whether a staged name belongs to a process that lives.
    pub(crate) fn staged_by_the_living(&self, name: &str) -> Result<bool> {
        let owner = name.split_once('-').and_then(|(owner, _)| i64::from_str_radix(owner, 16).ok());
        match owner {
            Some(owner) => self.lease.is_alive(owner).map_err(Error::io("look for", "owners")),
            None => Ok(false),
        }
    }

    pub(crate) fn staged_by_this_process(&self, name: &str) -> bool {
        name.split_once('-').is_some_and(|(owner, _)| owner == format!("{:x}", self.lease.owner()))
    }

    /// The mtime of a collection's directory when rows and directory last agreed; 0 for unknown.
    pub(crate) fn known_mtime(&self, collection: &Resource) -> i64 {
        locked(&self.mtimes).get(&collection.id).copied().unwrap_or(collection.dir_mtime_ns)
    }

    /// The same for what this process renamed since the rows were last written.
    pub(crate) fn latest_mtime(&self, id: ResourceId) -> Option<i64> {
        locked(&self.mtimes).get(&id).copied()
    }

    pub(crate) fn remember_mtime(&self, id: ResourceId, mtime_ns: i64) {
        locked(&self.mtimes).insert(id, mtime_ns);
    }

    pub(crate) fn forget_mtime(&self, id: ResourceId) {
        locked(&self.mtimes).remove(&id);
    }

    pub(crate) fn forget_mtimes(&self) {
        locked(&self.mtimes).clear();
    }

    /// Moves what this process knows about directories into their rows.
    pub(crate) fn write_known_mtimes(&self, tx: &Tx<'_>) -> Result<()> {
        let known = std::mem::take(&mut *locked(&self.mtimes));
        for (id, mtime_ns) in known {
            tx.set_dir_mtime(id, mtime_ns)?;
        }
        Ok(())
    }

    pub(crate) fn is_foreign(&self) -> bool {
        self.foreign.load(Ordering::Relaxed)
    }

    /// Takes something out of the way of an acknowledged write, into `found/`.
    pub(crate) fn put_aside(&self, dir: &OwnedFd, name: &str) -> Result<()> {
        let fail = Error::io("put aside", name);
        let aside = (|| {
            match self.disk.make_dir(self.dir.as_fd(), "found") {
                Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => return Err(e),
                _ => {}
            }
            let found = tree::open_dir(self.dir.as_fd(), "found")?;
            let target = format!("{}-{}", self.staging_name(), clock::compact(clock::now_ms()));
            self.disk.rename((dir, name), (&found, &target))?;
            tracing::error!(
                cell = self.name,
                name,
                found = target,
                "something stood where an acknowledged write belongs"
            );
            self.disk.sync_dir(found.as_fd())
        })();
        aside.map_err(fail)
    }

    /// What tells this directory on this file system from a copy of it elsewhere.
    fn file_system_id(&self) -> Result<String> {
        let vfs = rustix::fs::fstatvfs(&self.dir).map_err(Error::errno("look at", "the file system"))?;
        Ok(format!("{:x}-{:x}", vfs.f_fsid, self.inode))
    }
}

/// One content of one resource, wherever it is by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    pub id: ResourceId,
    pub version: i64,
    pub identity: tree::Identity,
}

impl Version {
    pub fn of(resource: &Resource) -> Self {
        Self { id: resource.id, version: resource.version, identity: resource.identity() }
    }
}

/// A file of a cell, opened, with the row that it belongs to.
#[derive(Debug)]
pub struct Content {
    pub lookup: Lookup,
    pub resource: Resource,
    pub file: File,
    /// The cell's number before the rows were read, where it is known.
    pub moment: Option<u64>,
}

/// Asked of what a path leads to, at the moment of its rows: whether somebody may go on.
pub type Leave<'g> = &'g dyn Fn(&View<'_>, &Lookup) -> Result<()>;

/// An open cell.
#[derive(Debug)]
pub struct Cell {
    pub(crate) core: Arc<Core>,
    queue: Queue,
    writer: Mutex<Option<JoinHandle<()>>>,
    readers: Readers,
    pub(crate) last_used_ms: AtomicI64,
}

impl Cell {
    /// Opens and recovers a cell. Fails with `InUse` while another process swaps or deletes it.
    pub(crate) fn open(
        path: &Path,
        number: i64,
        lease: &Lease,
        disk: &Disk,
        (settler, reserve): (&Settler, &Reserve),
        limits: Limits,
        changes: ChangeNumber,
    ) -> Result<Self> {
        if !lease.hold_open(number).map_err(Error::io("lock", "the cell"))? {
            return Err(Error::InUse);
        }
        private::restrict_database(&path.join("cell.db"));
        let opened = Self::open_held(path, number, lease, disk, (settler, reserve), limits, changes);
        if opened.is_err() {
            drop(lease.release_open(number));
        }
        opened
    }

    fn open_held(
        path: &Path,
        number: i64,
        lease: &Lease,
        disk: &Disk,
        (settler, reserve): (&Settler, &Reserve),
        limits: Limits,
        changes: ChangeNumber,
    ) -> Result<Self> {
        reserve.use_if_needed();
        let dir = match open_directory(path) {
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::CellMissing);
            }
            other => other?,
        };
        let inode = rustix::fs::fstat(&dir).map_err(Error::errno("look at", path.display().to_string()))?.st_ino;
        let core = Arc::new(Core {
            number,
            name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            path: path.to_owned(),
            limits,
            staging: open_directory(&path.join("staging"))?,
            gone: open_directory(&path.join("staging/gone"))?,
            lease: lease.clone(),
            disk: disk.clone(),
            settler: settler.clone(),
            changes,
            reserve: reserve.clone(),
            syncs_whole: disk.can_sync_file_system(dir.as_fd()),
            dir,
            syncs: Syncs::default(),
            inode,
            mtimes: Mutex::default(),
            foreign: AtomicBool::new(false),
        });
        let conn = schema::open(&path.join("cell.db"), schema::Access::Write)?;
        let _lock = lease.lock_cell(number).map_err(Error::io("lock", "the cell"))?;
        let changing = core.changes.begin();
        if migration::format(&conn)? < schema::FORMAT {
            if !lease.take_alone(number).map_err(Error::io("lock", "the cell"))? {
                return Err(Error::InUse);
            }
            let migrated = migration::migrate(&conn);
            lease.end_alone(number).map_err(Error::io("lock", "the cell"))?;
            migrated?;
            tracing::info!(
                cell = core.name,
                format = schema::FORMAT,
                "the cell's database is in the current format now"
            );
        }
        writer::recover(&core, &conn)?;
        super::area::end_the_dead(&core, &conn)?;
        let here = core.file_system_id()?;
        match View::new(&conn).meta_text("fs_id")? {
            Some(known) if known != here => core.foreign.store(true, Ordering::Relaxed),
            Some(_) => {}
            None => Tx::new(&conn, lease.owner())?.set_meta("fs_id", here)?,
        }
        drop(changing);
        let (queue, thread) = writer::start(core.clone(), conn)?;
        Ok(Self {
            core,
            queue,
            writer: Mutex::new(Some(thread)),
            readers: Readers::default(),
            last_used_ms: AtomicI64::new(clock::now_ms()),
        })
    }

    pub fn name(&self) -> &str {
        &self.core.name
    }

    pub fn number(&self) -> i64 {
        self.core.number
    }

    /// The number under which this process owns jobs and what it stages.
    pub fn owner(&self) -> OwnerId {
        self.core.lease.owner()
    }

    /// Whether the process with this number lives. Where that cannot be told, it does.
    pub fn owner_lives(&self, owner: OwnerId) -> bool {
        self.core.lease.is_alive(owner).unwrap_or(true)
    }

    /// Runs `f` on one moment of the rows.
    pub fn read<T>(&self, f: impl FnOnce(&View<'_>) -> Result<T>) -> Result<T> {
        let conn = match self.readers.take() {
            Some(conn) => conn,
            None => schema::open(&self.core.path.join("cell.db"), schema::Access::Read)?,
        };
        let step = |sql| conn.prepare_cached(sql).and_then(|mut s| s.execute([])).map_err(Error::database("read"));
        step("BEGIN")?;
        let result = f(&View::new(&conn));
        step("COMMIT")?;
        self.readers.give(conn);
        result
    }

    /// Hands a change to the writer; the answer comes when the change is durable.
    pub fn submit<O: Operation>(&self, operation: O) -> oneshot::Receiver<Result<O::Output>> {
        self.queue.submit(operation)
    }

    /// Makes a change and waits for it. For threads that may block.
    pub fn change<O: Operation>(&self, operation: O) -> Result<O::Output> {
        received(self.submit(operation).blocking_recv())
    }

    pub(crate) fn queue(&self) -> Queue {
        self.queue.clone()
    }

    /// The box of a name; a directory that somebody has put there becomes one.
    pub fn find_box(&self, name: &str) -> Result<Option<CellBox>> {
        let known = self.read(|v| v.cell_box(name))?;
        if known.is_some() || name.contains('/') {
            return Ok(known);
        }
        let there = tree::open_dir(self.core.dir.as_fd(), &format!("boxes/{name}")).is_ok();
        if !there || self.change(AdoptBoxes)? == 0 {
            return Ok(None);
        }
        self.read(|v| v.cell_box(name))
    }

    /// Follows a path, noticing what somebody has put there or removed by hand.
    pub fn lookup(&self, box_name: &str, path: &ResourcePath) -> Result<Lookup> {
        self.lookup_if(box_name, path, &|_, _| Ok(()))
    }

    /// As [`Cell::lookup`], for somebody who may know what the path leads to.
    fn lookup_if(&self, box_name: &str, path: &ResourcePath, may: Leave<'_>) -> Result<Lookup> {
        let lookup = self.read(|v| looked_up(v, box_name, path, may))?;
        let known = lookup.missing == 0 || lookup.nearest().is_file() || self.agrees(&lookup)?;
        if known && self.forms_agree(&lookup, path)? {
            return Ok(lookup);
        }
        self.looked_closely(box_name, path, may)
    }

    fn looked_closely(&self, box_name: &str, path: &ResourcePath, may: Leave<'_>) -> Result<Lookup> {
        let lookup = self.change(Look { box_name: box_name.to_owned(), path: path.clone() })?;
        self.read(|v| may(v, &lookup))?;
        Ok(lookup)
    }

    /// As [`Cell::lookup`]; where the path leads to a collection, its rows and its directory agree afterwards.
    pub fn refresh(&self, box_name: &str, path: &ResourcePath) -> Result<Lookup> {
        let lookup = self.lookup(box_name, path)?;
        if lookup.missing > 0 || lookup.nearest().is_file() || self.agrees(&lookup)? {
            return Ok(lookup);
        }
        self.change(Refresh { box_name: box_name.to_owned(), path: path.clone() })
    }

    /// As [`Cell::refresh`], for all collections below too: what an operation on the tree takes along is then known.
    pub fn refresh_tree(&self, box_name: &str, path: &ResourcePath) -> Result<Lookup> {
        let top = self.refresh(box_name, path)?;
        if top.found().is_none_or(Resource::is_file) {
            return Ok(top);
        }
        let mut done = HashSet::from([top.nearest().id]);
        loop {
            let stale = self.read(|v| self.disagreeing_below(v, &top, path, &done))?;
            if stale.is_empty() {
                return Ok(top);
            }
            for (id, path) in stale {
                self.change(Refresh { box_name: box_name.to_owned(), path })?;
                done.insert(id);
            }
        }
    }

    /// The collections below another whose directories are not as the rows know them, but for those that were just read.
    fn disagreeing_below(
        &self,
        view: &View<'_>,
        top: &Lookup,
        path: &ResourcePath,
        done: &HashSet<ResourceId>,
    ) -> Result<Vec<(ResourceId, ResourcePath)>> {
        let mut found = Vec::new();
        let mut waiting = vec![(top.nearest().id, path.clone(), top.disk_path())];
        while let Some((id, path, on_disk)) = waiting.pop() {
            for row in view.child_collections(id)? {
                let on_disk = format!("{on_disk}/{}", row.name);
                let Ok(name) = Segment::new(row.name.clone()) else { continue };
                let path = path.join(name);
                if !done.contains(&row.id) && !self.directory_agrees(&on_disk, &row)? {
                    found.push((row.id, path.clone()));
                }
                waiting.push((row.id, path, on_disk));
            }
        }
        Ok(found)
    }

    /// Whether the directory of the nearest collection is as the rows know it.
    fn agrees(&self, lookup: &Lookup) -> Result<bool> {
        self.directory_agrees(&lookup.disk_path(), lookup.nearest())
    }

    pub(super) fn directory_agrees(&self, path: &str, collection: &Resource) -> Result<bool> {
        match tree::open_dir(self.core.dir.as_fd(), path) {
            Ok(fd) => {
                let stat = rustix::fs::fstat(&fd).map_err(Error::errno("look at", path))?;
                Ok(tree::mtime_ns(&stat) == self.core.known_mtime(collection))
            }
            Err(_) => Ok(false),
        }
    }

    /// Makes the rows of every collection of a box agree with its directory. Costs a look at each directory.
    pub fn refresh_box(&self, box_name: &str) -> Result<()> {
        let root = self.read(|v| v.lookup(box_name, &ResourcePath::root()))?;
        let mut todo = vec![root.chain];
        while let Some(chain) = todo.pop() {
            let collection = chain.last().expect("invariant: a chain has a root");
            let agrees = self.directory_agrees(&disk_path(&chain), collection)?;
            if !agrees {
                let segments = chain[1..].iter().filter_map(|r| Segment::new(r.name.clone()).ok()).collect();
                let path = ResourcePath::from_segments(segments);
                self.change(Refresh { box_name: box_name.to_owned(), path })?;
            }
            for child in self.read(|v| v.child_collections(collection.id))? {
                let mut below = chain.clone();
                below.push(child);
                todo.push(below);
            }
        }
        Ok(())
    }

    /// Keeps a checksum that a reader had to compute. Nobody waits for it.
    pub fn keep_crc(&self, of: &Version, crc: u32) {
        let of = *of;
        drop(self.submit(writer::Change(move |ctx: &writer::Context<'_>| ctx.tx.set_crc(of.id, of.version, crc))));
    }

    /// What lies in `staging/` though no row names it and no process uses it.
    pub(crate) fn litter(&self) -> Result<Vec<String>> {
        self.read(|v| writer::litter(&self.core, v))
    }

    /// Takes a cell's directory that came from elsewhere for what it is: what is missing in it has been removed.
    pub(crate) fn take_as_own(&self) -> Result<()> {
        let here = self.core.file_system_id()?;
        self.core.foreign.store(false, Ordering::Relaxed);
        self.change(writer::Change(move |ctx: &writer::Context<'_>| ctx.tx.set_meta("fs_id", &here)))
    }

    /// Where a path of the cell lies on disk, for messages.
    pub fn path(&self) -> &Path {
        &self.core.path
    }
}

fn looked_up(view: &View<'_>, box_name: &str, path: &ResourcePath, may: Leave<'_>) -> Result<Lookup> {
    let lookup = view.lookup(box_name, path)?;
    may(view, &lookup)?;
    Ok(lookup)
}

/// What a writer that went away means for those who wait for it.
pub fn received<T>(answer: Result<Result<T>, oneshot::error::RecvError>) -> Result<T> {
    answer.unwrap_or_else(|_| Err(Error::CellMissing))
}

impl Cell {
    /// Whether changes are taken: the writer lives.
    pub(crate) fn is_working(&self) -> bool {
        locked(&self.writer).as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Ends the writer, with everything settled. Who still uses the cell can read what is open, and change nothing.
    pub(crate) fn shut(&self) {
        self.queue.stop();
        if let Some(thread) = locked(&self.writer).take()
            && thread.join().is_err()
        {
            tracing::error!(cell = self.core.name, "the writer panicked");
        }
    }
}

impl Drop for Cell {
    fn drop(&mut self) {
        self.shut();
        if let Err(e) = self.core.lease.release_open(self.core.number) {
            tracing::error!(error = %e, cell = self.core.name, "cannot release the cell");
        }
    }
}
