//! Who may do what at the same time: byte locks in `unit.lock`.
//!
//! One server for a unit, one writer for a cell at a time, and an *owner* byte for each process that lives: what is staged,
//! pending or registered carries its owner's number, and only what belongs to a dead owner is cleaned up by others. This
//! is the place where a later version leases cells to nodes.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::error::{Error, Result};
use crate::base::id::{self, OwnerId};
use crate::base::sys::{self, LockKind};

const SERVER: u64 = 0;
const OWNERS: u64 = 1 << 20;
const OWNER_COUNT: i64 = 1 << 20;
const CELL_WRITE: u64 = 1 << 32;
const CELL_OPEN: u64 = 1 << 40;

/// This process's hold on a unit.
#[derive(Debug, Clone)]
pub struct Lease {
    file: Arc<File>,
    owner: OwnerId,
    /// How many times this process has each cell open: a lock of the file is held once, however often it is taken.
    held: Arc<Mutex<Held>>,
}

/// What the kernel cannot tell, because a lock of the file is the process's own.
#[derive(Debug, Default)]
struct Held {
    open: HashMap<i64, usize>,
    alone: HashSet<i64>,
}

impl Lease {
    /// Opens the lock file and takes an owner byte that nobody holds.
    pub fn acquire(path: &Path) -> Result<Self> {
        let shown = path.display().to_string();
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(Error::io("open", shown.clone()))?;
        loop {
            let owner = 1 + id::random_number() % (OWNER_COUNT - 1);
            if sys::try_lock_byte(&file, OWNERS + owner as u64, LockKind::Exclusive)
                .map_err(Error::io("lock", shown.clone()))?
            {
                return Ok(Self { file: Arc::new(file), owner, held: Arc::default() });
            }
        }
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// The byte that those lock who have a cell open.
    pub(super) fn open_byte(number: i64) -> u64 {
        CELL_OPEN + number as u64
    }

    /// This process's number.
    pub fn owner(&self) -> OwnerId {
        self.owner
    }

    /// Becomes the unit's one server; false if another process is.
    pub fn become_server(&self) -> io::Result<bool> {
        sys::try_lock_byte(&self.file, SERVER, LockKind::Exclusive)
    }

    /// Whether another process serves the unit.
    pub fn is_served(&self) -> io::Result<bool> {
        sys::byte_is_locked(&self.file, SERVER)
    }

    /// Whether an owner's process still lives.
    pub fn is_alive(&self, owner: OwnerId) -> io::Result<bool> {
        if owner == self.owner {
            return Ok(true);
        }
        if !(1..OWNER_COUNT).contains(&owner) {
            return Ok(false);
        }
        sys::byte_is_locked(&self.file, OWNERS + owner as u64)
    }

    /// Waits for the write lock of a cell. Within a process a cell has one writer, so this excludes other processes only.
    pub fn lock_cell(&self, number: i64) -> io::Result<CellLock> {
        sys::lock_byte(&self.file, CELL_WRITE + number as u64, LockKind::Exclusive)?;
        Ok(CellLock { lease: self.clone(), number })
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that this process has the cell open once more; false while somebody has it alone, be it in this process.
    pub fn hold_open(&self, number: i64) -> io::Result<bool> {
        let mut held = self.held();
        if held.alone.contains(&number) {
            return Ok(false);
        }
        let count = held.open.entry(number).or_default();
        if *count == 0 && !sys::try_lock_byte(&self.file, CELL_OPEN + number as u64, LockKind::Shared)? {
            return Ok(false);
        }
        *count += 1;
        Ok(true)
    }

    /// Takes back one [`Self::hold_open`].
    pub fn release_open(&self, number: i64) -> io::Result<()> {
        let mut held = self.held();
        let count = held.open.entry(number).or_default();
        *count = count.saturating_sub(1);
        if *count == 0 {
            held.open.remove(&number);
            if !held.alone.contains(&number) {
                sys::unlock_byte(&self.file, CELL_OPEN + number as u64)?;
            }
        }
        Ok(())
    }

    /// Takes a cell from all other processes; false while one has it open or somebody here has it alone already. Who has it
    /// open in this process keeps it; nobody opens it anew.
    pub fn take_alone(&self, number: i64) -> io::Result<bool> {
        let mut held = self.held();
        if held.alone.contains(&number)
            || !sys::try_lock_byte(&self.file, CELL_OPEN + number as u64, LockKind::Exclusive)?
        {
            return Ok(false);
        }
        held.alone.insert(number);
        Ok(true)
    }

    /// Ends [`Self::take_alone`]; what this process still has open stays held.
    pub fn end_alone(&self, number: i64) -> io::Result<()> {
        let mut held = self.held();
        held.alone.remove(&number);
        if held.open.contains_key(&number) {
            sys::lock_byte(&self.file, CELL_OPEN + number as u64, LockKind::Shared)
        } else {
            sys::unlock_byte(&self.file, CELL_OPEN + number as u64)
        }
    }
}

/// The write lock of one cell, given back on drop.
#[derive(Debug)]
pub struct CellLock {
    lease: Lease,
    number: i64,
}

impl Drop for CellLock {
    fn drop(&mut self) {
        if let Err(e) = sys::unlock_byte(&self.lease.file, CELL_WRITE + self.number as u64) {
            tracing::error!(error = %e, cell = self.number, "cannot unlock the cell");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_a_cell_alone_excludes_the_own_process_too() {
        let dir = tempfile::tempdir().expect("a directory");
        let lease = Lease::acquire(&dir.path().join("lock")).expect("a lease");
        assert!(lease.hold_open(7).expect("an answer"));
        assert!(lease.take_alone(7).expect("an answer"), "what is open here already is no hindrance");
        assert!(!lease.hold_open(7).expect("an answer"));
        assert!(!lease.take_alone(7).expect("an answer"));
        lease.release_open(7).expect("released");
        let other = Lease::acquire(&dir.path().join("lock")).expect("a lease");
        assert!(!other.hold_open(7).expect("an answer"), "still held alone");
        lease.end_alone(7).expect("released");
        assert!(lease.hold_open(7).expect("an answer"));
        assert!(other.hold_open(7).expect("an answer"));
    }
}
