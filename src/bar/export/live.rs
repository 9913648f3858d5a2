//! Archives that somebody reads or may resume: equal requests share one, and a download that broke finds its old one again.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{Archive, Request, locked};
use crate::base::clock;
use crate::storage::{Cell, Result};

/// Archives that nobody reads but somebody may resume, at most: each holds its cell open, and a few descriptors.
const IDLE: usize = 48;

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
        self.add(archive.clone());
        Ok(archive)
    }

    /// Takes one in; the one that nobody has read for the longest time makes room.
    fn add(&self, archive: Arc<Archive>) {
        let mut archives = locked(&self.archives);
        archives.push(archive);
        let mut idle: Vec<(i64, usize)> = archives
            .iter()
            .enumerate()
            .filter(|(_, a)| Arc::strong_count(a) == 1)
            .map(|(at, a)| (a.last_used_ms.load(Ordering::Relaxed), at))
            .collect();
        idle.sort_unstable();
        let too_many = if idle.len() > IDLE { idle.first().map(|(_, at)| archives.swap_remove(*at)) } else { None };
        drop(archives);
        drop(too_many);
    }

    /// A live archive of the box with this tag, quotes included.
    pub fn find(&self, cell: &Cell, box_name: &str, etag: &str) -> Option<Arc<Archive>> {
        let archives = locked(&self.archives);
        let found =
            archives.iter().find(|a| a.etag == etag && a.box_name == box_name && a.cell.number() == cell.number())?;
        found.touch();
        Some(found.clone())
    }

    /// Lets go of what nobody reads and nobody will resume.
    pub fn sweep(&self) {
        let oldest = clock::now_ms() - i64::try_from(self.keep.as_millis()).unwrap_or(i64::MAX / 2);
        let idle = |a: &Arc<Archive>| Arc::strong_count(a) == 1 && a.last_used_ms.load(Ordering::Relaxed) < oldest;
        let mut archives = locked(&self.archives);
        let (gone, kept) = archives.drain(..).partition(idle);
        *archives = kept;
        drop(archives);
        // Dropped outside the lock: each releases its pin.
        let gone: Vec<Arc<Archive>> = gone;
        drop(gone);
    }

    /// How often [`Self::sweep`] is worth while.
    pub fn sweep_interval(&self) -> Duration {
        (self.keep / 4).clamp(Duration::from_millis(250), Duration::from_secs(10))
    }
}
