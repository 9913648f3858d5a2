//! COPY: a tree is built aside, below a hidden parent, from one moment of its source, and appears at once.

use std::os::fd::AsFd as _;
use std::os::unix::fs::FileExt as _;

use self::fill::Fill;
use self::originals::Originals;
use super::delete::park;
use super::move_to::{MoveOutcome, Place, destination};
use super::{Guard, check_quota, member_path};
use crate::base::id::ResourceId;
use crate::storage::build::{BuildTree, NewRow};
use crate::storage::cell::{Cell, Version};
use crate::storage::database::View;
use crate::storage::database::acl::Acl;
use crate::storage::database::cell_box::Lookup;
use crate::storage::database::pending::{How, Step, Undo};
use crate::storage::database::property::Property;
use crate::storage::database::resource::{HAS_ACL, HAS_PROPERTIES, Kind, Resource};
use crate::storage::database::schema::PARENT_HIDDEN;
use crate::storage::error::{Error, Result};
use crate::storage::generation::Pin;
use crate::storage::stage::{self, Staged};
use crate::storage::writer::{Change, Context, Decision, Footprint, Operation};

mod fill;
mod originals;

/// How much of the source is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// A collection without its members.
    Alone,
    /// All of it, without access control lists.
    Tree,
    /// All of it, with what of its lists another cell can mean: entries for everybody, and what they ask of apps.
    TreeAndLists,
}

/// What hangs on a resource's number.
#[derive(Debug, Clone)]
struct Attachments {
    properties: Vec<Property>,
    list: Acl,
}

impl Attachments {
    fn of(v: &View<'_>, row: &Resource, extent: Extent) -> Result<Self> {
        let properties = if row.has_properties() { v.properties(row.id)? } else { Vec::new() };
        let mut list = Acl::default();
        if extent == Extent::TreeAndLists && row.has_acl() {
            list = v.acl(row.id)?;
            list.aces.retain(|ace| ace.role.is_none());
        }
        Ok(Self { properties, list })
    }

    fn is_empty(&self) -> bool {
        self.properties.is_empty() && self.list == Acl::default()
    }

    /// A row that will have them; its list goes to `lists`.
    fn with(&self, mut row: Resource, lists: &mut Vec<(ResourceId, Acl)>) -> NewRow {
        if self.list != Acl::default() {
            row.flags |= HAS_ACL;
            lists.push((row.id, self.list.clone()));
        }
        NewRow { row, properties: self.properties.clone() }
    }

    /// Gives them to a resource that has none.
    fn give(&self, ctx: &Context<'_>, row: &Resource) -> Result<()> {
        let mut flags = row.flags;
        for property in &self.properties {
            ctx.tx.set_property(row.id, property)?;
            flags |= HAS_PROPERTIES;
        }
        if self.list != Acl::default() {
            ctx.tx.set_acl(row.id, &self.list)?;
            flags |= HAS_ACL;
        }
        if flags == row.flags { Ok(()) } else { ctx.tx.set_flags(row.id, flags) }
    }
}

/// A tree that is being built aside. What is not placed is removed.
struct Hidden<'c> {
    cell: &'c Cell,
    tree: BuildTree,
    root: Option<ResourceId>,
    placed: bool,
    /// The tree is not synced.
    lax: bool,
}

/// Copies what `source` leads to into `target`, which may be another cell. The guard is asked at the moment when the copy
/// appears.
pub fn copy(
    source: &Cell,
    from: &Lookup,
    target: &Cell,
    to: Place,
    overwrite: bool,
    extent: Extent,
    guard: Guard,
) -> Result<MoveOutcome> {
    let row = from.found().ok_or(Error::Missing)?;
    if row.is_file() {
        return copy_file(source, from, target, to, overwrite, extent, guard);
    }
    let pin = Pin::new(source, from.cell_box.id)?;
    let originals = Originals::of(source, from, extent)?;
    let bytes = originals.bytes();
    if !overwrite {
        target.check_room(bytes)?;
    }
    let replaces = overwrite && target.lookup(&to.box_name, &to.path).is_ok_and(|to| to.missing == 0);
    let mut hidden = Hidden::new(target, !replaces)?;
    hidden.fill(source, &originals)?;
    let outcome = target.change(PlaceTree {
        to,
        overwrite,
        guard,
        staged: hidden.tree.name().to_owned(),
        root: hidden.root.ok_or(Error::Missing)?,
        bytes,
        lax: hidden.lax,
    })?;
    hidden.placed = true;
    drop(pin);
    Ok(outcome)
}

