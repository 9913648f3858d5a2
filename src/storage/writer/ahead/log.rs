//! What was answered and is not committed, as a killed process leaves it in the cell's file `ahead`.
//!
//! A frame for each batch: its length and its CRC-32, four bytes each, little endian, then JSON. The file begins anew after each commit;
//! a length of 0 ends it, and so does a frame that is not whole. What is committed already has numbers that the rows know.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt as _;

use serde::{Deserialize, Serialize};

use crate::storage::cell::Core;
use crate::storage::database::Resource;
use crate::storage::database::pending::{Step, Undo};
use crate::storage::error::{Error, Result};
use crate::storage::writer::batch::Planned;

/// The file in the cell's directory.
const NAME: &str = "ahead";
const HEADER: usize = 8;
/// Frames are much shorter.
const LONGEST: usize = 64 << 20;

/// What one frame tells.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Frame<D> {
    /// Operations in the order of their decisions, before their renames.
    Done(Vec<D>),
    /// Changes that were taken back, because their renames failed.
    Undone(Vec<i64>),
}

/// One operation: as in a pending row, with the row of the file that it put somewhere.
#[derive(Debug, Deserialize)]
pub(super) struct Put {
    pub(super) seq: i64,
    pub(super) steps: Vec<Step>,
    pub(super) undo: Vec<Undo>,
    pub(super) file: Resource,
}

/// The same as it is written.
#[derive(Debug, Serialize)]
struct PutRef<'p> {
    seq: i64,
    steps: &'p [Step],
    undo: &'p [Undo],
    file: &'p Resource,
}

/// The log of the one writer that has the cell's lock.
#[derive(Debug, Default)]
pub(super) struct Log {
    file: Option<File>,
    end: u64,
    frame: Vec<u8>,
}

impl Log {
    /// Begins anew.
    pub(super) fn begin(&mut self, core: &Core) -> Result<()> {
        if self.file.is_none() {
            self.file = Some(core.disk.open_private(core.dir.as_fd(), NAME).map_err(Error::io("open", NAME))?);
        }
        self.end = 0;
        Ok(())
    }

    /// Notes operations that are about to be renamed and answered.
    pub(super) fn write_done(&mut self, core: &Core, planned: &[Planned]) -> Result<()> {
        let puts = planned.iter().map(|p| {
            let file = p.operation.file().ok_or_else(|| Error::Inconsistent("a change without a file".to_owned()))?;
            Ok(PutRef { seq: p.seq, steps: &p.plan.steps, undo: &p.plan.undo, file })
        });
        let puts = puts.collect::<Result<Vec<_>>>()?;
        if puts.is_empty() { Ok(()) } else { self.write(core, &Frame::Done(puts)) }
    }

    pub(super) fn write_undone(&mut self, core: &Core, numbers: Vec<i64>) -> Result<()> {
        self.write(core, &Frame::<PutRef<'_>>::Undone(numbers))
    }

    fn write(&mut self, core: &Core, frame: &Frame<PutRef<'_>>) -> Result<()> {
        let Some(file) = &self.file else { return Err(Error::Inconsistent("a log that has not begun".to_owned())) };
        self.frame.clear();
        self.frame.resize(HEADER, 0);
        serde_json::to_writer(&mut self.frame, frame).expect("invariant: a frame is plain data");
        let body = &self.frame[HEADER..];
        let header = (u64::from(crc32fast::hash(body)) << 32 | body.len() as u64).to_le_bytes();
        self.frame[..HEADER].copy_from_slice(&header);
        // What comes after it is of an earlier time.
        let length = self.frame.len() as u64;
        self.frame.extend_from_slice(&[0; HEADER]);
        if let Err(e) = core.disk.write_at(file, &self.frame, self.end) {
            // Whoever recovers must not find what is answered with an error.
            drop(core.disk.write_at(file, &[0; HEADER], self.end));
            return Err(Error::io("write", NAME)(e));
        }
        self.end += length;
        Ok(())
    }

    /// Says that all of it is committed.
    pub(super) fn end(&mut self) {
        // If that fails, the numbers tell.
        if let Some(file) = &self.file {
            drop(file.write_all_at(&[0; HEADER], 0));
        }
        self.end = 0;
    }
}

/// The frames that some process has left, and the file; none where there are none.
pub(super) fn read(core: &Core) -> Result<Option<(File, Vec<Frame<Put>>)>> {
    let Some(file) = core.disk.open_there(core.dir.as_fd(), NAME).map_err(Error::io("open", NAME))? else {
        return Ok(None);
    };
    let mut frames = Vec::new();
    let mut at = 0;
    while let Some(body) = body_at(&file, at) {
        at += (HEADER + body.len()) as u64;
        let frame = serde_json::from_slice(&body);
        frames.push(frame.map_err(|e| Error::Inconsistent(format!("{NAME} cannot be read: {e}")))?);
    }
    Ok(if frames.is_empty() { None } else { Some((file, frames)) })
}

/// The body of a whole frame.
fn body_at(file: &File, at: u64) -> Option<Vec<u8>> {
    let mut header = [0; HEADER];
    file.read_exact_at(&mut header, at).ok()?;
    let header = u64::from_le_bytes(header);
    let length = (header & 0xffff_ffff) as usize;
    if length == 0 || length > LONGEST {
        return None;
    }
    let mut body = vec![0; length];
    file.read_exact_at(&mut body, at + HEADER as u64).ok()?;
    (u64::from(crc32fast::hash(&body)) == header >> 32).then_some(body)
}

/// Says that all that a log tells is committed.
pub(super) fn clear(file: &File) -> Result<()> {
    file.write_all_at(&[0; HEADER], 0).map_err(Error::io("write", NAME))
}
