//! Packing: content is read and compressed by several threads, and written by one, in order.
//!
//! Small members are packed many at a time, each as a whole; a large one is cut into pieces. What is in memory is bounded:
//! a few tasks of a few MiB for each thread.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use super::WHAT;
use crate::archive::deflate::{Compressor, SAMPLE};
use crate::archive::{Method, Packed, Writer};
use crate::snapshot::MANIFEST;
use crate::snapshot::failure::Failure;
use crate::snapshot::progress::Progress;
use crate::storage::area::NewSnapshot;
use crate::storage::cell::Version;
use crate::storage::spool::{Spool, SpoolWriter};
use crate::storage::{Cell, Error};

/// Members up to this size, in bytes, are packed whole.
const WHOLE: u64 = 2 << 20;
/// Bytes of a piece of a larger one.
const PIECE: u64 = 1 << 20;
/// Content and number of members that make a task.
const TASK_BYTES: u64 = 1 << 20;
const TASK_ITEMS: usize = 256;
/// Threads of one export.
const THREADS: usize = 8;

/// An entry to be.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) name: String,
    /// Seconds since 1970.
    pub(super) mtime: i64,
    pub(super) content: Content,
    /// The number and the stamp of the resource that it describes.
    pub(super) note: Option<(i64, i64)>,
}

/// Where the bytes of an entry are.
#[derive(Debug, Clone)]
pub(super) enum Content {
    Bytes(Vec<u8>),
    /// A file of a box in one of its versions, and where it was.
    File {
        disk: String,
        version: Version,
        crc: Option<u32>,
    },
    /// The beginning of a file that only grows.
    Open {
        file: Arc<File>,
        size: u64,
    },
    Spool(Arc<Spool>),
}

impl Item {
    pub(super) fn bytes(name: &str, mtime: i64, bytes: Vec<u8>) -> Self {
        Self { name: name.to_owned(), mtime, content: Content::Bytes(bytes), note: None }
    }

    pub(super) fn spool(name: &str, mtime: i64, spool: Spool) -> Self {
        Self { name: name.to_owned(), mtime, content: Content::Spool(Arc::new(spool)), note: None }
    }

    fn size(&self) -> u64 {
        match &self.content {
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::File { version, .. } => version.identity.size as u64,
            Content::Open { size, .. } => *size,
            Content::Spool(spool) => spool.len(),
        }
    }

    fn packed(&self, method: Method) -> Packed {
        let (name, mtime, size) = (self.name.clone(), self.mtime, self.size());
        Packed { name, mtime, method, crc: 0, size, compressed: 0 }
    }
}

/// What all of an export shares.
pub(super) struct Terms<'a> {
    pub(super) cell: &'a Arc<Cell>,
    pub(super) level: u32,
    pub(super) progress: &'a Progress,
}

/// A large member that is being written.
struct Large {
    item: Item,
    source: Source,
    method: Method,
}

/// Open content.
enum Source {
    File(Arc<File>, Option<Version>),
    Spool(Arc<Spool>),
}

enum Task {
    Members(Vec<Item>),
    Piece { of: Arc<Large>, offset: u64, length: u64 },
}

/// What has become of a task.
enum Done {
    /// Headers and content, each member with its place in them, and their lines in the list of entries.
    Members {
        bytes: Vec<u8>,
        members: Vec<(Packed, u64)>,
        lines: Vec<u8>,
    },
    Piece {
        of: Arc<Large>,
        offset: u64,
        length: u64,
        bytes: Vec<u8>,
        crc: crc32fast::Hasher,
    },
}

/// A line of the list of entries.
#[derive(Serialize)]
struct Line<'m> {
    name: &'m str,
    size: u64,
    crc: &'m str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stamp: Option<i64>,
}

/// Appends the line of a member, if it has one.
fn put_line(out: &mut Vec<u8>, member: &Packed, note: Option<(i64, i64)>) {
    if member.name.ends_with('/') || member.name == MANIFEST {
        return;
    }
    let crc = format!("{:08x}", member.crc);
    let (id, stamp) = note.unzip();
    let line = Line { name: &member.name, size: member.size, crc: &crc, id, stamp };
    serde_json::to_writer(&mut *out, &line).expect("invariant: a vector takes texts and numbers");
    out.push(b'\n');
}

type Outcome = (u64, Result<Done, Failure>);

