//! Boxes: made empty, renamed, deleted with all they hold, and adopted.

use std::os::fd::AsFd;

use super::mkcol::new_collection;
use crate::base::id::ResourceId;
use crate::base::path::ResourcePath;
use crate::storage::database::View;
use crate::storage::database::cell_box::{CellBox, MAIN_BOX};
use crate::storage::database::pending::{Gone, How, Step, Undo};
use crate::storage::database::resource::{Kind, Resource};
use crate::storage::database::schema::{PARENT_BOXES, PARENT_TRASH};
use crate::storage::error::{Error, Result};
use crate::storage::tree;
use crate::storage::writer::{Context, Decision, Footprint, Operation};

/// A condition on a box at the moment of its change.
pub type BoxGuard = Box<dyn FnMut(&View<'_>, &CellBox) -> Result<()> + Send>;

pub(super) fn box_footprint(name: &str) -> Footprint {
    Footprint::of(name, &ResourcePath::root())
}

pub(super) fn check_free(ctx: &Context<'_>, name: &str, schema: Option<&str>) -> Result<()> {
    if let Some(schema) = schema
        && ctx.tx.box_with_schema(schema)?.is_some()
    {
        return Err(Error::SchemaTaken);
    }
    if ctx.tx.cell_box(name)?.is_some() {
        return Err(Error::Exists);
    }
    Ok(())
}

pub(super) fn new_box(ctx: &Context<'_>, id: ResourceId, name: &str, schema: Option<&str>) -> CellBox {
    CellBox {
        id,
        name: name.to_owned(),
        schema: schema.map(str::to_owned),
        version: 1,
        created_ms: ctx.tx.now_ms(),
        updated_ms: ctx.tx.now_ms(),
        seq: ctx.tx.seq(),
    }
}

/// Makes an empty box. A directory that stands there without a row becomes the box's.
#[derive(Debug)]
pub struct CreateBox {
    pub name: String,
    pub schema: Option<String>,
}

impl Operation for CreateBox {
    type Output = CellBox;

    fn footprint(&self) -> Footprint {
        box_footprint(&self.name)
    }

    fn decide(&mut self, ctx: &Context<'_>) -> Result<Decision<CellBox>> {
        check_free(ctx, &self.name, self.schema.as_deref())?;
        ctx.tx.touch_control();
        let boxes = ctx.directory("boxes")?;
        let there = tree::stat_name(boxes.as_fd(), &self.name).map_err(Error::errno("look at", self.name.clone()))?;
        let (staged, ino, mtime) = match there {
            Some(stat) => (None, stat.st_ino as i64, 0),
            None => ctx.stage_directory().map(|(name, ino, mtime)| (Some(name), ino, mtime))?,
        };
        let root = new_collection(ctx, PARENT_BOXES, &self.name, Kind::Collection, ino, mtime);
        ctx.tx.insert_resource(&root)?;
        let cell_box = new_box(ctx, root.id, &self.name, self.schema.as_deref());
        ctx.tx.insert_box(&cell_box)?;
        let mut decision = Decision { op: "create box", id: root.id, ..Decision::rows(cell_box) };
        if let Some(staged) = staged {
            decision.steps.push(Step {
                how: How::Move,
                from: format!("staging/{staged}"),
                to: format!("boxes/{}", self.name),
                ino,
            });
            decision.undo = vec![
                Undo::RemoveBox { id: root.id },
                Undo::Remove { parent: PARENT_BOXES, name: root.name, id: root.id },
            ];
        }
        Ok(decision)
    }
}

/// What becomes of a box's schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SchemaChange {
    Keep,
    To(Option<String>),
}

/// Changes a box's name or schema.
pub struct UpdateBox {
    pub name: String,
    pub new_name: String,
    pub schema: SchemaChange,
    pub guard: BoxGuard,
}

impl Operation for UpdateBox {
    type Output = CellBox;

    fn footprint(&self) -> Footprint {
        box_footprint(&self.name).and(&self.new_name, &ResourcePath::root())
    }

