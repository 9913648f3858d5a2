//! A unit: its directory, its lock, its index of cells, and the few cells that are open.
//!
//! Nothing here grows with the number of cells. A cell is opened, and recovered, when it is first asked for; open cells are
//! closed again, the longest unused first. A directory that somebody puts into `cells/` is adopted when it is asked for.

mod change;
mod creation;
mod index;
mod keys;
mod swap;

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

pub use change::{CellChange, QuotaChange};
use creation::{build_cell, initialise, read_manifest, rename_new, sync_directory, write_new};
use index::Index;
pub use index::{CellOrder, CellRecord};
pub use keys::{Rotation, TokenKey};

use super::cell::{Cell, Limits};
use super::changes::{ChangeNumbers, Changing};
use super::database::cell_box::MAIN_BOX;
use super::database::schema::{self, PARENT_BOXES};
use super::database::{Tx, View};
use super::disk::Disk;
use super::error::{Error, Result};
use super::lease::Lease;
use super::operation::boxes::AdoptBoxes;
use super::private;
use super::reserve::Reserve;
use super::writer::Settler;
use crate::base::{clock, id};

/// Cells open at the same time, where the process may have descriptors enough.
const OPEN_CELLS: usize = 64;
/// What an open cell with all its readers holds.
const CELL_DESCRIPTORS: u64 = 32;
/// How long a start waits for what is being removed.
const START_WAITS: Duration = Duration::from_millis(300);
/// The format of a unit's directory that this program writes.
const UNIT_FORMAT: i64 = 1;

/// What can be wrong with a directory that should be a unit's.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{0} holds something else: a unit is made in an empty or absent directory only")]
    Foreign(PathBuf),
    #[error("{0} is no unit: there is no unit.toml")]
    NoUnit(PathBuf),
    #[error("{0} cannot be read as what tells a unit and its format")]
    Manifest(PathBuf),
    #[error("{0} has cells but no unit.toml: it is a unit that has lost it")]
    Headless(PathBuf),
    #[error("{0} has unit format {1}, which is newer than this program knows (up to {UNIT_FORMAT})")]
    Newer(PathBuf, i64),
    #[error("{0} is in use: another server is running on it")]
    Served(PathBuf),
    #[error(transparent)]
    Store(#[from] Error),
}

/// How a unit is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// As the one server; the directory is made a unit if it is empty or absent.
    Server,
    /// As a tool beside a server or alone; the unit must exist.
    Tool,
}

/// An open unit.
#[derive(Debug)]
pub struct Unit {
    root: PathBuf,
    id: String,
    lease: Lease,
    disk: Disk,
    limits: Limits,
    changes: ChangeNumbers,
    settler: Settler,
    settling: Vec<JoinHandle<()>>,
    pub(super) reserve: Reserve,
    index: Mutex<Index>,
    open: Mutex<HashMap<i64, Arc<Cell>>>,
    /// Cells whose content is being exchanged.
    swapping: Mutex<HashSet<i64>>,
    swapped: Condvar,
}

/// A condition on a cell's record.
pub type RecordGuard<'g> = &'g dyn Fn(&CellRecord) -> Result<()>;

