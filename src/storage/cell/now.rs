//! Reading without waiting, for threads that others need: what the kernel and the database hold in memory, or nothing.
//!
//! Nothing here asks the writer, waits for a lock or opens a database. Whether rows are in memory cannot be asked of SQLite, so
//! only a file that was read a moment ago is tried at all.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::fd::AsFd;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use super::{Cell, Content, Leave, View, looked_up};
use crate::base::path::ResourcePath;
use crate::storage::database::Resource;
use crate::storage::tree;

/// Fingerprints of what was read last; each has one place.
pub(super) static READ: [AtomicU64; 4096] = [const { AtomicU64::new(0) }; 4096];

/// Where the fingerprint has its place.
pub(super) fn place(fingerprint: u64) -> usize {
    fingerprint as usize >> 1 & (READ.len() - 1)
}

impl Cell {
    pub(super) fn fingerprint(&self, box_name: &str, path: &ResourcePath) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.core.inode, self.core.number, box_name, path.segments()).hash(&mut hasher);
        hasher.finish() | 1
    }

    /// Remembers that a file was read, or that a resource was listed.
    pub fn was_read(&self, box_name: &str, path: &ResourcePath) {
        let fingerprint = self.fingerprint(box_name, path);
        READ[place(fingerprint)].store(fingerprint, Relaxed);
    }

    /// As [`Cell::open_content_if`], where that takes no waiting; else nothing, which says nothing about the file.
    pub fn open_content_now(&self, box_name: &str, path: &ResourcePath, may: Leave<'_>) -> Option<Content> {
        let fingerprint = self.fingerprint(box_name, path);
        if READ[place(fingerprint)].load(Relaxed) != fingerprint {
            return None;
        }
        if self.is_ahead() {
            return None;
        }
        let moment = self.core.changes.now();
        let conn = self.readers.take_now()?;
        let step = |sql| conn.prepare_cached(sql).and_then(|mut s| s.execute([])).is_ok();
        let lookup = step("BEGIN").then(|| looked_up(&View::new(&conn), box_name, path, may));
        // A connection that cannot end its transaction is closed.
        if !step("COMMIT") {
            return None;
        }
        self.readers.give(conn);
        let lookup = lookup?.ok()?;
        let resource = lookup.found().filter(|row| Resource::is_file(row)).cloned()?;
        let (file, stat) = tree::open_file_now(self.core.dir.as_fd(), &lookup.disk_path())?;
        (tree::Identity::of(&stat) == resource.identity()).then_some(Content { lookup, resource, file, moment })
    }
}
