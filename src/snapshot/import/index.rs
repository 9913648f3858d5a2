//! The entries of a snapshot file, as many as there may be: sorted on disk, so that memory does not grow with them.
//!
//! They are sorted as a tree is walked: a collection comes before what is in it, and a resource's description directly before
//! its content. The few entries that are no resources are kept in memory.

use std::collections::BTreeMap;
use std::fs::File;

use crate::archive::{ArchiveError, Directory, Entry, EntryKind, Known, Limits, Method};
use crate::snapshot::failure::Failure;
use crate::snapshot::{CONTENT, META, WEBDAV};
use crate::storage;
use crate::storage::sorted::{Records, Sorted, Sorter};
use crate::storage::spool::SpoolWriter;

/// What opening may cost. Snapshots are the unit's own files, so they may be larger than bars.
const LIMITS: Limits = Limits { entries: 8_000_000, directory_bytes: 2 << 30 };
/// The most entries that are no resources.
const FIXED: usize = 10_000;

const READ: &str = "read snapshot file";

/// Makes room on disk for what is sorted.
pub(crate) type NewSpool<'s> = &'s dyn Fn() -> storage::Result<SpoolWriter>;

/// An entry, and what this server noted about the resource that it describes: its number and its stamp; 0 for none.
#[derive(Debug, Clone)]
pub(super) struct Indexed {
    pub(super) name: String,
    pub(super) entry: Entry,
    pub(super) note: (i64, i64),
}

/// The entries that are no resources, by name.
pub(super) type Fixed = BTreeMap<String, Indexed>;

/// The entries of resources in their order.
#[derive(Debug)]
pub(super) struct Index {
    resources: Sorted,
    /// Of all entries.
    pub(super) bytes: u64,
    pub(super) entries: u64,
}

/// What is being walked.
pub(super) struct Resources<'i>(Records<'i>);

/// Reads an archive's directory and all local headers. The result is sorted by name, and the lines of `list` can be merged into it.
pub(super) fn read(source: &File, spool: NewSpool<'_>) -> Result<Sorted, Stopped> {
    let directory = Directory::find(source)?;
    // Where an entry may end is told by where the next one begins, so they are needed in physical order once.
    let mut physical = Sorter::new(spool()?);
    directory.each(source, LIMITS, |entry, raw| {
        let name = entry.name()?;
        if !matches!(entry.kind, EntryKind::File | EntryKind::Directory) {
            return Err(Failure::Damaged(format!("entry {} is no file", entry.shown_name())).into());
        }
        if name.ends_with('/') && entry.size > 0 {
            let text = format!("entry {} is a directory with content", entry.shown_name());
            return Err(Failure::Damaged(text).into());
        }
        physical.push(&entry.header_offset.to_be_bytes(), &pack(&entry.about(), (0, 0), raw))?;
        Ok::<_, Stopped>(())
    })?;
    let physical = physical.finish()?;
    let (mut records, mut headers) = (physical.records()?, directory.headers(source));
    let mut named = Sorter::new(spool()?);
    while let Some((offset, value)) = records.take()? {
        let (about, note, raw) = unpack(value);
        let lossy = String::from_utf8_lossy(raw);
        let mut entry = Entry::known(&lossy, about)?;
        entry.header_offset = u64::from_be_bytes(offset.try_into().expect("invariant: it was made of eight bytes"));
        headers.check(&mut entry, raw)?;
        let name = entry.name()?;
        named.push(&key(name), &pack(&entry.about(), note, name.as_bytes()))?;
    }
    Ok(named.finish()?)
}

/// Why reading stops.
#[derive(Debug)]
pub(super) struct Stopped(pub(super) Failure);

impl From<ArchiveError> for Stopped {
    fn from(error: ArchiveError) -> Self {
        Self(Failure::archive(error))
    }
}

impl From<storage::Error> for Stopped {
    fn from(error: storage::Error) -> Self {
        Self(Failure::machine(READ)(error))
    }
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Self(failure)
    }
}

/// Sorts as a tree is walked: by the segments of names, what belongs to a resource itself before its members.
pub(super) fn key(name: &str) -> Vec<u8> {
    let (folder, last) = name.rsplit_once('/').unwrap_or(("", name));
    // No name has a zero in it.
    let own: &[u8] = match last {
        META => b"\0\0a",
        CONTENT => b"\0\0b",
        _ => {
            return name.bytes().map(|b| if b == b'/' { 0 } else { b }).collect();
        }
    };
    let mut key: Vec<u8> = folder.bytes().map(|b| if b == b'/' { 0 } else { b }).collect();
    key.extend_from_slice(own);
    key
}

fn pack(about: &Known, note: (i64, i64), name: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(46 + name.len());
    let method = match about.method {
        Method::Stored => 0,
        Method::Deflated => 8,
        Method::Other(method) => method,
    };
    out.extend_from_slice(&method.to_le_bytes());
    out.extend_from_slice(&about.crc.to_le_bytes());
    for number in [about.compressed_size, about.size, about.data_offset, note.0 as u64, note.1 as u64] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(name);
    out
}

