//! A snapshot file, opened without trust: the layout of the reference, and what this server adds to it.
//!
//! Every entry below `20_webdav/` and `90_cellar/` must be in the list of entries, with its size and checksum, where there is
//! such a list; the content itself is compared with its checksum when it is read.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};

use serde_json::Value;

use super::index::{self, Fixed, Index, Indexed, NewSpool, Resources, Stopped, key};
use crate::archive::{Directory, Entry, Limits};
use crate::snapshot::failure::Failure;
use crate::snapshot::{
    CELL, EXPORT_VERSION, LISTS, MANIFEST, ODATA, OWN, OWN_CELL, OWN_ENTRIES, OWN_LOG, OWN_VERSION, WEBDAV, list_entry,
};
use crate::storage::log::{CURRENT, is_archived_name};
use crate::storage::sorted::{Records, Sorted, Sorter};

/// The largest manifest, in bytes.
const MANIFEST_BYTES: u64 = 1 << 20;
/// The longest line of the list of entries, in bytes.
const LINE: u64 = 1 << 20;
/// Bytes of that list that are read at once.
const READ: usize = 256 << 10;

/// What this server added about the cell.
#[derive(Debug, serde::Deserialize)]
pub(super) struct Own {
    pub(super) format: i64,
    pub(super) uuid: String,
    pub(super) next_id: i64,
    pub(super) stamp: i64,
}

/// An open snapshot file that is worth trying.
#[derive(Debug)]
pub struct SnapshotSource {
    file: File,
    fixed: Fixed,
    index: Index,
    own: Option<Own>,
    /// Names of lists that are not as this server wrote them.
    changed: Vec<String>,
}

/// A line of the list of entries.
#[derive(serde::Deserialize)]
struct Listed {
    name: String,
    size: u64,
    crc: String,
    #[serde(default)]
    id: i64,
    #[serde(default)]
    stamp: i64,
}

fn damaged(text: String) -> Failure {
    Failure::Damaged(text)
}

impl SnapshotSource {
    /// Opens a file and checks all that can be told without reading its content. What is sorted on the way lies in spools. Blocks.
    pub(crate) fn open(file: File, spool: NewSpool<'_>) -> Result<Self, Failure> {
        Self::read(file, spool).map_err(|Stopped(failure)| failure)
    }

    fn read(file: File, spool: NewSpool<'_>) -> Result<Self, Stopped> {
        let sorted = index::read(&file, spool)?;
        let head = Head { file: &file, fixed: Index::fixed(&sorted)? };
        head.check_manifest()?;
        head.check_structure()?;
        if !head.names_any(OWN) {
            let index = Index::merge(&sorted, spool, |_, _| Ok((0, 0)))?;
            let fixed = head.fixed;
            return Ok(Self { file, fixed, index, own: None, changed: Vec::new() });
        }
        let (index, own, changed) = head.check_entries(&sorted, spool)?;
        let fixed = head.fixed;
        Ok(Self { file, fixed, index, own: Some(own), changed })
    }
}

/// What stands at known places, enough to check the rest.
struct Head<'f> {
    file: &'f File,
    fixed: Fixed,
}

