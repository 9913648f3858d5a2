//! Changes of the snapshot area, and the beginning and the end of exports and imports as the rows know them.

use crate::base::path::NewName;
use crate::storage::area::{FOLDER, SnapshotFile, StagedSnapshot};
use crate::storage::database::area::{SnapshotRow, Transfer, TransferKind};
use crate::storage::database::pending::{Gone, How, Step, Undo};
use crate::storage::error::{Error, Result};
use crate::storage::tree;
use crate::storage::writer::{Context, Decision, Footprint, Operation};

/// A condition on the file as it is at the moment of the change.
pub type SnapshotGuard = Box<dyn FnMut(Option<&SnapshotFile>) -> Result<()> + Send>;

/// The most files of the area are told by the limit on members of a collection.
fn check_room(ctx: &Context<'_>) -> Result<()> {
    let dir = ctx.directory(FOLDER)?;
    let names = tree::read_names(std::os::fd::AsFd::as_fd(&*dir)).map_err(Error::io("read", FOLDER))?;
    if names.len() as i64 >= ctx.core.limits.children { Err(Error::ChildLimit) } else { Ok(()) }
}

/// The names of two changes of one file never share a batch.
fn footprint(name: &str) -> Footprint {
    // No box has such a name.
    let segments = crate::base::path::Segment::new(name.to_owned()).into_iter().collect();
    Footprint::of("__snapshot", &crate::base::path::ResourcePath::from_segments(segments))
}

/// Puts a file into the area, in the place of what has its name.
pub struct PutSnapshot {
    pub name: NewName,
    pub content_type: Option<String>,
    pub staged: StagedSnapshot,
    pub guard: SnapshotGuard,
}

/// What has become of a file.
#[derive(Debug, Clone)]
pub struct SnapshotPut {
    pub created: bool,
    pub file: SnapshotFile,
}

impl Operation for PutSnapshot {
    type Output = SnapshotPut;

    fn footprint(&self) -> Footprint {
        footprint(self.name.as_str())
    }

    fn decide(&mut self, ctx: &Context<'_>) -> Result<Decision<SnapshotPut>> {
        let name = self.name.as_str();
        let before = ctx.snapshot_file(name)?;
        (self.guard)(before.as_ref())?;
        if let Some(export) = ctx.tx.transfer(TransferKind::Export)?
            && name.strip_suffix(".zip") == Some(&export.name)
        {
            return Err(Error::Busy(TransferKind::Export.label()));
        }
        if before.is_none() {
            check_room(ctx)?;
        }
        let content_type = self.content_type.clone().unwrap_or_else(|| "application/octet-stream".to_owned());
        publish(ctx, &self.staged, name, content_type, before.as_ref())
    }

    fn committed(&mut self) {
        self.staged.take();
    }
}

/// Lets a staged file take a name in the area.
fn publish(
    ctx: &Context<'_>,
    staged: &StagedSnapshot,
    name: &str,
    content_type: String,
    before: Option<&SnapshotFile>,
) -> Result<Decision<SnapshotPut>> {
    let (now, old) = (ctx.tx.now_ms(), ctx.tx.snapshot(name)?);
    let row = SnapshotRow {
        id: match &old {
            Some(old) => old.id,
            None => ctx.tx.next_id(),
        },
        name: name.to_owned(),
        version: before.map_or(1, |before| before.version + 1),
        stamp: ctx.tx.next_stamp(),
        created_ms: before.map_or(now, |before| before.created_ms),
        updated_ms: now,
        content_type,
        identity: staged.identity,
    };
    let mut undo = Vec::new();
    if old.is_some() {
        undo.push(Undo::PutBack(ctx.tx.take_rows("snapshot", "id=?1", row.id)?));
    }
    ctx.tx.put_snapshot(&row)?;
    undo.push(Undo::RemoveSnapshot { id: row.id });
    let there = before.is_some();
    if there {
        let gone = bury(ctx, staged.name().to_owned())?;
        undo.push(Undo::Ungone { id: gone, version: 0 });
    }
    let step = Step {
        how: if there { How::Exchange } else { How::Move },
        from: format!("staging/{}", staged.name()),
        to: format!("{FOLDER}/{name}"),
        ino: staged.identity.ino,
    };
    let (file, _) = SnapshotFile::of(name, Some(&row), staged.identity);
    let output = SnapshotPut { created: !there, file };
    Ok(Decision { op: "put snapshot", id: row.id, steps: vec![step], undo, touched: Vec::new(), content: None, output })
}

/// Says that what is going to have a name below `staging/` is needed by nobody.
fn bury(ctx: &Context<'_>, name: String) -> Result<i64> {
    let id = ctx.tx.next_id();
    ctx.tx.insert_gone(&Gone { id, version: 0, name, seq: ctx.tx.seq(), tree: true })?;
    Ok(id)
}

/// Removes a file from the area.
pub struct DeleteSnapshot {
    pub name: String,
    pub guard: SnapshotGuard,
}

impl Operation for DeleteSnapshot {
    type Output = ();

    fn footprint(&self) -> Footprint {
        footprint(&self.name)
    }

    fn may_use_reserve(&self) -> bool {
        true
    }

