//! The end records and the central directory of a foreign archive.
//!
//! The end record must end the file, its comment included. Where the directory really is follows from where it ends, so
//! that bytes before the archive do not matter; ZIP64 numbers must agree with the 32-bit ones wherever those can tell.

use super::window::Window;
use super::{Entry, EntryKind, Method};
use crate::archive::entry_name::{EntryName, shown};
use crate::archive::fields::{
    CENTRAL_LEN, CENTRAL_SIGNATURE, END_LEN, END_SIGNATURE, END64_LEN, END64_SIGNATURE, FULL_16, FULL_32, LOCATOR_LEN,
    LOCATOR_SIGNATURE, ZIP64_EXTRA, u16_at, u32_at, u64_at,
};
use crate::archive::{ArchiveError, Limits, ReadAt};

/// Encryption, strong encryption, a masked header.
pub(super) const ENCRYPTED: u16 = 1 | 1 << 6 | 1 << 13;

const READ: usize = 64 << 10;

/// Where the central directory is in the file, and what its end record promises.
#[derive(Debug)]
pub(super) struct End {
    pub(super) start: u64,
    len: u64,
    /// Bytes before the archive: what must be added to the offsets in it.
    prefix: u64,
    count: u64,
    zip64: bool,
}

/// The names of entries as they are in the file, one after the other.
#[derive(Debug, Default)]
pub(super) struct RawNames {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl RawNames {
    fn push(&mut self, name: &[u8]) {
        self.bytes.extend_from_slice(name);
        self.ends.push(self.bytes.len());
    }

    pub(super) fn get(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.bytes[start..self.ends[index]]
    }
}

fn not_zip(reason: &'static str) -> ArchiveError {
    ArchiveError::NotZip { reason }
}

/// Finds the end record, from the end of the file backwards.
pub(super) fn find<R: ReadAt + ?Sized>(source: &R) -> Result<End, ArchiveError> {
    let size = source.size().map_err(ArchiveError::Read)?;
    if size == 0 {
        return Err(not_zip("it is empty"));
    }
    let mut tail = vec![0; size.min((END_LEN + usize::from(u16::MAX)) as u64) as usize];
    let start = size - tail.len() as u64;
    source.read_exact_at(start, &mut tail).map_err(ArchiveError::Read)?;
    let last = tail.len().checked_sub(END_LEN).ok_or_else(|| not_zip("it has no end record"))?;
    let is_end = |at: &usize| {
        u32_at(&tail, *at) == END_SIGNATURE && usize::from(u16_at(&tail, at + 20)) == tail.len() - at - END_LEN
    };
    let at = (0..=last).rev().find(is_end).ok_or_else(|| not_zip("it has no end record"))?;
    let record = &tail[at..at + END_LEN];
    let at = start + at as u64;
    if u16_at(record, 4) != u16_at(record, 6) || u16_at(record, 8) != u16_at(record, 10) {
        return Err(not_zip("it is a part of a split archive"));
    }
    let short = Numbers {
        count: u64::from(u16_at(record, 10)),
        len: u64::from(u32_at(record, 12)),
        offset: u64::from(u32_at(record, 16)),
    };
    match find_zip64(source, at)? {
        Some((at, long)) if long.agree_with(&short) => long.locate(at, true),
        Some(_) => Err(not_zip("its end records contradict each other")),
        None => short.locate(at, false),
    }
}

/// What an end record says.
struct Numbers {
    count: u64,
    len: u64,
    offset: u64,
}

impl Numbers {
    fn agree_with(&self, short: &Numbers) -> bool {
        (short.count == FULL_16 || short.count == self.count)
            && (short.len == FULL_32 || short.len == self.len)
            && (short.offset == FULL_32 || short.offset == self.offset)
    }

