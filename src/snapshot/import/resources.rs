//! Collections and files, in the order of the tree: directories and rows by one thread, files by several.
//!
//! What is in memory is one collection of each level and a few files for each thread.

use std::collections::{HashMap, HashSet};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Mutex, PoisonError};

use super::index::{Indexed, Resources, Stopped};
use super::objects::Restored;
use super::source::SnapshotSource;
use super::{META_BYTES, Numbers, Stop};
use crate::archive::Entry;
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
use crate::storage::rebuild::{AllFolders, Folders, NewFile, NewTree};
use crate::storage::tree::Identity;

/// Content up to this size, in bytes, is inflated whole.
const WHOLE: u64 = 4 << 20;
/// Bytes of larger content in memory at a time.
const BUFFER: usize = 256 << 10;
/// Files that a thread takes at once, and the bytes of content that are enough.
const BATCH: usize = 64;
const BATCH_BYTES: u64 = 4 << 20;
/// Batches for each thread that are under way.
const AHEAD: usize = 3;
const THREADS: usize = 8;

/// A resource as the archive has it: its path below `20_webdav/`, and its entries.
struct Found {
    path: String,
    meta: Indexed,
    content: Option<Entry>,
}

/// A collection that was made and whose members may still come.
struct Folder {
    path: String,
    id: i64,
    /// From the cell's directory.
    disk: String,
}

/// A file to be made.
struct Task {
    /// Of its collection.
    parent: i64,
    name: String,
    /// From the cell's directory.
    disk: String,
    meta: Indexed,
    content: Entry,
}

/// A file that was made.
struct Stored {
    task: Task,
    meta: Meta,
    identity: Identity,
}

type Batch = Vec<Task>;
type Outcome = Result<Vec<Stored>, Failure>;

/// Everything that restoring the tree needs.
pub(super) struct Tree<'a> {
    pub(super) tx: &'a Tx<'a>,
    pub(super) target: &'a NewTree,
    pub(super) source: &'a SnapshotSource,
    pub(super) restored: &'a Restored,
    pub(super) progress: &'a Progress,
    pub(super) folders: Folders,
}

/// What the threads that store files share.
struct Store<'a> {
    source: &'a SnapshotSource,
    tree: &'a NewTree,
    progress: &'a Progress,
    roles: &'a HashMap<String, i64>,
}

/// The resources of the archive, one after the other.
struct Walk<'a> {
    entries: Resources<'a>,
    ahead: Option<Indexed>,
}

impl Walk<'_> {
    fn next(&mut self) -> Result<Option<Found>, Stop> {
        let next = match self.ahead.take() {
            Some(entry) => Some(entry),
            None => self.entries.next().map_err(|Stopped(failure)| failure)?,
        };
        let Some(entry) = next else { return Ok(None) };
        let (path, last) = split(&entry)?;
        let path = path.to_owned();
        match last {
            META => {}
            CONTENT => return Err(Failure::Missing(format!("{WEBDAV}{path}/{META}")).into()),
            _ => return Err(Failure::Damaged(format!("entry {} is not known", entry.entry.shown_name())).into()),
        }
        let following = self.entries.next().map_err(|Stopped(failure)| failure)?;
        let content = match following {
            Some(other) if split(&other)? == (&path, CONTENT) => Some(other.entry),
            other => {
                self.ahead = other;
                None
            }
        };
        Ok(Some(Found { path, meta: entry, content }))
    }
}

/// The path of the resource that an entry belongs to, and what it is of it.
fn split(entry: &Indexed) -> Result<(&str, &str), Stop> {
    let below = entry.name.strip_prefix(WEBDAV).and_then(|below| below.rsplit_once('/'));
    let unknown = || Failure::Damaged(format!("entry {} is not known", entry.entry.shown_name())).into();
    below.ok_or_else(unknown)
}

