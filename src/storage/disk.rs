//! The seam below the store: every call that changes the disk goes through [`Disk`].
//!
//! In tests a `FaultPlan` counts these calls and lets the N-th fail, so that each step of each verb is seen failing.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt as _;

use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::private;

/// File systems of the kernel, by their numbers: ext4, XFS, Btrfs, tmpfs. Not overlayfs: what lies below it may be anything.
const SYNCED_WHOLE: [u64; 4] = [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994];

/// Those that end with the power: tmpfs, ramfs.
#[cfg(not(test))]
const VOLATILE: [u64; 2] = [0x0102_1994, 0x8584_58f6];

/// The calls that change the disk.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    #[cfg(test)]
    plan: Option<std::sync::Arc<FaultPlan>>,
}

/// Counts calls and fails one of them.
#[cfg(test)]
#[derive(Debug, Default)]
pub struct FaultPlan {
    /// The call that fails, counted from 1; 0 for none.
    pub fail_at: std::sync::atomic::AtomicUsize,
    pub calls: std::sync::atomic::AtomicUsize,
    pub failed: std::sync::Mutex<Option<&'static str>>,
    /// What fails when it is next called.
    pub fail_call: std::sync::Mutex<Option<&'static str>>,
    /// What panics when it is next called.
    pub panic_at: std::sync::Mutex<Option<&'static str>>,
    pub watcher: Watcher,
    /// The file system counts as one that ends with the power.
    pub volatile: bool,
}

/// Sees the disk before each call.
#[cfg(test)]
#[derive(Default)]
pub struct Watcher(pub std::sync::Mutex<Option<Watch>>);

#[cfg(test)]
type Watch = Box<dyn FnMut(&'static str) + Send>;

#[cfg(test)]
impl std::fmt::Debug for Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watcher")
    }
}

#[cfg(test)]
impl Disk {
    pub fn with_plan(plan: std::sync::Arc<FaultPlan>) -> Self {
        Self { plan: Some(plan) }
    }
}

impl Disk {
    /// A place where a test can make things fail; `Ok` otherwise.
    #[allow(clippy::unused_self, clippy::unnecessary_wraps, reason = "tests use both")]
    #[cfg_attr(not(test), allow(unused_variables, reason = "only a test looks at it"))]
    pub fn point(&self, what: &'static str) -> io::Result<()> {
        #[cfg(test)]
        if let Some(plan) = &self.plan {
            use std::sync::atomic::Ordering::SeqCst;
            let panics = plan.panic_at.lock().expect("invariant: no panic holds the lock").take_if(|at| *at == what);
            assert!(panics.is_none(), "injected panic at {what}");
            if let Some(watch) = &mut *plan.watcher.0.lock().expect("invariant: no panic holds the lock") {
                watch(what);
            }
            let n = plan.calls.fetch_add(1, SeqCst) + 1;
            let fails =
                plan.fail_call.lock().expect("invariant: no panic holds the lock").take_if(|call| *call == what);
            if fails.is_some() || n == plan.fail_at.load(SeqCst) {
                *plan.failed.lock().expect("invariant: no panic holds the lock") = Some(what);
                return Err(io::Error::other(format!("injected fault at {what}")));
            }
        }
        Ok(())
    }

    /// Creates a file that is not there yet.
    pub fn create(&self, dir: BorrowedFd<'_>, name: &str) -> io::Result<File> {
        self.create_with(dir, name, 0o644)
    }

    /// As [`Self::create`], for content that no other user of the machine may see.
    pub fn create_private(&self, dir: BorrowedFd<'_>, name: &str) -> io::Result<File> {
        self.create_with(dir, name, private::FILE)
    }

    fn create_with(&self, dir: BorrowedFd<'_>, name: &str, mode: u32) -> io::Result<File> {
        self.point("create")?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        Ok(rustix::fs::openat(dir, name, flags, Mode::from_raw_mode(mode))?.into())
    }

    /// Opens a file whose end every write goes to, created where it is not there.
    pub fn open_to_append(&self, dir: BorrowedFd<'_>, name: &str) -> io::Result<File> {
        self.point("open to append")?;
        let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::APPEND | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        Ok(rustix::fs::openat(dir, name, flags, Mode::from_raw_mode(0o644))?.into())
    }

    /// Opens a file that no other user of the machine may see, created where it is not there.
    pub fn open_private(&self, dir: BorrowedFd<'_>, name: &str) -> io::Result<File> {
        self.point("open")?;
        let flags = OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        Ok(rustix::fs::openat(dir, name, flags, Mode::from_raw_mode(private::FILE))?.into())
    }

