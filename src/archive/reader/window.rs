//! A small buffer over a file, for reading many short records that lie near each other with few calls.

use crate::archive::{ArchiveError, ReadAt};

pub(super) struct Window<'a, R: ?Sized> {
    source: &'a R,
    capacity: usize,
    start: u64,
    bytes: Vec<u8>,
}

impl<'a, R: ReadAt + ?Sized> Window<'a, R> {
    pub(super) fn new(source: &'a R, capacity: usize) -> Self {
        Self { source, capacity, start: 0, bytes: Vec::new() }
    }

    /// `len` bytes at `offset`, or nothing where the file ends before. `len` must be small: it is allocated.
    pub(super) fn at(&mut self, offset: u64, len: usize) -> Result<Option<&[u8]>, ArchiveError> {
        let inside = |at: u64, have: usize| at <= have as u64 && have as u64 - at >= len as u64;
        if offset < self.start || !inside(offset - self.start, self.bytes.len()) {
            self.bytes.resize(len.max(self.capacity), 0);
            let got = self.source.read_full_at(offset, &mut self.bytes).map_err(ArchiveError::Read)?;
            self.bytes.truncate(got);
            self.start = offset;
            if got < len {
                return Ok(None);
            }
        }
        let at = (offset - self.start) as usize;
        Ok(Some(&self.bytes[at..at + len]))
    }
}