impl Tree<'_> {
    /// Restores all boxes; returns the folders that were made.
    pub(super) fn restore(mut self, numbers: &mut Numbers) -> Result<AllFolders, Stop> {
        let threads = std::thread::available_parallelism().map_or(2, usize::from).clamp(1, THREADS);
        let store =
            Store { source: self.source, tree: self.target, progress: self.progress, roles: &self.restored.roles };
        let (tasks, waiting) = sync_channel::<Batch>(threads * AHEAD);
        let waiting = Mutex::new(waiting);
        let (outcomes, finished) = channel::<Outcome>();
        std::thread::scope(|scope| {
            for _ in 0..threads {
                let (store, waiting, outcomes) = (&store, &waiting, outcomes.clone());
                let thread = std::thread::Builder::new().name("unpack".to_owned());
                let started = thread.spawn_scoped(scope, move || store.work(waiting, &outcomes));
                started.map_err(storage::Error::io("start a thread", "unpack"))?;
            }
            drop(outcomes);
            // The sender goes with this closure, also where it ends early: then the threads end too.
            self.walk(numbers, &Threads { tasks, finished: &finished, most: threads * AHEAD })
        })?;
        self.finish()
    }

    /// Makes collections, has files made, and writes their rows as they come.
    fn walk(&mut self, numbers: &mut Numbers, threads: &Threads<'_>) -> Result<(), Stop> {
        let mut walk = Walk { entries: self.source.resources()?, ahead: None };
        let (mut open, mut boxes): (Vec<Folder>, HashSet<i64>) = (Vec::new(), HashSet::new());
        let (mut batch, mut bytes, mut under_way) = (Vec::new(), 0, 0);
        while let Some(found) = walk.next()? {
            if self.progress.is_stopping() {
                return Err(IMPORT_STOPPED.into());
            }
            while open.last().is_some_and(|folder| !is_below(&found.path, &folder.path)) {
                open.pop();
            }
            let Found { path, meta, content } = found;
            let Some(content) = content else {
                let folder = self.folder(path, &meta, open.last(), numbers)?;
                if open.is_empty() {
                    boxes.insert(folder.id);
                }
                open.push(folder);
                continue;
            };
            let (parent, name) = parent_of(&path, open.last())?;
            let task = Task {
                parent: parent.id,
                name: name.to_owned(),
                disk: format!("{}/{name}", parent.disk),
                meta,
                content,
            };
            bytes += task.content.size;
            batch.push(task);
            if batch.len() >= BATCH || bytes >= BATCH_BYTES {
                bytes = 0;
                threads.send(std::mem::take(&mut batch))?;
                under_way += 1;
                while under_way >= threads.most {
                    self.rows(threads.receive()?, numbers)?;
                    under_way -= 1;
                }
            }
        }
        if !batch.is_empty() {
            threads.send(batch)?;
            under_way += 1;
        }
        for _ in 0..under_way {
            self.rows(threads.receive()?, numbers)?;
        }
        self.missing_boxes(&boxes)
    }

    fn folder(
        &mut self,
        path: String,
        described: &Indexed,
        open: Option<&Folder>,
        numbers: &mut Numbers,
    ) -> Result<Folder, Stop> {
        let name = &described.name;
        let bytes = self.source.read_entry(&described.entry, META_BYTES)?;
        let meta = Meta::parse(&bytes, name, &self.restored.roles)?;
        self.progress.add(described.entry.size, 1);
        let wrong = |what: &str| Failure::Damaged(format!("{name}: {what}"));
        let kept = kept(described, numbers);
        let is_box = !path.contains('/');
        let kind = match meta.kind {
            meta::BOX | meta::CELL if is_box => Kind::Collection,
            _ => meta.row_kind().ok_or_else(|| wrong("its type does not belong here"))?,
        };
        match kind {
            // The list of entries would have named it.
            Kind::File => return Err(wrong("the content of the file is missing").into()),
            Kind::OData | Kind::Stream => return Err(Failure::Unsupported(meta.kind.to_owned()).into()),
            Kind::Collection | Kind::Service => {}
        }
        let (parent, id, name, disk) = if is_box {
            let (id, box_name) = if path == MAIN_BOX {
                (self.restored.main, MAIN_BOX.to_owned())
            } else {
                self.restored.boxes.get(&path).cloned().ok_or_else(|| wrong("it belongs to no box"))?
            };
            (PARENT_BOXES, id, box_name.clone(), format!("boxes/{box_name}"))
        } else {
            let (parent, name) = parent_of(&path, open)?;
            let id = kept.map_or_else(|| numbers.new_one(), |(id, _)| id);
            (parent.id, id, name.to_owned(), format!("{}/{name}", parent.disk))
        };
        self.target.make_folder(&disk)?;
        let stamp = kept.map_or_else(|| self.tx.next_stamp(), |(_, stamp)| stamp);
        self.write(&self.row(parent, name, id, kind, stamp, &meta), &meta)?;
        self.folders.push(id, &disk)?;
        Ok(Folder { path, id, disk })
    }

    /// Boxes of which the tree says nothing are there and empty.
    fn missing_boxes(&mut self, there: &HashSet<i64>) -> Result<(), Stop> {
        let main = (self.restored.main, MAIN_BOX.to_owned());
        for (id, name) in self.restored.boxes.values().chain([&main]).filter(|(id, _)| !there.contains(id)) {
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
            self.write(&row, &meta)?;
            self.folders.push(*id, &disk)?;
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

    fn rows(&self, stored: Vec<Stored>, numbers: &mut Numbers) -> Result<(), Stop> {
        for Stored { task, meta, identity } in stored {
            let kept = kept(&task.meta, numbers);
            let (id, stamp) = kept.unwrap_or_else(|| (numbers.new_one(), self.tx.next_stamp()));
            let content_type = meta.content_type.clone().unwrap_or_else(|| guess_type(&task.name));
            let mut row = self.row(task.parent, task.name, id, Kind::File, stamp, &meta);
            row.content_type = Some(content_type);
            (row.size, row.ino, row.mtime_ns) = (identity.size, identity.ino, identity.mtime_ns);
            row.crc = Some(task.content.crc);
            self.write(&row, &meta)?;
        }
        Ok(())
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

    /// What the rows of collections say about their members and their directories, now that all is in them.
    fn finish(self) -> Result<AllFolders, Stop> {
        let Self { tx, target, folders, .. } = self;
        let folders = folders.finish()?;
        folders.each(|id, disk| {
            let (ino, mtime_ns) = target.look_at_folder(disk)?;
            tx.set_folder(id, ino, mtime_ns)
        })?;
        Ok(folders)
    }
}

/// The number and the stamp that a resource keeps.
fn kept(described: &Indexed, numbers: &Numbers) -> Option<(i64, i64)> {
    let (id, stamp) = described.note;
    (id > 0).then(|| numbers.kept(id)).flatten().map(|id| (id, stamp))
}

/// The threads that make files.
struct Threads<'r> {
    tasks: SyncSender<Batch>,
    finished: &'r Receiver<Outcome>,
    most: usize,
}

impl Threads<'_> {
    fn send(&self, batch: Batch) -> Result<(), Stop> {
        self.tasks.send(batch).map_err(|_| Failure::Unknown.into())
    }

    fn receive(&self) -> Result<Vec<Stored>, Stop> {
        Ok(self.finished.recv().map_err(|_| Failure::Unknown)??)
    }
}

