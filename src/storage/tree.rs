//! Paths below a cell's directory, walked so that nothing leads out of it.
//!
//! Every lookup goes through `openat2` with RESOLVE_BENEATH, NO_SYMLINKS and NO_XDEV, in pieces shorter than PATH_MAX; where a
//! sandbox forbids that call, component by component with NOFOLLOW. Files open with NONBLOCK and must be regular.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat, StatxAttributes, StatxFlags};
use rustix::io::{Errno, ReadWriteFlags};

/// Longest piece of a path given to the kernel at once.
const PIECE: usize = 3900;

static OPENAT2_FORBIDDEN: AtomicBool = AtomicBool::new(false);

/// What tells one content of a file from another without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    pub ino: i64,
    pub size: i64,
    pub mtime_ns: i64,
}

impl Identity {
    pub fn of(stat: &Stat) -> Self {
        Self { ino: stat.st_ino as i64, size: stat.st_size, mtime_ns: mtime_ns(stat) }
    }
}

/// Modification time in nanoseconds since 1970.
#[allow(clippy::unnecessary_cast, reason = "the field's type differs between architectures")]
pub fn mtime_ns(stat: &Stat) -> i64 {
    (stat.st_mtime as i64).saturating_mul(1_000_000_000).saturating_add(stat.st_mtime_nsec as i64)
}

fn open_piece(dir: BorrowedFd<'_>, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    if !OPENAT2_FORBIDDEN.load(Ordering::Relaxed) {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        match rustix::fs::openat2(dir, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(Errno::NOSYS | Errno::PERM) => OPENAT2_FORBIDDEN.store(true, Ordering::Relaxed),
            done => return done,
        }
    }
    let device = rustix::fs::fstat(dir)?.st_dev;
    let mut current: Option<OwnedFd> = None;
    let mut rest = path.split('/').peekable();
    while let Some(name) = rest.next() {
        let step = if rest.peek().is_some() { OFlags::PATH | OFlags::DIRECTORY } else { flags };
        let at = current.as_ref().map_or(dir, AsFd::as_fd);
        let next = rustix::fs::openat(at, name, step | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        if rustix::fs::fstat(&next)?.st_dev != device {
            return Err(Errno::XDEV);
        }
        current = Some(next);
    }
    current.ok_or(Errno::NOENT)
}

/// Opens `path`, a sequence of names joined by slashes, below `dir`.
pub fn open_beneath(dir: BorrowedFd<'_>, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    let mut current: Option<OwnedFd> = None;
    let mut rest = path;
    while rest.len() > PIECE {
        let cut = rest[..floor_boundary(rest, PIECE)].rfind('/').ok_or(Errno::NAMETOOLONG)?;
        let at = current.as_ref().map_or(dir, AsFd::as_fd);
        current = Some(open_piece(at, &rest[..cut], OFlags::PATH | OFlags::DIRECTORY)?);
        rest = &rest[cut + 1..];
    }
    let at = current.as_ref().map_or(dir, AsFd::as_fd);
    open_piece(at, rest, flags)
}

fn floor_boundary(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Opens a directory for reading, syncing and as the anchor of renames.
pub fn open_dir(dir: BorrowedFd<'_>, path: &str) -> Result<OwnedFd, Errno> {
    open_beneath(dir, path, OFlags::RDONLY | OFlags::DIRECTORY)
}

/// Opens a regular file for reading; anything else there is `ENOENT`, as if it were not served at all.
pub fn open_file(dir: BorrowedFd<'_>, path: &str) -> Result<(File, Stat), Errno> {
    let fd = match open_beneath(dir, path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::NOCTTY) {
        // A link, a socket, a device without a driver, or a step through something that is no directory.
        Err(Errno::LOOP | Errno::NXIO | Errno::NOTDIR | Errno::XDEV | Errno::NODEV) => return Err(Errno::NOENT),
        other => other?,
    };
    let stat = rustix::fs::fstat(&fd)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Errno::NOENT);
    }
    Ok((fd.into(), stat))
}

/// As [`open_file`], where every step of the path is in the kernel's memory; else nothing, as for any failure.
pub fn open_file_now(dir: BorrowedFd<'_>, path: &str) -> Option<(File, Stat)> {
    if path.len() > PIECE || OPENAT2_FORBIDDEN.load(Ordering::Relaxed) {
        return None;
    }
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::NOCTTY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV | ResolveFlags::CACHED;
    let fd = rustix::fs::openat2(dir, path, flags, Mode::empty(), resolve).ok()?;
    let stat = rustix::fs::fstat(&fd).ok()?;
    (FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile).then(|| (fd.into(), stat))
}

