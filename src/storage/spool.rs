//! A file of this process alone, unlinked from the start: what would cost memory in proportion to the size of a box.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::cell::Cell;
use super::error::{Error, Result};

/// Being written.
#[derive(Debug)]
pub struct SpoolWriter {
    file: BufWriter<File>,
    len: u64,
}

/// Written; read at any place.
#[derive(Debug)]
pub struct Spool {
    file: File,
    len: u64,
}

impl Cell {
    /// A new spool on the cell's file system.
    pub fn spool(&self) -> Result<SpoolWriter> {
        nameless(&self.core.path.join("staging"))
    }
}

/// A new spool on the file system of a directory.
pub(super) fn nameless(directory: &Path) -> Result<SpoolWriter> {
    let file = tempfile::tempfile_in(directory).map_err(Error::io("spool", directory.display().to_string()))?;
    Ok(SpoolWriter { file: BufWriter::with_capacity(256 << 10, file), len: 0 })
}

impl SpoolWriter {
    /// Appends; returns where.
    pub fn append(&mut self, bytes: &[u8]) -> Result<u64> {
        self.file.write_all(bytes).map_err(Error::io("write", "a spool"))?;
        let at = self.len;
        self.len += bytes.len() as u64;
        Ok(at)
    }

    pub fn finish(self) -> Result<Spool> {
        let file = self.file.into_inner().map_err(|e| Error::io("write", "a spool")(e.into_error()))?;
        Ok(Spool { file, len: self.len })
    }
}

impl Spool {
    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Reads from the beginning.
    pub fn reader(&self) -> impl io::Read + '_ {
        struct Reader<'s>(&'s Spool, u64);
        impl io::Read for Reader<'_> {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                let n = self.0.read_at(self.1, buf)?;
                self.1 += n as u64;
                Ok(n)
            }
        }
        Reader(self, 0)
    }

    /// Reads as much as there is, at most all of `buf`.
    pub fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < buf.len() {
            match self.file.read_at(&mut buf[done..], offset + done as u64)? {
                0 => break,
                n => done += n,
            }
        }
        Ok(done)
    }

    pub fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buf, offset)
    }
}