    fn decide(&mut self, ctx: &Context<'_>) -> Result<Decision<CellBox>> {
        let before = ctx.tx.cell_box(&self.name)?.filter(|b| !b.is_main()).ok_or(Error::BoxMissing)?;
        (self.guard)(ctx.tx, &before)?;
        let root = ctx.tx.lookup(&self.name, &ResourcePath::root())?.nearest().clone();
        if self.new_name != self.name && ctx.tx.cell_box(&self.new_name)?.is_some() {
            return Err(Error::Exists);
        }
        let schema = match &self.schema {
            SchemaChange::Keep => before.schema.clone(),
            SchemaChange::To(schema) => schema.clone(),
        };
        if let Some(schema) = &schema
            && ctx.tx.box_with_schema(schema)?.is_some_and(|b| b.id != before.id)
        {
            return Err(Error::SchemaTaken);
        }
        ctx.tx.touch_control();
        let after = CellBox {
            name: self.new_name.clone(),
            schema,
            version: before.version + 1,
            updated_ms: ctx.tx.now_ms(),
            seq: ctx.tx.seq(),
            ..before.clone()
        };
        ctx.tx.update_box(&after)?;
        let mut decision = Decision { op: "update box", id: before.id, ..Decision::rows(after) };
        if self.new_name != self.name {
            ctx.settle_below(&format!("boxes/{}", self.name))?;
            let boxes = ctx.directory("boxes")?;
            // A box's directory may have been put back by hand, which its row does not learn.
            let there =
                tree::stat_name(boxes.as_fd(), &self.name).map_err(Error::errno("look at", self.name.clone()))?;
            ctx.tx.place_resource(root.id, PARENT_BOXES, &self.new_name, ctx.tx.seq())?;
            decision.undo = vec![
                Undo::Place { id: root.id, parent: PARENT_BOXES, name: self.name.clone() },
                Undo::RenameBox { id: root.id, name: self.name.clone() },
            ];
            decision.steps.push(Step {
                how: How::Move,
                from: format!("boxes/{}", self.name),
                to: format!("boxes/{}", self.new_name),
                ino: there.map_or(root.ino, |s| s.st_ino as i64),
            });
        }
        Ok(decision)
    }
}

/// Deletes a box with all it holds: content, roles, relations, rules, jobs.
pub struct DeleteBox {
    pub name: String,
    /// Otherwise the box must hold nothing and nothing may be bound to it.
    pub recursive: bool,
    pub guard: BoxGuard,
}

impl Operation for DeleteBox {
    type Output = ();

    fn footprint(&self) -> Footprint {
        box_footprint(&self.name)
    }

    fn may_use_reserve(&self) -> bool {
        true
    }

    fn decide(&mut self, ctx: &Context<'_>) -> Result<Decision<()>> {
        let cell_box = ctx.tx.cell_box(&self.name)?.filter(|b| b.name != MAIN_BOX).ok_or(Error::BoxMissing)?;
        let lookup = ctx.tx.lookup(&self.name, &ResourcePath::root())?;
        (self.guard)(ctx.tx, &cell_box)?;
        let path = lookup.disk_path();
        if !self.recursive {
            ctx.reconcile(&lookup)?;
            let root = ctx.tx.resource(cell_box.id)?.ok_or(Error::BoxMissing)?;
            if root.children > 0 || ctx.tx.has_bound_objects(cell_box.id)? {
                return Err(Error::NotEmpty);
            }
        }
        let root = lookup.nearest().clone();
        ctx.settle_below(&path)?;
        ctx.tx.touch_control();
        let mut decision = Decision { op: "delete box", id: root.id, ..Decision::rows(()) };
        decision.undo = take_bound(ctx, cell_box.id)?;
        decision.undo.extend(ctx.tx.drop_locks(&root)?);
        let seq = ctx.tx.seq();
        ctx.tx.bury(&root)?;
        ctx.tx.place_resource(root.id, PARENT_TRASH, &root.id.to_string(), seq)?;
        let name = format!("gone/{}", ctx.staging_name());
        ctx.tx.insert_gone(&Gone { id: root.id, version: root.version, name: name.clone(), seq, tree: true })?;
        decision.undo.extend([
            Undo::Unbury { parent: PARENT_BOXES, id: root.id },
            Undo::Place { id: root.id, parent: PARENT_BOXES, name: self.name.clone() },
            Undo::Ungone { id: root.id, version: root.version },
        ]);
        let boxes = ctx.directory("boxes")?;
        let there = tree::stat_name(boxes.as_fd(), &self.name).map_err(Error::errno("look at", self.name.clone()))?;
        // A box whose directory was removed by hand is a row alone.
        if there.is_some() {
            decision.steps.push(Step {
                how: How::Move,
                from: path,
                to: format!("staging/{name}"),
                ino: there.map_or(root.ino, |s| s.st_ino as i64),
            });
        }
        Ok(decision)
    }
}

