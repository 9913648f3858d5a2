//! What somebody with a shell put into a box, changed or removed there, and how the rows learn of it.
//!
//! All of it runs in the writer, where every acknowledged rename is done: what rows and tree disagree about then was done by
//! hand. Links, devices, FIFOs, sockets and mounts are as good as not there.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{FileType, Stat};

use super::cell::Cell;
use super::database::cell_box::{Lookup, disk_path};
use super::database::pending::Gone;
use super::database::resource::{Kind, Resource};
use super::database::schema::{PARENT_BOXES, PARENT_TRASH};
use super::error::{Error, Result};
use super::operation::look::Look;
use super::sparse;
use super::tree::{self, Identity};
use super::writer::Context;
use crate::base::id::ResourceId;
use crate::base::path::{ResourcePath, Segment};

/// Content up to this many bytes is read to tell whether a touched file has really changed.
const READ_TO_COMPARE: i64 = 16 << 20;

/// Rows that are looked through at once.
const AT_ONCE: usize = 1000;

/// The type of a file that nobody declared one for, from its name.
pub fn guess_type(name: &str) -> String {
    mime_guess::from_path(name).first_raw().unwrap_or("application/octet-stream").to_owned()
}

/// What stands under a name on disk, as far as it can be served.
enum Found {
    Nothing,
    /// A link, a device, a mount or the like.
    Odd,
    File(Stat),
    Directory(Stat),
}

/// Looks at a name. What has the inode of its row was looked at before.
fn look(dir: &OwnedFd, name: &str, row: Option<&Resource>) -> Result<Found> {
    let failed = || Error::errno("look at", name);
    let stat = tree::stat_name(dir.as_fd(), name).map_err(failed())?;
    Ok(match stat {
        None => Found::Nothing,
        Some(s)
            if row.is_none_or(|row| row.ino != s.st_ino as i64)
                && tree::is_mount(dir.as_fd(), name).map_err(failed())? =>
        {
            Found::Odd
        }
        Some(s) => match FileType::from_raw_mode(s.st_mode) {
            FileType::RegularFile => Found::File(s),
            FileType::Directory => Found::Directory(s),
            _ => Found::Odd,
        },
    })
}