/// The archive that is being written.
pub(super) struct Packer<'a> {
    terms: &'a Terms<'a>,
    out: &'a mut NewSnapshot,
    writer: Writer,
    central: SpoolWriter,
    /// The lines of the list of entries.
    list: Option<SpoolWriter>,
    /// The large member of which some pieces are written: its header's place, what is known, and its checksum so far.
    large: Option<(u64, Packed, crc32fast::Hasher)>,
    /// Central records and lines on their way to the spools.
    buffer: Vec<u8>,
}

impl<'a> Packer<'a> {
    pub(super) fn new(terms: &'a Terms<'a>, out: &'a mut NewSnapshot) -> Result<Self, Failure> {
        let spool = || terms.cell.spool().map_err(Failure::machine(WHAT));
        let (central, list) = (spool()?, Some(spool()?));
        Ok(Self { terms, out, writer: Writer::new(), central, list, large: None, buffer: Vec::new() })
    }

    /// Packs what `next` gives, to its end.
    pub(super) fn pack(&mut self, next: &mut dyn FnMut() -> Result<Option<Item>, Failure>) -> Result<(), Failure> {
        let threads = std::thread::available_parallelism().map_or(2, usize::from).clamp(1, THREADS);
        let (tasks, waiting) = sync_channel::<(u64, Task)>(threads * 2);
        let waiting = Mutex::new(waiting);
        let (outcomes, finished) = channel::<Outcome>();
        let terms = self.terms;
        std::thread::scope(|scope| {
            for _ in 0..threads {
                let (waiting, outcomes) = (&waiting, outcomes.clone());
                let thread = std::thread::Builder::new().name("pack".to_owned());
                let started = thread.spawn_scoped(scope, move || work(terms, waiting, &outcomes));
                started.map_err(|e| Failure::machine(WHAT)(Error::io("start a thread", "pack")(e)))?;
            }
            drop(outcomes);
            // The sender goes with this closure, and the threads end.
            let tasks = tasks;
            let mut planner =
                Planner { terms, next, items: Vec::new(), bytes: 0, ready: VecDeque::new(), ended: false };
            let (mut sent, mut written, mut early) = (0, 0, BTreeMap::new());
            loop {
                while sent - written < threads as u64 * 2
                    && let Some(task) = planner.task()?
                {
                    tasks.send((sent, task)).map_err(|_| Failure::Unknown)?;
                    sent += 1;
                }
                if sent == written {
                    return Ok(());
                }
                let (number, done) = finished.recv().map_err(|_| Failure::Unknown)?;
                early.insert(number, done);
                while let Some(done) = early.remove(&written) {
                    self.write(done?)?;
                    written += 1;
                }
                if terms.progress.is_stopping() {
                    return Err(super::super::failure::EXPORT_STOPPED);
                }
            }
        })
    }

    fn write(&mut self, done: Done) -> Result<(), Failure> {
        match done {
            Done::Members { bytes, members, lines } => {
                let start = self.out.size();
                self.append(&bytes)?;
                for (member, at) in members {
                    self.terms.progress.add(member.size, 1);
                    self.writer.put_central(&mut self.buffer, &member, start + at);
                }
                self.note(&lines)?;
            }
            Done::Piece { of, offset, length, bytes, crc } => {
                if offset == 0 {
                    let member = of.item.packed(of.method);
                    let mut header = Vec::new();
                    member.put_local(&mut header);
                    self.large = Some((self.out.size(), member, crc32fast::Hasher::new()));
                    self.append(&header)?;
                }
                self.append(&bytes)?;
                self.terms.progress.add(length, 0);
                let (at, mut member, mut hasher) = self.large.take().ok_or(Failure::Unknown)?;
                hasher.combine(&crc);
                member.compressed += bytes.len() as u64;
                if offset + length < member.size {
                    self.large = Some((at, member, hasher));
                } else {
                    member.crc = hasher.finalize();
                    of.check(member.crc)?;
                    let mut header = Vec::new();
                    member.put_local(&mut header);
                    self.out.patch(at, &header).map_err(Failure::machine(WHAT))?;
                    self.terms.progress.add(0, 1);
                    self.writer.put_central(&mut self.buffer, &member, at);
                    let mut line = Vec::new();
                    put_line(&mut line, &member, of.item.note);
                    self.note(&line)?;
                }
            }
        }
        self.spool()
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.out.write(bytes).map_err(Failure::machine(WHAT))
    }

    /// Notes members that are written.
    fn note(&mut self, lines: &[u8]) -> Result<(), Failure> {
        let Some(list) = &mut self.list else { return Ok(()) };
        list.append(lines).map(drop).map_err(Failure::machine(WHAT))
    }

