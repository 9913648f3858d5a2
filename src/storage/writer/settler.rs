//! The threads that make renames durable a little later, remove what nobody needs, and move write-ahead logs along.
//!
//! Two for a unit. They hold no lock: the renames they sync are done, and what they remove no row names any more.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;

use super::Message;
use crate::storage::cell::Core;
use crate::storage::database::pending::Gone;
use crate::storage::database::schema;
use crate::storage::error::{Error, Result};
use crate::storage::reap;

/// Renames to be synced.
pub(super) struct SyncJob {
    pub(super) core: Arc<Core>,
    /// The files and directories to sync; without files, the whole file system.
    pub(super) files: Option<Vec<Arc<File>>>,
    pub(super) directories: Vec<Arc<OwnedFd>>,
    /// The pending rows that are superfluous then.
    pub(super) rows: Vec<i64>,
    pub(super) reply: Sender<Message>,
}

enum Job {
    Sync(SyncJob),
    /// The flag is lowered when it is done.
    Checkpoint(Arc<Core>, Arc<AtomicBool>),
    Remove(Arc<Core>, Vec<Gone>),
    Quit,
}

/// The way to a unit's settler. Removing has a thread of its own, so that no large tree keeps renames from settling.
#[derive(Debug, Clone)]
pub struct Settler {
    syncs: Sender<Job>,
    removals: Sender<Job>,
}

impl Settler {
    /// Starts the threads.
    pub fn start() -> Result<(Self, [JoinHandle<()>; 2])> {
        let (syncs, syncing) = start("settler")?;
        let (removals, removing) = start("remover")?;
        Ok((Self { syncs, removals }, [syncing, removing]))
    }

    /// Ends the threads once they have done what they were given.
    pub(crate) fn quit(&self) {
        drop(self.syncs.send(Job::Quit));
        drop(self.removals.send(Job::Quit));
    }

    pub(super) fn sync(&self, job: SyncJob) {
        drop(self.syncs.send(Job::Sync(job)));
    }

    pub(super) fn checkpoint(&self, core: Arc<Core>, under_way: Arc<AtomicBool>) {
        drop(self.syncs.send(Job::Checkpoint(core, under_way)));
    }

    pub(crate) fn remove(&self, core: Arc<Core>, gone: Vec<Gone>) {
        drop(self.removals.send(Job::Remove(core, gone)));
    }
}

fn start(name: &str) -> Result<(Sender<Job>, JoinHandle<()>)> {
    let (jobs, queue) = mpsc::channel();
    let thread = std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || work(&queue))
        .map_err(Error::io("start a thread", name))?;
    Ok((jobs, thread))
}

fn work(queue: &Receiver<Job>) {
    while let Ok(job) = queue.recv() {
        match job {
            Job::Sync(job) => {
                let (cell, reply) = (job.core.name.clone(), job.reply.clone());
                if panics(&cell, || sync(job)) {
                    drop(reply.send(Message::Unsynced));
                }
            }
            Job::Checkpoint(core, under_way) => {
                panics(&core.name, || checkpoint(&core));
                under_way.store(false, Ordering::Release);
            }
            Job::Remove(core, gone) => {
                panics(&core.name, || reap::remove(&core, &gone));
            }
            Job::Quit => return,
        }
    }
}

/// Whether a job for one cell panics. That must not end the thread, which works for all of them.
fn panics(cell: &str, job: impl FnOnce()) -> bool {
    let panicked = catch_unwind(AssertUnwindSafe(job)).is_err();
    if panicked {
        tracing::error!(cell, "the settler panicked");
    }
    panicked
}

fn sync(job: SyncJob) {
    if let Err(e) = sync_all(&job) {
        // The pending rows stay, so nothing is lost. Later ones must not go before them, or a replay of these alone would take
        // back what came after.
        tracing::error!(error = %e, cell = job.core.name, "what was written cannot be synced");
        drop(job.reply.send(Message::Unsynced));
        return;
    }
    drop((job.directories, job.files));
    drop(job.reply.send(Message::Settled(job.rows)));
}

fn checkpoint(core: &Core) {
    if let Err(e) = schema::checkpoint(&core.path.join("cell.db")) {
        tracing::warn!(error = &e as &dyn std::error::Error, cell = core.name, "checkpoint");
    }
}

fn sync_all(job: &SyncJob) -> std::io::Result<()> {
    let disk = &job.core.disk;
    job.core.syncs.run(|| {
        let Some(files) = &job.files else { return disk.sync_file_system(job.core.dir.as_fd()) };
        files.iter().try_for_each(|file| disk.sync_data(file))?;
        job.directories.iter().try_for_each(|directory| disk.sync_dir(directory.as_fd()))
    })
}
