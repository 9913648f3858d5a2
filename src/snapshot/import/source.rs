//! A snapshot file, opened without trust: the layout of the reference, and what this server adds to it.
//!
//! Every entry below `20_webdav/` and `90_cellar/` must be in the list of entries, with its size and checksum, where there is
//! such a list; the content itself is compared with its checksum when it is read.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};

use serde_json::Value;

use crate::archive::{Archive, Entry, EntryKind, Limits};
use crate::snapshot::failure::Failure;
use crate::snapshot::{
    CELL, EXPORT_VERSION, LISTS, MANIFEST, ODATA, OWN, OWN_CELL, OWN_ENTRIES, OWN_LOG, OWN_VERSION, WEBDAV, list_entry,
};
use crate::storage::log::{CURRENT, is_archived_name};

/// What opening may cost. Snapshots are the unit's own files, so they may be larger than bars.
const LIMITS: Limits = Limits { entries: 8_000_000, directory_bytes: 2 << 30 };
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
    archive: Archive<File>,
    own: Option<Own>,
    /// By entry: the number and the stamp of the resource it describes; 0 for none.
    notes: Vec<(i64, i64)>,
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
    /// Opens a file and checks all that can be told without reading its content. Blocks.
    pub fn open(file: File) -> Result<Self, Failure> {
        let archive = Archive::open(file, LIMITS).map_err(Failure::archive)?;
        if let Some(name) = archive.duplicates().first() {
            return Err(damaged(format!("entry {name} is there twice")));
        }
        for entry in archive.entries() {
            let name = entry.name().map_err(Failure::archive)?;
            if !matches!(entry.kind, EntryKind::File | EntryKind::Directory) {
                return Err(damaged(format!("entry {} is no file", entry.shown_name())));
            }
            if name.ends_with('/') && entry.size > 0 {
                return Err(damaged(format!("entry {} is a directory with content", entry.shown_name())));
            }
        }
        let notes = vec![(0, 0); archive.entries().len()];
        let mut source = Self { archive, own: None, notes, changed: Vec::new() };
        source.check_manifest()?;
        source.check_structure()?;
        if source.names_any(OWN) {
            source.check_entries()?;
        }
        Ok(source)
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
        let missing = std::iter::once(CELL.to_owned()).chain(lists).find(|name| self.archive.find(name).is_none());
        missing.map_or(Ok(()), |name| Err(Failure::Missing(name)))
    }

    /// Compares the directory of the archive with the list of entries.
    fn check_entries(&mut self) -> Result<(), Failure> {
        let cell = self.find(OWN_CELL, MANIFEST_BYTES)?.ok_or_else(|| Failure::Missing(OWN_CELL.to_owned()))?;
        let own: Own = serde_json::from_slice(&cell).map_err(|_| damaged(format!("{OWN_CELL} cannot be read")))?;
        if own.format != OWN_VERSION {
            return Err(Failure::Unsupported(format!("{OWN} of format {}", own.format)));
        }
        let list = self.archive.find(OWN_ENTRIES).ok_or_else(|| Failure::Missing(OWN_ENTRIES.to_owned()))?.clone();
        let (mut listed, mut notes, mut changed) = (0, vec![(0, 0); self.entries().len()], Vec::new());
        let mut lines = BufReader::with_capacity(READ, self.archive.open_entry(&list).map_err(Failure::archive)?);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = (&mut lines).take(LINE).read_until(b'\n', &mut line);
            if read.map_err(|e| damaged(format!("{OWN_ENTRIES}: {e}")))? == 0 {
                break;
            }
            let line: Listed =
                serde_json::from_slice(&line).map_err(|_| damaged(format!("{OWN_ENTRIES}: a line cannot be read")))?;
            listed += usize::from(is_covered(&line.name));
            match self.check_entry(&line)? {
                Some(at) => notes[at] = (line.id, line.stamp),
                None => changed.push(line.name),
            }
        }
        drop(lines);
        (self.notes, self.changed) = (notes, changed);
        let there = |e: &&Entry| e.name().is_ok_and(|name| is_covered(name) && !name.ends_with('/'));
        if self.archive.entries().iter().filter(there).count() != listed {
            return Err(damaged(format!("there are entries that are not in {OWN_ENTRIES}")));
        }
        self.own = Some(own);
        Ok(())
    }

    /// Compares an entry with its line; tells where it is, or nothing if it is a document that has been changed.
    fn check_entry(&self, line: &Listed) -> Result<Option<usize>, Failure> {
        let Some(at) = self.archive.position(&line.name) else { return Err(Failure::Missing(line.name.clone())) };
        let crc =
            u32::from_str_radix(&line.crc, 16).map_err(|_| damaged(format!("{OWN_ENTRIES}: a wrong checksum")))?;
        let entry = &self.archive.entries()[at];
        let same = (entry.size, entry.crc) == (line.size, crc);
        if line.name.starts_with(ODATA) {
            return Ok(if same || self.is_same_text(at, crc)? { Some(at) } else { None });
        }
        if same {
            Ok(Some(at))
        } else {
            Err(damaged(format!("entry {} does not have its checksum", entry.shown_name())))
        }
    }

    /// Whether a list differs in its line ends alone.
    fn is_same_text(&self, at: usize, crc: u32) -> Result<bool, Failure> {
        let mut bytes = self.read(at, super::DOCUMENT)?;
        // JSON has no raw carriage returns but at the ends of lines.
        bytes.retain(|&b| b != b'\r');
        Ok(crc32fast::hash(&bytes) == crc)
    }

    pub(super) fn own(&self) -> Option<&Own> {
        self.own.as_ref()
    }

    pub(super) fn entries(&self) -> &[Entry] {
        self.archive.entries()
    }

    pub(super) fn archive(&self) -> &Archive<File> {
        &self.archive
    }

    /// The number and the stamp of the resource that an entry describes, as this server has written them.
    pub(super) fn note(&self, at: usize) -> Option<(i64, i64)> {
        Some(self.notes[at]).filter(|(id, _)| *id > 0)
    }

    /// Whether a list is as this server wrote it, but for its line ends.
    pub(super) fn is_as_written(&self, name: &str) -> bool {
        self.own.is_some() && !self.changed.iter().any(|changed| changed == name)
    }

    pub(super) fn names_any(&self, prefix: &str) -> bool {
        self.entries().iter().any(|e| e.name().is_ok_and(|name| name.starts_with(prefix) && name != prefix))
    }

    /// The content of an entry of at most `limit` bytes, if there is one of that name.
    pub(super) fn find(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, Failure> {
        self.archive.position(name).map(|at| self.read(at, limit)).transpose()
    }

    pub(super) fn read(&self, at: usize, limit: u64) -> Result<Vec<u8>, Failure> {
        self.archive.read_entry(&self.entries()[at], limit).map_err(Failure::archive)
    }

    /// How much there is to do: bytes and entries.
    pub(super) fn weight(&self) -> (u64, u64) {
        (self.entries().iter().map(|entry| entry.size).sum(), self.entries().len() as u64)
    }

    pub(super) fn size_of(&self, at: usize) -> u64 {
        self.entries()[at].size
    }

    /// The files of the event log: entries, and where they belong.
    pub(super) fn logs(&self) -> Result<Vec<(usize, String)>, Failure> {
        let mut logs = Vec::new();
        for (at, entry) in self.entries().iter().enumerate() {
            let name = entry.name().map_err(Failure::archive)?;
            let Some(path) = name.strip_prefix(OWN_LOG).filter(|path| !path.is_empty() && !path.ends_with('/')) else {
                continue;
            };
            let known = match path.split_once('/') {
                Some(("current", name)) => name == CURRENT,
                Some(("archive", name)) => is_archived_name(name),
                _ => false,
            };
            if !known {
                return Err(damaged(format!("entry {} is no event log", entry.shown_name())));
            }
            logs.push((at, format!("log/{path}")));
        }
        Ok(logs)
    }
}

/// The name of the cell that a snapshot file was made of.
pub(super) fn named_cell(file: File) -> Result<String, Failure> {
    let archive = Archive::open(file, LIMITS).map_err(Failure::archive)?;
    let entry = archive.find(CELL).ok_or_else(|| Failure::Missing(CELL.to_owned()))?;
    let bytes = archive.read_entry(entry, MANIFEST_BYTES).map_err(Failure::archive)?;
    let cell: Value = serde_json::from_slice(&bytes).map_err(|_| damaged(format!("{CELL} cannot be read")))?;
    let name = cell["_source"]["s"]["Name"].as_str();
    name.map(str::to_owned).ok_or_else(|| damaged(format!("{CELL} names no cell")))
}

/// Whether an entry must be in the list.
fn is_covered(name: &str) -> bool {
    (name.starts_with(WEBDAV) || name.starts_with(OWN)) && name != OWN_ENTRIES
}
