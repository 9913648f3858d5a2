//! What each byte of an archive is, computed from its list of members before any member is read.
//!
//! The list is pushed once; afterwards the records of the members stay with the caller, behind [`Source`], and memory holds
//! two offsets per thousand members. The layout is immutable: a source that answers with other members than were pushed is
//! an error where it is noticed, never a shifted archive. Members are stored in the order in which they were pushed.

use std::io;

use super::cursor::Cursor;
use super::{ArchiveError, record};

/// Members between two remembered offsets, and so the most records that a read at an arbitrary place looks at.
pub const EVERY: u64 = 1000;

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberKind {
    File,
    Directory,
}

/// One member of an archive to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Segments separated by `/`; a directory ends in `/`. At most 65,535 bytes.
    pub name: String,
    /// Bytes of content; taken as 0 for a directory.
    pub size: u64,
    /// Seconds since 1970.
    pub mtime: i64,
    pub kind: MemberKind,
}

impl Member {
    /// Bytes of content in the archive.
    pub fn content_len(&self) -> u64 {
        match self.kind {
            MemberKind::File => self.size,
            MemberKind::Directory => 0,
        }
    }
}

/// Where the members of a layout are kept. Members are asked for by the index that [`LayoutBuilder::push`] gave them.
pub trait Source {
    /// The member exactly as it was pushed.
    fn member(&mut self, index: u64) -> io::Result<Member>;

    /// The CRC-32 of its content; 0 for directories and empty files. Asked for when a header is made, never for a length.
    fn crc(&mut self, index: u64) -> io::Result<u32>;

    /// Fills `buf` with content from `offset` on, or fails; the range asked for lies inside the content.
    fn content(&mut self, index: u64, offset: u64, buf: &mut [u8]) -> io::Result<usize>;
}

/// Where a pushed member went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// Position in the list, from 0.
    pub index: u64,
    /// Archive offset of its local header.
    pub offset: u64,
}

/// The offsets of a member whose index is a multiple of [`EVERY`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    /// Of the local header, in the archive.
    pub(super) local: u64,
    /// Of the central record, in the central directory.
    pub(super) central: u64,
}

/// Adds up the lengths of members.
#[derive(Debug, Default)]
pub struct LayoutBuilder {
    marks: Vec<Mark>,
    count: u64,
    local: u64,
    central: u64,
}

impl LayoutBuilder {
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a member. Fails, and changes nothing, where its name or the archive becomes too long for the format.
    pub fn push(&mut self, member: &Member) -> Result<Placed, ArchiveError> {
        if member.name.len() > usize::from(u16::MAX) {
            return Err(ArchiveError::NameTooLong { bytes: member.name.len() });
        }
        let placed = Placed { index: self.count, offset: self.local };
        let span = record::local_len(member).checked_add(member.content_len()).ok_or(ArchiveError::TooLong)?;
        let local = self.local.checked_add(span).ok_or(ArchiveError::TooLong)?;
        let central = self.central + record::central_len(member, self.local);
        // A file offset is an i64 nearly everywhere, and a directory half that long leaves room for the end records.
        if local > i64::MAX as u64 / 2 || central > i64::MAX as u64 / 4 {
            return Err(ArchiveError::TooLong);
        }
        if self.count.is_multiple_of(EVERY) {
            self.marks.push(Mark { local: self.local, central: self.central });
        }
        (self.count, self.local, self.central) = (self.count + 1, local, central);
        Ok(placed)
    }

    /// The layout of what was pushed; of nothing, the empty archive.
    pub fn finish(mut self) -> Layout {
        self.marks.shrink_to_fit();
        Layout { marks: self.marks, count: self.count, directory: self.local, directory_len: self.central }
    }
}

/// An archive that exists as arithmetic.
#[derive(Debug)]
pub struct Layout {
    pub(super) marks: Vec<Mark>,
    pub(super) count: u64,
    /// Offset of the central directory.
    pub(super) directory: u64,
    pub(super) directory_len: u64,
}

impl Layout {
    /// Length of the archive in bytes, exactly. At least 22.
    #[allow(clippy::len_without_is_empty, reason = "no archive is empty")]
    pub fn len(&self) -> u64 {
        self.directory_end() + record::end_len(self.count, self.directory, self.directory_len)
    }

    /// Number of members, directories included.
    pub fn member_count(&self) -> u64 {
        self.count
    }

    /// Fills `buf` from archive offset `offset` on, up to the end of the archive. Whoever reads on and on keeps a
    /// [`Cursor`] instead: each call here looks for its member anew.
    pub fn read_at(&self, offset: u64, buf: &mut [u8], source: &mut dyn Source) -> io::Result<usize> {
        Cursor::new(self, offset).read(buf, source)
    }

    pub(super) fn directory_end(&self) -> u64 {
        self.directory + self.directory_len
    }
}

#[cfg(test)]
mod tests;
