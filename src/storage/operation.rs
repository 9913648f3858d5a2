//! The verbs of the store. Each decides inside the writer's transaction and names the renames that follow from it.

pub mod area;
pub mod boxes;
pub mod copy;
pub mod delete;
pub mod install;
pub mod lock;
pub mod look;
pub mod mkcol;
pub mod move_to;
pub mod proppatch;
pub mod put;
pub mod set_acl;

use super::cell::Cell;
use super::database::cell_box::Lookup;
use super::database::resource::Resource;
use super::database::{Kind, View};
use super::error::{Error, Result};
use super::writer::Context;
use crate::base::path::{NewName, ResourcePath, Segment};

/// A condition that the caller wants to hold at the very moment of the change: preconditions, locks, privileges. It sees what
/// the path leads to.
pub type Guard = Box<dyn FnMut(&View<'_>, &Lookup) -> Result<()> + Send>;

/// A guard that lets everything through.
pub fn no_guard() -> Guard {
    Box::new(|_, _| Ok(()))
}

/// Where something new may be put: the parent's chain and the name. Checks that the parent takes members.
pub(crate) fn place_for(lookup: &Lookup, path: &ResourcePath) -> Result<NewName> {
    if lookup.missing > 1 {
        let depth = path.depth() - lookup.missing;
        return Err(Error::ParentMissing(path.segments()[depth].to_string()));
    }
    let parent = lookup.nearest();
    if parent.is_file() {
        return Err(Error::ParentMissing(parent.name.clone()));
    }
    let name: &Segment = path.name().ok_or(Error::Exists)?;
    NewName::new(name).map_err(|_| Error::Name(name.to_string()))
}

/// Checks a collection's limit before one more member.
pub(crate) fn check_child_limit(ctx: &Context<'_>, parent: &Resource) -> Result<()> {
    if parent.children >= ctx.core.limits.children { Err(Error::ChildLimit) } else { Ok(()) }
}

/// Checks the cell's limit after the rows have grown by so many bytes.
pub(crate) fn check_quota(ctx: &Context<'_>, growth: i64) -> Result<()> {
    if growth > 0 { ctx.tx.check_quota(0, ctx.core.limits.cell_bytes) } else { Ok(()) }
}

/// The same before they grow.
pub(crate) fn check_growth(ctx: &Context<'_>, growth: i64) -> Result<()> {
    if growth > 0 { ctx.tx.check_quota(growth, ctx.core.limits.cell_bytes) } else { Ok(()) }
}

/// Where a new member of a collection would lie.
pub(crate) fn member_path(parent: &Lookup, name: &str) -> String {
    format!("{}/{name}", parent.disk_path())
}

/// Whether a collection of this kind takes files and collections as members.
pub(crate) fn takes_members(kind: Kind) -> bool {
    kind == Kind::Collection
}

/// Whether something new can take the path, as far as rows tell: what is refused here need not be received. The operation
/// itself decides again.
pub fn check_new(cell: &Cell, lookup: &Lookup, path: &ResourcePath) -> Result<()> {
    place_for(lookup, path)?;
    let parent = lookup.nearest();
    if !takes_members(parent.kind) {
        return Err(Error::NotCollection);
    }
    if parent.children >= cell.core.limits.children { Err(Error::ChildLimit) } else { Ok(()) }
}