    fn spool(&mut self) -> Result<(), Failure> {
        self.central.append(&self.buffer).map_err(Failure::machine(WHAT))?;
        self.buffer.clear();
        Ok(())
    }

    /// The list of all entries so far.
    pub(super) fn entries(&mut self) -> Result<Spool, Failure> {
        let list = self.list.take().ok_or(Failure::Unknown)?;
        list.finish().map_err(Failure::machine(WHAT))
    }

    /// Writes the directory.
    pub(super) fn finish(mut self) -> Result<(), Failure> {
        let start = self.out.size();
        let empty = self.terms.cell.spool().map_err(Failure::machine(WHAT))?;
        let central = std::mem::replace(&mut self.central, empty).finish().map_err(Failure::machine(WHAT))?;
        let (mut buffer, mut at) = (vec![0; PIECE as usize], 0);
        loop {
            let n = central.read_at(at, &mut buffer).map_err(broken_spool)?;
            if n == 0 {
                break;
            }
            self.append(&buffer[..n])?;
            at += n as u64;
        }
        let mut end = Vec::new();
        self.writer.put_end(&mut end, start);
        self.append(&end)
    }
}

fn broken_spool(e: std::io::Error) -> Failure {
    Failure::machine(WHAT)(Error::io("read", "a spool")(e))
}

/// Cuts the entries into tasks.
struct Planner<'p> {
    terms: &'p Terms<'p>,
    next: &'p mut dyn FnMut() -> Result<Option<Item>, Failure>,
    items: Vec<Item>,
    bytes: u64,
    ready: VecDeque<Task>,
    ended: bool,
}

impl Planner<'_> {
    fn task(&mut self) -> Result<Option<Task>, Failure> {
        while self.ready.is_empty() && !self.ended {
            match (self.next)()? {
                Some(item) if item.size() > WHOLE => {
                    self.flush();
                    self.pieces(item)?;
                }
                Some(item) => {
                    self.bytes += item.size();
                    self.items.push(item);
                    if self.bytes >= TASK_BYTES || self.items.len() >= TASK_ITEMS {
                        self.flush();
                    }
                }
                None => {
                    self.ended = true;
                    self.flush();
                }
            }
        }
        Ok(self.ready.pop_front())
    }

    fn flush(&mut self) {
        if !self.items.is_empty() {
            self.ready.push_back(Task::Members(std::mem::take(&mut self.items)));
        }
        self.bytes = 0;
    }

    /// Cuts a large member into pieces. Whether it is compressed is told by a sample from its middle.
    fn pieces(&mut self, item: Item) -> Result<(), Failure> {
        let size = item.size();
        let source = Reader::new(self.terms.cell).open(&item)?;
        let mut sample = vec![0; SAMPLE];
        source.read(&item, (size - SAMPLE as u64) / 2, &mut sample)?;
        let shrinks = Compressor::new(self.terms.level).shrinks(&sample);
        let method = if shrinks { Method::Deflated } else { Method::Stored };
        let of = Arc::new(Large { item, source, method });
        let mut offset = 0;
        while offset < size {
            let length = PIECE.min(size - offset);
            self.ready.push_back(Task::Piece { of: of.clone(), offset, length });
            offset += length;
        }
        Ok(())
    }
}

/// Opens the content of entries; files of one folder through one descriptor.
struct Reader<'c> {
    cell: &'c Arc<Cell>,
    folder: Option<(String, OwnedFd)>,
}

impl<'c> Reader<'c> {
    fn new(cell: &'c Arc<Cell>) -> Self {
        Self { cell, folder: None }
    }

    fn open(&mut self, item: &Item) -> Result<Source, Failure> {
        match &item.content {
            Content::Bytes(_) => Err(Failure::Unknown),
            Content::Open { file, .. } => Ok(Source::File(file.clone(), None)),
            Content::Spool(spool) => Ok(Source::Spool(spool.clone())),
            Content::File { disk, version, .. } => {
                let beside = self.open_beside(disk, version);
                let found = match beside {
                    Some(file) => Some(file),
                    None => self.cell.open_version(version, disk).map_err(Failure::machine(WHAT))?,
                };
                let Some(file) = found else { return Err(self.broken(item, version)) };
                Ok(Source::File(Arc::new(file), Some(*version)))
            }
        }
    }

    /// A file that is nowhere in its version was changed by hand; with its row put right, the next moment has it.
    fn broken(&self, item: &Item, version: &Version) -> Failure {
        match self.cell.notice(version.id) {
            Ok(()) => Failure::Broken(item.name.clone()),
            Err(e) => Failure::machine(WHAT)(e),
        }
    }