impl Context<'_> {
    /// Follows a path like [`super::database::View::lookup`], but believes the disk: what is there is adopted, what is not
    /// is forgotten.
    pub fn look(&self, box_name: &str, path: &ResourcePath) -> Result<Lookup> {
        let mut lookup = self.tx.lookup(box_name, &ResourcePath::root())?;
        lookup.missing = path.depth();
        for segment in path.segments() {
            if lookup.nearest().is_file() {
                break;
            }
            let Some(child) = self.look_for(&lookup.chain, segment)? else { break };
            lookup.chain.push(child);
            lookup.missing -= 1;
        }
        Ok(lookup)
    }

    fn look_for(&self, chain: &[Resource], segment: &Segment) -> Result<Option<Resource>> {
        if let Some(found) = self.settle_name(chain, segment.as_str())? {
            return Ok(Some(found));
        }
        let nfc = segment.nfc();
        if nfc != *segment
            && let Some(found) = self.settle_name(chain, nfc.as_str())?
        {
            return Ok(Some(found));
        }
        for name in self.other_forms(chain, &nfc)? {
            if let Some(found) = self.settle_name(chain, &name)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The names in a collection that are this in NFC and not in it: those that the rows know, and those that somebody has
    /// just put there.
    fn other_forms(&self, chain: &[Resource], nfc: &Segment) -> Result<Vec<String>> {
        if nfc.as_str().is_ascii() {
            return Ok(Vec::new());
        }
        let parent = chain.last().expect("invariant: a chain has a root");
        let mut forms = self.tx.aliases(parent.id, nfc.as_str())?;
        let path = disk_path(chain);
        let Ok(dir) = self.directory(&path) else { return Ok(forms) };
        let stat = rustix::fs::fstat(&dir).map_err(Error::errno("look at", path.clone()))?;
        if tree::mtime_ns(&stat) != self.core.known_mtime(parent) {
            for (name, _) in tree::read_names(dir.as_fd()).map_err(Error::io("read", path))? {
                let same = Segment::new(name.clone()).is_ok_and(|s| s != *nfc && s.nfc() == *nfc);
                if same && !forms.contains(&name) {
                    forms.push(name);
                }
            }
        }
        Ok(forms)
    }

    /// Makes the row of one name agree with the disk; returns it. `Exists` if something stands there that cannot be served.
    pub fn settle_name(&self, chain: &[Resource], name: &str) -> Result<Option<Resource>> {
        let parent = chain.last().expect("invariant: a chain has a root");
        let path = disk_path(chain);
        let row = self.tx.child(parent.id, name)?;
        let dir = match self.directory(&path) {
            Ok(dir) => dir,
            Err(e) if self.core.is_foreign() || chain.len() == 1 => return Err(e),
            Err(_) => return Ok(row),
        };
        let found = look(&dir, name, row.as_ref())?;
        match (row, found) {
            (None, Found::Nothing | Found::Odd) => Ok(None),
            (Some(row), Found::Nothing | Found::Odd) => {
                if self.core.is_foreign() {
                    return Ok(Some(row));
                }
                self.forget(parent, &row)?;
                Ok(None)
            }
            (None, Found::File(stat)) => self.adopt_file(parent, name, &stat).map(Some),
            (None, Found::Directory(stat)) => self.adopt_directory(parent, name, &stat).map(Some),
            (Some(row), Found::File(stat)) if row.is_file() => self.compare(row, &dir, name, &stat).map(Some),
            (Some(row), Found::Directory(stat)) if !row.is_file() => {
                if row.ino == stat.st_ino as i64 {
                    return Ok(Some(row));
                }
                let row = Resource { ino: stat.st_ino as i64, dir_mtime_ns: 0, ..row };
                self.tx.update_resource(&row)?;
                Ok(Some(row))
            }
            (Some(row), Found::File(stat)) => {
                self.forget(parent, &row)?;
                self.adopt_file(parent, name, &stat).map(Some)
            }
            (Some(row), Found::Directory(stat)) => {
                self.forget(parent, &row)?;
                self.adopt_directory(parent, name, &stat).map(Some)
            }
        }
    }

    /// Whether something that cannot be served stands under a name.
    pub fn is_odd(&self, chain: &[Resource], name: &str) -> Result<bool> {
        let dir = self.directory(&disk_path(chain))?;
        Ok(matches!(look(&dir, name, None)?, Found::Odd))
    }

    fn new_row(&self, parent: &Resource, name: &str, kind: Kind) -> Resource {
        let seq = self.tx.next_seq();
        Resource {
            parent: parent.id,
            name: name.to_owned(),
            id: self.tx.next_id(),
            kind,
            flags: 0,
            version: 1,
            stamp: self.tx.next_stamp(),
            created_ms: self.tx.now_ms(),
            mtime_ms: self.tx.now_ms(),
            seq,
            placed_seq: seq,
            size: 0,
            crc: None,
            ino: 0,
            mtime_ns: 0,
            content_type: None,
            children: 0,
            dir_mtime_ns: 0,
        }
    }

    fn adopt_file(&self, parent: &Resource, name: &str, stat: &Stat) -> Result<Resource> {
        let identity = Identity::of(stat);
        let row = Resource {
            size: identity.size,
            ino: identity.ino,
            mtime_ns: identity.mtime_ns,
            mtime_ms: identity.mtime_ns / 1_000_000,
            content_type: Some(guess_type(name)),
            ..self.new_row(parent, name, Kind::File)
        };
        self.tx.insert_resource(&row)?;
        self.tx.count_children(parent.id, 1)?;
        Ok(row)
    }

    fn adopt_directory(&self, parent: &Resource, name: &str, stat: &Stat) -> Result<Resource> {
        let row = Resource { ino: stat.st_ino as i64, ..self.new_row(parent, name, Kind::Collection) };
        self.tx.insert_resource(&row)?;
        self.tx.count_children(parent.id, 1)?;
        Ok(row)
    }

    /// Takes a name whose file or directory was removed by hand out of the rows.
    fn forget(&self, parent: &Resource, row: &Resource) -> Result<()> {
        let seq = self.tx.next_seq();
        self.tx.bury(row)?;
        self.tx.count_children(parent.id, -1)?;
        self.tx.place_resource(row.id, PARENT_TRASH, &row.id.to_string(), seq)?;
        // There are no bytes to keep; the entry lets the reaper find the rows.
        self.tx.insert_gone(&Gone { id: row.id, version: row.version, name: String::new(), seq, tree: !row.is_file() })
    }

    /// Compares a file with its row: the same content keeps its version, other content is a new one.
    fn compare(&self, row: Resource, dir: &OwnedFd, name: &str, stat: &Stat) -> Result<Resource> {
        let here = Identity::of(stat);
        if here == row.identity() {
            return Ok(row);
        }
        let untouched = self.core.is_foreign() && here.mtime_ns == row.mtime_ns;
        let same = here.size == row.size && (untouched || same_crc(&row, dir, name));
        let row = if same {
            Resource { ino: here.ino, mtime_ns: here.mtime_ns, ..row }
        } else {
            let seq = self.tx.next_seq();
            Resource {
                version: row.version + 1,
                stamp: self.tx.next_stamp(),
                seq,
                size: here.size,
                crc: None,
                ino: here.ino,
                mtime_ns: here.mtime_ns,
                mtime_ms: here.mtime_ns / 1_000_000,
                ..row
            }
        };
        self.tx.update_resource(&row)?;
        Ok(row)
    }

    /// Reads a collection's directory and makes all its rows agree with it.
    pub fn reconcile(&self, lookup: &Lookup) -> Result<()> {
        let collection = lookup.nearest();
        let path = lookup.disk_path();
        let dir = self.directory(&path)?;
        let stat = rustix::fs::fstat(&dir).map_err(Error::errno("look at", path.clone()))?;
        let mtime_ns = tree::mtime_ns(&stat);
        if mtime_ns == self.core.known_mtime(collection) {
            return Ok(());
        }
        let before = self.tx.seq();
        let mut there = Names::default();
        tree::each_name(dir.as_fd(), |name, kind| {
            there.add(name);
            self.settle_listed(lookup, name, kind).map_err(Reading::Store)
        })
        .map_err(|e| match e {
            Reading::Store(e) => e,
            Reading::Directory(e) => Error::io("read", path)(e),
        })?;
        self.settle_vanished(lookup, &there.sorted())?;
        self.tx.set_dir_mtime(collection.id, mtime_ns)?;
        self.core.forget_mtime(collection.id);
        if self.tx.seq() != before {
            self.tx.touch_box(lookup.cell_box.id);
        }
        Ok(())
    }
}

impl Context<'_> {
    /// Makes the row of a name agree with what its directory tells of it.
    fn settle_listed(&self, lookup: &Lookup, name: &str, kind: FileType) -> Result<()> {
        let known = self.tx.child(lookup.nearest().id, name)?;
        let settled = known.as_ref().is_some_and(|row| match kind {
            FileType::RegularFile => row.is_file(),
            FileType::Directory => !row.is_file(),
            _ => false,
        });
        // A name that cannot be a segment (a control character in it) is not served.
        if !settled && Segment::new(name.to_owned()).is_ok() {
            self.settle_name(&lookup.chain, name)?;
        }
        Ok(())
    }

    /// Looks for every row whose name the directory did not tell, a few at a time.
    fn settle_vanished(&self, lookup: &Lookup, there: &SortedNames) -> Result<()> {
        let collection = lookup.nearest().id;
        let mut after = String::new();
        loop {
            let rows = self.tx.children_after(collection, &after, AT_ONCE)?;
            let Some(last) = rows.last() else { return Ok(()) };
            after.clone_from(&last.name);
            for row in rows.iter().filter(|row| !there.have(&row.name)) {
                self.settle_name(&lookup.chain, &row.name)?;
            }
        }
    }
}

