//! Collections and files: directories first, then files by several threads, rows by one.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};

use super::objects::Restored;
use super::source::SnapshotSource;
use super::{META_BYTES, Numbers, Stop};
use crate::base::path::Segment;
use crate::snapshot::failure::{Failure, IMPORT_STOPPED};
use crate::snapshot::meta::{self, Meta};
use crate::snapshot::progress::Progress;
use crate::snapshot::{CONTENT, META, WEBDAV};
use crate::storage;
use crate::storage::adopt::guess_type;
use crate::storage::database::acl::Acl;
use crate::storage::database::cell_box::MAIN_BOX;
use crate::storage::database::resource::{HAS_ACL, HAS_PROPERTIES};
use crate::storage::database::schema::PARENT_BOXES;
use crate::storage::database::{Kind, Resource, Tx};
use crate::storage::rebuild::{NewFile, NewTree};
use crate::storage::tree::Identity;

/// Content up to this size, in bytes, is inflated whole.
const WHOLE: u64 = 4 << 20;
/// Bytes of larger content in memory at a time.
const BUFFER: usize = 256 << 10;
/// Files that a thread takes at once.
const BATCH: usize = 64;
const THREADS: usize = 8;

/// The entries of one resource, by index.
#[derive(Debug, Clone, Copy)]
struct Entries {
    meta: usize,
    content: Option<usize>,
}

/// A collection that was made.
#[derive(Debug)]
struct Folder {
    row: Resource,
    /// From the cell's directory.
    disk: String,
    meta: Meta,
}

/// A file that was made.
struct Stored {
    /// Its position among the files.
    at: usize,
    meta: Meta,
    identity: Identity,
    crc: u32,
}

/// Everything that restoring the tree needs.
pub(super) struct Tree<'a> {
    pub(super) tx: &'a Tx<'a>,
    pub(super) target: &'a NewTree,
    pub(super) source: &'a SnapshotSource,
    pub(super) restored: &'a Restored,
    pub(super) progress: &'a Progress,
}

/// What the threads that store files share.
struct Store<'a> {
    source: &'a SnapshotSource,
    tree: &'a NewTree,
    progress: &'a Progress,
    roles: &'a HashMap<String, i64>,
    /// Entries and path from the cell's directory.
    files: &'a [(Entries, String)],
    next: AtomicUsize,
}