/// Removes a box's row and what is bound to it; returns what puts it back.
fn take_bound(ctx: &Context<'_>, id: ResourceId) -> Result<Vec<Undo>> {
    let ext_roles = "IN (SELECT e.id FROM ext_role e JOIN relation r ON e.relation=r.id WHERE r.box=?1)";
    let link = |side: &str| {
        format!(
            "({side}_kind='Role' AND {side} IN (SELECT id FROM role WHERE box=?1)) OR \
             ({side}_kind='Relation' AND {side} IN (SELECT id FROM relation WHERE box=?1)) OR \
             ({side}_kind='ExtRole' AND {side} {ext_roles})"
        )
    };
    let taken = [
        ctx.tx.take_rows("link", &format!("{} OR {}", link("a"), link("b")), id)?,
        ctx.tx.take_rows("ace", "role IN (SELECT id FROM role WHERE box=?1)", id)?,
        ctx.tx.take_rows("ext_role", &format!("id {ext_roles}"), id)?,
        ctx.tx.take_rows("role", "box=?1", id)?,
        ctx.tx.take_rows("relation", "box=?1", id)?,
        ctx.tx.take_rows("rule", "box=?1", id)?,
        ctx.tx.take_rows("job", "box=?1", id)?,
        ctx.tx.take_rows("drive_password", "box=?1", id)?,
        ctx.tx.take_rows("box", "id=?1", id)?,
    ];
    Ok(taken.into_iter().map(Undo::PutBack).collect())
}

/// A directory in `boxes/` without a row becomes a box without schema.
#[derive(Debug)]
pub struct AdoptBoxes;

impl Operation for AdoptBoxes {
    type Output = usize;

    fn may_use_reserve(&self) -> bool {
        true
    }

    fn decide(&mut self, ctx: &Context<'_>) -> Result<Decision<usize>> {
        let boxes = ctx.directory("boxes")?;
        let mut adopted = 0;
        for (name, kind) in tree::read_names(boxes.as_fd()).map_err(Error::io("read", "boxes"))? {
            if kind != rustix::fs::FileType::Directory || ctx.tx.cell_box(&name)?.is_some() || !is_box_name(&name) {
                continue;
            }
            let Some(stat) = tree::stat_name(boxes.as_fd(), &name).map_err(Error::errno("look at", name.clone()))?
            else {
                continue;
            };
            ctx.tx.next_seq();
            let root = new_collection(ctx, PARENT_BOXES, &name, Kind::Collection, stat.st_ino as i64, 0);
            ctx.tx.insert_resource(&Resource { ..root.clone() })?;
            ctx.tx.insert_box(&new_box(ctx, root.id, &name, None))?;
            adopted += 1;
        }
        if adopted > 0 {
            ctx.tx.touch_control();
        }
        Ok(Decision::rows(adopted))
    }
}

/// Whether a directory's name can be a box's: a letter or digit, then letters, digits, `-` and `_`, 128 at most.
fn is_box_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    name.len() <= 128
        && bytes.next().is_some_and(|b| b.is_ascii_alphanumeric())
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}
