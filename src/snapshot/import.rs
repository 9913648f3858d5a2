//! A snapshot file becomes the content of a cell: all of it, or nothing.
//!
//! `SnapshotSource::open` checks the file before anything is promised. The content is built beside the cell, every byte of
//! it compared with its checksum on the way, and takes the cell's place at once when all of it is durable.

mod index;
mod objects;
mod resources;
mod source;

use std::collections::HashMap;
use std::time::Duration;

pub use source::SnapshotSource;

use self::objects::Restored;
use self::resources::Tree;
use super::failure::Failure;
use super::meta::{self, Meta};
use super::objects::{ACCOUNT, BOX_LIST};
use super::progress::Progress;
use super::{META, OWN_INSTALLS, OWN_LOG, WEBDAV, drives};
use crate::storage;
use crate::storage::cell::Cell;
use crate::storage::database::Tx;
use crate::storage::database::cell_root::CELL_ROOT;
use crate::storage::database::job::{INSTALL, Job, JobState};
use crate::storage::holders::Holder;
use crate::storage::rebuild::{AllFolders, Folders};
use crate::storage::unit::{CellRecord, Unit};

/// The name of the cell that a snapshot file was made of. Blocks.
pub fn named_cell(file: std::fs::File) -> Result<String, Failure> {
    source::named_cell(&file)
}

/// How long other processes have to let go of the cell.
const PATIENCE: Duration = Duration::from_secs(30);

const WHAT: &str = "read snapshot file";

/// The largest list of documents, in bytes; it is read at once.
const DOCUMENT: u64 = 256 << 20;
/// The largest description of a resource, in bytes.
const META_BYTES: u64 = 64 << 20;

/// What an import fails with inside a transaction.
#[derive(Debug)]
struct Stop(Failure);

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self(failure)
    }
}

impl From<storage::Error> for Stop {
    fn from(error: storage::Error) -> Self {
        Self(Failure::machine(WHAT)(error))
    }
}

/// Numbers for what is restored. Those of this cell's own snapshots stay; no number of the cell gets a second meaning.
#[derive(Debug)]
struct Numbers {
    /// Added to every number in the file.
    shift: i64,
    /// The last number that is in use.
    last: i64,
}

impl Numbers {
    fn kept(&self, number: i64) -> Option<i64> {
        number.checked_add(self.shift).filter(|n| (1..=self.last).contains(n))
    }

    fn new_one(&mut self) -> i64 {
        self.last += 1;
        self.last
    }
}

/// Builds the new content and lets it take the cell's place. Blocks.
pub(super) fn run(
    unit: &Unit,
    cell: &Cell,
    record: &CellRecord,
    source: &SnapshotSource,
    progress: &Progress,
) -> Result<(), Failure> {
    let (bytes, entries) = source.weight();
    progress.expect(bytes, entries);
    let used = cell.read(|v| v.meta_number("next_id")).map_err(Failure::machine(WHAT))?;
    let shift = if source.own().is_some_and(|own| own.uuid != record.uuid) { used } else { 0 };
    let last = used.max(source.own().map_or(0, |own| own.next_id.saturating_add(shift)));
    let mut numbers = Numbers { shift, last };
    let mut new = unit.new_cell(record).map_err(Failure::machine(WHAT))?;
    let tree = new.tree();
    let spool = Folders::new(new.spool().map_err(Failure::machine(WHAT))?);
    let restored = new.fill(|tx| restore(tx, &tree, source, &mut numbers, progress, spool));
    let folders = restored.map_err(|Stop(failure)| failure)?;
    let logs = source.logs()?;
    for (entry, path) in &logs {
        resources::store(source, &tree, entry, path)?;
        progress.add(entry.size, 1);
    }
    if progress.is_stopping() {
        return Err(super::failure::IMPORT_STOPPED);
    }
    let keep_log = !source.names_any(OWN_LOG);
    let mut held = Vec::new();
    let wait = |holders: Vec<Holder>| {
        held = holders.iter().map(ToString::to_string).collect();
        if progress.wait_for(held.clone()) {
            tracing::warn!(cell = record.name, holders = held.join(", "), "an import waits for other processes");
        }
        !progress.is_stopping()
    };
    let swapped = unit.swap_cell(record, new, &folders, keep_log, PATIENCE, wait);
    progress.wait_for(Vec::new());
    swapped.map_err(|error| match error {
        storage::Error::InUse if progress.is_stopping() => super::failure::IMPORT_STOPPED,
        storage::Error::InUse => Failure::Held(held.join(", ")),
        error => Failure::machine("replace cell")(error),
    })
}