impl Tree<'_> {
    /// Restores all boxes; returns the folders that were made.
    pub(super) fn restore(&self, numbers: &mut Numbers) -> Result<Vec<String>, Stop> {
        let sorted = sorted(self.source)?;
        let mut folders: Vec<Folder> = Vec::new();
        let mut by_path: HashMap<&str, usize> = HashMap::new();
        for (path, entries) in sorted.iter().filter(|(_, e)| e.content.is_none()) {
            let folder = self.folder(path, *entries, &folders, &by_path, numbers)?;
            by_path.insert(path, folders.len());
            folders.push(folder);
        }
        self.missing_boxes(&mut folders)?;
        let (mut files, mut rows) = (Vec::new(), Vec::new());
        for (path, entries) in sorted.iter().filter(|(_, e)| e.content.is_some()) {
            let (parent, name) = parent_of(path, &by_path)?;
            folders[parent].row.children += 1;
            files.push((*entries, format!("{}/{name}", folders[parent].disk)));
            rows.push((folders[parent].row.id, name.to_owned()));
        }
        self.files(&files, &rows, numbers)?;
        self.finish(folders)
    }

    fn folder(
        &self,
        path: &str,
        entries: Entries,
        folders: &[Folder],
        by_path: &HashMap<&str, usize>,
        numbers: &mut Numbers,
    ) -> Result<Folder, Stop> {
        let name = format!("{WEBDAV}{path}/{META}");
        let meta = Meta::parse(&self.source.read(entries.meta, META_BYTES)?, &name, &self.restored.roles)?;
        self.progress.add(self.source.size_of(entries.meta), 1);
        let wrong = |what: &str| Failure::Damaged(format!("{name}: {what}"));
        let note = self.source.note(entries.meta);
        let kept = note.and_then(|(id, stamp)| Some((numbers.kept(id)?, stamp)));
        let is_box = !path.contains('/');
        let kind = match meta.kind {
            meta::BOX | meta::CELL if is_box => Kind::Collection,
            _ => meta.row_kind().ok_or_else(|| wrong("its type does not belong here"))?,
        };
        match kind {
            Kind::File => return Err(wrong("the content of the file is missing").into()),
            Kind::OData | Kind::Stream => return Err(Failure::Unsupported(meta.kind.to_owned()).into()),
            Kind::Collection | Kind::Service => {}
        }
        let (parent, id, name, disk) = if is_box {
            let (id, box_name) = if path == MAIN_BOX {
                (self.restored.main, MAIN_BOX.to_owned())
            } else {
                self.restored.boxes.get(path).cloned().ok_or_else(|| wrong("it belongs to no box"))?
            };
            (PARENT_BOXES, id, box_name.clone(), format!("boxes/{box_name}"))
        } else {
            let (parent, name) = parent_of(path, by_path)?;
            let id = kept.map_or_else(|| numbers.new_one(), |(id, _)| id);
            (folders[parent].row.id, id, name.to_owned(), format!("{}/{name}", folders[parent].disk))
        };
        self.target.make_folder(&disk)?;
        let stamp = kept.map_or_else(|| self.tx.next_stamp(), |(_, stamp)| stamp);
        let row = self.row(parent, name, id, kind, stamp, &meta);
        Ok(Folder { row, disk, meta })
    }

    /// Boxes of which the tree says nothing are there and empty.
    fn missing_boxes(&self, folders: &mut Vec<Folder>) -> Result<(), Stop> {
        let main = (self.restored.main, MAIN_BOX.to_owned());
        for (id, name) in self.restored.boxes.values().chain([&main]) {
            if folders.iter().any(|f| f.row.id == *id) {
                continue;
            }
            let disk = format!("boxes/{name}");
            self.target.make_folder(&disk)?;
            let now = self.tx.now_ms();
            let meta = Meta {
                kind: meta::BOX,
                acl: Acl::default(),
                properties: Vec::new(),
                created_ms: now,
                updated_ms: now,
                version: 1,
                content_type: None,
                size: 0,
            };
            let row = self.row(PARENT_BOXES, name.clone(), *id, Kind::Collection, self.tx.next_stamp(), &meta);
            folders.push(Folder { row, disk, meta });
        }
        Ok(())
    }

    fn row(&self, parent: i64, name: String, id: i64, kind: Kind, stamp: i64, meta: &Meta) -> Resource {
        let listed = !meta.acl.aces.is_empty() || meta.acl.require_schema.is_some();
        let flags = if meta.properties.is_empty() { 0 } else { HAS_PROPERTIES } | if listed { HAS_ACL } else { 0 };
        Resource {
            parent,
            name,
            id,
            kind,
            flags,
            version: meta.version,
            stamp,
            created_ms: meta.created_ms,
            mtime_ms: meta.updated_ms,
            seq: self.tx.seq(),
            placed_seq: self.tx.seq(),
            size: 0,
            crc: None,
            ino: 0,
            mtime_ns: 0,
            content_type: None,
            children: 0,
            dir_mtime_ns: 0,
        }
    }

    /// Stores the content of all files, and writes their rows as they come.
    fn files(&self, files: &[(Entries, String)], rows: &[(i64, String)], numbers: &mut Numbers) -> Result<(), Stop> {
        let threads = std::thread::available_parallelism().map_or(2, usize::from).clamp(1, THREADS);
        let store = Store {
            source: self.source,
            tree: self.target,
            progress: self.progress,
            roles: &self.restored.roles,
            files,
            next: AtomicUsize::new(0),
        };
        let (sender, receiver) = sync_channel::<Result<Vec<Stored>, Failure>>(threads * 4);
        std::thread::scope(|scope| {
            for _ in 0..threads.min(files.len().div_ceil(BATCH)) {
                let (store, sender) = (&store, sender.clone());
                let thread = std::thread::Builder::new().name("unpack".to_owned());
                let started = thread.spawn_scoped(scope, move || store.work(&sender));
                started.map_err(storage::Error::io("start a thread", "unpack"))?;
            }
            drop(sender);
            // Dropped with this closure where it ends early: then the threads end too.
            let receiver = receiver;
            for batch in &receiver {
                for stored in batch? {
                    self.file(files, rows, stored, numbers)?;
                }
            }
            Ok(())
        })
    }

    fn file(
        &self,
        files: &[(Entries, String)],
        rows: &[(i64, String)],
        stored: Stored,
        numbers: &mut Numbers,
    ) -> Result<(), Stop> {
        let Stored { at, meta, identity, crc } = stored;
        let (parent, name) = &rows[at];
        let note = self.source.note(files[at].0.meta);
        let kept = note.and_then(|(id, stamp)| Some((numbers.kept(id)?, stamp)));
        let (id, stamp) = kept.unwrap_or_else(|| (numbers.new_one(), self.tx.next_stamp()));
        let mut row = self.row(*parent, name.clone(), id, Kind::File, stamp, &meta);
        row.content_type = Some(meta.content_type.clone().unwrap_or_else(|| guess_type(name)));
        (row.size, row.ino, row.mtime_ns, row.crc) = (identity.size, identity.ino, identity.mtime_ns, Some(crc));
        self.write(&row, &meta)
    }

    fn write(&self, row: &Resource, meta: &Meta) -> Result<(), Stop> {
        self.tx.insert_resource(row).map_err(|e| match e {
            storage::Error::Database { source, .. } if is_conflict(&source) => {
                Stop(Failure::Damaged(format!("the resource {} is there twice", row.name)))
            }
            other => other.into(),
        })?;
        for property in &meta.properties {
            self.tx.set_property(row.id, property)?;
        }
        if row.has_acl() {
            self.tx.set_acl(row.id, &meta.acl)?;
        }
        Ok(())
    }

    /// The rows of the collections, now that all is in them; returns their directories.
    fn finish(&self, mut folders: Vec<Folder>) -> Result<Vec<String>, Stop> {
        let by_id: HashMap<i64, usize> = folders.iter().enumerate().map(|(at, f)| (f.row.id, at)).collect();
        for at in 0..folders.len() {
            if let Some(parent) = by_id.get(&folders[at].row.parent) {
                folders[*parent].row.children += 1;
            }
        }
        for folder in &mut folders {
            let (ino, mtime_ns) = self.target.look_at_folder(&folder.disk)?;
            (folder.row.ino, folder.row.dir_mtime_ns) = (ino, mtime_ns);
            self.write(&folder.row, &folder.meta)?;
        }
        Ok(folders.into_iter().map(|folder| folder.disk).collect())
    }
}