/// What went wrong while a directory was being read.
enum Reading {
    Directory(std::io::Error),
    Store(Error),
}

impl From<std::io::Error> for Reading {
    fn from(error: std::io::Error) -> Self {
        Self::Directory(error)
    }
}

/// Names of a directory, eight bytes each, for one with a million of them. Two names that look alike are one in 2^64; which, only
/// chance tells.
#[derive(Default)]
struct Names {
    state: RandomState,
    hashes: Vec<u64>,
}

struct SortedNames(Names);

impl Names {
    fn add(&mut self, name: &str) {
        self.hashes.push(self.state.hash_one(name));
    }

    fn sorted(mut self) -> SortedNames {
        self.hashes.sort_unstable();
        SortedNames(self)
    }
}

impl SortedNames {
    fn have(&self, name: &str) -> bool {
        let Names { state, hashes } = &self.0;
        hashes.binary_search(&state.hash_one(name)).is_ok()
    }
}

/// Whether a file of the same size has the content that its row describes.
fn same_crc(row: &Resource, dir: &OwnedFd, name: &str) -> bool {
    let Some(crc) = row.crc.filter(|_| row.size <= READ_TO_COMPARE) else { return false };
    let Ok((file, _)) = tree::open_file(dir.as_fd(), name) else { return false };
    sparse::crc_of(file).is_ok_and(|c| c == crc)
}

