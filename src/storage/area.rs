//! The snapshot area of a cell: a flat folder of whole files, each published by one rename.
//!
//! A file that somebody put there by hand is there at once; its type is told by its name.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use rustix::fs::FileType;
use rustix::io::Errno;

use super::cell::{Cell, Core};
use super::database::area::{SnapshotRow, Transfer, TransferKind};
use super::database::{Tx, View};
use super::error::{Error, Result};
use super::tree::{self, Identity};
use super::writer::{Change, Context};
use crate::base::id::ETag;
use crate::base::path::Segment;
use crate::base::sys;

/// So many bytes of a file that is being written go on their way to the disk together. The kernel lets nobody else on the CPU
/// meanwhile.
const BEGIN: u64 = 1 << 20;
/// Bytes that are written at once, for the same reason.
const WRITE: usize = 128 << 10;

/// The folder below a cell's directory.
pub(crate) const FOLDER: &str = "snapshot";

/// A file of the area as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotFile {
    pub name: String,
    /// Bytes.
    pub size: u64,
    pub version: i64,
    pub stamp: i64,
    pub created_ms: i64,
    pub updated_ms: i64,
    pub content_type: String,
}

impl SnapshotFile {
    pub fn etag(&self) -> ETag {
        ETag { version: self.version, stamp: self.stamp }
    }

    /// What a file is, by its row and by its identity on disk; also tells whether they agree.
    pub(crate) fn of(name: &str, row: Option<&SnapshotRow>, identity: Identity) -> (Self, bool) {
        let agrees = row.is_some_and(|row| row.identity == identity);
        let modified_ms = identity.mtime_ns / 1_000_000;
        let file = match row {
            Some(row) if agrees => Self {
                name: name.to_owned(),
                size: identity.size as u64,
                version: row.version,
                stamp: row.stamp,
                created_ms: row.created_ms,
                updated_ms: row.updated_ms,
                content_type: row.content_type.clone(),
            },
            _ => Self {
                name: name.to_owned(),
                size: identity.size as u64,
                version: row.map_or(1, |row| row.version + 1),
                stamp: identity.mtime_ns / 1000,
                created_ms: row.map_or(modified_ms, |row| row.created_ms),
                updated_ms: modified_ms,
                content_type: type_of(name),
            },
        };
        (file, agrees)
    }
}

/// The type of a file of which nobody has said it.
fn type_of(name: &str) -> String {
    match name.rsplit_once('.') {
        Some((_, "error")) => "application/json".to_owned(),
        _ => super::adopt::guess_type(name),
    }
}

/// The file of a name, opened, and whether its row agrees with it.
type Found = (Option<(SnapshotFile, File)>, bool);

fn find(core: &Core, view: &View<'_>, name: &str) -> Result<Found> {
    let row = view.snapshot(name)?;
    match tree::open_file(core.dir.as_fd(), &format!("{FOLDER}/{name}")) {
        Ok((file, stat)) => {
            let (found, agrees) = SnapshotFile::of(name, row.as_ref(), Identity::of(&stat));
            Ok((Some((found, file)), agrees))
        }
        Err(Errno::NOENT | Errno::NAMETOOLONG) => Ok((None, row.is_none())),
        Err(e) => Err(Error::errno("open", format!("{FOLDER}/{name}"))(e)),
    }
}

fn list(core: &Core, view: &View<'_>) -> Result<(Vec<SnapshotFile>, bool)> {
    let mut rows = view.snapshots()?;
    let (mut files, mut agree) = (Vec::new(), true);
    let dir = match tree::open_dir(core.dir.as_fd(), FOLDER) {
        Ok(dir) => dir,
        Err(Errno::NOENT) => return Ok((files, rows.is_empty())),
        Err(e) => return Err(Error::errno("open the directory", FOLDER)(e)),
    };
    for (name, _) in tree::read_names(dir.as_fd()).map_err(Error::io("read", FOLDER))? {
        let stat = tree::stat_name(dir.as_fd(), &name).map_err(Error::errno("look at", name.clone()))?;
        let Some(stat) = stat.filter(|s| FileType::from_raw_mode(s.st_mode) == FileType::RegularFile) else { continue };
        if Segment::new(name.clone()).is_err() {
            continue;
        }
        let row = rows.iter().position(|row| row.name == name).map(|at| rows.swap_remove(at));
        let (file, agrees) = SnapshotFile::of(&name, row.as_ref(), Identity::of(&stat));
        agree &= agrees;
        files.push(file);
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok((files, agree && rows.is_empty()))
}

impl Context<'_> {
    /// The file of a name as it is before this change.
    pub(crate) fn snapshot_file(&self, name: &str) -> Result<Option<SnapshotFile>> {
        Ok(find(self.core, self.tx, name)?.0.map(|(file, _)| file))
    }
}

