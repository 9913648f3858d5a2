//! The beginning and the end of a box's installation.
//!
//! In between the box has its row and an empty directory, and its content is built in a hidden one; nobody sees that before
//! the end, whether it is a good or a bad one.

use std::os::fd::AsFd;

use super::boxes::{box_footprint, check_free, new_box};
use super::mkcol::new_collection;
use crate::storage::database::cell_box::CellBox;
use crate::storage::database::job::{INSTALL, Job, JobState};
use crate::storage::database::pending::{Gone, How, Step, Undo};
use crate::storage::database::resource::Kind;
use crate::storage::database::schema::{PARENT_BOXES, PARENT_HIDDEN};
use crate::storage::error::{Error, Result};
use crate::storage::tree;
use crate::storage::writer::{Context, Decision, Footprint, Operation, leave_box_empty};

/// The rows that an installation writes at its very end. May be called again where the first attempt failed.
pub type LastRows = Box<dyn FnMut(&Context<'_>) -> Result<()> + Send>;

/// Begins an installation: the box is there, its content is built in a hidden directory.
#[derive(Debug)]
pub struct BeginInstall {
    pub name: String,
    pub schema: Option<String>,
    pub request_key: String,
}

/// An installation that has begun.
#[derive(Debug, Clone)]
pub struct Begun {
    pub cell_box: CellBox,
    pub job: Job,
    /// The hidden directory, a name below `staging/`.
    pub staged: String,
}

impl Operation for BeginInstall {
    type Output = Begun;

    fn footprint(&self) -> Footprint {
        box_footprint(&self.name)
    }

    fn decide(&mut self, ctx: &Context<'_>) -> Result<Decision<Begun>> {
        check_free(ctx, &self.name, self.schema.as_deref())?;
        ctx.tx.touch_control();
        let boxes = ctx.directory("boxes")?;
        let there = tree::stat_name(boxes.as_fd(), &self.name).map_err(Error::errno("look at", self.name.clone()))?;
        if there.is_some() {
            // Put there by hand: it is a box without a row, and a name that is taken.
            return Err(Error::Exists);
        }
        let (hidden, hidden_ino, _) = ctx.stage_directory()?;
        let (empty, empty_ino, _) = ctx.stage_directory()?;
        let root = new_collection(ctx, PARENT_HIDDEN, &hidden, Kind::Collection, hidden_ino, 0);
        ctx.tx.insert_resource(&root)?;
        let cell_box = new_box(ctx, root.id, &self.name, self.schema.as_deref());
        ctx.tx.insert_box(&cell_box)?;
        let job = Job {
            id: ctx.tx.next_id(),
            kind: INSTALL.to_owned(),
            cell_box: Some(root.id),
            state: JobState::Running,
            owner: ctx.tx.owner(),
            request_key: Some(self.request_key.clone()),
            started_ms: ctx.tx.now_ms(),
            ended_ms: None,
            progress: 0,
            message: None,
            staged: Some(hidden.clone()),
        };
        ctx.tx.insert_job(&job)?;
        Ok(Decision {
            op: "begin install",
            id: root.id,
            steps: vec![Step {
                how: How::Move,
                from: format!("staging/{empty}"),
                to: format!("boxes/{}", self.name),
                ino: empty_ino,
            }],
            undo: vec![
                Undo::RemoveJobs { cell_box: root.id },
                Undo::RemoveBox { id: root.id },
                Undo::Remove { parent: PARENT_HIDDEN, name: root.name, id: root.id },
            ],
            touched: Vec::new(),
            content: None,
            output: Begun { cell_box, job, staged: hidden },
        })
    }
}

/// Ends an installation: what was built appears at once, ready or failed.
pub struct EndInstall {
    pub begun: Begun,
    pub state: JobState,
    pub progress: i64,
    pub message: Option<String>,
    /// The last rows: roles, links, rules, entries of access control lists.
    pub finish: LastRows,
}

impl Operation for EndInstall {
    type Output = ();

    fn footprint(&self) -> Footprint {
        box_footprint(&self.begun.cell_box.name)
    }

    fn decide(&mut self, ctx: &Context<'_>) -> Result<Decision<()>> {
        let id = self.begun.cell_box.id;
        let name = self.begun.cell_box.name.clone();
        ctx.tx.cell_box(&name)?.filter(|b| b.id == id).ok_or(Error::BoxMissing)?;
        let root = ctx.tx.child(PARENT_HIDDEN, &self.begun.staged)?.ok_or(Error::BoxMissing)?;
        let after = ctx.tx.counters().next_id;
        (self.finish)(ctx)?;
        ctx.tx.touch_control();
        let seq = ctx.tx.seq();
        ctx.tx.update_job(&Job {
            state: self.state,
            ended_ms: Some(ctx.tx.now_ms()),
            progress: self.progress,
            message: self.message.clone(),
            staged: None,
            ..self.begun.job.clone()
        })?;
        ctx.tx.place_resource(id, PARENT_BOXES, &name, seq)?;
        ctx.tx.touch_box(id);
        // The empty directory that stood for the box until now has no row; the entry lets the reaper remove it.
        let empty = Gone { id: ctx.tx.next_id(), version: 0, name: self.begun.staged.clone(), seq, tree: true };
        ctx.tx.insert_gone(&empty)?;
        let staged = self.begun.staged.clone();
        let hidden = format!("staging/{}", self.begun.staged);
        Ok(Decision {
            op: "end install",
            id,
            steps: vec![Step { how: How::Exchange, from: hidden, to: format!("boxes/{name}"), ino: root.ino }],
            undo: vec![
                Undo::ReopenInstall { job: self.begun.job.id, staged: staged.clone(), cell_box: id, after },
                Undo::Ungone { id: empty.id, version: empty.version },
                Undo::Place { id, parent: PARENT_HIDDEN, name: staged },
            ],
            touched: Vec::new(),
            content: None,
            output: (),
        })
    }
}

/// Gives an installation up: it has failed, the box is there and empty. Changes rows alone, for when the machine fails.
#[derive(Debug)]
pub struct AbandonInstall {
    pub begun: Begun,
    pub progress: i64,
    pub message: String,
}

impl Operation for AbandonInstall {
    type Output = ();

    fn footprint(&self) -> Footprint {
        box_footprint(&self.begun.cell_box.name)
    }

    fn may_use_reserve(&self) -> bool {
        true
    }

    fn decide(&mut self, ctx: &Context<'_>) -> Result<Decision<()>> {
        let hidden = ctx.tx.child(PARENT_HIDDEN, &self.begun.staged)?.ok_or(Error::BoxMissing)?;
        leave_box_empty(ctx.core, ctx.tx, hidden, &self.begun.cell_box.name)?;
        ctx.tx.touch_control();
        ctx.tx.touch_box(self.begun.cell_box.id);
        ctx.tx.update_job(&Job {
            state: JobState::Failed,
            ended_ms: Some(ctx.tx.now_ms()),
            progress: self.progress,
            message: Some(self.message.clone()),
            staged: None,
            ..self.begun.job.clone()
        })?;
        Ok(Decision::rows(()))
    }
}
