//! A file, or a collection, as it was read a moment ago: whether rows and disk are still the same costs a number in shared memory
//! and one call of the kernel.
//!
//! The number stands for all rows of the cell (`storage/changes.rs`). The content is told by its inode, size and both times; that of
//! the inode's last change cannot be set, so not even an edit that restores everything else goes unnoticed. The path is followed
//! by name, because the file that it leads to must be the one that was read, wherever links may lead.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;

use rustix::fs::{AtFlags, Mode, OFlags, Stat};
use rustix::io::{Errno, ReadWriteFlags};

use super::cell::{Cell, Content};
use super::changes::ChangeNumber;
use super::database::Resource;
use super::database::cell_box::Lookup;
use super::tree::mtime_ns;
use crate::base::clock;

/// A moment of this process. What was seen of a file since then may be told to whoever asked before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

static MOMENTS: AtomicU64 = AtomicU64::new(0);

impl Moment {
    /// One that is later than all that were had so far.
    pub fn next() -> Self {
        Self(MOMENTS.fetch_add(1, SeqCst) + 1)
    }
}

/// What tells one state of a file or a directory from all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: i64,
    mtime_ns: i64,
    changed_ns: i64,
}

impl Stamp {
    #[allow(clippy::unnecessary_cast, reason = "the fields' types differ between architectures")]
    fn of(stat: &Stat) -> Self {
        let changed_ns = (stat.st_ctime as i64).saturating_mul(1_000_000_000).saturating_add(stat.st_ctime_nsec as i64);
        let (device, inode) = (stat.st_dev as u64, stat.st_ino as u64);
        Self { device, inode, size: stat.st_size, mtime_ns: mtime_ns(stat), changed_ns }
    }
}

/// How old the last change of a directory must be, in microseconds, before it tells the next one from it: there are kernels whose
/// clock for files goes by ticks of 10 ms.
const TICKS: i64 = 25_000;

/// A file or a collection with the moment of its rows.
#[derive(Debug)]
pub struct Known {
    number: ChangeNumber,
    moment: u64,
    /// From the unit's root.
    path: CString,
    stamp: Stamp,
    /// The last moment of which is known that the file was still the same after it.
    seen: AtomicU64,
}

impl Cell {
    /// What was opened, to be known again; none while the cell changes.
    pub fn know(&self, content: &Content) -> Option<Known> {
        let moment = content.moment?;
        let stamp = Stamp::of(&rustix::fs::fstat(&content.file).ok()?);
        self.known_as(&content.lookup, &content.resource, moment, stamp)
    }

    /// What a path led to by rows that were read after a moment of the cell, to be known again. A collection's directory must be as
    /// its rows say.
    pub fn know_rows(&self, lookup: &Lookup, moment: Option<u64>) -> Option<Known> {
        let stat = rustix::fs::lstat(self.core.path.join(lookup.disk_path())).ok()?;
        let stamp = Stamp::of(&stat);
        let settled = (0..=clock::now_us() - TICKS).contains(&(stamp.changed_ns / 1000));
        self.known_as(lookup, lookup.found().filter(|_| settled)?, moment?, stamp)
    }

    fn known_as(&self, lookup: &Lookup, row: &Resource, moment: u64, stamp: Stamp) -> Option<Known> {
        let path = Path::new("cells").join(self.core.path.file_name()?).join(lookup.disk_path());
        let path = CString::new(path.as_os_str().as_bytes()).ok()?;
        let same = if row.is_file() {
            (stamp.inode, stamp.size, stamp.mtime_ns) == (row.ino as u64, row.size, row.mtime_ns)
        } else {
            stamp.mtime_ns == self.core.known_mtime(row)
        };
        let known = Known { number: self.core.changes.clone(), moment, path, stamp, seen: AtomicU64::new(0) };
        (same && known.number.now() == Some(moment)).then_some(known)
    }
}

impl Known {
    pub fn size(&self) -> u64 {
        self.stamp.size.max(0) as u64
    }

    /// Whether neither the cell's rows nor what the path leads to had changed, at some time after a moment. Those who ask for the same after
    /// the same moment share one look at it.
    pub fn is_current(&self, after: Moment) -> bool {
        if self.number.now() != Some(self.moment) {
            return false;
        }
        if self.seen.load(SeqCst) >= after.0 {
            return true;
        }
        let now = MOMENTS.load(SeqCst);
        let Some(root) = self.number.root() else { return false };
        let stat = rustix::fs::statat(root, &self.path, AtFlags::SYMLINK_NOFOLLOW);
        let same = stat.is_ok_and(|stat| Stamp::of(&stat) == self.stamp);
        if same {
            self.seen.fetch_max(now, SeqCst);
        }
        same
    }

    /// The file, if nothing has changed.
    pub fn open(&self) -> Option<File> {
        if self.number.now() != Some(self.moment) {
            return None;
        }
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::NOCTTY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(self.number.root()?, &self.path, flags, Mode::empty()).ok()?;
        (Stamp::of(&rustix::fs::fstat(&fd).ok()?) == self.stamp).then(|| fd.into())
    }
}

/// Whether the last of these bytes, and so probably all, are in the kernel's memory.
pub fn is_at_hand(file: &File, offset: u64, length: u64) -> bool {
    let last = offset + length.saturating_sub(1);
    let read = rustix::io::preadv2(file, &mut [IoSliceMut::new(&mut [0])], last, ReadWriteFlags::NOWAIT);
    read != Err(Errno::AGAIN)
}

/// Brings bytes into the kernel's memory. Blocks.
pub fn fetch(file: &File, offset: u64, length: u64) {
    let mut buffer = vec![0; 256 * 1024];
    let mut done = 0;
    while done < length {
        let most = buffer.len().min((length - done) as usize);
        match rustix::io::pread(file, &mut buffer[..most], offset + done) {
            Ok(n @ 1..) => done += n as u64,
            // Whoever sends them meets the same.
            Ok(0) | Err(_) => return,
        }
    }
}

/// Lets the kernel send bytes of a file to a socket; how many it took. Nothing at the end of the file.
pub fn send(file: &File, socket: impl AsFd, offset: u64, length: usize) -> io::Result<usize> {
    let mut at = offset;
    Ok(rustix::fs::sendfile(socket, file, Some(&mut at), length)?)
}
