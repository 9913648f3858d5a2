//! The members of an archive of a box, in two spools: records of one size, and names.

use std::io;

use crate::storage::cell::Version;
use crate::storage::spool::{Spool, SpoolWriter};
use crate::storage::tree::Identity;
use crate::storage::{Cell, Result};

/// Bytes of a record.
const SIZE: usize = 80;
/// Records read ahead.
const WINDOW: usize = 256;

/// What a member's bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Directory,
    /// One of the metadata that are kept in memory.
    Fixed(usize),
    Rootprops,
    /// A file of the box, in one of its versions.
    File(Version),
}

/// One member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// In the archive; a directory's ends with a slash.
    pub(super) name: String,
    pub(super) size: u64,
    /// Seconds since 1970.
    pub(super) mtime: i64,
    pub(super) crc: Option<u32>,
    pub(super) content: Content,
}

#[derive(Debug)]
pub(super) struct RecordsWriter {
    records: SpoolWriter,
    names: SpoolWriter,
    count: u64,
}

/// The list, on disk: some records, and maybe more behind them.
#[derive(Debug)]
pub(super) struct Records {
    table: Spool,
    names: Spool,
    count: u64,
    more: Option<Box<Records>>,
}

impl RecordsWriter {
    pub(super) fn new(cell: &Cell) -> Result<Self> {
        Ok(Self { records: cell.spool()?, names: cell.spool()?, count: 0 })
    }

    pub(super) fn push(&mut self, r: &Record) -> Result<()> {
        let at = self.names.append(r.name.as_bytes())?;
        let (kind, version) = match r.content {
            Content::Directory => (0, None),
            Content::Fixed(n) => (16 + n as u32, None),
            Content::Rootprops => (1, None),
            Content::File(v) => (2, Some(v)),
        };
        let v = version.unwrap_or(Version { id: 0, version: 0, identity: Identity { ino: 0, size: 0, mtime_ns: 0 } });
        let mut bytes = Vec::with_capacity(SIZE);
        bytes.extend_from_slice(&at.to_le_bytes());
        bytes.extend_from_slice(&(r.name.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&kind.to_le_bytes());
        bytes.extend_from_slice(&r.size.to_le_bytes());
        bytes.extend_from_slice(&r.mtime.to_le_bytes());
        bytes.extend_from_slice(&r.crc.map_or(u64::MAX, u64::from).to_le_bytes());
        for number in [v.id, v.version, v.identity.ino, v.identity.mtime_ns] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.resize(SIZE, 0);
        self.records.append(&bytes)?;
        self.count += 1;
        Ok(())
    }

    pub(super) fn finish(self) -> Result<Records> {
        Ok(Records { table: self.records.finish()?, names: self.names.finish()?, count: self.count, more: None })
    }
}

impl Records {
    /// One list of two.
    pub(super) fn followed_by(self, more: Self) -> Self {
        Self { more: Some(Box::new(more)), ..self }
    }

    /// Where a record is: in this list itself or in what follows, and at which index there.
    fn part(&self, index: u64) -> (&Self, u64) {
        match &self.more {
            Some(more) if index >= self.count => more.part(index - self.count),
            _ => (self, index),
        }
    }

    fn total(&self) -> u64 {
        self.count + self.more.as_ref().map_or(0, |m| m.total())
    }

    /// Calls `each` for all records in their order.
    pub(super) fn each(&self, mut each: impl FnMut(&Record) -> io::Result<()>) -> io::Result<()> {
        let mut window = Window::default();
        for index in 0..self.total() {
            each(window.get(self, index)?)?;
        }
        Ok(())
    }
}

/// A reader of the list that goes mostly forward.
#[derive(Debug, Default)]
pub(super) struct Window {
    first: u64,
    records: Vec<Record>,
}

impl Window {
    pub(super) fn get(&mut self, list: &Records, index: u64) -> io::Result<&Record> {
        let inside = index >= self.first && index - self.first < self.records.len() as u64;
        if !inside {
            self.fill(list, index)?;
        }
        self.records.get((index - self.first) as usize).ok_or_else(|| io::ErrorKind::InvalidInput.into())
    }

    fn fill(&mut self, list: &Records, wanted: u64) -> io::Result<()> {
        let (list, index) = list.part(wanted);
        let count = (list.count.saturating_sub(index)).min(WINDOW as u64) as usize;
        let mut bytes = vec![0; count * SIZE];
        list.table.read_exact_at(index * SIZE as u64, &mut bytes)?;
        let number = |r: &[u8], at: usize| {
            u64::from_le_bytes(r[at..at + 8].try_into().expect("invariant: eight bytes were cut"))
        };
        let half =
            |r: &[u8], at: usize| u32::from_le_bytes(r[at..at + 4].try_into().expect("invariant: four bytes were cut"));
        let mut names = Vec::new();
        let (mut start, mut end) = (u64::MAX, 0);
        for r in bytes.chunks_exact(SIZE) {
            start = start.min(number(r, 0));
            end = end.max(number(r, 0) + u64::from(half(r, 8)));
        }
        if end > start {
            names.resize((end - start) as usize, 0);
            list.names.read_exact_at(start, &mut names)?;
        }
        self.first = wanted;
        self.records.clear();
        for r in bytes.chunks_exact(SIZE) {
            let from = (number(r, 0) - start) as usize;
            let name = String::from_utf8(names[from..from + half(r, 8) as usize].to_vec())
                .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
            let size = number(r, 16);
            let content = match half(r, 12) {
                0 => Content::Directory,
                1 => Content::Rootprops,
                2 => Content::File(Version {
                    id: number(r, 40) as i64,
                    version: number(r, 48) as i64,
                    identity: Identity { ino: number(r, 56) as i64, size: size as i64, mtime_ns: number(r, 64) as i64 },
                }),
                n => Content::Fixed(n as usize - 16),
            };
            let crc = u32::try_from(number(r, 32)).ok();
            self.records.push(Record { name, size, mtime: number(r, 24) as i64, crc, content });
        }
        Ok(())
    }
}
