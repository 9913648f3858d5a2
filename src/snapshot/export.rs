//! One moment of a cell as a file.
//!
//! Taking the moment is one registered generation and one pass over the rows; the content of files is read afterwards, in the
//! versions of that moment, while everybody goes on working. Memory does not grow with the cell.

mod crew;
mod item;
mod moment;
mod pack;
mod reader;
mod task;

use std::collections::VecDeque;
use std::sync::Arc;

pub(super) use moment::Moment;

use self::item::Item;
use self::pack::{Packer, Terms};
use super::failure::Failure;
use super::progress::Progress;
use super::{OWN_ENTRIES, OWN_LOG};
use crate::storage::area::StagedSnapshot;
use crate::storage::unit::CellRecord;
use crate::storage::{Cell, area::NewSnapshot};

/// What an export is made of and for.
#[derive(Debug, Clone)]
pub struct ExportOf {
    pub record: CellRecord,
    /// With its trailing slash.
    pub unit_url: String,
    /// How hard to compress: 1, the fastest, to 9.
    pub level: u32,
}

const WHAT: &str = "create snapshot file";

/// Writes the snapshot; nobody sees it yet. Blocks.
pub(super) fn write(cell: &Arc<Cell>, of: &ExportOf, progress: &Progress) -> Result<StagedSnapshot, Failure> {
    let moment = Moment::take(cell, of).map_err(Failure::machine(WHAT))?;
    pack(cell, of, &moment, progress)
}

/// Writes a moment.
pub(super) fn pack(
    cell: &Arc<Cell>,
    of: &ExportOf,
    moment: &Moment,
    progress: &Progress,
) -> Result<StagedSnapshot, Failure> {
    let (bytes, entries) = moment.weight();
    progress.expect(bytes, entries);
    let mut out = cell.new_snapshot().map_err(Failure::machine(WHAT))?;
    let terms = Terms { cell, level: of.level, progress };
    let mut packer = Packer::new(&terms, &mut out)?;
    let (mut first, mut last) = (VecDeque::from(moment.head()), VecDeque::from(moment.tail()));
    let mut planned = moment.planned();
    packer.pack(&mut || {
        if let Some(item) = first.pop_front() {
            return Ok(Some(item));
        }
        match planned.next().map_err(Failure::machine(WHAT))? {
            Some(item) => Ok(Some(item)),
            None => Ok(last.pop_front()),
        }
    })?;
    let mut entries = Some(Item::spool(OWN_ENTRIES, moment.mtime(), packer.entries()?));
    packer.pack(&mut || Ok(entries.take()))?;
    packer.finish()?;
    sealed(out)
}

fn sealed(out: NewSnapshot) -> Result<StagedSnapshot, Failure> {
    out.finish().map_err(Failure::machine(WHAT))
}

/// The name in the archive of a file of the event log.
fn log_name(folder: &str, name: &str) -> String {
    format!("{OWN_LOG}{folder}/{name}")
}
