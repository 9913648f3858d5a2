//! Reading the content of entries, in the versions of the moment.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::WHAT;
use super::item::{Content, Item};
use crate::snapshot::failure::Failure;
use crate::storage::cell::Version;
use crate::storage::spool::Spool;
use crate::storage::{Cell, Error};

/// Bytes that are read at once: the kernel lets nobody else on the CPU meanwhile.
const READ: usize = 128 << 10;

/// Open content.
pub(super) enum Source {
    File(Arc<File>, Option<Version>),
    Spool(Arc<Spool>),
}

/// Opens the content of entries; files of one folder through one descriptor.
pub(super) struct Reader<'c> {
    cell: &'c Arc<Cell>,
    folder: Option<(String, OwnedFd)>,
}

impl<'c> Reader<'c> {
    pub(super) fn new(cell: &'c Arc<Cell>) -> Self {
        Self { cell, folder: None }
    }

    pub(super) fn open(&mut self, item: &Item) -> Result<Source, Failure> {
        match &item.content {
            Content::Bytes(_) => Err(Failure::Unknown),
            Content::Open { file, .. } => Ok(Source::File(file.clone(), None)),
            Content::Spool(spool) => Ok(Source::Spool(spool.clone())),
            Content::File { disk, version, .. } => {
                let beside = self.open_beside(disk, version);
                let found = match beside {
                    Some(file) => Some(file),
                    None => self.cell.open_version(version, disk).map_err(Failure::machine(WHAT))?,
                };
                let Some(file) = found else { return Err(self.broken(item, version)) };
                Ok(Source::File(Arc::new(file), Some(*version)))
            }
        }
    }

    /// A file that is nowhere in its version was changed by hand; with its row put right, the next moment has it.
    fn broken(&self, item: &Item, version: &Version) -> Failure {
        match self.cell.notice(version.id) {
            Ok(()) => Failure::Broken(item.name.clone()),
            Err(e) => Failure::machine(WHAT)(e),
        }
    }

    fn open_beside(&mut self, path: &str, version: &Version) -> Option<File> {
        let (folder, name) = path.rsplit_once('/')?;
        if self.folder.as_ref().is_none_or(|(at, _)| at != folder) {
            self.folder = Some((folder.to_owned(), self.cell.folder(folder).ok()?));
        }
        let (_, fd) = self.folder.as_ref()?;
        Cell::open_in(fd, name, version)
    }

    /// All of a small member.
    pub(super) fn whole(&mut self, item: &Item, buffer: &mut Vec<u8>) -> Result<(), Failure> {
        if let Content::Bytes(bytes) = &item.content {
            buffer.clone_from(bytes);
            return Ok(());
        }
        buffer.resize(item.size() as usize, 0);
        if buffer.is_empty() {
            return Ok(());
        }
        let source = self.open(item)?;
        source.read(item, 0, buffer)?;
        // Who writes into a file by hand does so at any time.
        if let Source::File(file, Some(version)) = &source
            && !Cell::is_still(file, version)
        {
            return Err(self.broken(item, version));
        }
        Ok(())
    }
}

impl Source {
    pub(super) fn read(&self, item: &Item, offset: u64, buffer: &mut [u8]) -> Result<(), Failure> {
        for (n, part) in buffer.chunks_mut(READ).enumerate() {
            let at = offset + (n * READ) as u64;
            let read = match self {
                Self::File(file, _) => file.read_exact_at(part, at),
                Self::Spool(spool) => spool.read_exact_at(at, part),
            };
            read.map_err(|e| Failure::machine(WHAT)(Error::io("read", item.name.clone())(e)))?;
        }
        Ok(())
    }
}

/// Compares a checksum with the one that is known.
pub(super) fn check(item: &Item, crc: u32) -> Result<(), Failure> {
    match &item.content {
        Content::File { crc: Some(known), .. } if *known != crc => {
            tracing::error!(entry = item.name, known, crc, "the content on disk does not have its checksum");
            Err(Failure::Broken(item.name.clone()))
        }
        _ => Ok(()),
    }
}

/// What becomes of a spool that cannot be read.
pub(super) fn broken_spool(e: std::io::Error) -> Failure {
    Failure::machine(WHAT)(Error::io("read", "a spool")(e))
}