fn copy_file(
    source: &Cell,
    from: &Lookup,
    target: &Cell,
    to: Place,
    overwrite: bool,
    extent: Extent,
    guard: Guard,
) -> Result<MoveOutcome> {
    let row = from.found().ok_or(Error::Missing)?.clone();
    let pin = Pin::new(source, from.cell_box.id)?;
    let (row, attachments) = source.read(|v| {
        let row = v.resource(row.id)?.ok_or(Error::Missing)?;
        let attachments = Attachments::of(v, &row, extent)?;
        Ok((row, attachments))
    })?;
    let content = source.open_version(&Version::of(&row), &from.disk_path())?.ok_or(Error::Missing)?;
    drop(pin);
    let mut upload = target.upload();
    let size = row.size as u64;
    if size <= stage::IN_ROW as u64 {
        let mut bytes = vec![0; size as usize];
        content.read_exact_at(&mut bytes, 0).map_err(Error::io("read", row.name.clone()))?;
        upload.write(&bytes)?;
    } else {
        upload.begin_with(&stage::Original { file: &content, size, crc: row.crc }, size)?;
    }
    let staged = upload.finish()?;
    target.change(PlaceFile { to, overwrite, guard, staged, content_type: row.content_type, attachments })
}

/// Puts a copied file in place.
struct PlaceFile {
    to: Place,
    overwrite: bool,
    guard: Guard,
    staged: Staged,
    content_type: Option<String>,
    attachments: Attachments,
}

impl Operation for PlaceFile {
    type Output = MoveOutcome;

    fn footprint(&self) -> Footprint {
        Footprint::of(&self.to.box_name, &self.to.path)
    }

    fn decide(&mut self, ctx: &Context<'_>) -> Result<Decision<MoveOutcome>> {
        let to = ctx.resolve(&self.to.box_name, &self.to.path)?;
        (self.guard)(ctx.tx, &to)?;
        let (parent, name) = destination(ctx, &to, &self.to.path, self.overwrite)?;
        let mut decision = Decision { op: "copy", ..Decision::rows(()) };
        let created = to.missing > 0;
        if !created {
            park(ctx, &to, &mut decision)?;
        }
        self.staged.write_out()?;
        let (seq, now) = (ctx.tx.seq(), ctx.tx.now_ms());
        let row = Resource {
            parent: parent.nearest().id,
            name: name.clone(),
            id: ctx.tx.next_id(),
            kind: Kind::File,
            flags: 0,
            version: 1,
            stamp: ctx.tx.next_stamp(),
            created_ms: now,
            mtime_ms: now,
            seq,
            placed_seq: seq,
            size: self.staged.identity.size,
            crc: Some(self.staged.crc),
            ino: self.staged.identity.ino,
            mtime_ns: self.staged.identity.mtime_ns,
            content_type: self.content_type.clone(),
            children: 0,
            dir_mtime_ns: 0,
        };
        ctx.tx.insert_resource(&row)?;
        check_quota(ctx, row.size)?;
        self.attachments.give(ctx, &row)?;
        decision.content = self.staged.riding_as(row.version);
        let step = Step {
            how: How::Move,
            from: self.staged.path(),
            to: member_path(&parent, &name),
            ino: self.staged.identity.ino,
        };
        appear(ctx, decision, &to, &parent, row, step, created)
    }

    fn committed(&mut self) {
        self.staged.take();
    }
}

/// Puts a tree that was built aside in place.
struct PlaceTree {
    to: Place,
    overwrite: bool,
    guard: Guard,
    staged: String,
    root: ResourceId,
    /// What the files hold.
    bytes: i64,
    /// Its content was not synced.
    lax: bool,
}

impl Operation for PlaceTree {
    type Output = MoveOutcome;

