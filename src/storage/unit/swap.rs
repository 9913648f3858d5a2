//! A cell gets new content: another directory takes its place by one exchange of names, or everything stays as it was.

use std::time::{Duration, Instant};

use super::creation::build_cell;
use super::{CellRecord, Unit, discard, locked, open_directory};
use crate::base::{clock, id};
use crate::storage::error::{Error, Result};
use crate::storage::holders::Holder;
use crate::storage::rebuild::{AllFolders, NewCell};

/// How often another process that has the cell open is looked for.
const PAUSE: Duration = Duration::from_millis(50);
/// How often it is asked who that is.
const LOOK: Duration = Duration::from_millis(500);

impl Unit {
    /// Begins a cell that is to take the place of another; it has that one's identifier and owner, and an empty main box. It is removed
    /// when it is dropped.
    pub fn new_cell(&self, record: &CellRecord) -> Result<NewCell> {
        let path = self.root.join("staging").join(format!("{:x}-{}", self.lease.owner(), id::uuid22()));
        self.disk.point("build cell").map_err(Error::io("create", "a cell"))?;
        if let Err(e) = build_cell(&path, &record.uuid, record.owner.as_deref(), clock::now_ms()) {
            drop(std::fs::remove_dir_all(&path));
            return Err(e);
        }
        NewCell::of(path, self.disk.clone(), self.lease.owner())
    }

    /// Lets a new cell take the place of the one of this record. Its snapshot area and its own limit stay, with `keep_log` its
    /// event log too. Other processes that have the cell open have `patience` to let go, else the error is `InUse` and all
    /// is as before; `wait` is told who they are, as far as that can be known, and whether it returns true decides if they are
    /// waited for any longer. `folders` are the directories that were made in the new one.
    pub fn swap_cell(
        &self,
        record: &CellRecord,
        mut new: NewCell,
        folders: &AllFolders,
        keep_log: bool,
        patience: Duration,
        mut wait: impl FnMut(Vec<Holder>) -> bool,
    ) -> Result<()> {
        // Nearly everything is made durable while the old cell is still in use.
        new.settle()?;
        let _turn = Turn::begin(self, record.number);
        let deadline = Instant::now() + patience;
        let mut look = Instant::now();
        let alone = loop {
            match self.close_for_good(record) {
                Err(Error::InUse) if Instant::now() < deadline => {
                    if Instant::now() >= look {
                        if !wait(self.lease.holders(record.number)) {
                            return Err(Error::InUse);
                        }
                        look = Instant::now() + LOOK;
                    }
                    std::thread::sleep(PAUSE);
                }
                other => break other?,
            }
        };
        let path = self.cell_path(&record.name);
        new.take_over(&path, keep_log)?;
        new.seal(folders)?;
        let (cells, staging) = (open_directory(&self.root.join("cells"))?, open_directory(&self.root.join("staging"))?);
        let name = new.name();
        let mut index = locked(&self.index);
        index.find(&record.name)?.filter(|r| r.number == record.number).ok_or(Error::CellMissing)?;
        let exchange = || self.disk.exchange((&staging, &name), (&cells, &record.name));
        exchange().map_err(Error::io("exchange", record.name.clone()))?;
        let synced = [&cells, &staging].into_iter().try_for_each(|d| self.disk.sync_dir(std::os::fd::AsFd::as_fd(d)));
        if let Err(e) = synced {
            // Whoever is told that it failed finds what was there before.
            exchange().map_err(Error::io("exchange back", record.name.clone()))?;
            return Err(Error::io("sync", "cells")(e));
        }
        new.use_up();
        if let Err(e) = index.update(record.number, &record.name) {
            tracing::warn!(error = &e as &dyn std::error::Error, "the unit does not know when the cell was changed");
        }
        drop(index);
        drop(alone);
        drop(discard(vec![self.root.join("staging").join(name)]));
        Ok(())
    }
}

/// While a cell is exchanged, requests of this process wait for it.
struct Turn<'u> {
    unit: &'u Unit,
    number: i64,
}

impl<'u> Turn<'u> {
    fn begin(unit: &'u Unit, number: i64) -> Self {
        locked(&unit.swapping).insert(number);
        Self { unit, number }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        locked(&self.unit.swapping).remove(&self.number);
        self.unit.swapped.notify_all();
    }
}

impl Unit {
    /// Waits until a cell is not being exchanged any more; tells whether it was.
    pub(super) fn wait_for_swap(&self, number: i64) -> bool {
        let mut swapping = locked(&self.swapping);
        let mut waited = false;
        while swapping.contains(&number) {
            waited = true;
            swapping = self.swapped.wait(swapping).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        waited
    }
}