impl Head<'_> {
    fn entry(&self, name: &str) -> Option<&Indexed> {
        self.fixed.get(name)
    }

    fn find(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, Failure> {
        find(self.file, &self.fixed, name, limit)
    }

    fn names_any(&self, prefix: &str) -> bool {
        names_any(&self.fixed, prefix)
    }

    fn check_manifest(&self) -> Result<(), Failure> {
        let bytes = self.find(MANIFEST, MANIFEST_BYTES)?.ok_or_else(|| Failure::Missing(MANIFEST.to_owned()))?;
        let manifest: Value = serde_json::from_slice(&bytes)
            .map_err(|_| Failure::Json(String::from_utf8_lossy(&bytes).chars().take(500).collect()))?;
        match manifest.get("export_version") {
            Some(version) if version.as_i64() == Some(EXPORT_VERSION) => Ok(()),
            version => Err(Failure::Version(version.unwrap_or(&Value::Null).to_string())),
        }
    }

    fn check_structure(&self) -> Result<(), Failure> {
        let lists = LISTS.iter().map(|list| list_entry(list));
        let missing = std::iter::once(CELL.to_owned()).chain(lists).find(|name| self.entry(name).is_none());
        missing.map_or(Ok(()), |name| Err(Failure::Missing(name)))
    }

    /// Compares the directory of the archive with the list of entries.
    fn check_entries(&self, sorted: &Sorted, spool: NewSpool<'_>) -> Result<(Index, Own, Vec<String>), Stopped> {
        let cell = self.find(OWN_CELL, MANIFEST_BYTES)?.ok_or_else(|| Failure::Missing(OWN_CELL.to_owned()))?;
        let own: Own = serde_json::from_slice(&cell).map_err(|_| damaged(format!("{OWN_CELL} cannot be read")))?;
        if own.format != OWN_VERSION {
            return Err(Failure::Unsupported(format!("{OWN} of format {}", own.format)).into());
        }
        let list = self.list(spool)?;
        let mut lines = Lines::new(&list)?;
        let mut changed = Vec::new();
        let index = Index::merge(sorted, spool, |key, found| match lines.take(key)? {
            Some(line) => {
                if self.check_entry(&line, found)? {
                    Ok((line.id, line.stamp))
                } else {
                    changed.push(line.name);
                    Ok((0, 0))
                }
            }
            None if is_covered(&found.name) && !found.name.ends_with('/') => {
                Err(damaged(format!("entry {} is not in {OWN_ENTRIES}", found.entry.shown_name())).into())
            }
            None => Ok((0, 0)),
        })?;
        lines.end()?;
        Ok((index, own, changed))
    }

    /// The list of entries in the order of the index.
    fn list(&self, spool: NewSpool<'_>) -> Result<Sorted, Stopped> {
        let list = self.entry(OWN_ENTRIES).ok_or_else(|| Failure::Missing(OWN_ENTRIES.to_owned()))?;
        let mut lines = BufReader::with_capacity(READ, list.entry.open(self.file)?);
        let (mut sorter, mut line) = (Sorter::new(spool()?), Vec::new());
        loop {
            line.clear();
            let read = (&mut lines).take(LINE).read_until(b'\n', &mut line);
            if read.map_err(|e| damaged(format!("{OWN_ENTRIES}: {e}")))? == 0 {
                return Ok(sorter.finish()?);
            }
            sorter.push(&key(&parse(&line)?.name), &line)?;
        }
    }

    /// Compares an entry with its line; false if it is a document that has been changed.
    fn check_entry(&self, line: &Listed, found: &Indexed) -> Result<bool, Failure> {
        let crc =
            u32::from_str_radix(&line.crc, 16).map_err(|_| damaged(format!("{OWN_ENTRIES}: a wrong checksum")))?;
        let entry = &found.entry;
        let same = (entry.size, entry.crc) == (line.size, crc);
        if line.name.starts_with(ODATA) {
            return Ok(same || self.is_same_text(entry, crc)?);
        }
        if same { Ok(true) } else { Err(damaged(format!("entry {} does not have its checksum", entry.shown_name()))) }
    }

    /// Whether a list differs in its line ends alone.
    fn is_same_text(&self, entry: &Entry, crc: u32) -> Result<bool, Failure> {
        let mut bytes = entry.read(self.file, super::DOCUMENT).map_err(Failure::archive)?;
        // JSON has no raw carriage returns but at the ends of lines.
        bytes.retain(|&b| b != b'\r');
        Ok(crc32fast::hash(&bytes) == crc)
    }
}

impl SnapshotSource {
    pub(super) fn own(&self) -> Option<&Own> {
        self.own.as_ref()
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// The entries of resources, in the order in which they are restored.
    pub(super) fn resources(&self) -> Result<Resources<'_>, Failure> {
        self.index.resources().map_err(|Stopped(failure)| failure)
    }

    /// Whether a list is as this server wrote it, but for its line ends.
    pub(super) fn is_as_written(&self, name: &str) -> bool {
        self.own.is_some() && !self.changed.iter().any(|changed| changed == name)
    }

    /// Whether an entry that is no resource is below a folder.
    pub(super) fn names_any(&self, prefix: &str) -> bool {
        names_any(&self.fixed, prefix)
    }