    fn footprint(&self) -> Footprint {
        Footprint::of(&self.to.box_name, &self.to.path)
    }

    fn decide(&mut self, ctx: &Context<'_>) -> Result<Decision<MoveOutcome>> {
        let to = ctx.resolve(&self.to.box_name, &self.to.path)?;
        (self.guard)(ctx.tx, &to)?;
        let (parent, name) = destination(ctx, &to, &self.to.path, self.overwrite)?;
        let mut decision = Decision { op: "copy", ..Decision::rows(()) };
        let created = to.missing > 0;
        if !created {
            if self.lax {
                // A power cut may take what is new, but not what it replaces. This came there a moment ago.
                let synced = ctx.core.disk.sync_file_system(ctx.core.staging.as_fd());
                synced.map_err(Error::io("sync", "the file system"))?;
            }
            park(ctx, &to, &mut decision)?;
        }
        let row = ctx.tx.resource(self.root)?.ok_or(Error::Missing)?;
        ctx.tx.place_resource(row.id, parent.nearest().id, &name, ctx.tx.seq())?;
        check_quota(ctx, self.bytes)?;
        let step = Step {
            how: How::Move,
            from: format!("staging/{}", self.staged),
            to: member_path(&parent, &name),
            ino: row.ino,
        };
        decision.undo.push(Undo::Place { id: row.id, parent: PARENT_HIDDEN, name: self.staged.clone() });
        let row = Resource { parent: parent.nearest().id, name, ..row };
        appear(ctx, decision, &to, &parent, row, step, created)
    }
}

/// What a copied file and a copied tree have in common when they appear.
fn appear(
    ctx: &Context<'_>,
    mut decision: Decision<()>,
    to: &Lookup,
    parent: &Lookup,
    row: Resource,
    step: Step,
    created: bool,
) -> Result<Decision<MoveOutcome>> {
    let collection = parent.nearest();
    ctx.tx.count_children(collection.id, 1)?;
    ctx.tx.touch_box(to.cell_box.id);
    decision.undo.push(Undo::Children { id: collection.id, delta: -1 });
    if row.is_file() {
        decision.undo.push(Undo::Remove { parent: collection.id, name: row.name.clone(), id: row.id });
    }
    if decision.touched.is_empty() {
        decision.touched.push(ctx.touch(collection, &parent.disk_path()));
    }
    decision.steps.push(step);
    decision.id = row.id;
    Ok(decision.with(MoveOutcome { created, resource: row }))
}

/// What writes access control lists along with the rows that they are for.
fn lists_of(lists: Vec<(ResourceId, Acl)>) -> impl FnMut(&Context<'_>) -> Result<()> + Send + 'static {
    move |ctx| lists.iter().try_for_each(|(id, list)| ctx.tx.set_acl(*id, list))
}

impl<'c> Hidden<'c> {
    /// `may_be_lax`: whether a power cut may take the tree where the unit lets it.
    fn new(cell: &'c Cell, may_be_lax: bool) -> Result<Self> {
        let mut tree = BuildTree::new(cell)?;
        let lax = may_be_lax && cell.core.limits.relaxed && cell.core.syncs_whole;
        if lax {
            tree.lax();
        }
        Ok(Self { cell, tree, root: None, placed: false, lax })
    }

    /// Copies content and rows.
    fn fill(&mut self, source: &Cell, originals: &Originals) -> Result<()> {
        self.tree.expect(originals.bytes().max(0) as u64);
        let root = Fill::run(source, self.cell, &self.tree, originals)?;
        let folders: Vec<_> = originals.folders.iter().map(|folder| originals.below(folder)).collect();
        self.tree.sync(folders.iter().map(String::as_str))?;
        self.root = Some(root);
        Ok(())
    }
}

impl Drop for Hidden<'_> {
    fn drop(&mut self) {
        if self.placed {
            return;
        }
        let name = self.tree.name().to_owned();
        let buried = self.cell.change(Change(move |ctx: &Context<'_>| ctx.bury_hidden(&name)));
        if let Err(e) = buried {
            tracing::warn!(error = &e as &dyn std::error::Error, "a copy that failed is left to the next opening");
        }
    }
}