fn is_conflict(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation)
}

/// The position of a resource's collection, and its own name.
fn parent_of<'p>(path: &'p str, folders: &HashMap<&str, usize>) -> Result<(usize, &'p str), Stop> {
    let wrong = |what: &str| Failure::Damaged(format!("{WEBDAV}{path}: {what}"));
    let (parent, name) = path.rsplit_once('/').ok_or_else(|| wrong("it belongs to no box"))?;
    let parent = folders.get(parent).ok_or_else(|| wrong("its collection is missing"))?;
    Segment::new(name).map_err(|e| wrong(&e.to_string()))?;
    Ok((*parent, name))
}

/// All resources with their entries: a collection comes before what is in it.
fn sorted(source: &SnapshotSource) -> Result<Vec<(&str, Entries)>, Stop> {
    let mut found: HashMap<&str, (Option<usize>, Option<usize>)> = HashMap::new();
    for (at, entry) in source.entries().iter().enumerate() {
        let name = entry.name().map_err(Failure::archive)?;
        let Some(below) = name.strip_prefix(WEBDAV).filter(|n| !n.is_empty() && !n.ends_with('/') && *n != META) else {
            continue;
        };
        let unknown = || Failure::Damaged(format!("entry {} is not known", entry.shown_name()));
        let (path, last) = below.rsplit_once('/').ok_or_else(unknown)?;
        match last {
            META => found.entry(path).or_default().0 = Some(at),
            CONTENT => found.entry(path).or_default().1 = Some(at),
            _ => return Err(unknown().into()),
        }
    }
    let mut all = Vec::with_capacity(found.len());
    for (path, (meta, content)) in found {
        let meta = meta.ok_or_else(|| Failure::Missing(format!("{WEBDAV}{path}/{META}")))?;
        all.push((path, Entries { meta, content }));
    }
    all.sort_by(|(a, _), (b, _)| a.split('/').cmp(b.split('/')));
    Ok(all)
}

