//! Foreign archives, opened without trust.
//!
//! [`Archive::open`] reads the central directory and every local header, and refuses what cannot be meant well: encryption,
//! relative names, entries that overlap, lie outside or are described in two ways. Bytes before the archive are tolerated.
//! Where a name comes twice the last one counts, and the fact is reported. Nothing is allocated because a number in the
//! archive says so: memory is proportional to the bytes that are really there, and bounded by [`Limits`]. The content of
//! entries is read at positions, from as many threads as one likes.

mod directory;
mod window;

use super::entry_name::{EntryName, shown};
use super::entry_reader::{EntryReader, read_whole};
use super::fields::{DEFLATED, LOCAL_LEN, LOCAL_SIGNATURE, STORED, u16_at, u32_at};
use super::{ArchiveError, Limits, ReadAt};
use window::Window;

/// What an entry claims to be, by the Unix mode that its writer left, else by the slash at the end of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    File,
    Directory,
    Symlink,
    /// A device, a FIFO, a socket, or nothing known.
    Special,
}

/// How an entry is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Stored,
    Deflated,
    /// Cannot be read.
    Other(u16),
}

impl Method {
    fn of(method: u16) -> Self {
        match method {
            STORED => Self::Stored,
            DEFLATED => Self::Deflated,
            other => Self::Other(other),
        }
    }
}

/// An entry as the central directory describes it; its sizes and its checksum are claims until it has been read.
#[derive(Debug, Clone)]
pub struct Entry {
    name: EntryName,
    pub kind: EntryKind,
    pub method: Method,
    pub crc: u32,
    /// Bytes in the archive.
    pub compressed_size: u64,
    /// Bytes when inflated, as declared.
    pub size: u64,
    /// Offset of the local header in the file.
    pub header_offset: u64,
    /// Offset of the compressed bytes in the file.
    pub(super) data_offset: u64,
}

impl Entry {
    /// The name, normalised; an error where the bytes in the archive are no name.
    pub fn name(&self) -> Result<&str, ArchiveError> {
        self.name.get()
    }

    /// The name for a message: always there, short, without control characters.
    pub fn shown_name(&self) -> String {
        self.name.shown()
    }
}

impl Entry {
    /// An entry of an archive that has been read before, with its name as [`Entry::name`] told it.
    pub fn known(name: &str, about: Known) -> Result<Self, ArchiveError> {
        let Known { method, crc, compressed_size, size, data_offset } = about;
        let name = EntryName::parse(name.as_bytes())?;
        let kind = directory::kind(&name, 0);
        Ok(Self { name, kind, method, crc, compressed_size, size, header_offset: 0, data_offset })
    }

    /// What [`Entry::known`] needs besides the name.
    pub fn about(&self) -> Known {
        let Self { method, crc, compressed_size, size, data_offset, .. } = *self;
        Known { method, crc, compressed_size, size, data_offset }
    }

    /// A reader of the content in the archive of this entry. Its memory does not depend on the entry.
    pub fn open<'a, R: ReadAt + ?Sized>(&self, source: &'a R) -> Result<EntryReader<'a, R>, ArchiveError> {
        EntryReader::new(source, self)
    }

    /// The whole content, refused before reading where it declares more than `limit` bytes.
    pub fn read<R: ReadAt + ?Sized>(&self, source: &R, limit: u64) -> Result<Vec<u8>, ArchiveError> {
        read_whole(source, self, limit)
    }
}

/// What is known of an entry whose headers were checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    pub method: Method,
    pub crc: u32,
    pub compressed_size: u64,
    pub size: u64,
    pub data_offset: u64,
}

/// The directory of an archive, read from one end to the other: for archives with more entries than fit in memory.
#[derive(Debug)]
pub struct Directory {
    end: directory::End,
}

impl Directory {
    /// Finds it.
    pub fn find<R: ReadAt + ?Sized>(source: &R) -> Result<Self, ArchiveError> {
        Ok(Self { end: directory::find(source)? })
    }

    /// Gives every entry with the bytes of its name, in the order of the directory. Where the content is, is not known yet.
    pub fn each<R: ReadAt + ?Sized, E: From<ArchiveError>>(
        &self,
        source: &R,
        limits: Limits,
        each: impl FnMut(Entry, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        directory::each(source, &self.end, limits, each)
    }

    /// What checks the headers of all entries, which must come in the order of their offsets.
    pub fn headers<'a, R: ReadAt + ?Sized>(&self, source: &'a R) -> Headers<'a, R> {
        Headers::new(source, self.end.start)
    }
}

/// Checks local headers, in physical order: each must repeat name and method, and end with its content before the next one
/// begins, the last before the directory.
pub struct Headers<'a, R: ?Sized> {
    window: Window<'a, R>,
    directory: u64,
    /// Where the content of the entry before ends, and its name.
    free: u64,
    before: String,
}

impl<'a, R: ReadAt + ?Sized> Headers<'a, R> {
    fn new(source: &'a R, directory: u64) -> Self {
        Self { window: Window::new(source, 8 << 10), directory, free: 0, before: String::new() }
    }

    /// Checks the next entry, and says in it where its content is.
    pub fn check(&mut self, entry: &mut Entry, raw_name: &[u8]) -> Result<(), ArchiveError> {
        if entry.header_offset < self.free {
            return Err(ArchiveError::Overlap { name: entry.shown_name(), other: self.before.clone() });
        }
        let data = check_header(&mut self.window, entry, raw_name, self.directory)?;
        let end = data.checked_add(entry.compressed_size).filter(|&end| end <= self.directory);
        self.free = end.ok_or_else(|| ArchiveError::Outside { name: entry.shown_name() })?;
        self.before.clear();
        self.before.push_str(&entry.shown_name());
        entry.data_offset = data;
        Ok(())
    }
}