/// Everything that rows tell, and the files of the boxes; returns the folders that were made.
fn restore(
    tx: &Tx<'_>,
    tree: &storage::rebuild::NewTree,
    source: &SnapshotSource,
    numbers: &mut Numbers,
    progress: &Progress,
    folders: Folders,
) -> Result<AllFolders, Stop> {
    let restored = objects::restore(tx, source, numbers)?;
    cell_root(tx, source, &restored)?;
    let folders = Tree { tx, target: tree, source, restored: &restored, progress, folders }.restore(numbers)?;
    installs(tx, source, &restored.boxes, numbers)?;
    if let Some(bytes) = source.find(drives::ENTRY, DOCUMENT)? {
        let account = |id: &str| restored.number(ACCOUNT, id);
        drives::restore(tx, &bytes, account, &restored.boxes, || numbers.new_one())?;
    }
    if let Some(own) = source.own() {
        let mut counters = tx.counters();
        counters.stamp = counters.stamp.max(own.stamp);
        tx.set_counters(counters);
    }
    let mut counters = tx.counters();
    counters.next_id = counters.next_id.max(numbers.last);
    tx.set_counters(counters);
    Ok(folders)
}

/// What the cell itself has: properties and access control.
fn cell_root(tx: &Tx<'_>, source: &SnapshotSource, restored: &Restored) -> Result<(), Stop> {
    let name = format!("{WEBDAV}{META}");
    let Some(bytes) = source.find(&name, META_BYTES)? else { return Ok(()) };
    let root = Meta::parse(&bytes, &name, &restored.roles)?;
    if root.kind != meta::CELL {
        return Err(Failure::Damaged(format!("{name}: it does not describe a cell")).into());
    }
    tx.set_acl(CELL_ROOT, &root.acl)?;
    for property in &root.properties {
        tx.set_property(CELL_ROOT, property)?;
    }
    tx.set_meta("root_version", root.version)?;
    tx.touch_cell_root()?;
    Ok(())
}

/// How the installations of the boxes had ended.
fn installs(
    tx: &Tx<'_>,
    source: &SnapshotSource,
    boxes: &HashMap<String, (i64, String)>,
    numbers: &mut Numbers,
) -> Result<(), Stop> {
    #[derive(serde::Deserialize)]
    struct Line {
        #[serde(rename = "box")]
        cell_box: String,
        failed: bool,
        started_ms: i64,
        ended_ms: Option<i64>,
        progress: i64,
        message: Option<String>,
    }
    if !source.is_as_written(&super::list_entry(BOX_LIST)) {
        return Ok(());
    }
    let bytes = source.find(OWN_INSTALLS, DOCUMENT)?.unwrap_or_default();
    for line in bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
        let wrong = || Failure::Damaged(format!("{OWN_INSTALLS}: a line cannot be read"));
        let Line { cell_box, failed, started_ms, ended_ms, progress, message } =
            serde_json::from_slice(line).map_err(|_| wrong())?;
        let (number, _) = boxes.get(&cell_box).ok_or_else(wrong)?;
        tx.insert_job(&Job {
            id: numbers.new_one(),
            kind: INSTALL.to_owned(),
            cell_box: Some(*number),
            state: if failed { JobState::Failed } else { JobState::Done },
            owner: tx.owner(),
            request_key: None,
            started_ms,
            ended_ms,
            progress,
            message,
            staged: None,
        })?;
    }
    Ok(())
}