/// The status of a directory, where every step of the path is in the kernel's memory; else nothing, as for any failure.
pub fn stat_dir_now(dir: BorrowedFd<'_>, path: &str) -> Option<Stat> {
    if path.len() > PIECE || OPENAT2_FORBIDDEN.load(Ordering::Relaxed) {
        return None;
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV | ResolveFlags::CACHED;
    let fd = rustix::fs::openat2(dir, path, flags, Mode::empty(), resolve).ok()?;
    rustix::fs::fstat(&fd).ok()
}

/// Reads what the kernel holds in memory of a file; `WouldBlock` where that is nothing of this.
pub fn read_now(file: &File, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::io::preadv2(file, &mut [io::IoSliceMut::new(buf)], offset, ReadWriteFlags::NOWAIT)?)
}

/// The status of a name in a directory, links not followed; none if nothing is there.
pub fn stat_name(dir: BorrowedFd<'_>, name: &str) -> Result<Option<Stat>, Errno> {
    match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT | Errno::NAMETOOLONG) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Whether another file system, or another part of this one, is mounted at a name.
pub fn is_mount(dir: BorrowedFd<'_>, name: &str) -> Result<bool, Errno> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    match rustix::fs::statx(dir, name, flags, StatxFlags::empty()) {
        Ok(status) if status.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT) => {
            Ok(status.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
        }
        // Older kernels and sandboxes tell file systems apart, as `open_piece` does there.
        Ok(_) | Err(Errno::NOSYS | Errno::PERM) => {
            Ok(rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?.st_dev != rustix::fs::fstat(dir)?.st_dev)
        }
        Err(e) => Err(e),
    }
}

/// The directory part and the last name of a path with at least two names.
pub fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// The names in a directory that are UTF-8, with their kind as the directory tells it.
pub fn read_names(dir: BorrowedFd<'_>) -> io::Result<Vec<(String, FileType)>> {
    let mut names = Vec::new();
    each_name(dir, |name, kind| {
        names.push((name.to_owned(), kind));
        Ok::<_, io::Error>(())
    })?;
    Ok(names)
}

/// As [`read_names`], one after the other, for directories that may hold very many.
pub fn each_name<E: From<io::Error>>(
    dir: BorrowedFd<'_>,
    mut each: impl FnMut(&str, FileType) -> Result<(), E>,
) -> Result<(), E> {
    for entry in rustix::fs::Dir::read_from(dir).map_err(io::Error::from)? {
        let entry = entry.map_err(io::Error::from)?;
        if let Ok(name) = entry.file_name().to_str()
            && name != "."
            && name != ".."
        {
            each(name, entry.file_type())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn world() -> (tempfile::TempDir, OwnedFd) {
        let dir = tempfile::tempdir().expect("a directory");
        let fd = rustix::fs::open(dir.path(), OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).expect("opened");
        (dir, fd)
    }

    #[test]
    fn links_fifos_and_dots_are_not_there() {
        let (dir, fd) = world();
        std::fs::create_dir(dir.path().join("d")).expect("a directory");
        std::fs::write(dir.path().join("d/x"), b"x").expect("a file");
        symlink("x", dir.path().join("d/link")).expect("a link");
        symlink("/etc", dir.path().join("out")).expect("a link");
        rustix::fs::mknodat(&fd, "fifo", FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("a fifo");
        assert!(open_file(fd.as_fd(), "d/x").is_ok());
        for bad in ["d/link", "out/passwd", "fifo", "d", "d/x/y"] {
            assert_eq!(open_file(fd.as_fd(), bad).err(), Some(Errno::NOENT), "{bad}");
        }
        assert!(open_file(fd.as_fd(), "../x").is_err());
    }

    #[test]
    fn what_is_in_memory_is_read_without_waiting() {
        let (dir, fd) = world();
        std::fs::write(dir.path().join("x"), b"content").expect("a file");
        symlink("x", dir.path().join("link")).expect("a link");
        open_file(fd.as_fd(), "x").expect("a file");
        let (file, stat) = open_file_now(fd.as_fd(), "x").expect("what was just opened");
        assert_eq!(stat.st_size, 7);
        let mut buf = [0; 16];
        // Some file systems never promise not to wait.
        match read_now(&file, 3, &mut buf) {
            Ok(n) => assert_eq!(&buf[..n], b"tent"),
            Err(e) => assert!(matches!(e.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EAGAIN)), "{e}"),
        }
        for bad in ["link", "none", "x/y", "../x"] {
            assert!(open_file_now(fd.as_fd(), bad).is_none(), "{bad}");
        }
        std::fs::create_dir(dir.path().join("d")).expect("a directory");
        assert!(stat_dir_now(fd.as_fd(), "d").is_some());
        for bad in ["link", "none", "x", ".."] {
            assert!(stat_dir_now(fd.as_fd(), bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn paths_longer_than_path_max_are_walked_in_pieces() {
        let (_dir, fd) = world();
        let mut at = rustix::io::dup(&fd).expect("a descriptor");
        let name = "n".repeat(200);
        let mut path = Vec::new();
        for _ in 0..50 {
            rustix::fs::mkdirat(&at, &name, Mode::from_raw_mode(0o755)).expect("a directory");
            at = rustix::fs::openat(&at, &name, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).expect("opened");
            path.push(name.clone());
        }
        assert!(open_dir(fd.as_fd(), &path.join("/")).is_ok());
    }
}
