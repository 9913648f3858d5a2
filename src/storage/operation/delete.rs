//! DELETE: a file or a whole tree moves to `staging/gone/`, its row to the trash; both are reaped when nobody needs them.

use super::Guard;
use crate::base::path::ResourcePath;
use crate::storage::database::cell_box::{Lookup, disk_path};
use crate::storage::database::pending::{Gone, How, Step, Undo};
use crate::storage::database::resource::Resource;
use crate::storage::database::schema::PARENT_TRASH;
use crate::storage::error::{Error, Result};
use crate::storage::writer::{Context, Decision, Footprint, Operation};

/// Deletes a resource below a box.
pub struct Delete {
    pub box_name: String,
    pub path: ResourcePath,
    /// Whether a collection goes with what it holds; otherwise it must be empty.
    pub recursive: bool,
    pub guard: Guard,
}

impl Operation for Delete {
    type Output = Resource;

    fn footprint(&self) -> Footprint {
        Footprint::of(&self.box_name, &self.path)
    }

    fn may_use_reserve(&self) -> bool {
        true
    }

    fn decide(&mut self, ctx: &Context<'_>) -> Result<Decision<Resource>> {
        let mut lookup = ctx.resolve(&self.box_name, &self.path)?;
        (self.guard)(ctx.tx, &lookup)?;
        if lookup.missing > 0 || self.path.is_root() {
            return Err(Error::Missing);
        }
        if !self.recursive && !lookup.nearest().is_file() {
            ctx.reconcile(&lookup)?;
            lookup = ctx.tx.lookup(&self.box_name, &self.path)?;
            if !is_empty(ctx, lookup.nearest())? {
                return Err(Error::NotEmpty);
            }
        }
        ctx.tx.touch_box(lookup.cell_box.id);
        let mut decision = Decision { op: "delete", ..Decision::rows(lookup.nearest().clone()) };
        park(ctx, &lookup, &mut decision)?;
        decision.id = lookup.nearest().id;
        Ok(decision)
    }
}

/// Whether a collection holds nothing; the source folder of a service does not count while it is empty itself.
fn is_empty(ctx: &Context<'_>, collection: &Resource) -> Result<bool> {
    if collection.kind == crate::storage::database::Kind::Service {
        let sources = ctx.tx.child(collection.id, super::mkcol::SOURCES)?;
        return Ok(sources.is_none_or(|s| s.children == 0));
    }
    Ok(collection.children == 0)
}

/// Takes what a lookup found out of the way, into the trash: for DELETE, and before a MOVE or COPY takes its name.
pub(crate) fn park<T>(ctx: &Context<'_>, lookup: &Lookup, decision: &mut Decision<T>) -> Result<()> {
    let row = lookup.found().ok_or(Error::Missing)?;
    let parent = lookup.parent().ok_or(Error::Missing)?;
    let path = lookup.disk_path();
    if !row.is_file() {
        ctx.settle_below(&path)?;
    }
    let seq = ctx.tx.seq();
    decision.undo.extend(ctx.tx.drop_locks(row)?);
    ctx.tx.bury(row)?;
    ctx.tx.place_resource(row.id, PARENT_TRASH, &row.id.to_string(), seq)?;
    ctx.tx.count_children(parent.id, -1)?;
    let name = format!("gone/{}", ctx.staging_name());
    ctx.tx.insert_gone(&Gone { id: row.id, version: row.version, name: name.clone(), seq, tree: !row.is_file() })?;
    decision.undo.extend([
        Undo::Unbury { parent: parent.id, id: row.id },
        Undo::Place { id: row.id, parent: parent.id, name: row.name.clone() },
        Undo::Children { id: parent.id, delta: 1 },
        Undo::Ungone { id: row.id, version: row.version },
    ]);
    let parent_path = disk_path(&lookup.chain[..lookup.chain.len() - 1]);
    decision.touched.push(ctx.touch(parent, &parent_path));
    decision.steps.push(Step { how: How::Move, from: path, to: format!("staging/{name}"), ino: row.ino });
    Ok(())
}
