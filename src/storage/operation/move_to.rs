//! MOVE: one row and one rename, whatever lies below; what had the destination's name is parked first.

use super::delete::park;
use super::{check_child_limit, member_path, place_for, takes_members};
use crate::base::path::ResourcePath;
use crate::storage::database::View;
use crate::storage::database::cell_box::{Lookup, disk_path};
use crate::storage::database::pending::{How, Step, Undo};
use crate::storage::database::resource::Resource;
use crate::storage::error::{Error, Result};
use crate::storage::writer::{Context, Decision, Footprint, Operation};

/// A condition on source and destination at the moment of the change.
pub type MoveGuard = Box<dyn FnMut(&View<'_>, &Lookup, &Lookup) -> Result<()> + Send>;

/// A place: a box and a path below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub box_name: String,
    pub path: ResourcePath,
}

/// Moves a resource within its cell.
pub struct MoveTo {
    pub from: Place,
    pub to: Place,
    pub overwrite: bool,
    pub guard: MoveGuard,
}

/// What a MOVE or COPY did.
#[derive(Debug, Clone)]
pub struct MoveOutcome {
    /// Nothing had the destination's name.
    pub created: bool,
    pub resource: Resource,
}

impl Operation for MoveTo {
    type Output = MoveOutcome;

    fn footprint(&self) -> Footprint {
        Footprint::of(&self.from.box_name, &self.from.path).and(&self.to.box_name, &self.to.path)
    }

    fn decide(&mut self, ctx: &Context<'_>) -> Result<Decision<MoveOutcome>> {
        let from = ctx.resolve(&self.from.box_name, &self.from.path)?;
        let to = ctx.resolve(&self.to.box_name, &self.to.path)?;
        (self.guard)(ctx.tx, &from, &to)?;
        let source = from.found().ok_or(Error::Missing)?.clone();
        let source_parent = from.parent().ok_or(Error::Missing)?;
        if to.chain.iter().any(|r| r.id == source.id)
            || from.chain.iter().any(|r| to.missing == 0 && r.id == to.nearest().id)
        {
            return Err(Error::SameResource);
        }
        let mut decision = Decision { op: "move", id: source.id, ..Decision::rows(()) };
        let created = to.missing > 0;
        let (parent_chain, name) = destination(ctx, &to, &self.to.path, self.overwrite)?;
        if !source.is_file() {
            ctx.settle_below(&from.disk_path())?;
        }
        if !created {
            park(ctx, &to, &mut decision)?;
        }
        let parent = parent_chain.nearest();
        let seq = ctx.tx.seq();
        decision.undo.extend(ctx.tx.drop_locks(&source)?);
        ctx.tx.bury(&source)?;
        ctx.tx.place_resource(source.id, parent.id, &name, seq)?;
        ctx.tx.count_children(source_parent.id, -1)?;
        ctx.tx.count_children(parent.id, 1)?;
        ctx.tx.touch_box(from.cell_box.id);
        ctx.tx.touch_box(to.cell_box.id);
        decision.undo.extend([
            Undo::Unbury { parent: source_parent.id, id: source.id },
            Undo::Children { id: parent.id, delta: -1 },
            Undo::Children { id: source_parent.id, delta: 1 },
            Undo::Place { id: source.id, parent: source_parent.id, name: source.name.clone() },
        ]);
        let source_dir = disk_path(&from.chain[..from.chain.len() - 1]);
        let target_dir = parent_chain.disk_path();
        decision.touched.push(ctx.touch(source_parent, &source_dir));
        if target_dir != source_dir && !decision.touched.iter().any(|t| t.path == target_dir) {
            decision.touched.push(ctx.touch(parent, &target_dir));
        }
        decision.steps.push(Step {
            how: How::Move,
            from: from.disk_path(),
            to: member_path(&parent_chain, &name),
            ino: source.ino,
        });
        let resource = Resource { parent: parent.id, name, seq, placed_seq: seq, ..source };
        Ok(decision.with(MoveOutcome { created, resource }))
    }
}

/// Checks where something is to be put that may replace what is there; returns the parent and the name.
pub(crate) fn destination(
    ctx: &Context<'_>,
    to: &Lookup,
    path: &ResourcePath,
    overwrite: bool,
) -> Result<(Lookup, String)> {
    if path.is_root() {
        return Err(Error::Exists);
    }
    if to.missing == 0 {
        if !overwrite {
            return Err(Error::NoOverwrite);
        }
        let chain = to.chain[..to.chain.len() - 1].to_vec();
        let name = to.nearest().name.clone();
        return Ok((Lookup { cell_box: to.cell_box.clone(), chain, missing: 0 }, name));
    }
    let name = place_for(to, path)?;
    let parent = to.nearest();
    if !takes_members(parent.kind) {
        return Err(Error::NotCollection);
    }
    check_child_limit(ctx, parent)?;
    if ctx.is_odd(&to.chain, name.as_str())? {
        return Err(Error::Exists);
    }
    let parent = Lookup { cell_box: to.cell_box.clone(), chain: to.chain.clone(), missing: 0 };
    Ok((parent, name.as_str().to_owned()))
}