/// The refusal of a name whose directory exists.
fn taken(error: Error) -> Error {
    match error {
        Error::Io { source, .. } if source.raw_os_error() == Some(libc::EEXIST) => Error::Exists,
        other => other,
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn open_directory(path: &Path) -> Result<OwnedFd> {
    File::open(path).map(OwnedFd::from).map_err(Error::io("open", shown(path)))
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

impl Unit {
    pub fn open(root: &Path, role: Role, limits: Limits) -> Result<Self, OpenError> {
        Self::open_on(root, role, limits, Disk::default())
    }

    pub(crate) fn open_on(root: &Path, role: Role, limits: Limits, disk: Disk) -> Result<Self, OpenError> {
        let manifest = root.join("unit.toml");
        if !manifest.exists() {
            if role == Role::Tool {
                return Err(OpenError::NoUnit(root.to_owned()));
            }
            initialise(root)?;
        }
        let text = fs::read_to_string(&manifest).map_err(Error::io("read", shown(&manifest)))?;
        let (format, id) = read_manifest(&text).ok_or_else(|| OpenError::Manifest(manifest.clone()))?;
        if format > UNIT_FORMAT {
            return Err(OpenError::Newer(root.to_owned(), format));
        }
        let lease = Lease::acquire(&root.join("unit.lock"))?;
        if role == Role::Server && !lease.become_server().map_err(Error::io("lock", "unit.lock"))? {
            return Err(OpenError::Served(root.to_owned()));
        }
        let reserve = Reserve::open(&root.join("reserve"), role == Role::Server);
        reserve.use_if_needed();
        let index = Index::open(&root.join("unit.db"))?;
        if role == Role::Server {
            reserve.keep();
        }
        for name in ["cells", "staging", "exports"] {
            private::keep_strangers_out(&root.join(name));
        }
        let root = root.canonicalize().map_err(Error::io("look at", shown(root)))?;
        let changes = match ChangeNumbers::open(&root) {
            Err(e) if role == Role::Server => ChangeNumbers::none(&e),
            opened => opened.map_err(Error::io("share", "generations"))?,
        };
        let (settler, settling) = Settler::start()?;
        let (index, open, settling) = (Mutex::new(index), Mutex::default(), Vec::from(settling));
        let (swapping, swapped) = (Mutex::default(), Condvar::new());
        Ok(Self { root, id, lease, disk, limits, changes, settler, settling, reserve, index, open, swapping, swapped })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The unit's own identifier.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The token in `unit.token`, made on first use with mode 0600.
    pub fn token(&self) -> Result<String> {
        let path = self.root.join("unit.token");
        match fs::read_to_string(&path) {
            Ok(text) if !text.trim().is_empty() => return Ok(text.trim().to_owned()),
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(Error::io("read", shown(&path))(e)),
            _ => {}
        }
        let token = id::token();
        write_new(&path, format!("{token}\n").as_bytes(), 0o600)?;
        Ok(token)
    }

    /// The cell of a name, opened if it is not yet. `CellMissing` if there is none.
    pub fn cell(&self, name: &str) -> Result<Arc<Cell>> {
        if let Some(cell) = self.already_open(name) {
            return Ok(cell);
        }
        loop {
            let record = self.record(name)?.ok_or(Error::CellMissing)?;
            match self.open_cell(&record) {
                Err(Error::InUse | Error::CellMissing) if self.wait_for_swap(record.number) => {}
                other => return other,
            }
        }
    }

    /// An open cell, if it can be had without waiting: for threads that must not block.
    pub fn cell_at_hand(&self, name: &str) -> Option<Arc<Cell>> {
        let open = self.open.try_lock().ok()?;
        Self::usable(&open, name)
    }

    /// As [`Self::cell_at_hand`], for a change: the writer looks whether the directory is still there.
    pub fn writer_at_hand(&self, name: &str) -> Option<Arc<Cell>> {
        let open = self.open.try_lock().ok()?;
        let cell = open.values().find(|cell| cell.name() == name && cell.is_working())?;
        cell.last_used_ms.store(clock::now_ms(), Ordering::Relaxed);
        Some(cell.clone())
    }

    /// An open cell whose directory is still the one at its name: what the index says of it holds as well.
    fn already_open(&self, name: &str) -> Option<Arc<Cell>> {
        Self::usable(&locked(&self.open), name)
    }

    fn usable(open: &HashMap<i64, Arc<Cell>>, name: &str) -> Option<Arc<Cell>> {
        let cell = open.values().find(|cell| cell.name() == name)?;
        if !cell.is_working() || cell.core.still_there().is_err() {
            return None;
        }
        cell.last_used_ms.store(clock::now_ms(), Ordering::Relaxed);
        Some(cell.clone())
    }

    /// The cell's record; one whose directory is new here is adopted, one whose directory has gone is forgotten.
    pub fn record(&self, name: &str) -> Result<Option<CellRecord>> {
        if !is_cell_name(name) {
            return Ok(None);
        }
        let directory = self.cell_path(name);
        let mut index = locked(&self.index);
        let known = index.find(name)?;
        // A directory that cannot be looked at is no directory that is gone.
        let there = directory.join("cell.db").try_exists().map_err(Error::io("look at", shown(&directory)))?;
        match (known, there) {
            (Some(record), true) => Ok(Some(record)),
            (Some(record), false) => {
                index.remove(record.number)?;
                Ok(None)
            }
            (None, true) => self.adopt(&mut index, name).map(Some),
            (None, false) => Ok(None),
        }
    }

    fn open_cell(&self, record: &CellRecord) -> Result<Arc<Cell>> {
        let mut open = locked(&self.open);
        if let Some(cell) = open.get(&record.number) {
            if cell.name() == record.name && cell.is_working() && cell.core.still_there().is_ok() {
                cell.last_used_ms.store(clock::now_ms(), Ordering::Relaxed);
                return Ok(cell.clone());
            }
            open.remove(&record.number);
        }
        while open.len() >= open_cells() {
            let idle = open
                .iter()
                .filter(|(_, cell)| Arc::strong_count(cell) == 1)
                .min_by_key(|(_, cell)| cell.last_used_ms.load(Ordering::Relaxed))
                .map(|(number, _)| *number);
            match idle {
                Some(number) => drop(open.remove(&number)),
                None => break,
            }
        }
        let path = self.cell_path(&record.name);
        let cell = Cell::open(
            &path,
            record.number,
            &self.lease,
            &self.disk,
            (&self.settler, &self.reserve),
            self.limits,
            self.changes.of(record.number),
        )?;
        let cell = Arc::new(cell);
        cell.change(AdoptBoxes)?;
        open.insert(record.number, cell.clone());
        Ok(cell)
    }

    /// Cells in the order of their creation, after `skip` others; directories that somebody put there are adopted first.
    pub fn cells(&self, skip: usize, limit: usize) -> Result<Vec<CellRecord>> {
        self.cells_by(CellOrder::Creation, skip, limit, None)
    }

    /// As [`Unit::cells`], in another order; with an owner, his alone.
    pub fn cells_by(
        &self,
        order: CellOrder,
        skip: usize,
        limit: usize,
        owner: Option<&str>,
    ) -> Result<Vec<CellRecord>> {
        let mut index = locked(&self.index);
        self.notice_directories(&mut index)?;
        index.list(order, skip, limit, owner)
    }

    /// Up to `limit` cells whose numbers are greater than `number`, in the order of their creation; with an owner, his alone.
    pub fn cells_after(&self, number: i64, limit: usize, owner: Option<&str>) -> Result<Vec<CellRecord>> {
        let mut index = locked(&self.index);
        self.notice_directories(&mut index)?;
        index.list_after(number, limit, owner)
    }

    /// The number of cells; with an owner, of his.
    pub fn count_cells(&self, owner: Option<&str>) -> Result<usize> {
        let mut index = locked(&self.index);
        self.notice_directories(&mut index)?;
        index.count(owner)
    }

    /// Compares `cells/` with the index if the directory has changed since that was last done.
    fn notice_directories(&self, index: &mut Index) -> Result<()> {
        let path = self.root.join("cells");
        let stat = rustix::fs::stat(&path).map_err(Error::errno("look at", "cells"))?;
        let mtime = super::tree::mtime_ns(&stat);
        if index.directory_mtime()? == mtime {
            return Ok(());
        }
        let mut there = std::collections::HashSet::new();
        for entry in fs::read_dir(&path).map_err(Error::io("read", "cells"))? {
            let entry = entry.map_err(Error::io("read", "cells"))?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if !is_cell_name(&name) {
                continue;
            }
            if index.find(&name)?.is_none() && entry.path().join("cell.db").exists() {
                self.adopt(index, &name)?;
            }
            there.insert(name);
        }
        for record in index.list(CellOrder::Creation, 0, usize::MAX, None)? {
            if !there.contains(&record.name) {
                index.remove(record.number)?;
            }
        }
        index.set_directory_mtime(mtime)
    }

    fn adopt(&self, index: &mut Index, name: &str) -> Result<CellRecord> {
        let path = self.cell_path(name).join("cell.db");
        let conn = schema::open(&path, schema::Access::Write)?;
        let view = View::new(&conn);
        let mut uuid = view.meta_text("uuid")?.unwrap_or_default();
        if let Some(record) = index.find_uuid(&uuid)?
            && !self.cell_path(&record.name).join("cell.db").exists()
        {
            tracing::info!(
                cell = name,
                before = record.name,
                "a cell that was renamed by hand, or nearly, is known again"
            );
            return index.update(record.number, name);
        }
        let created_ms = view.meta_number("created_ms")?;
        let owner = view.owner()?;
        if uuid.is_empty() || index.find_uuid(&uuid)?.is_some() {
            uuid = id::uuid22();
            Tx::new(&conn, self.lease.owner())?.set_meta("uuid", &uuid)?;
        }
        tracing::info!(cell = name, "a cell that was put here is adopted");
        index.insert(name, &uuid, owner.as_deref(), created_ms)
    }

    /// Makes an empty cell with its main box. `Exists` if the name is taken.
    pub fn create_cell(&self, name: &str) -> Result<CellRecord> {
        self.create_cell_of(name, None)
    }

    /// As [`Unit::create_cell`], for an owner.
    pub fn create_cell_of(&self, name: &str, owner: Option<&str>) -> Result<CellRecord> {
        if self.record(name)?.is_some() {
            return Err(Error::Exists);
        }
        let uuid = id::uuid22();
        let staged = self.root.join("staging").join(format!("{:x}-{uuid}", self.lease.owner()));
        let now = clock::now_ms();
        let made = build_cell(&staged, &uuid, owner, now).and_then(|()| {
            let cells = self.root.join("cells");
            // Whoever looks in between would take the directory for one that somebody put there.
            let mut index = locked(&self.index);
            rename_new(&staged, &cells.join(name))?;
            sync_directory(&cells)?;
            index.insert(name, &uuid, owner, now)
        });
        made.map_err(|e| {
            drop(fs::remove_dir_all(&staged));
            taken(e)
        })
    }

    /// Deletes a cell with all it holds; what takes long is done afterwards. Fails with `InUse` while another process has it
    /// open, and with `NotEmpty` if `only_empty` and it holds a box, a control object or anything in its main box.
    pub fn delete_cell(&self, name: &str, only_empty: bool) -> Result<()> {
        self.delete_cell_if(name, only_empty, &|_| Ok(()))
    }

    /// As [`Unit::delete_cell`]; `guard` sees the record at the moment of the change.
    pub fn delete_cell_if(&self, name: &str, only_empty: bool, guard: RecordGuard<'_>) -> Result<()> {
        self.reserve.use_if_needed();
        let record = self.record(name)?.ok_or(Error::CellMissing)?;
        guard(&record)?;
        if only_empty {
            let cell = self.open_cell(&record)?;
            cell.refresh(MAIN_BOX, &crate::base::path::ResourcePath::root())?;
            if !cell.read(is_empty)? {
                return Err(Error::NotEmpty);
            }
        }
        let alone = self.close_for_good(&record)?;
        if only_empty {
            // Now that nobody can write any more: something may have come in since it was last looked at.
            let conn = schema::open(&self.cell_path(name).join("cell.db"), schema::Access::Read)?;
            if !is_empty(&View::new(&conn))? {
                return Err(Error::NotEmpty);
            }
        }
        let doomed = self.root.join("staging").join(format!("{:x}-{}", self.lease.owner(), id::uuid22()));
        let mut index = locked(&self.index);
        guard(&index.find(name)?.filter(|r| r.number == record.number).ok_or(Error::CellMissing)?)?;
        rename_new(&self.cell_path(name), &doomed)?;
        sync_directory(&self.root.join("cells"))?;
        index.remove(record.number)?;
        drop(index);
        drop(alone);
        drop(discard(vec![doomed]));
        Ok(())
    }

    /// Closes a cell here and keeps other processes from opening it. Requests that still use it see `CellMissing`.
    fn close_for_good(&self, record: &CellRecord) -> Result<Alone<'_>> {
        if !self.lease.take_alone(record.number).map_err(Error::io("lock", "the cell"))? {
            return Err(Error::InUse);
        }
        let mut alone = Alone { lease: &self.lease, number: record.number, changing: None };
        // From here on this process does not open it anew either, so that no other writer begins after this one.
        let cell = locked(&self.open).remove(&record.number);
        if let Some(cell) = cell {
            cell.shut();
        }
        alone.changing = Some(self.changes.of(record.number).begin());
        Ok(alone)
    }

    fn cell_path(&self, name: &str) -> PathBuf {
        self.root.join("cells").join(name)
    }

    /// Names of cells with a running job, recovered at once so that no job stays in progress for ever.
    pub fn resume(&self) -> Result<()> {
        self.clear_staging()?;
        let busy = locked(&self.index).busy()?;
        for record in busy {
            if self.record(&record.name)?.is_some() {
                // A cell that cannot be opened must not keep the others from being served.
                if let Err(e) = self.open_cell(&record) {
                    tracing::error!(error = &e as &dyn std::error::Error, cell = record.name, "cannot be opened");
                    continue;
                }
                locked(&self.index).forget_busy(record.number)?;
            }
        }
        Ok(())
    }

    /// Remembers that a cell has one more running job, or one less, so that the next start looks at it first.
    pub fn set_busy(&self, number: i64, busy: bool) -> Result<()> {
        locked(&self.index).count_busy(number, if busy { 1 } else { -1 })
    }

    /// What dead owners left is removed while the unit is already in use: a deleted cell may be large.
    fn clear_staging(&self) -> Result<()> {
        let path = self.root.join("staging");
        let mut left = Vec::new();
        for entry in fs::read_dir(&path).map_err(Error::io("read", "staging"))? {
            let entry = entry.map_err(Error::io("read", "staging"))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let owner = name.split_once('-').and_then(|(o, _)| i64::from_str_radix(o, 16).ok());
            let alive = match owner {
                Some(owner) => self.lease.is_alive(owner).map_err(Error::io("look for", "owners"))?,
                None => false,
            };
            if !alive {
                left.push(entry.path());
            }
        }
        // Usually there is nothing, or little: then a started unit has an empty `staging/`.
        if discard(left).recv_timeout(START_WAITS) == Err(RecvTimeoutError::Timeout) {
            tracing::info!("deleted cells are still being removed");
        }
        Ok(())
    }

    /// Closes every cell, settled.
    pub fn close(&self) {
        locked(&self.open).clear();
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        self.close();
        self.settler.quit();
        for thread in self.settling.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a settler panicked");
            }
        }
    }
}

/// How many cells may be open under the limit of descriptors that the process has now.
fn open_cells() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    limit.map_or(OPEN_CELLS, |n| ((n / CELL_DESCRIPTORS) as usize).clamp(4, OPEN_CELLS))
}

