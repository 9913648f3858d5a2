//! Records in the order of their keys, as many as there may be: sorted in pieces that fit in memory, which lie in a spool and are
//! merged when they are read. What comes in order already is not sorted again.

use std::cmp::Ordering;

use super::error::{Error, Result};
use super::spool::{Spool, SpoolWriter};

/// Bytes that are sorted in memory.
const PIECE: usize = 8 << 20;
/// Bytes of each run that are read at once.
const READ: usize = 64 << 10;
/// Bytes before a record: the lengths of its key and its value.
const HEAD: usize = 8;

/// Takes records in any order.
#[derive(Debug)]
pub struct Sorter {
    spool: SpoolWriter,
    /// Records that are not in the spool yet, and where each begins.
    piece: Vec<u8>,
    starts: Vec<u32>,
    ordered: bool,
    /// Where each run begins; the greatest key of the last one.
    runs: Vec<u64>,
    greatest: Vec<u8>,
    len: u64,
    count: u64,
}

/// Has them all.
#[derive(Debug)]
pub struct Sorted {
    spool: Spool,
    runs: Vec<u64>,
    count: u64,
}

/// Gives them in the order of their keys' bytes; those with the same key in the order in which they came.
pub struct Records<'s> {
    runs: Vec<Run<'s>>,
    /// The run whose record was given last.
    given: Option<usize>,
}

struct Run<'s> {
    spool: &'s Spool,
    at: u64,
    end: u64,
    buffer: Vec<u8>,
    used: usize,
    /// Where in the buffer the next record's key and value are; none at the end.
    next: Option<(usize, usize, usize)>,
}

fn key_of(piece: &[u8], start: u32) -> &[u8] {
    let start = start as usize;
    &piece[start + HEAD..start + HEAD + length(piece, start)]
}

fn length(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]) as usize
}

fn whole(piece: &[u8], start: u32) -> &[u8] {
    let at = start as usize;
    &piece[at..at + HEAD + length(piece, at) + length(piece, at + 4)]
}

impl Sorter {
    pub fn new(spool: SpoolWriter) -> Self {
        let (piece, starts, runs, greatest) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { spool, piece, starts, ordered: true, runs, greatest, len: 0, count: 0 }
    }

    /// Takes a record; both parts are shorter than 4 GiB.
    pub fn push(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        if self.piece.len() + HEAD + key.len() + value.len() > PIECE {
            self.flush()?;
        }
        if let Some(&last) = self.starts.last() {
            self.ordered &= key_of(&self.piece, last) <= key;
        }
        self.starts.push(self.piece.len() as u32);
        self.piece.extend_from_slice(&(key.len() as u32).to_le_bytes());
        self.piece.extend_from_slice(&(value.len() as u32).to_le_bytes());
        self.piece.extend_from_slice(key);
        self.piece.extend_from_slice(value);
        self.count += 1;
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let (Some(&first), piece) = (self.starts.first(), &self.piece) else { return Ok(()) };
        let first = if self.ordered {
            first
        } else {
            // Stable: equal keys stay in their order.
            self.starts.sort_by(|&a, &b| key_of(piece, a).cmp(key_of(piece, b)));
            self.starts[0]
        };
        // A run that begins behind the end of the one before continues it.
        if self.runs.is_empty() || key_of(piece, first) < self.greatest.as_slice() {
            self.runs.push(self.len);
        }
        if self.ordered {
            self.spool.append(piece)?;
        } else {
            for &start in &self.starts {
                self.spool.append(whole(piece, start))?;
            }
        }
        self.len += piece.len() as u64;
        let last = self.starts[self.starts.len() - 1];
        self.greatest.clear();
        self.greatest.extend_from_slice(key_of(piece, last));
        self.piece.clear();
        self.starts.clear();
        self.ordered = true;
        Ok(())
    }

    pub fn finish(mut self) -> Result<Sorted> {
        self.flush()?;
        Ok(Sorted { spool: self.spool.finish()?, runs: self.runs, count: self.count })
    }
}