    fn decide(&mut self, ctx: &Context<'_>) -> Result<Decision<()>> {
        let before = ctx.snapshot_file(&self.name)?.ok_or(Error::Missing)?;
        (self.guard)(Some(&before))?;
        let dir = ctx.directory(FOLDER)?;
        let stat = tree::stat_name(std::os::fd::AsFd::as_fd(&*dir), &self.name)
            .map_err(Error::errno("look at", self.name.clone()))?
            .ok_or(Error::Missing)?;
        let mut undo = Vec::new();
        let mut id = 0;
        if let Some(row) = ctx.tx.snapshot(&self.name)? {
            id = row.id;
            undo.push(Undo::PutBack(ctx.tx.take_rows("snapshot", "id=?1", row.id)?));
        }
        let name = format!("gone/{}", ctx.staging_name());
        undo.push(Undo::Ungone { id: bury(ctx, name.clone())?, version: 0 });
        let step = Step {
            how: How::Move,
            from: format!("{FOLDER}/{}", self.name),
            to: format!("staging/{name}"),
            ino: stat.st_ino as i64,
        };
        Ok(Decision {
            op: "delete snapshot",
            id,
            steps: vec![step],
            undo,
            touched: Vec::new(),
            content: None,
            output: (),
        })
    }
}

/// Begins an export or an import. `Busy` while one of either kind runs in another process; this process knows its own.
#[derive(Debug)]
pub struct BeginTransfer {
    pub kind: TransferKind,
    /// Of the snapshot, without its extension.
    pub name: String,
    /// What is told if this process ends before the transfer does.
    pub message: String,
}

impl Operation for BeginTransfer {
    type Output = Transfer;

    fn decide(&mut self, ctx: &Context<'_>) -> Result<Decision<Transfer>> {
        for other in ctx.tx.transfers()?.into_iter().filter(|t| !t.failed) {
            let alive = ctx.core.lease.is_alive(other.owner).map_err(Error::io("look for", "owners"))?;
            if other.owner != ctx.tx.owner() && alive {
                return Err(Error::Busy(other.kind.label()));
            }
        }
        if self.kind == TransferKind::Export && ctx.snapshot_file(&format!("{}.zip", self.name))?.is_some() {
            return Err(Error::Exists);
        }
        let transfer = Transfer {
            id: ctx.tx.next_id(),
            kind: self.kind,
            name: self.name.clone(),
            failed: false,
            owner: ctx.tx.owner(),
            started_ms: ctx.tx.now_ms(),
            progress: 0,
            message: self.message.clone(),
        };
        ctx.tx.put_transfer(&transfer)?;
        Ok(Decision::rows(transfer))
    }
}

/// Ends an export: its outcome appears in the area in the same moment.
pub struct EndExport {
    pub transfer: Transfer,
    /// `{name}.zip`, or `{name}.error`, which may be there already.
    pub file: NewName,
    pub content_type: &'static str,
    pub staged: StagedSnapshot,
}

impl Operation for EndExport {
    type Output = ();

    fn footprint(&self) -> Footprint {
        footprint(self.file.as_str())
    }

    fn decide(&mut self, ctx: &Context<'_>) -> Result<Decision<()>> {
        let known = ctx.tx.transfer(TransferKind::Export)?.filter(|t| t.id == self.transfer.id);
        known.ok_or(Error::Missing)?;
        let taken = ctx.tx.take_rows("transfer", "id=?1", self.transfer.id)?;
        let before = ctx.snapshot_file(self.file.as_str())?;
        let d = publish(ctx, &self.staged, self.file.as_str(), self.content_type.to_owned(), before.as_ref())?;
        let mut undo = d.undo;
        undo.push(Undo::PutBack(taken));
        Ok(Decision {
            op: "end export",
            id: d.id,
            steps: d.steps,
            undo,
            touched: Vec::new(),
            content: None,
            output: (),
        })
    }

    fn committed(&mut self) {
        self.staged.take();
    }
}

/// Forgets a transfer of which nothing is to be left.
#[derive(Debug)]
pub struct ForgetTransfer {
    pub transfer: Transfer,
}

impl Operation for ForgetTransfer {
    type Output = ();

    fn decide(&mut self, ctx: &Context<'_>) -> Result<Decision<()>> {
        let known = ctx.tx.transfer(self.transfer.kind)?.is_some_and(|t| t.id == self.transfer.id);
        if known {
            ctx.tx.remove_transfer(self.transfer.kind)?;
        }
        Ok(Decision::rows(()))
    }
}

/// Says that an import has failed, until the next one.
#[derive(Debug)]
pub struct FailImport {
    pub transfer: Transfer,
    pub progress: i64,
    pub message: String,
}

impl Operation for FailImport {
    type Output = ();

    fn may_use_reserve(&self) -> bool {
        true
    }

    fn decide(&mut self, ctx: &Context<'_>) -> Result<Decision<()>> {
        ctx.tx.put_transfer(&Transfer {
            failed: true,
            progress: self.progress,
            message: self.message.clone(),
            ..self.transfer.clone()
        })?;
        Ok(Decision::rows(()))
    }
}