    /// The content of an entry of at most `limit` bytes that is no resource, if there is one of that name.
    pub(super) fn find(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, Failure> {
        find(&self.file, &self.fixed, name, limit)
    }

    pub(super) fn read_entry(&self, entry: &Entry, limit: u64) -> Result<Vec<u8>, Failure> {
        entry.read(&self.file, limit).map_err(Failure::archive)
    }

    /// How much there is to do: bytes and entries.
    pub(super) fn weight(&self) -> (u64, u64) {
        (self.index.bytes, self.index.entries)
    }

    /// The files of the event log: entries, and where they belong.
    pub(super) fn logs(&self) -> Result<Vec<(Entry, String)>, Failure> {
        let mut logs = Vec::new();
        for (name, found) in &self.fixed {
            let Some(path) = name.strip_prefix(OWN_LOG).filter(|path| !path.is_empty() && !path.ends_with('/')) else {
                continue;
            };
            let known = match path.split_once('/') {
                Some(("current", name)) => name == CURRENT,
                Some(("archive", name)) => is_archived_name(name),
                _ => false,
            };
            if !known {
                return Err(damaged(format!("entry {} is no event log", found.entry.shown_name())));
            }
            logs.push((found.entry.clone(), format!("log/{path}")));
        }
        Ok(logs)
    }
}

fn find(file: &File, fixed: &Fixed, name: &str, limit: u64) -> Result<Option<Vec<u8>>, Failure> {
    fixed.get(name).map(|found| found.entry.read(file, limit).map_err(Failure::archive)).transpose()
}

fn names_any(fixed: &Fixed, prefix: &str) -> bool {
    fixed.keys().any(|name| name.starts_with(prefix) && name != prefix)
}

fn parse(line: &[u8]) -> Result<Listed, Failure> {
    serde_json::from_slice(line).map_err(|_| damaged(format!("{OWN_ENTRIES}: a line cannot be read")))
}

/// The lines of the list of entries, each taken by the entry that it is about.
struct Lines<'s> {
    records: Records<'s>,
    next: Option<(Vec<u8>, Listed)>,
}

impl<'s> Lines<'s> {
    fn new(list: &'s Sorted) -> Result<Self, Stopped> {
        let mut lines = Self { records: list.records()?, next: None };
        lines.advance()?;
        Ok(lines)
    }

    fn advance(&mut self) -> Result<(), Stopped> {
        self.next = match self.records.take()? {
            Some((key, line)) => Some((key.to_vec(), parse(line)?)),
            None => None,
        };
        Ok(())
    }

    /// The line of the entry with that key; what should have come before it is missing.
    fn take(&mut self, key: &[u8]) -> Result<Option<Listed>, Stopped> {
        match &self.next {
            Some((next, line)) if next.as_slice() < key => Err(Failure::Missing(line.name.clone()).into()),
            Some((next, _)) if next == key => {
                let line = self.next.take().map(|(_, line)| line);
                self.advance()?;
                Ok(line)
            }
            _ => Ok(None),
        }
    }

    fn end(self) -> Result<(), Failure> {
        self.next.map_or(Ok(()), |(_, line)| Err(Failure::Missing(line.name)))
    }
}

/// The name of the cell that a snapshot file was made of.
pub(super) fn named_cell(file: &File) -> Result<String, Failure> {
    let directory = Directory::find(file).map_err(Failure::archive)?;
    let (mut found, mut headers) = (None, directory.headers(file));
    let read = directory.each(file, Limits { entries: u64::MAX, directory_bytes: u64::MAX }, |mut entry, raw| {
        if found.is_none() && raw == CELL.as_bytes() {
            headers.check(&mut entry, raw)?;
            found = Some(entry);
        }
        Ok(())
    });
    read.map_err(Failure::archive)?;
    let entry = found.ok_or_else(|| Failure::Missing(CELL.to_owned()))?;
    let bytes = entry.read(file, MANIFEST_BYTES).map_err(Failure::archive)?;
    let cell: Value = serde_json::from_slice(&bytes).map_err(|_| damaged(format!("{CELL} cannot be read")))?;
    let name = cell["_source"]["s"]["Name"].as_str();
    name.map(str::to_owned).ok_or_else(|| damaged(format!("{CELL} names no cell")))
}

/// Whether an entry must be in the list.
fn is_covered(name: &str) -> bool {
    (name.starts_with(WEBDAV) || name.starts_with(OWN)) && name != OWN_ENTRIES
}