impl Context<'_> {
    /// What a path leads to, for an operation on it: the rows down to its parent, and its own name as the disk has it.
    pub(crate) fn resolve(&self, box_name: &str, path: &ResourcePath) -> Result<Lookup> {
        let Some((parent, name)) = path.split() else { return self.tx.lookup(box_name, path) };
        let lookup = self.tx.lookup(box_name, &parent)?;
        self.resolve_in(lookup, box_name, &parent, name)
    }

    /// As [`Self::resolve`], for an operation that changes nothing but a file and the number of its collection's members: of the
    /// collections above nothing else is sure to be as the rows have it now.
    pub(crate) fn resolve_place(&self, box_name: &str, path: &ResourcePath) -> Result<Lookup> {
        let Some((parent, name)) = path.split() else { return self.tx.lookup(box_name, path) };
        let lookup = self.place(box_name, &parent)?;
        self.resolve_in(lookup, box_name, &parent, name)
    }

    fn resolve_in(&self, mut lookup: Lookup, box_name: &str, parent: &ResourcePath, name: &Segment) -> Result<Lookup> {
        // A collection that cannot be opened was removed, or has become a link or a mount.
        // The descriptor may be an old one: what was removed has no link left.
        let linked = |dir: &Arc<OwnedFd>| rustix::fs::fstat(dir).ok().filter(|stat| stat.st_nlink > 0);
        let open = || self.directory(&lookup.disk_path()).ok().as_ref().and_then(linked);
        if !lookup.nearest().is_file() {
            match if lookup.missing > 0 { None } else { open() } {
                None => lookup = self.look(box_name, parent)?,
                Some(stat) if self.lacks(&lookup, name, &stat)? => {
                    lookup.missing = 1;
                    return Ok(lookup);
                }
                Some(_) => {}
            }
        }
        if lookup.missing > 0 || lookup.nearest().is_file() {
            lookup.missing += 1;
            return Ok(lookup);
        }
        match self.look_for(&lookup.chain, name)? {
            Some(row) => lookup.chain.push(row),
            None => lookup.missing = 1,
        }
        Ok(lookup)
    }
}

impl Context<'_> {
    /// Whether nothing that can be served has this name, as the rows tell: their directory is as they know it, on a file
    /// system that tells each change from the one before. What cannot be served shows when the name is taken.
    fn lacks(&self, parent: &Lookup, name: &Segment, directory: &Stat) -> Result<bool> {
        let row = parent.nearest();
        let agrees =
            self.core.volatile && name.as_str().is_ascii() && tree::mtime_ns(directory) == self.core.known_mtime(row);
        Ok(agrees && !self.core.is_foreign() && self.tx.child(row.id, name.as_str())?.is_none())
    }
}

impl Cell {
    /// Whether the rows know all names of the directories in which a name was found in another form than the one asked for:
    /// somebody may have put one there that is exactly this.
    pub(super) fn forms_agree(&self, lookup: &Lookup, path: &ResourcePath) -> Result<bool> {
        for (i, (row, asked)) in lookup.chain[1..].iter().zip(path.segments()).enumerate() {
            let above = &lookup.chain[..=i];
            if row.name != asked.as_str() && !self.directory_agrees(&disk_path(above), &lookup.chain[i])? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Makes the row of a file agree with what lies at its place. For a reader that found a version nowhere: somebody has
    /// written into the file by hand.
    pub fn notice(&self, id: ResourceId) -> Result<()> {
        let Some((PARENT_BOXES, chain)) = self.read(|v| v.chain(id))? else { return Ok(()) };
        let segments = chain[1..].iter().filter_map(|r| Segment::new(r.name.clone()).ok()).collect();
        let path = ResourcePath::from_segments(segments);
        self.change(Look { box_name: chain[0].name.clone(), path }).map(drop)
    }
}
