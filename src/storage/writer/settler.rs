//! The threads that make renames durable a little later, remove what nobody needs, and move write-ahead logs along.
//!
//! Two for a unit. They hold no lock: the renames they sync are done, and what they remove no row names any more.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
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
    pub(super) directories: Vec<Arc<OwnedFd>>,
    pub(super) seqs: Vec<i64>,
    pub(super) checkpoint: bool,
    pub(super) reply: Sender<Message>,
}

enum Job {
    Sync(SyncJob),
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
            Job::Sync(job) => sync(job),
            Job::Remove(core, gone) => reap::remove(&core, &gone),
            Job::Quit => return,
        }
    }
}

fn sync(job: SyncJob) {
    for directory in &job.directories {
        if let Err(e) = job.core.disk.sync_dir(directory.as_fd()) {
            // The pending rows stay, so nothing is lost. Later ones must not go before them, or a replay of these alone
            // would take back what came after.
            tracing::error!(error = %e, cell = job.core.name, "a directory cannot be synced");
            drop(job.reply.send(Message::Unsynced));
            return;
        }
    }
    drop(job.directories);
    drop(job.reply.send(Message::Settled(job.seqs)));
    if job.checkpoint
        && let Err(e) = schema::checkpoint(&job.core.path.join("cell.db"))
    {
        tracing::warn!(error = &e as &dyn std::error::Error, cell = job.core.name, "checkpoint");
    }
}