impl Sorted {
    pub fn len(&self) -> u64 {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub fn records(&self) -> Result<Records<'_>> {
        let ends = self.runs[1.min(self.runs.len())..].iter().copied().chain([self.spool.len()]);
        let runs = self.runs.iter().zip(ends).map(|(&at, end)| {
            let mut run = Run { spool: &self.spool, at, end, buffer: Vec::new(), used: 0, next: None };
            run.advance()?;
            Ok(run)
        });
        Ok(Records { runs: runs.collect::<Result<_>>()?, given: None })
    }
}

impl Run<'_> {
    /// Makes `count` bytes behind those that were used available; false at the end of the run.
    fn fill(&mut self, count: usize) -> Result<bool> {
        let have = self.buffer.len() - self.used;
        if have >= count {
            return Ok(true);
        }
        let left = self.end - self.at;
        if ((count - have) as u64) > left {
            return Ok(false);
        }
        self.buffer.drain(..self.used);
        self.used = 0;
        let more = ((READ.max(count - have)) as u64).min(left) as usize;
        self.buffer.resize(have + more, 0);
        self.spool.read_exact_at(self.at, &mut self.buffer[have..]).map_err(Error::io("read", "a spool"))?;
        self.at += more as u64;
        Ok(true)
    }

    fn advance(&mut self) -> Result<()> {
        self.next = None;
        if !self.fill(HEAD)? {
            return Ok(());
        }
        let (key, value) = (length(&self.buffer, self.used), length(&self.buffer, self.used + 4));
        if !self.fill(HEAD + key + value)? {
            return Err(Error::Inconsistent("a spool was cut short".to_owned()));
        }
        let start = self.used + HEAD;
        self.next = Some((start, start + key, start + key + value));
        self.used = start + key + value;
        Ok(())
    }

    fn key(&self) -> Option<&[u8]> {
        self.next.map(|(key, value, _)| &self.buffer[key..value])
    }
}

impl Records<'_> {
    /// The next record: key and value.
    pub fn take(&mut self) -> Result<Option<(&[u8], &[u8])>> {
        if let Some(given) = self.given.take() {
            self.runs[given].advance()?;
        }
        let mut least: Option<usize> = None;
        for (at, run) in self.runs.iter().enumerate() {
            let Some(key) = run.key() else { continue };
            let less = least.is_none_or(|l| self.runs[l].key().is_some_and(|other| key.cmp(other) == Ordering::Less));
            if less {
                least = Some(at);
            }
        }
        self.given = least;
        let Some(run) = least.map(|at| &self.runs[at]) else { return Ok(None) };
        let (key, value, end) = run.next.expect("invariant: it was chosen because it has one");
        Ok(Some((&run.buffer[key..value], &run.buffer[value..end])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::spool::nameless;

    fn sorted(records: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>) -> Sorted {
        let dir = tempfile::tempdir().expect("a directory");
        let mut sorter = Sorter::new(nameless(dir.path()).expect("a spool"));
        for (key, value) in records {
            sorter.push(&key, &value).expect("taken");
        }
        sorter.finish().expect("sorted")
    }

    fn read(sorted: &Sorted) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut records = sorted.records().expect("records");
        let mut all = Vec::new();
        while let Some((key, value)) = records.take().expect("a record") {
            all.push((key.to_vec(), value.to_vec()));
        }
        all
    }

    #[test]
    fn more_than_fits_in_memory_comes_back_in_order() {
        let mut state = 7_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state >> 40
        };
        let mut all: Vec<(Vec<u8>, Vec<u8>)> =
            (0..60_000).map(|n| (format!("{:08}", next() % 5000).into_bytes(), vec![n as u8; 500])).collect();
        let sorted = sorted(all.clone());
        assert!(sorted.runs.len() > 2, "{}", sorted.runs.len());
        // Stable, as ours.
        all.sort_by(|a, b| a.0.cmp(&b.0));
        assert!(read(&sorted) == all);
    }

    #[test]
    fn what_is_in_order_is_one_run() {
        let all: Vec<(Vec<u8>, Vec<u8>)> = (0..60_000_u32).map(|n| (n.to_be_bytes().to_vec(), vec![7; 400])).collect();
        let sorted = sorted(all.clone());
        assert_eq!((sorted.runs.len(), sorted.len()), (1, 60_000));
        assert!(read(&sorted) == all);
        assert!(read(&super::tests::sorted(Vec::new())).is_empty());
    }
}