fn is_conflict(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation)
}

fn is_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

/// The collection of a resource, which must be the last that is open, and its own name.
fn parent_of<'p, 'f>(path: &'p str, open: Option<&'f Folder>) -> Result<(&'f Folder, &'p str), Stop> {
    let wrong = |what: &str| Failure::Damaged(format!("{WEBDAV}{path}: {what}"));
    let (parent, name) = path.rsplit_once('/').ok_or_else(|| wrong("it belongs to no box"))?;
    let folder = open.filter(|folder| folder.path == parent).ok_or_else(|| wrong("its collection is missing"))?;
    Segment::new(name).map_err(|e| wrong(&e.to_string()))?;
    Ok((folder, name))
}

impl Store<'_> {
    fn work(&self, waiting: &Mutex<Receiver<Batch>>, outcomes: &Sender<Outcome>) {
        loop {
            let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(batch) = next else { return };
            let stored = batch.into_iter().map(|task| self.file(task)).collect();
            if outcomes.send(stored).is_err() {
                return;
            }
        }
    }

    fn file(&self, task: Task) -> Result<Stored, Failure> {
        if self.progress.is_stopping() {
            return Err(IMPORT_STOPPED);
        }
        let shown = || task.meta.entry.shown_name();
        let read = self.source.read_entry(&task.meta.entry, META_BYTES)?;
        let meta = Meta::parse(&read, &shown(), self.roles)?;
        if meta.row_kind() != Some(Kind::File) {
            return Err(Failure::Damaged(format!("{}: it describes no file", shown())));
        }
        if meta.size >= 0 && meta.size as u64 != task.content.size {
            return Err(Failure::Damaged(format!("{}: the content has another length", shown())));
        }
        let identity = store(self.source, self.tree, &task.content, &task.disk)?;
        self.progress.add(task.content.size + task.meta.entry.size, 2);
        Ok(Stored { task, meta, identity })
    }
}

/// Writes the content of an entry to a new file.
pub(super) fn store(source: &SnapshotSource, tree: &NewTree, entry: &Entry, path: &str) -> Result<Identity, Failure> {
    let whole = if entry.size <= WHOLE { Some(source.read_entry(entry, WHOLE)?) } else { None };
    let failed = |e| Failure::machine("import file")(e);
    let mut file = tree.create(path).map_err(failed)?;
    match whole {
        Some(bytes) if bytes.is_empty() => {}
        Some(bytes) => file.write(&bytes).map_err(failed)?,
        None => stream(source, entry, &mut file)?,
    }
    file.finish().map_err(failed)
}

fn stream(source: &SnapshotSource, entry: &Entry, file: &mut NewFile<'_>) -> Result<(), Failure> {
    let mut reader = entry.open(source.file()).map_err(Failure::archive)?;
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
