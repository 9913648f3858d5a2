//! A bar as a file that is open: its members for the inspection and for the work.

use std::fs::File;

use crate::archive::{self, Archive, ArchiveError, Entry, EntryKind, ReadAt};
use crate::bar::Layout;
use crate::bar::inspect::{BarLimits, Member, MemberKind, Members, ReadError};
use crate::bar::refusal::{NOT_AN_ARCHIVE, Refusal};
use crate::storage;

use super::PrepareError;

/// The open archive.
#[derive(Debug)]
pub(super) struct BarFile {
    archive: Archive<File>,
}

fn failed(source: std::io::Error) -> PrepareError {
    storage::Error::Io { op: "read", path: "the bar".to_owned(), source }.into()
}

impl BarFile {
    /// Opens an archive; its size in bytes is returned too.
    pub(super) fn open(file: File, limits: &BarLimits) -> Result<(Self, u64), PrepareError> {
        let bytes = file.size().map_err(failed)?;
        let bounds = archive::Limits { entries: limits.bar_entries as u64, ..archive::Limits::default() };
        match Archive::open(file, bounds) {
            Ok(archive) => Ok((Self { archive }, bytes)),
            Err(ArchiveError::Read(source)) => Err(failed(source)),
            Err(ArchiveError::TooManyEntries { limit }) => {
                Err(Refusal::not_zip(format!("more than the {limit} members that are allowed")).into())
            }
            Err(e) if e.is_not_zip() => Err(Refusal::not_zip(NOT_AN_ARCHIVE).into()),
            Err(e) => Err(Refusal::not_zip(format!("{NOT_AN_ARCHIVE}: {e}")).into()),
        }
    }

    pub(super) fn entry(&self, index: usize) -> &Entry {
        &self.archive.entries()[index]
    }

    /// The bytes of all files that the box will hold.
    pub(super) fn content_bytes(&self, layout: Layout) -> i64 {
        let members = (0..self.count()).map(|index| self.member(index));
        let files = members.filter(|m| m.kind == MemberKind::File && m.name.starts_with(layout.contents()));
        files.fold(0, |sum: i64, file| sum.saturating_add_unsigned(file.size))
    }

    /// Gives up the members' bytes: nothing will be read any more.
    pub(super) fn discard(&self) {
        storage::stage::discard(self.archive.source());
    }

    pub(super) fn archive(&self) -> &Archive<File> {
        &self.archive
    }
}

impl Members for BarFile {
    fn count(&self) -> usize {
        self.archive.entries().len()
    }

    fn member(&self, index: usize) -> Member<'_> {
        let entry = self.entry(index);
        // What is no name at all is empty here, which no member's name may be.
        let name = entry.name().unwrap_or_default();
        let kind = match (entry.kind, name.ends_with('/')) {
            (EntryKind::Directory, true) => MemberKind::Directory,
            // Some writers give directories the mode of a file.
            (EntryKind::File, true) if entry.size == 0 => MemberKind::Directory,
            (EntryKind::File, false) => MemberKind::File,
            _ => MemberKind::Other,
        };
        Member { name, size: entry.size, kind, encrypted: false, position: entry.header_offset }
    }

    fn read(&self, index: usize, cap: u64) -> Result<Vec<u8>, ReadError> {
        self.archive.read_entry(self.entry(index), cap).map_err(|e| match e {
            ArchiveError::TooLarge { limit, .. } => ReadError::TooLarge(limit),
            other => ReadError::Broken(other.to_string()),
        })
    }
}
