//! Packing: content is read and compressed by several threads, and written by one, in order.
//!
//! Small members are packed many at a time, each as a whole; a large one is cut into pieces. What is in memory is bounded:
//! a few tasks of a few MiB for each thread.

use std::sync::Arc;

use super::WHAT;
use super::crew::Crew;
use super::item::Item;
use super::reader::broken_spool;
use super::task::{Done, Hand, Planner, put_line};
use crate::archive::{Packed, Writer};
use crate::snapshot::failure::{EXPORT_STOPPED, Failure};
use crate::snapshot::progress::Progress;
use crate::storage::Cell;
use crate::storage::area::NewSnapshot;
use crate::storage::spool::{Spool, SpoolWriter};

/// Threads of one export.
const THREADS: usize = 8;
/// Bytes of a spool read at once.
const READ: usize = 1 << 20;

/// What all of an export shares.
pub(super) struct Terms<'a> {
    pub(super) cell: &'a Arc<Cell>,
    pub(super) level: u32,
    pub(super) progress: &'a Progress,
}

/// The archive that is being written.
pub(super) struct Packer<'a> {
    terms: &'a Terms<'a>,
    out: &'a mut NewSnapshot,
    writer: Writer,
    central: SpoolWriter,
    /// The lines of the list of entries.
    list: Option<SpoolWriter>,
    /// The large member of which some pieces are written: its header's place, what is known, and its checksum so far.
    large: Option<(u64, Packed, crc32fast::Hasher)>,
    /// Central records and lines on their way to the spools.
    buffer: Vec<u8>,
}

impl<'a> Packer<'a> {
    pub(super) fn new(terms: &'a Terms<'a>, out: &'a mut NewSnapshot) -> Result<Self, Failure> {
        let spool = || terms.cell.spool().map_err(Failure::machine(WHAT));
        let (central, list) = (spool()?, Some(spool()?));
        Ok(Self { terms, out, writer: Writer::new(), central, list, large: None, buffer: Vec::new() })
    }

    /// Packs what `next` gives, to its end.
    pub(super) fn pack(&mut self, next: &mut dyn FnMut() -> Result<Option<Item>, Failure>) -> Result<(), Failure> {
        let terms = self.terms;
        let threads = std::thread::available_parallelism().map_or(2, usize::from).clamp(1, THREADS);
        let mut planner = Planner::new(terms, next);
        let crew = Crew { threads, hand: || Hand::new(terms), make: Hand::make };
        crew.run(
            || if terms.progress.is_stopping() { Err(EXPORT_STOPPED) } else { planner.task() },
            |done: Result<Done, Failure>| self.write(done?),
        )
    }

    fn write(&mut self, done: Done) -> Result<(), Failure> {
        match done {
            Done::Members { bytes, members, lines } => {
                let start = self.out.size();
                self.append(&bytes)?;
                for (member, at) in members {
                    self.terms.progress.add(member.size, 1);
                    self.writer.put_central(&mut self.buffer, &member, start + at);
                }
                self.note(&lines)?;
            }
            Done::Piece { of, offset, length, bytes, crc } => {
                if offset == 0 {
                    let member = of.item.packed(of.method);
                    let mut header = Vec::new();
                    member.put_local(&mut header);
                    self.large = Some((self.out.size(), member, crc32fast::Hasher::new()));
                    self.append(&header)?;
                }
                self.append(&bytes)?;
                self.terms.progress.add(length, 0);
                let (at, mut member, mut hasher) = self.large.take().ok_or(Failure::Unknown)?;
                hasher.combine(&crc);
                member.compressed += bytes.len() as u64;
                if offset + length < member.size {
                    self.large = Some((at, member, hasher));
                } else {
                    member.crc = hasher.finalize();
                    of.check(member.crc)?;
                    let mut header = Vec::new();
                    member.put_local(&mut header);
                    self.out.patch(at, &header).map_err(Failure::machine(WHAT))?;
                    self.terms.progress.add(0, 1);
                    self.writer.put_central(&mut self.buffer, &member, at);
                    let mut line = Vec::new();
                    put_line(&mut line, &member, of.item.note);
                    self.note(&line)?;
                }
            }
        }
        self.spool()
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.out.write(bytes).map_err(Failure::machine(WHAT))
    }

    /// Notes members that are written.
    fn note(&mut self, lines: &[u8]) -> Result<(), Failure> {
        let Some(list) = &mut self.list else { return Ok(()) };
        list.append(lines).map(drop).map_err(Failure::machine(WHAT))
    }

    fn spool(&mut self) -> Result<(), Failure> {
        self.central.append(&self.buffer).map_err(Failure::machine(WHAT))?;
        self.buffer.clear();
        Ok(())
    }

    /// The list of all entries so far.
    pub(super) fn entries(&mut self) -> Result<Spool, Failure> {
        let list = self.list.take().ok_or(Failure::Unknown)?;
        list.finish().map_err(Failure::machine(WHAT))
    }

    /// Writes the directory.
    pub(super) fn finish(mut self) -> Result<(), Failure> {
        let start = self.out.size();
        let empty = self.terms.cell.spool().map_err(Failure::machine(WHAT))?;
        let central = std::mem::replace(&mut self.central, empty).finish().map_err(Failure::machine(WHAT))?;
        let (mut buffer, mut at) = (vec![0; READ], 0);
        loop {
            let n = central.read_at(at, &mut buffer).map_err(broken_spool)?;
            if n == 0 {
                break;
            }
            self.append(&buffer[..n])?;
            at += n as u64;
        }
        let mut end = Vec::new();
        self.writer.put_end(&mut end, start);
        self.append(&end)
    }
}
