//! Archives that somebody reads or may resume: equal requests share one, and a download that broke finds its old one again.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{Archive, Request, locked};
use crate::base::clock;
use crate::storage::{Cell, Result};

/// Archives kept for those who may resume them: each holds three descriptors.
pub(super) const KEPT: usize = 64;

/// The live archives of a process.
#[derive(Debug)]
pub struct LiveArchives {
    archives: Mutex<Vec<Arc<Archive>>>,
    keep: Duration,
}

impl LiveArchives {
    /// `keep`: how long an archive that nobody reads can still be resumed.
    pub fn new(keep: Duration) -> Self {
        Self { archives: Mutex::default(), keep }
    }

    /// The archive of the box as it is; `etag` is what [`super::current_etag`] has just said. Blocks.
    pub fn current(&self, cell: &Arc<Cell>, request: &Request, etag: &str) -> Result<Arc<Archive>> {
        self.sweep();
        if let Some(archive) = self.find(cell, &request.box_name, etag) {
            return Ok(archive);
        }
        let archive = Arc::new(Archive::build(cell, request)?);
        // What was built may be of a later moment than the tag that was looked for.
        if let Some(other) = self.find(cell, &request.box_name, archive.etag()) {
            return Ok(other);
        }
        locked(&self.archives).push(archive.clone());
        self.sweep();
        Ok(archive)
    }

    /// A live archive of the box with this tag, quotes included.
    pub fn find(&self, cell: &Cell, box_name: &str, etag: &str) -> Option<Arc<Archive>> {
        let archives = locked(&self.archives);
        let found = archives
            .iter()
            .find(|a| a.etag == etag && a.box_name == box_name && a.cell.number() == cell.number() && !a.is_broken())?;
        found.touch();
        Some(found.clone())
    }

    /// Lets go of what nobody reads and nobody will resume.
    pub fn sweep(&self) {
        let oldest = clock::now_ms() - i64::try_from(self.keep.as_millis()).unwrap_or(i64::MAX / 2);
        let last_used = |a: &Arc<Archive>| a.last_used_ms.load(Ordering::Relaxed);
        let unread = |a: &Arc<Archive>| Arc::strong_count(a) == 1;
        let mut archives = locked(&self.archives);
        let (mut gone, mut kept): (Vec<_>, Vec<_>) =
            archives.drain(..).partition(|a| unread(a) && (last_used(a) < oldest || a.is_broken()));
        kept.sort_by_key(last_used);
        let mut excess = kept.len().saturating_sub(KEPT);
        gone.extend(kept.extract_if(.., |a| {
            let drop = excess > 0 && unread(a);
            excess -= usize::from(drop);
            drop
        }));
        *archives = kept;
        drop(archives);
        // Dropped outside the lock: each releases its pin.
        drop(gone);
    }

    /// Lets go of all that nobody reads, resumable or not: what they pin is needed room on a full disk.
    pub fn let_go_of_unread(&self) {
        let mut archives = locked(&self.archives);
        let (unread, kept): (Vec<_>, Vec<_>) = archives.drain(..).partition(|a| Arc::strong_count(a) == 1);
        *archives = kept;
        drop(archives);
        drop(unread);
    }

    /// How often [`Self::sweep`] is worth while.
    pub fn sweep_interval(&self) -> Duration {
        (self.keep / 4).clamp(Duration::from_millis(250), Duration::from_secs(10))
    }
}