impl Cell {
    /// The files of the area by name.
    pub fn snapshots(&self) -> Result<Vec<SnapshotFile>> {
        let (files, agree) = self.read(|v| list(&self.core, v))?;
        if agree {
            return Ok(files);
        }
        // A rename may be under way: where the writer has its turn, rows and folder agree, but for what was done by hand.
        self.change(Change(|ctx: &Context<'_>| list(ctx.core, ctx.tx))).map(|(files, _)| files)
    }

    /// Opens a file of the area; what is said of it and its bytes belong together.
    pub fn open_snapshot(&self, name: &str) -> Result<Option<(SnapshotFile, File)>> {
        let (found, agree) = self.read(|v| find(&self.core, v, name))?;
        if agree {
            return Ok(found);
        }
        let name = name.to_owned();
        self.change(Change(move |ctx: &Context<'_>| find(ctx.core, ctx.tx, &name))).map(|(found, _)| found)
    }

    /// Begins a file for the area. What is not published is removed when it is dropped.
    pub fn new_snapshot(&self) -> Result<NewSnapshot> {
        match self.core.disk.make_dir(self.core.dir.as_fd(), FOLDER) {
            Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => return Err(Error::io("create", FOLDER)(e)),
            _ => {}
        }
        let name = self.core.staging_name();
        let file = self
            .core
            .disk
            .create_private(self.core.staging.as_fd(), &name)
            .map_err(Error::io("stage", name.clone()))?;
        Ok(NewSnapshot { file, size: 0, begun: 0, litter: Litter { core: self.core.clone(), name, kept: false } })
    }
}

/// A name below `staging/` that goes unless it is kept.
#[derive(Debug)]
struct Litter {
    core: Arc<Core>,
    name: String,
    kept: bool,
}

impl Drop for Litter {
    fn drop(&mut self) {
        if !self.kept
            && let Err(e) = self.core.disk.remove_file(self.core.staging.as_fd(), &self.name)
        {
            tracing::warn!(error = %e, name = self.name, "a staged snapshot cannot be removed");
        }
    }
}

/// A file of the area that is being written.
#[derive(Debug)]
pub struct NewSnapshot {
    file: File,
    size: u64,
    /// Up to here it is on its way to the disk.
    begun: u64,
    litter: Litter,
}

impl NewSnapshot {
    /// Appends.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let Litter { core, name, .. } = &self.litter;
        for bytes in bytes.chunks(WRITE) {
            core.disk.write_all(&mut self.file, bytes).map_err(Error::io("write", name.clone()))?;
        }
        self.size += bytes.len() as u64;
        if self.size - self.begun >= BEGIN {
            sys::begin_writing(&self.file, self.begun, self.size - self.begun);
            self.begun = self.size;
        }
        Ok(())
    }

    /// Writes over what was written before.
    pub fn patch(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        let Litter { core, name, .. } = &self.litter;
        let patched = core.disk.point("write").and_then(|()| self.file.write_all_at(bytes, offset));
        patched.map_err(Error::io("write", name.clone()))
    }

    /// Bytes so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Makes all of it durable.
    pub fn finish(self) -> Result<StagedSnapshot> {
        let Self { file, litter, .. } = self;
        litter.core.disk.sync_data(&file).map_err(Error::io("sync", litter.name.clone()))?;
        let stat = rustix::fs::fstat(&file).map_err(Error::errno("look at", litter.name.clone()))?;
        Ok(StagedSnapshot { identity: Identity::of(&stat), litter })
    }
}

/// A whole file for the area, durable, which nobody sees yet.
#[derive(Debug)]
pub struct StagedSnapshot {
    pub(crate) identity: Identity,
    litter: Litter,
}

impl StagedSnapshot {
    pub(crate) fn name(&self) -> &str {
        &self.litter.name
    }

    /// Says that a commit may have made it a file of the area.
    pub(crate) fn take(&mut self) {
        self.litter.kept = true;
    }
}

/// Ends what dead processes, or an earlier opening in this one, were exporting and importing: the one leaves its message as
/// `{name}.error`, the other is said to have failed. The write lock must be held.
pub(crate) fn end_the_dead(core: &Core, conn: &rusqlite::Connection) -> Result<()> {
    let mut dead = Vec::new();
    for transfer in View::new(conn).transfers()? {
        let own = transfer.owner == core.lease.owner();
        if !transfer.failed && (own || !core.lease.is_alive(transfer.owner).map_err(Error::io("look for", "owners"))?) {
            dead.push(transfer);
        }
    }
    for transfer in dead {
        let ended = match transfer.kind {
            TransferKind::Export => leave_error(core, conn, &transfer),
            TransferKind::Import => {
                Tx::new(conn, core.lease.owner())?.put_transfer(&Transfer { failed: true, ..transfer.clone() })
            }
        };
        // A full disk is no reason to keep the cell closed; the next opening tries again.
        if let Err(e) = ended {
            tracing::error!(
                error = &e as &dyn std::error::Error,
                cell = core.name,
                "the end of a transfer is not told"
            );
        }
    }
    Ok(())
}

/// Leaves the message of an export in the area. May be begun again at any step.
fn leave_error(core: &Core, conn: &rusqlite::Connection, export: &Transfer) -> Result<()> {
    let (name, staged) = (format!("{}.error", export.name), core.staging_name());
    let folder = tree::open_dir(core.dir.as_fd(), FOLDER).map_err(Error::errno("open the directory", FOLDER))?;
    let write = || -> std::io::Result<Identity> {
        let mut file = core.disk.create_private(core.staging.as_fd(), &staged)?;
        core.disk.write_all(&mut file, export.message.as_bytes())?;
        core.disk.sync_data(&file)?;
        match core.disk.remove_file(folder.as_fd(), &name) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
            _ => core.disk.rename((&core.staging, &staged), (&folder, &name))?,
        }
        core.disk.sync_dir(folder.as_fd())?;
        Ok(Identity::of(&rustix::fs::fstat(&file)?))
    };
    let identity = write().map_err(Error::io("write", name.clone()))?;
    super::writer::in_transaction(core, conn, |tx| {
        let old = tx.snapshot(&name)?;
        tx.put_snapshot(&SnapshotRow {
            id: match &old {
                Some(old) => old.id,
                None => tx.next_id(),
            },
            version: old.as_ref().map_or(1, |old| old.version + 1),
            stamp: tx.next_stamp(),
            created_ms: old.map_or(tx.now_ms(), |old| old.created_ms),
            updated_ms: tx.now_ms(),
            content_type: type_of(&name),
            identity,
            name,
        })?;
        tx.remove_transfer(TransferKind::Export)
    })
}
