//! Room on the disk that is kept for what must work when there is no other: removing things, looking at them, and starting.
//!
//! It is a file whose bytes nobody reads. When next to nothing is free it is given up, and it is kept again once there is room.
//! As long as it is not kept, nothing that needs room of its own should begin, or the next to remove something finds none.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

/// Bytes that are kept, at most; on a small disk it is a share.
const MOST: u64 = 8 << 20;
const SHARE: u64 = 32;
/// Bytes that need not be free before the room is given up.
const LITTLE: u64 = 1 << 20;

/// The kept room of a unit.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reserve {
    /// None where there is no such file, and none can be made.
    file: Option<Arc<File>>,
}

impl Reserve {
    /// Opens the file; `make` says that it is created where it is not there.
    pub(crate) fn open(path: &Path, make: bool) -> Self {
        match File::options().write(true).create(make).truncate(false).open(path) {
            Ok(file) => Self { file: Some(Arc::new(file)) },
            Err(e) => {
                if make {
                    tracing::warn!(error = %e, path = %path.display(), "no room is kept for a full disk");
                }
                Self::default()
            }
        }
    }

    /// Whether room is kept, now that it has been tried. True where there is no file for it.
    pub(crate) fn keep(&self) -> bool {
        let Some(file) = &self.file else { return true };
        let kept = (|| -> rustix::io::Result<bool> {
            let vfs = rustix::fs::fstatvfs(file)?;
            let size = MOST.min(vfs.f_blocks.saturating_mul(vfs.f_frsize) / SHARE);
            if rustix::fs::fstat(file)?.st_size as u64 >= size {
                return Ok(true);
            }
            if vfs.f_bavail.saturating_mul(vfs.f_frsize) < size + size / 4 {
                return Ok(false);
            }
            match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, size) {
                Ok(()) => Ok(true),
                Err(Errno::OPNOTSUPP) => fill(file, size).map(|()| true),
                Err(e) => Err(e),
            }
        })();
        kept.unwrap_or_else(|e| {
            tracing::warn!(error = %e, "no room is kept for a full disk");
            self.give_up();
            false
        })
    }

    /// Gives the room up where next to nothing else is free.
    pub(crate) fn use_if_needed(&self) {
        let Some(file) = &self.file else { return };
        let Ok(vfs) = rustix::fs::fstatvfs(file) else { return };
        let little = LITTLE.min(vfs.f_blocks.saturating_mul(vfs.f_frsize) / SHARE);
        if vfs.f_bavail.saturating_mul(vfs.f_frsize) < little && self.give_up() {
            tracing::warn!("the disk is full: what was kept is used now, for removing things and looking at them");
        }
    }

    /// Whether there was anything to give up.
    fn give_up(&self) -> bool {
        let Some(file) = &self.file else { return false };
        rustix::fs::fstat(file).is_ok_and(|stat| stat.st_size > 0) && rustix::fs::ftruncate(file, 0).is_ok()
    }
}

/// Takes room by writing, where it cannot be asked for.
fn fill(file: &File, size: u64) -> rustix::io::Result<()> {
    let piece = vec![0; 64 * 1024];
    let mut at = 0;
    while at < size {
        let n = piece.len().min((size - at) as usize);
        at += rustix::io::pwrite(file, &piece[..n], at)? as u64;
    }
    Ok(())
}