    fn open_beside(&mut self, path: &str, version: &Version) -> Option<File> {
        let (folder, name) = path.rsplit_once('/')?;
        if self.folder.as_ref().is_none_or(|(at, _)| at != folder) {
            self.folder = Some((folder.to_owned(), self.cell.folder(folder).ok()?));
        }
        let (_, fd) = self.folder.as_ref()?;
        Cell::open_in(fd, name, version)
    }

    /// All of a small member.
    fn whole(&mut self, item: &Item, buffer: &mut Vec<u8>) -> Result<(), Failure> {
        if let Content::Bytes(bytes) = &item.content {
            buffer.clone_from(bytes);
            return Ok(());
        }
        buffer.resize(item.size() as usize, 0);
        if buffer.is_empty() {
            return Ok(());
        }
        let source = self.open(item)?;
        source.read(item, 0, buffer)?;
        // Who writes into a file by hand does so at any time.
        if let Source::File(file, Some(version)) = &source
            && !Cell::is_still(file, version)
        {
            return Err(self.broken(item, version));
        }
        Ok(())
    }
}

impl Source {
    fn read(&self, item: &Item, offset: u64, buffer: &mut [u8]) -> Result<(), Failure> {
        let read = match self {
            Self::File(file, _) => file.read_exact_at(buffer, offset),
            Self::Spool(spool) => spool.read_exact_at(offset, buffer),
        };
        read.map_err(|e| Failure::machine(WHAT)(Error::io("read", item.name.clone())(e)))
    }
}

/// Compares a checksum with the one that is known.
fn check(item: &Item, crc: u32) -> Result<(), Failure> {
    match &item.content {
        Content::File { crc: Some(known), .. } if *known != crc => {
            tracing::error!(entry = item.name, known, crc, "the content on disk does not have its checksum");
            Err(Failure::Broken(item.name.clone()))
        }
        _ => Ok(()),
    }
}

impl Large {
    fn check(&self, crc: u32) -> Result<(), Failure> {
        if let Source::File(file, Some(version)) = &self.source
            && !Cell::is_still(file, version)
        {
            return Err(Failure::Broken(self.item.name.clone()));
        }
        check(&self.item, crc)
    }
}

/// What each thread does.
fn work(terms: &Terms<'_>, waiting: &Mutex<Receiver<(u64, Task)>>, outcomes: &Sender<Outcome>) {
    let (mut compressor, mut reader) = (Compressor::new(terms.level), Reader::new(terms.cell));
    let mut buffer = Vec::new();
    loop {
        let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((number, task)) = next else { return };
        let done = match task {
            Task::Members(items) => members(&items, &mut compressor, &mut reader, &mut buffer),
            Task::Piece { of, offset, length } => piece(of, offset, length, &mut compressor, &mut buffer),
        };
        if outcomes.send((number, done)).is_err() {
            return;
        }
    }
}

fn members(
    items: &[Item],
    compressor: &mut Compressor,
    reader: &mut Reader<'_>,
    buffer: &mut Vec<u8>,
) -> Result<Done, Failure> {
    let (mut bytes, mut lines, mut data) = (Vec::new(), Vec::new(), Vec::new());
    let mut members = Vec::with_capacity(items.len());
    for item in items {
        reader.whole(item, buffer)?;
        data.clear();
        let method = compressor.pack(buffer, &mut data);
        let mut member = item.packed(method);
        member.crc = crc32fast::hash(buffer);
        check(item, member.crc)?;
        member.compressed = data.len() as u64;
        let at = bytes.len() as u64;
        member.put_local(&mut bytes);
        bytes.extend_from_slice(&data);
        put_line(&mut lines, &member, item.note);
        members.push((member, at));
    }
    Ok(Done::Members { bytes, members, lines })
}

fn piece(
    of: Arc<Large>,
    offset: u64,
    length: u64,
    compressor: &mut Compressor,
    buffer: &mut Vec<u8>,
) -> Result<Done, Failure> {
    buffer.resize(length as usize, 0);
    of.source.read(&of.item, offset, buffer)?;
    let mut crc = crc32fast::Hasher::new();
    crc.update(buffer);
    let mut bytes = Vec::new();
    if of.method == Method::Stored {
        bytes.extend_from_slice(buffer);
    } else {
        let last = offset + length == of.item.size();
        let joined = compressor.piece(buffer, last, &mut bytes);
        joined.map_err(|e| Failure::machine(WHAT)(Error::Inconsistent(format!("{}: {e}", of.item.name))))?;
    }
    Ok(Done::Piece { of, offset, length, bytes, crc })
}
