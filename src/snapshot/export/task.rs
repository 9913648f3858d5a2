//! What the threads of an export do: tasks of many small members, or of a piece of a large one.

use std::sync::Arc;

use serde::Serialize;

use super::WHAT;
use super::item::Item;
use super::pack::Terms;
use super::reader::{Reader, Source, check};
use crate::archive::deflate::{Compressor, SAMPLE};
use crate::archive::{Method, Packed};
use crate::snapshot::MANIFEST;
use crate::snapshot::failure::Failure;
use crate::storage::{Cell, Error};

/// Members up to this size, in bytes, are packed whole.
const WHOLE: u64 = 2 << 20;
/// Bytes of a piece of a larger one.
const PIECE: u64 = 1 << 20;
/// Content and number of members that make a task.
const TASK_BYTES: u64 = 1 << 20;
const TASK_ITEMS: usize = 256;

/// A large member that is being written.
pub(super) struct Large {
    pub(super) item: Item,
    source: Source,
    pub(super) method: Method,
}

impl Large {
    /// Compares what was read with what is known, once all of it was read.
    pub(super) fn check(&self, crc: u32) -> Result<(), Failure> {
        if let Source::File(file, Some(version)) = &self.source
            && !Cell::is_still(file, version)
        {
            return Err(Failure::Broken(self.item.name.clone()));
        }
        check(&self.item, crc)
    }
}

/// Done by one thread, at once.
pub(super) enum Task {
    Members(Vec<Item>),
    Piece { of: Arc<Large>, offset: u64, length: u64 },
}

/// What has become of a task.
pub(super) enum Done {
    /// Headers and content, each member with its place in them, and their lines in the list of entries.
    Members {
        bytes: Vec<u8>,
        members: Vec<(Packed, u64)>,
        lines: Vec<u8>,
    },
    Piece {
        of: Arc<Large>,
        offset: u64,
        length: u64,
        bytes: Vec<u8>,
        crc: crc32fast::Hasher,
    },
}

/// A line of the list of entries.
#[derive(Serialize)]
struct Line<'m> {
    name: &'m str,
    size: u64,
    crc: &'m str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stamp: Option<i64>,
}

/// Appends the line of a member, if it has one.
pub(super) fn put_line(out: &mut Vec<u8>, member: &Packed, note: Option<(i64, i64)>) {
    if member.name.ends_with('/') || member.name == MANIFEST {
        return;
    }
    let crc = format!("{:08x}", member.crc);
    let (id, stamp) = note.unzip();
    let line = Line { name: &member.name, size: member.size, crc: &crc, id, stamp };
    serde_json::to_writer(&mut *out, &line).expect("invariant: a vector takes texts and numbers");
    out.push(b'\n');
}

/// Cuts the entries into tasks.
pub(super) struct Planner<'p> {
    terms: &'p Terms<'p>,
    next: &'p mut dyn FnMut() -> Result<Option<Item>, Failure>,
    /// Small members that make no task yet, and their bytes.
    items: Vec<Item>,
    bytes: u64,
    /// The large member that is being cut, and how far.
    large: Option<(Arc<Large>, u64)>,
}

impl<'p> Planner<'p> {
    pub(super) fn new(terms: &'p Terms<'p>, next: &'p mut dyn FnMut() -> Result<Option<Item>, Failure>) -> Self {
        Self { terms, next, items: Vec::new(), bytes: 0, large: None }
    }

    pub(super) fn task(&mut self) -> Result<Option<Task>, Failure> {
        loop {
            if let Some(piece) = self.piece() {
                return Ok(Some(piece));
            }
            let full = self.bytes >= TASK_BYTES || self.items.len() >= TASK_ITEMS;
            let next = if full { None } else { (self.next)()? };
            match next {
                Some(item) if item.size() > WHOLE => {
                    self.large = Some((Arc::new(self.open(item)?), 0));
                    if let Some(members) = self.members() {
                        return Ok(Some(members));
                    }
                }
                Some(item) => {
                    self.bytes += item.size();
                    self.items.push(item);
                }
                None => return Ok(self.members()),
            }
        }
    }

    fn members(&mut self) -> Option<Task> {
        self.bytes = 0;
        let items = std::mem::take(&mut self.items);
        (!items.is_empty()).then_some(Task::Members(items))
    }

    fn piece(&mut self) -> Option<Task> {
        let (of, offset) = self.large.take()?;
        let length = PIECE.min(of.item.size() - offset);
        if offset + length < of.item.size() {
            self.large = Some((of.clone(), offset + length));
        }
        Some(Task::Piece { of, offset, length })
    }

    /// Opens a large member. Whether it is compressed is told by a sample from its middle.
    fn open(&self, item: Item) -> Result<Large, Failure> {
        let source = Reader::new(self.terms.cell).open(&item)?;
        let mut sample = vec![0; SAMPLE];
        source.read(&item, (item.size() - SAMPLE as u64) / 2, &mut sample)?;
        let shrinks = Compressor::new(self.terms.level).shrinks(&sample);
        let method = if shrinks { Method::Deflated } else { Method::Stored };
        Ok(Large { item, source, method })
    }
}

/// What one who does tasks has at hand.
pub(super) struct Hand<'c> {
    compressor: Compressor,
    reader: Reader<'c>,
    buffer: Vec<u8>,
}

impl<'c> Hand<'c> {
    pub(super) fn new(terms: &Terms<'c>) -> Self {
        Self { compressor: Compressor::new(terms.level), reader: Reader::new(terms.cell), buffer: Vec::new() }
    }

    pub(super) fn make(&mut self, task: &Task) -> Result<Done, Failure> {
        match task {
            Task::Members(items) => self.members(items),
            Task::Piece { of, offset, length } => self.piece(of, *offset, *length),
        }
    }

    fn members(&mut self, items: &[Item]) -> Result<Done, Failure> {
        let Self { compressor, reader, buffer } = self;
        let (mut bytes, mut lines, mut data) = (Vec::new(), Vec::new(), Vec::new());
        let mut members = Vec::with_capacity(items.len());
        for item in items {
            reader.whole(item, buffer)?;
            data.clear();
            let method = compressor.pack(buffer, &mut data);
            let mut member = item.packed(method);
            member.crc = crc32fast::hash(buffer);
            check(item, member.crc)?;
            member.compressed = data.len() as u64;
            let at = bytes.len() as u64;
            member.put_local(&mut bytes);
            bytes.extend_from_slice(&data);
            put_line(&mut lines, &member, item.note);
            members.push((member, at));
        }
        Ok(Done::Members { bytes, members, lines })
    }

    fn piece(&mut self, of: &Arc<Large>, offset: u64, length: u64) -> Result<Done, Failure> {
        let Self { compressor, buffer, .. } = self;
        buffer.resize(length as usize, 0);
        of.source.read(&of.item, offset, buffer)?;
        let mut crc = crc32fast::Hasher::new();
        crc.update(buffer);
        let mut bytes = Vec::new();
        if of.method == Method::Stored {
            bytes.extend_from_slice(buffer);
        } else {
            let last = offset + length == of.item.size();
            let joined = compressor.piece(buffer, last, &mut bytes);
            joined.map_err(|e| Failure::machine(WHAT)(Error::Inconsistent(format!("{}: {e}", of.item.name))))?;
        }
        Ok(Done::Piece { of: of.clone(), offset, length, bytes, crc })
    }
}