impl Store<'_> {
    fn work(&self, sender: &SyncSender<Result<Vec<Stored>, Failure>>) {
        loop {
            let first = self.next.fetch_add(BATCH, Ordering::Relaxed);
            if first >= self.files.len() {
                return;
            }
            let last = self.files.len().min(first + BATCH);
            let batch: Result<Vec<Stored>, Failure> = (first..last).map(|at| self.file(at)).collect();
            let failed = batch.is_err();
            if sender.send(batch).is_err() || failed {
                return;
            }
        }
    }

    fn file(&self, at: usize) -> Result<Stored, Failure> {
        if self.progress.is_stopping() {
            return Err(IMPORT_STOPPED);
        }
        let (Entries { meta, content }, path) = &self.files[at];
        let content = content.ok_or(Failure::Unknown)?;
        let (entry, described) = (&self.source.entries()[content], &self.source.entries()[*meta]);
        let read = Meta::parse(&self.source.read(*meta, META_BYTES)?, &described.shown_name(), self.roles)?;
        if read.row_kind() != Some(Kind::File) {
            return Err(Failure::Damaged(format!("{}: it describes no file", described.shown_name())));
        }
        if read.size >= 0 && read.size as u64 != entry.size {
            return Err(Failure::Damaged(format!("{}: the content has another length", described.shown_name())));
        }
        let identity = store(self.source, self.tree, content, path)?;
        self.progress.add(self.source.size_of(content) + self.source.size_of(*meta), 2);
        Ok(Stored { at, meta: read, identity, crc: entry.crc })
    }
}

/// Writes the content of an entry to a new file.
pub(super) fn store(source: &SnapshotSource, tree: &NewTree, at: usize, path: &str) -> Result<Identity, Failure> {
    let entry = &source.entries()[at];
    let whole = if entry.size <= WHOLE { Some(source.read(at, WHOLE)?) } else { None };
    let failed = |e| Failure::machine("import file")(e);
    let mut file = tree.create(path).map_err(failed)?;
    match whole {
        Some(bytes) if bytes.is_empty() => {}
        Some(bytes) => file.write(&bytes).map_err(failed)?,
        None => stream(source, at, &mut file)?,
    }
    file.finish().map_err(failed)
}

fn stream(source: &SnapshotSource, at: usize, file: &mut NewFile<'_>) -> Result<(), Failure> {
    let mut reader = source.archive().open_entry(&source.entries()[at]).map_err(Failure::archive)?;
    let mut buffer = vec![0; BUFFER];
    loop {
        let mut filled = 0;
        while filled < BUFFER {
            match reader.read_some(&mut buffer[filled..]).map_err(Failure::archive)? {
                0 => break,
                n => filled += n,
            }
        }
        if filled == 0 {
            return Ok(());
        }
        file.write(&buffer[..filled]).map_err(Failure::machine("import file"))?;
    }
}
