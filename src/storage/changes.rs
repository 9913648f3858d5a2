//! One number for each cell, shared by all processes of a unit: what was read of a cell's rows still holds while its number is
//! the same.
//!
//! The one who holds a cell's lock makes the number odd before rows change, and even after the renames that belong to them, before
//! anybody is answered: a new even number, or the old one where nothing changed that somebody may have kept. Odd means: keep
//! nothing. What a killed process left odd becomes a new even number when the next one has changed something; until then it stays
//! odd. The numbers begin anew with the file, which holds nothing that cannot be lost: without it nothing is kept.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicU64};

use rustix::fs::{FallocateFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::base::sys::SharedNumbers;

/// The file below the unit's root. It is sparse.
const FILE: &str = "generations";
/// Cells with a higher number have none here.
const CELLS: usize = 1 << 21;

/// The numbers of all cells of a unit.
#[derive(Debug, Clone)]
pub(crate) struct ChangeNumbers(Option<Shared>);

#[derive(Debug, Clone)]
struct Shared {
    numbers: Arc<SharedNumbers>,
    file: Arc<File>,
    /// The unit's root, from which the paths to files of its cells are short.
    root: Arc<OwnedFd>,
}

impl ChangeNumbers {
    /// The numbers of the unit at a root.
    pub(crate) fn open(root: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let opened = options.open(root.join(FILE));
        let (numbers, file) = opened.and_then(|file| Ok((SharedNumbers::map(&file, CELLS)?, file)))?;
        let root = rustix::fs::open(root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self(Some(Shared { numbers: Arc::new(numbers), file: Arc::new(file), root: Arc::new(root) })))
    }

    /// Without them a server keeps nothing. Whoever only writes must not do without: a server would not hear of its changes.
    pub(crate) fn none(why: &io::Error) -> Self {
        tracing::warn!(error = %why, file = FILE, "cannot be shared: nothing that was read is kept in memory");
        Self(None)
    }

    /// The number of one cell.
    pub(crate) fn of(&self, cell: i64) -> ChangeNumber {
        let index = usize::try_from(cell).unwrap_or(CELLS);
        let shared = self.0.clone().filter(|_| index < CELLS);
        let number = ChangeNumber { shared, index, placed: Arc::default() };
        if let Err(e) = number.place() {
            tracing::warn!(error = %e, file = FILE, "has no room: nothing that was read of a cell is kept in memory");
        }
        number
    }
}

/// The number of one cell.
#[derive(Debug, Clone)]
pub struct ChangeNumber {
    shared: Option<Shared>,
    index: usize,
    /// Whether the number is known to have its place on the disk.
    placed: Arc<AtomicBool>,
}

impl ChangeNumber {
    /// The root of the unit, where there are numbers.
    pub(crate) fn root(&self) -> Option<&OwnedFd> {
        Some(&self.shared.as_ref()?.root)
    }

    /// Sees to it that the number has its place on the disk. The file is sparse, and on a full disk a number that is written where there
    /// is no place ends the process by a signal.
    fn place(&self) -> Result<(), Errno> {
        let Some(shared) = self.shared.as_ref().filter(|_| !self.placed.load(SeqCst)) else { return Ok(()) };
        let at = (self.index * size_of::<u64>()) as u64;
        match rustix::fs::fallocate(&*shared.file, FallocateFlags::empty(), at, size_of::<u64>() as u64) {
            Ok(()) | Err(Errno::OPNOTSUPP) => {
                self.placed.store(true, SeqCst);
                Ok(())
            }
            Err(e) => Err(e),
        }
    }

    fn number(&self) -> Option<&AtomicU64> {
        let shared = self.shared.as_ref().filter(|_| self.placed.load(SeqCst))?;
        shared.numbers.get(self.index)
    }

    fn load(&self) -> Option<u64> {
        Some(self.number()?.load(SeqCst))
    }

    /// Where there was no room before there may be some now, and another process may have found it.
    fn store(&self, value: u64) {
        if self.place().is_ok()
            && let Some(number) = self.number()
        {
            number.store(value, SeqCst);
        }
    }

    /// The number, to be taken before rows are read; none while a change is under way.
    pub fn now(&self) -> Option<u64> {
        self.load().filter(|value| value.is_multiple_of(2))
    }

    /// Begins a change. For the one who holds the cell's lock, or has the cell alone.
    pub(crate) fn begin(&self) -> Changing {
        let _ = self.place();
        let before = self.load().unwrap_or(0);
        self.store(before | 1);
        Changing { number: self.clone(), before }
    }
}

/// A change under way. If it is dropped, something has changed.
#[derive(Debug)]
#[must_use]
pub(crate) struct Changing {
    number: ChangeNumber,
    before: u64,
}

impl Changing {
    /// Ends it without any change that somebody might have missed.
    pub(crate) fn end_unchanged(self) {
        if self.before.is_multiple_of(2) && self.number.load() == Some(self.before | 1) {
            self.number.store(self.before);
            std::mem::forget(self);
        }
    }
}

impl Drop for Changing {
    fn drop(&mut self) {
        // What another process read before this number had a place must not hold either.
        let _ = self.number.place();
        self.number.store((self.number.load().unwrap_or(0) | 1).wrapping_add(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(root: &Path) -> ChangeNumbers {
        ChangeNumbers::open(root).expect("numbers")
    }

    #[test]
    fn what_was_read_holds_until_a_change_begins() {
        let root = tempfile::tempdir().expect("a directory");
        let (ours, theirs) = (open(root.path()).of(7), open(root.path()).of(7));
        let read = ours.now().expect("nothing goes on");
        let change = theirs.begin();
        assert_eq!(ours.now(), None);
        change.end_unchanged();
        assert_eq!(ours.now(), Some(read));
        drop(theirs.begin());
        assert!(ours.now().is_some_and(|now| now != read));
        assert_eq!(open(root.path()).of(8).now(), Some(0));
    }

    #[test]
    fn what_a_killed_process_left_is_a_change() {
        let root = tempfile::tempdir().expect("a directory");
        let number = open(root.path()).of(7);
        let read = number.now().expect("nothing goes on");
        std::mem::forget(number.begin());
        assert_eq!(number.now(), None);
        number.begin().end_unchanged();
        assert!(number.now().is_some_and(|now| now != read));
    }

    #[test]
    fn a_place_that_is_found_later_counts_for_who_came_before() {
        let root = tempfile::tempdir().expect("a directory");
        let without = open(root.path()).of(7);
        // As it is for who opens the cell while the disk has no room for its number.
        without.placed.store(false, SeqCst);
        assert_eq!(without.now(), None);
        let theirs = open(root.path()).of(7);
        let read = theirs.now().expect("nothing goes on");
        let change = without.begin();
        assert_eq!(theirs.now(), None, "the change is seen");
        drop(change);
        assert!(theirs.now().is_some_and(|now| now != read));

        // The place is found while the change is under way.
        let late = open(root.path()).of(8);
        late.placed.store(false, SeqCst);
        let change = Changing { number: late, before: 0 };
        let theirs = open(root.path()).of(8);
        let read = theirs.now().expect("nothing is known to go on");
        drop(change);
        assert!(theirs.now().is_some_and(|now| now != read));
    }

    #[test]
    fn without_the_file_nothing_is_kept() {
        let missing = ChangeNumbers::open(Path::new("/nowhere/at/all")).expect_err("no such directory");
        let number = ChangeNumbers::none(&missing).of(7);
        assert_eq!(number.now(), None);
        drop(number.begin());
        assert_eq!(open(tempfile::tempdir().expect("a directory").path()).of(1 << 40).now(), None);
    }
}