    /// The directory that ends at `end`.
    fn locate(&self, end: u64, zip64: bool) -> Result<End, ArchiveError> {
        let start = end.checked_sub(self.len).ok_or_else(|| not_zip("its directory is larger than the file"))?;
        let prefix =
            start.checked_sub(self.offset).ok_or_else(|| not_zip("its directory is not where it should be"))?;
        Ok(End { start, len: self.len, prefix, count: self.count, zip64 })
    }
}

/// The ZIP64 end record that belongs to the end record at `end`, if it has one, and where it is. It is looked for where its
/// locator says, and directly before the locator, where it is when bytes were put before the archive.
fn find_zip64<R: ReadAt + ?Sized>(source: &R, end: u64) -> Result<Option<(u64, Numbers)>, ArchiveError> {
    let mut window = Window::new(source, END64_LEN);
    let Some(locator) = end.checked_sub(LOCATOR_LEN as u64) else { return Ok(None) };
    let claimed = match window.at(locator, LOCATOR_LEN)? {
        Some(bytes) if u32_at(bytes, 0) == LOCATOR_SIGNATURE => u64_at(bytes, 8),
        _ => return Ok(None),
    };
    let usual = locator.checked_sub(END64_LEN as u64);
    for at in [Some(claimed), usual].into_iter().flatten().filter(|&at| at < locator) {
        let Some(record) = window.at(at, END64_LEN)? else { continue };
        let ends = at.checked_add(12).and_then(|at| at.checked_add(u64_at(record, 4)));
        if u32_at(record, 0) != END64_SIGNATURE || ends != Some(locator) {
            continue;
        }
        if u32_at(record, 16) != u32_at(record, 20) || u64_at(record, 24) != u64_at(record, 32) {
            return Err(not_zip("it is a part of a split archive"));
        }
        let numbers = Numbers { count: u64_at(record, 32), len: u64_at(record, 40), offset: u64_at(record, 48) };
        return Ok(Some((at, numbers)));
    }
    Err(not_zip("its ZIP64 end record is missing"))
}

/// Reads all records into memory.
pub(super) fn read<R: ReadAt + ?Sized>(
    source: &R,
    end: &End,
    limits: Limits,
) -> Result<(Vec<Entry>, RawNames), ArchiveError> {
    let (mut entries, mut names) = (Vec::new(), RawNames::default());
    each(source, end, limits, |entry, name| {
        entries.push(entry);
        names.push(name);
        Ok::<_, ArchiveError>(())
    })?;
    Ok((entries, names))
}

/// Gives each record. The count that was promised is compared at the end, never allocated.
pub(super) fn each<R: ReadAt + ?Sized, E: From<ArchiveError>>(
    source: &R,
    end: &End,
    limits: Limits,
    mut each: impl FnMut(Entry, &[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let limit = limits.entries.min(u64::from(u32::MAX));
    if end.len > limits.directory_bytes {
        return Err(ArchiveError::DirectoryTooLarge { limit: limits.directory_bytes }.into());
    }
    // Every record has 46 bytes or more, so a count beyond that is a lie, not a large archive.
    if end.count > limit && end.count <= end.len / CENTRAL_LEN as u64 {
        return Err(ArchiveError::TooManyEntries { limit }.into());
    }
    let mut window = Window::new(source, READ);
    let mut count = 0;
    let (mut at, directory_end) = (end.start, end.start + end.len);
    while at < directory_end {
        if count == limit {
            return Err(ArchiveError::TooManyEntries { limit }.into());
        }
        let cut = || not_zip("its directory is cut short");
        let fixed = window.at(at, CENTRAL_LEN)?.ok_or_else(cut)?;
        if u32_at(fixed, 0) != CENTRAL_SIGNATURE {
            return Err(not_zip("its directory is broken").into());
        }
        let name_len = usize::from(u16_at(fixed, 28));
        let extra_len = usize::from(u16_at(fixed, 30));
        let len = CENTRAL_LEN + name_len + extra_len + usize::from(u16_at(fixed, 32));
        at += len as u64;
        if at > directory_end {
            return Err(cut().into());
        }
        let record = window.at(at - len as u64, len)?.ok_or_else(cut)?;
        let (name, extra) = record[CENTRAL_LEN..CENTRAL_LEN + name_len + extra_len].split_at(name_len);
        each(parse(record, name, extra, end.prefix)?, name)?;
        count += 1;
    }
    // Old writers without ZIP64 let the count wrap.
    if count != end.count && (end.zip64 || count % (FULL_16 + 1) != end.count) {
        return Err(not_zip("its directory does not have as many entries as it should").into());
    }
    Ok(())
}

fn parse(record: &[u8], name: &[u8], extra: &[u8], prefix: u64) -> Result<Entry, ArchiveError> {
    if u16_at(record, 8) & ENCRYPTED != 0 {
        return Err(ArchiveError::Encrypted { name: shown(name) });
    }
    let outside = || ArchiveError::Outside { name: shown(name) };
    let mut long = zip64_fields(extra);
    // Of these, the extra field holds exactly those that do not fit, in this order.
    let mut field = |short: u32| match u64::from(short) {
        FULL_32 => long.next().ok_or_else(|| not_zip("a ZIP64 field is missing in its directory")),
        fits => Ok(fits),
    };
    let size = field(u32_at(record, 24))?;
    let compressed_size = field(u32_at(record, 20))?;
    let header_offset = field(u32_at(record, 42))?.checked_add(prefix).ok_or_else(outside)?;
    let name = EntryName::parse(name)?;
    Ok(Entry {
        kind: kind(&name, u32_at(record, 38) >> 16),
        name,
        method: Method::of(u16_at(record, 10)),
        crc: u32_at(record, 16),
        compressed_size,
        size,
        header_offset,
        data_offset: 0,
    })
}

/// The 64-bit numbers of the ZIP64 extra field; none where there is no such field or the fields are malformed.
fn zip64_fields(mut extra: &[u8]) -> impl Iterator<Item = u64> {
    let mut found: &[u8] = &[];
    while extra.len() >= 4 {
        let (tag, len) = (u16_at(extra, 0), usize::from(u16_at(extra, 2)));
        let Some(value) = extra.get(4..4 + len) else { break };
        if tag == ZIP64_EXTRA {
            found = value;
            break;
        }
        extra = &extra[4 + len..];
    }
    found.chunks_exact(8).map(|chunk| u64_at(chunk, 0))
}

pub(super) fn kind(name: &EntryName, mode: u32) -> EntryKind {
    match mode & 0o170_000 {
        0 | 0o100_000 | 0o040_000 if name.get().is_ok_and(|name| name.ends_with('/')) => EntryKind::Directory,
        0 | 0o100_000 | 0o040_000 => EntryKind::File,
        0o120_000 => EntryKind::Symlink,
        _ => EntryKind::Special,
    }
}