/// An open archive.
#[derive(Debug)]
pub struct Archive<R> {
    source: R,
    entries: Vec<Entry>,
    physical: Vec<u32>,
    by_name: Vec<u32>,
    duplicates: Vec<String>,
}

impl<R: ReadAt> Archive<R> {
    /// Reads the directory and checks all headers.
    pub fn open(source: R, limits: Limits) -> Result<Self, ArchiveError> {
        let end = directory::find(&source)?;
        let (mut entries, raw_names) = directory::read(&source, &end, limits)?;
        check_headers(&source, &mut entries, &raw_names, end.start)?;
        drop(raw_names);
        let duplicates = drop_shadowed(&mut entries);
        let physical = ordered(&entries, |a, b| a.header_offset.cmp(&b.header_offset));
        let by_name = ordered(&entries, |a, b| text(a).cmp(text(b)));
        Ok(Self { source, entries, physical, by_name, duplicates })
    }

    /// All entries in the order of the central directory; of those with one name only the last.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// All entries in the order in which they lie in the file, as a streaming reader would meet them.
    pub fn in_physical_order(&self) -> impl Iterator<Item = &Entry> {
        self.physical.iter().map(|&index| &self.entries[index as usize])
    }

    /// The entry of exactly this name.
    pub fn find(&self, name: &str) -> Option<&Entry> {
        self.position(name).map(|index| &self.entries[index])
    }

    /// The index among all entries of the one of exactly this name.
    pub fn position(&self, name: &str) -> Option<usize> {
        let at = self.by_name.binary_search_by(|&index| text(&self.entries[index as usize]).cmp(name)).ok()?;
        // What is no name sorts as the empty text, which is nobody's name.
        Some(self.by_name[at] as usize).filter(|&index| self.entries[index].name().is_ok())
    }

    /// The names that came more than once, each once, sorted.
    pub fn duplicates(&self) -> &[String] {
        &self.duplicates
    }

    /// The file that the archive was opened on.
    pub fn source(&self) -> &R {
        &self.source
    }

    /// A reader of the content of an entry of this archive. Its memory does not depend on the entry.
    pub fn open_entry(&self, entry: &Entry) -> Result<EntryReader<'_, R>, ArchiveError> {
        EntryReader::new(&self.source, entry)
    }

    /// The whole content of an entry of this archive, refused before reading where it declares more than `limit` bytes.
    pub fn read_entry(&self, entry: &Entry, limit: u64) -> Result<Vec<u8>, ArchiveError> {
        read_whole(&self.source, entry, limit)
    }
}

fn text(entry: &Entry) -> &str {
    entry.name.get().unwrap_or_default()
}

fn ordered(entries: &[Entry], compare: impl Fn(&Entry, &Entry) -> std::cmp::Ordering) -> Vec<u32> {
    let mut order: Vec<u32> = (0..entries.len() as u32).collect();
    order.sort_by(|&a, &b| compare(&entries[a as usize], &entries[b as usize]));
    order
}

/// Checks every local header; the directory is at `directory`.
fn check_headers<R: ReadAt + ?Sized>(
    source: &R,
    entries: &mut [Entry],
    raw_names: &directory::RawNames,
    directory: u64,
) -> Result<(), ArchiveError> {
    let mut headers = Headers::new(source, directory);
    for index in ordered(entries, |a, b| a.header_offset.cmp(&b.header_offset)) {
        headers.check(&mut entries[index as usize], raw_names.get(index as usize))?;
    }
    Ok(())
}

/// Compares a local header with its central record and says where the content begins.
fn check_header<R: ReadAt + ?Sized>(
    window: &mut Window<'_, R>,
    entry: &Entry,
    raw_name: &[u8],
    directory: u64,
) -> Result<u64, ArchiveError> {
    let outside = || ArchiveError::Outside { name: entry.shown_name() };
    let mismatch = || ArchiveError::HeaderMismatch { name: entry.shown_name() };
    let len = LOCAL_LEN + raw_name.len();
    let named = entry.header_offset.checked_add(len as u64).filter(|&end| end <= directory).ok_or_else(outside)?;
    let header = window.at(entry.header_offset, len)?.ok_or_else(outside)?;
    if u32_at(header, 0) != LOCAL_SIGNATURE {
        return Err(outside());
    }
    if u16_at(header, 6) & directory::ENCRYPTED != 0 {
        return Err(ArchiveError::Encrypted { name: shown(raw_name) });
    }
    let same_name = usize::from(u16_at(header, 26)) == raw_name.len() && &header[LOCAL_LEN..] == raw_name;
    if !same_name || Method::of(u16_at(header, 8)) != entry.method {
        return Err(mismatch());
    }
    Ok(named + u64::from(u16_at(header, 28)))
}

/// Removes the entries whose name comes again later, and returns those names.
fn drop_shadowed(entries: &mut Vec<Entry>) -> Vec<String> {
    let order = ordered(entries, |a, b| text(a).cmp(text(b)));
    let mut shadowed = vec![false; entries.len()];
    let mut duplicates: Vec<String> = Vec::new();
    for pair in order.windows(2) {
        let name = text(&entries[pair[0] as usize]);
        if !name.is_empty() && name == text(&entries[pair[1] as usize]) {
            // The sort is stable: of equal names the later entry follows.
            shadowed[pair[0] as usize] = true;
            if duplicates.last().is_none_or(|last| last != name) {
                duplicates.push(name.to_owned());
            }
        }
    }
    if !duplicates.is_empty() {
        let mut shadowed = shadowed.into_iter();
        entries.retain(|_| !shadowed.next().unwrap_or(false));
    }
    duplicates
}

#[cfg(test)]
mod tests;
