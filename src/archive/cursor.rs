//! A place in a laid-out archive that remembers its member, so that reading on does not search again.
//!
//! [`Cursor::next_piece`] is the primitive: it says what comes next, either bytes made here or a range of a member's content,
//! which the caller may send in its own way (sendfile, large reads). [`Cursor::read`] is the plain way.

use std::io::{self, ErrorKind};
use std::ops::Deref;

use super::layout::{EVERY, Layout, Member, Source};
use super::record;

/// What comes next in an archive.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Headers, directory records, end records.
    Bytes(&'a [u8]),
    /// `len` bytes of the content of member `index`, from `offset` in it on. Never empty unless nothing was asked for.
    Content {
        index: u64,
        offset: u64,
        len: u64,
    },
    End,
}

/// A position in an archive. `L` is a reference to the layout, or an `Arc` of it.
pub struct Cursor<L> {
    layout: L,
    position: u64,
    walker: Option<Walker>,
    buffer: Vec<u8>,
}

impl<L: Deref<Target = Layout>> Cursor<L> {
    /// A cursor at archive offset `position`, which may lie behind the end.
    pub fn new(layout: L, position: u64) -> Self {
        Self { layout, position, walker: None, buffer: Vec::new() }
    }

    pub fn position(&self) -> u64 {
        self.position
    }

    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Goes elsewhere; costs nothing before the next read, and little there if the place is near.
    pub fn seek(&mut self, position: u64) {
        self.position = position;
    }

    /// Says what comes next, at most `max` bytes of it, and moves behind that. On an error the cursor stays.
    pub fn next_piece(&mut self, max: u64, source: &mut dyn Source) -> io::Result<Piece<'_>> {
        let position = self.position;
        if position >= self.layout.len() {
            return Ok(Piece::End);
        }
        self.buffer.clear();
        let start = if position >= self.layout.directory_end() {
            record::put_end(&mut self.buffer, self.layout.count, self.layout.directory, self.layout.directory_len);
            self.layout.directory_end()
        } else {
            let walker = settle(&mut self.walker, &self.layout, position, source)?;
            let index = walker.index;
            if walker.section == Section::Directory {
                let crc = source.crc(index)?;
                record::put_central(&mut self.buffer, &walker.member, crc, walker.local);
            } else {
                let header = record::local_len(&walker.member);
                if let Some(offset) = (position - walker.start()).checked_sub(header) {
                    let len = max.min(walker.member.content_len() - offset);
                    self.position += len;
                    return Ok(Piece::Content { index, offset, len });
                }
                let crc = source.crc(index)?;
                record::put_local(&mut self.buffer, &walker.member, crc);
            }
            walker.start()
        };
        let rest = &self.buffer[(position - start) as usize..];
        let len = max.min(rest.len() as u64);
        self.position += len;
        Ok(Piece::Bytes(&rest[..len as usize]))
    }

    /// Fills `buf` up to the end of the archive and moves behind what it filled. On an error the cursor stays.
    pub fn read(&mut self, buf: &mut [u8], source: &mut dyn Source) -> io::Result<usize> {
        let begin = self.position;
        let filled = self.fill(buf, source);
        if filled.is_err() {
            self.position = begin;
        }
        filled
    }

    fn fill(&mut self, buf: &mut [u8], source: &mut dyn Source) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buf.len() {
            let rest = &mut buf[filled..];
            filled += match self.next_piece(rest.len() as u64, source)? {
                Piece::Bytes(bytes) => {
                    rest[..bytes.len()].copy_from_slice(bytes);
                    bytes.len()
                }
                Piece::Content { index, offset, len } => {
                    let len = len as usize;
                    if source.content(index, offset, &mut rest[..len])? != len {
                        return Err(ErrorKind::UnexpectedEof.into());
                    }
                    len
                }
                Piece::End => break,
            };
        }
        Ok(filled)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Section {
    Members,
    Directory,
}

/// A member, and where both its records are.
struct Walker {
    section: Section,
    index: u64,
    /// Archive offset of its local header.
    local: u64,
    /// Archive offset of its central record.
    central: u64,
    member: Member,
}

impl Walker {
    fn start(&self) -> u64 {
        match self.section {
            Section::Members => self.local,
            Section::Directory => self.central,
        }
    }

    fn next_local(&self) -> u64 {
        self.local.saturating_add(record::local_len(&self.member)).saturating_add(self.member.content_len())
    }

    fn next_central(&self) -> u64 {
        self.central + record::central_len(&self.member, self.local)
    }

    fn end(&self) -> u64 {
        match self.section {
            Section::Members => self.next_local(),
            Section::Directory => self.next_central(),
        }
    }

    /// Whether the member can be the one that was laid out: the last one before a mark ends there, the others earlier.
    fn fits(&self, layout: &Layout) -> bool {
        let next = layout.marks.get((self.index / EVERY) as usize + 1);
        let local = next.map_or(layout.directory, |mark| mark.local);
        let central = next.map_or(layout.directory_end(), |mark| layout.directory + mark.central);
        if (self.index + 1).is_multiple_of(EVERY) || self.index + 1 == layout.count {
            self.next_local() == local && self.next_central() == central
        } else {
            self.next_local() < local && self.next_central() < central
        }
    }
}

/// Brings the walker to the member at `position`, from where it is if that is on the way, else from the nearest mark.
fn settle<'w>(
    slot: &'w mut Option<Walker>,
    layout: &Layout,
    position: u64,
    source: &mut dyn Source,
) -> io::Result<&'w Walker> {
    let section = if position < layout.directory { Section::Members } else { Section::Directory };
    let after = layout.marks.partition_point(|mark| match section {
        Section::Members => mark.local <= position,
        Section::Directory => layout.directory + mark.central <= position,
    });
    let nearest = after - 1;
    let on_the_way = |w: &Walker| w.section == section && w.index / EVERY == nearest as u64 && w.start() <= position;
    let mut walker = if let Some(walker) = slot.take().filter(on_the_way) {
        walker
    } else {
        let (mark, index) = (layout.marks[nearest], nearest as u64 * EVERY);
        let central = layout.directory + mark.central;
        step(Walker { section, index, local: mark.local, central, member: source.member(index)? }, layout)?
    };
    while walker.end() <= position {
        let (index, local, central) = (walker.index + 1, walker.next_local(), walker.next_central());
        walker = step(Walker { section, index, local, central, member: source.member(index)? }, layout)?;
    }
    Ok(slot.insert(walker))
}

fn step(walker: Walker, layout: &Layout) -> io::Result<Walker> {
    if !walker.fits(layout) {
        let message = format!("member {} of the archive is not the one that was laid out", walker.index);
        return Err(io::Error::new(ErrorKind::InvalidData, message));
    }
    Ok(walker)
}