/// Removes directories that no row names any more, beside everything else; the receiver hears when that is done. What is
/// left when the process ends is for the next start.
fn discard(doomed: Vec<PathBuf>) -> Receiver<()> {
    let (done, receiver) = mpsc::channel();
    if doomed.is_empty() {
        return receiver;
    }
    std::thread::spawn(move || {
        // Dropped at the end of the thread.
        let _done: mpsc::Sender<()> = done;
        for path in doomed {
            if let Err(e) = fs::remove_dir_all(&path) {
                tracing::warn!(error = %e, path = %path.display(), "a deleted cell is not removed yet");
            }
        }
    });
    receiver
}

/// The hold on a cell that nobody else may open.
#[derive(Debug)]
struct Alone<'u> {
    lease: &'u Lease,
    number: i64,
    /// What is kept of the cell's rows does not outlive this.
    changing: Option<Changing>,
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        drop(self.changing.take());
        if let Err(e) = self.lease.end_alone(self.number) {
            tracing::error!(error = %e, cell = self.number, "cannot release the cell");
        }
    }
}

fn is_empty(view: &View<'_>) -> Result<bool> {
    use super::database::control::ObjectKind;
    if view.boxes()?.iter().any(|b| !b.is_main()) {
        return Ok(false);
    }
    for kind in ObjectKind::ALL {
        if !view.objects(kind)?.is_empty() {
            return Ok(false);
        }
    }
    let main = view.child(PARENT_BOXES, MAIN_BOX)?;
    Ok(main.is_none_or(|m| m.children == 0))
}

/// Whether a text can be a cell's name: lower-case letters, digits and hyphens, not first a hyphen, 128 at most.
pub fn is_cell_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    name.len() <= 128 && bytes.next().is_some_and(plain) && bytes.all(|b| plain(b) || b == b'-')
}