fn unpack(value: &[u8]) -> (Known, (i64, i64), &[u8]) {
    let number = |at: usize| {
        let bytes = value[at..at + 8].try_into().expect("invariant: eight bytes were cut");
        u64::from_le_bytes(bytes)
    };
    let method = match u16::from_le_bytes([value[0], value[1]]) {
        0 => Method::Stored,
        8 => Method::Deflated,
        other => Method::Other(other),
    };
    let crc = u32::from_le_bytes([value[2], value[3], value[4], value[5]]);
    let about = Known { method, crc, compressed_size: number(6), size: number(14), data_offset: number(22) };
    (about, (number(30) as i64, number(38) as i64), &value[46..])
}

fn indexed(value: &[u8]) -> Result<Indexed, Stopped> {
    let (about, note, name) = unpack(value);
    let name = String::from_utf8_lossy(name).into_owned();
    let entry = Entry::known(&name, about)?;
    Ok(Indexed { name, entry, note })
}

/// Whether an entry belongs to a resource.
fn is_of_resource(name: &str) -> bool {
    name.strip_prefix(WEBDAV).is_some_and(|below| !below.is_empty() && !below.ends_with('/') && below != META)
}

/// Whether an entry describes or holds a resource, in the form of its value.
fn is_resource_value(value: &[u8]) -> bool {
    std::str::from_utf8(&value[46..]).is_ok_and(is_of_resource)
}

impl Index {
    /// The entries without those of resources.
    pub(super) fn fixed(sorted: &Sorted) -> Result<Fixed, Stopped> {
        let (mut fixed, mut records) = (BTreeMap::new(), sorted.records()?);
        while let Some((_, value)) = records.take()? {
            if is_resource_value(value) {
                continue;
            }
            let found = indexed(value)?;
            if fixed.len() >= FIXED {
                return Err(Failure::Damaged("there are too many entries that are no resources".to_owned()).into());
            }
            let shown = found.entry.shown_name();
            if fixed.insert(found.name.clone(), found).is_some() {
                return Err(Failure::Damaged(format!("entry {shown} is there twice")).into());
            }
        }
        Ok(fixed)
    }

    /// Merges the entries with what `look` says about each: it sees them in the order of their keys, and returns their notes.
    pub(super) fn merge(
        sorted: &Sorted,
        spool: NewSpool<'_>,
        mut look: impl FnMut(&[u8], &Indexed) -> Result<(i64, i64), Stopped>,
    ) -> Result<Self, Stopped> {
        let (mut resources, mut records) = (Sorter::new(spool()?), sorted.records()?);
        let (mut bytes, mut entries) = (0, 0);
        let mut before: Vec<u8> = Vec::new();
        while let Some((key, value)) = records.take()? {
            let mut found = indexed(value)?;
            if !before.is_empty() && before == key {
                return Err(Failure::Damaged(format!("entry {} is there twice", found.entry.shown_name())).into());
            }
            before.clear();
            before.extend_from_slice(key);
            (bytes, entries) = (bytes + found.entry.size, entries + 1);
            found.note = look(key, &found)?;
            if is_of_resource(&found.name) {
                resources.push(key, &pack(&found.entry.about(), found.note, found.name.as_bytes()))?;
            }
        }
        Ok(Self { resources: resources.finish()?, bytes, entries })
    }

    /// The entries of resources, from the first.
    pub(super) fn resources(&self) -> Result<Resources<'_>, Stopped> {
        Ok(Resources(self.resources.records()?))
    }
}

impl Resources<'_> {
    pub(super) fn next(&mut self) -> Result<Option<Indexed>, Stopped> {
        self.0.take()?.map(|(_, value)| indexed(value)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_as_a_tree_is_walked() {
        let walked = [
            "10_odata/",
            "10_odata/00_cell.json",
            "20_webdav/",
            "20_webdav/.pmeta",
            "20_webdav/b/.pmeta",
            "20_webdav/b/!x/.pmeta",
            "20_webdav/b/!x/content",
            "20_webdav/b/content/.pmeta",
            "20_webdav/b/content/content",
            "20_webdav/b/d/.pmeta",
            "20_webdav/b/d/e/.pmeta",
            "20_webdav/b/d-e/.pmeta",
        ];
        let keys: Vec<Vec<u8>> = walked.iter().map(|name| key(name)).collect();
        assert!(keys.is_sorted_by(|a, b| a < b), "{keys:?}");
    }

    #[test]
    fn an_entry_is_unpacked_as_it_was_packed() {
        for method in [Method::Stored, Method::Deflated, Method::Other(93)] {
            let about = Known { method, crc: 1, compressed_size: 1 << 40, size: 3, data_offset: 1 << 50 };
            assert_eq!(unpack(&pack(&about, (-4, 5), b"name")), (about, (-4, 5), &b"name"[..]));
        }
    }
}