    /// Opens a file for reading and writing if there is one.
    pub fn open_there(&self, dir: BorrowedFd<'_>, name: &str) -> io::Result<Option<File>> {
        match rustix::fs::openat(dir, name, OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty()) {
            Ok(file) => Ok(Some(file.into())),
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// Writes at a place of a file that is no user's.
    pub fn write_at(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        self.point("write at")?;
        file.write_all_at(bytes, at)
    }

    pub fn make_dir(&self, dir: BorrowedFd<'_>, name: &str) -> io::Result<()> {
        self.point("mkdir")?;
        Ok(rustix::fs::mkdirat(dir, name, Mode::from_raw_mode(0o755))?)
    }

    pub fn write_all(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        self.point("write")?;
        file.write_all(bytes)
    }

    /// Makes a file's content and length durable.
    pub fn sync_data(&self, file: &File) -> io::Result<()> {
        self.point("sync")?;
        file.sync_data()
    }

    /// Makes a directory's names durable.
    pub fn sync_dir(&self, dir: BorrowedFd<'_>) -> io::Result<()> {
        self.point("sync directory")?;
        Ok(rustix::fs::fsync(dir)?)
    }

    /// Whether [`Self::sync_file_system`] can be relied on: file systems in user space are not told of it.
    pub fn can_sync_file_system(&self, dir: BorrowedFd<'_>) -> bool {
        kind(dir).is_some_and(|kind| SYNCED_WHOLE.contains(&kind))
    }

    /// Whether there is nothing to be made durable: what the kernel has is all that there ever is. To a test that cuts the power every
    /// file system is a disk.
    pub fn is_volatile(&self, dir: BorrowedFd<'_>) -> bool {
        #[cfg(test)]
        return self.plan.as_ref().is_some_and(|plan| plan.volatile) && kind(dir).is_some();
        #[cfg(not(test))]
        kind(dir).is_some_and(|kind| VOLATILE.contains(&kind))
    }

    /// Makes everything on the file system of a directory durable.
    pub fn sync_file_system(&self, dir: BorrowedFd<'_>) -> io::Result<()> {
        self.point("sync file system")?;
        Ok(rustix::fs::syncfs(dir)?)
    }

    /// Renames; what is at the destination is never replaced.
    pub fn rename(&self, from: (&OwnedFd, &str), to: (&OwnedFd, &str)) -> io::Result<()> {
        self.point("rename")?;
        Ok(rustix::fs::renameat_with(from.0, from.1, to.0, to.1, RenameFlags::NOREPLACE)?)
    }

    /// Lets two names change places.
    pub fn exchange(&self, one: (&OwnedFd, &str), other: (&OwnedFd, &str)) -> io::Result<()> {
        self.point("exchange")?;
        Ok(rustix::fs::renameat_with(one.0, one.1, other.0, other.1, RenameFlags::EXCHANGE)?)
    }

    pub fn remove_file(&self, dir: BorrowedFd<'_>, name: &str) -> io::Result<()> {
        self.point("unlink")?;
        Ok(rustix::fs::unlinkat(dir, name, AtFlags::empty())?)
    }

    pub fn remove_dir(&self, dir: BorrowedFd<'_>, name: &str) -> io::Result<()> {
        self.point("rmdir")?;
        Ok(rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR)?)
    }

    /// Removes a file or a whole tree; nothing there is fine.
    pub fn remove_tree(&self, dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
        self.point("remove tree")?;
        match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
            Err(Errno::ISDIR | Errno::PERM) => {}
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(e) => return Err(e.into()),
        }
        remove_directory(dir, name)
    }
}

/// The number of a directory's file system.
fn kind(dir: BorrowedFd<'_>) -> Option<u64> {
    rustix::fs::fstatfs(dir).ok().map(|fs| fs.f_type as u64 & 0xffff_ffff)
}

/// A directory on the way down, with those of its subdirectories that are still to be removed.
struct Level {
    fd: OwnedFd,
    name: OsString,
    below: Vec<OsString>,
}

/// Removes a directory's content and itself, without following links and without recursion on the stack.
fn remove_directory(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    let enter = |at: BorrowedFd<'_>, name: &OsStr| -> io::Result<Level> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(at, name, flags, Mode::empty())?;
        let below = unlink_files(fd.as_fd())?;
        Ok(Level { fd, name: name.to_os_string(), below })
    };
    let mut stack = vec![enter(dir, name)?];
    while let Some(level) = stack.last_mut() {
        if let Some(below) = level.below.pop() {
            let next = enter(level.fd.as_fd(), &below)?;
            stack.push(next);
        } else {
            let done = stack.pop().expect("invariant: the stack has a last element");
            let parent = stack.last().map_or(dir, |level| level.fd.as_fd());
            rustix::fs::unlinkat(parent, &done.name, AtFlags::REMOVEDIR)?;
        }
    }
    Ok(())
}

/// Unlinks what is no directory; returns the directories that are left.
fn unlink_files(dir: BorrowedFd<'_>) -> io::Result<Vec<OsString>> {
    let mut directories = Vec::new();
    for entry in rustix::fs::Dir::read_from(dir)? {
        let entry = entry?;
        let bytes = entry.file_name().to_bytes();
        if bytes == b"." || bytes == b".." {
            continue;
        }
        let name = OsStr::from_bytes(bytes);
        match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(Errno::ISDIR | Errno::PERM) => directories.push(name.to_os_string()),
            Err(e) => return Err(e.into()),
        }
    }
    Ok(directories)
}
