//! COPY: a tree is built aside, below a hidden parent, from one moment of its source, and appears at once.

use std::os::unix::fs::FileExt as _;

use super::delete::park;
use super::move_to::{MoveOutcome, Place, destination};
use super::{Guard, check_quota, member_path};
use crate::base::id::ResourceId;
use crate::storage::build::{self, BuildTree, NewRow};
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
use crate::storage::sparse;
use crate::storage::stage::{self, Staged};
use crate::storage::writer::{Change, Context, Decision, Footprint, Operation};

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

/// One resource of the source, with its properties, as of the moment of the copy.
struct Original {
    row: Resource,
    /// Position of the parent among the originals; the root has itself.
    parent: usize,
    path: String,
    attachments: Attachments,
}

/// What hangs on a resource's number.
#[derive(Clone)]
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
    let originals = collect(source, from, extent)?;
    let bytes = originals.iter().map(|o| o.row.bytes()).sum();
    if !overwrite {
        target.check_room(bytes)?;
    }
    let mut hidden = Hidden::new(target)?;
    hidden.fill(source, &originals)?;
    let outcome = target.change(PlaceTree {
        to,
        overwrite,
        guard,
        staged: hidden.tree.name().to_owned(),
        root: hidden.root.ok_or(Error::Missing)?,
        bytes,
    })?;
    hidden.placed = true;
    drop(pin);
    Ok(outcome)
}

/// The rows of a subtree from one read transaction, parents before children.
fn collect(cell: &Cell, from: &Lookup, extent: Extent) -> Result<Vec<Original>> {
    let id = from.nearest().id;
    let top = from.disk_path();
    cell.read(|v| {
        let mut row = v.resource(id)?.ok_or(Error::Missing)?;
        if extent == Extent::Alone {
            row.children = 0;
        }
        let attachments = Attachments::of(v, &row, extent)?;
        let mut found = vec![Original { row, parent: 0, path: top, attachments }];
        let mut at = 0;
        while extent != Extent::Alone && at < found.len() {
            if !found[at].row.is_file() {
                let (parent, path) = (found[at].row.id, found[at].path.clone());
                v.children(parent, |row| {
                    let attachments = Attachments::of(v, &row, extent)?;
                    found.push(Original { path: format!("{path}/{}", row.name), row, parent: at, attachments });
                    Ok(())
                })?;
            }
            at += 1;
        }
        Ok(found)
    })
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

/// Writes rows with their lists.
fn write(target: &Cell, rows: Vec<NewRow>, lists: Vec<(ResourceId, Acl)>) -> Result<()> {
    build::write_rows(target, rows, move |ctx| lists.iter().try_for_each(|(id, list)| ctx.tx.set_acl(*id, list)))
}

impl<'c> Hidden<'c> {
    fn new(cell: &'c Cell) -> Result<Self> {
        Ok(Self { cell, tree: BuildTree::new(cell)?, root: None, placed: false })
    }

    /// Copies content and rows.
    fn fill(&mut self, source: &Cell, originals: &[Original]) -> Result<()> {
        let target = self.cell;
        let first = build::reserve_ids(target, originals.len())?;
        let top = originals.first().map_or(0, |o| o.path.len());
        let below = |o: &Original| o.path[top..].trim_start_matches('/').to_owned();
        let mut folders = Vec::new();
        let mut rows = Vec::with_capacity(build::CHUNK);
        let mut lists = Vec::new();
        for (i, o) in originals.iter().enumerate() {
            let path = below(o);
            let id = first + i as i64;
            let parent = if i == 0 { PARENT_HIDDEN } else { first + o.parent as i64 };
            let name = if i == 0 { self.tree.name().to_owned() } else { o.row.name.clone() };
            let row = Resource { parent, name, id, flags: 0, version: 1, ..o.row.clone() };
            let row = self.materialise(source, o, row, &path)?;
            if !row.is_file() {
                folders.push(path);
            }
            rows.push(o.attachments.with(row, &mut lists));
            if rows.len() == build::CHUNK {
                write(target, std::mem::take(&mut rows), std::mem::take(&mut lists))?;
            }
        }
        write(target, rows, lists)?;
        self.tree.sync(folders.iter().map(String::as_str))?;
        self.root = Some(first);
        Ok(())
    }

    /// Makes one directory or file at its path in the new tree.
    fn materialise(&self, source: &Cell, original: &Original, row: Resource, path: &str) -> Result<Resource> {
        if !row.is_file() {
            let ino = if path.is_empty() { self.tree.look_at_folder("")?.0 } else { self.tree.make_folder(path)? };
            return Ok(Resource { ino, dir_mtime_ns: 0, ..row });
        }
        let from = source
            .open_version(&Version::of(&original.row), &original.path)?
            .ok_or_else(|| Error::Inconsistent(format!("{} was removed by hand", original.path)))?;
        let file = self.tree.create(path)?;
        sparse::copy(&from, file.file(), row.size as u64).map_err(Error::io("copy", row.name.clone()))?;
        let identity = file.finish()?;
        Ok(Resource { ino: identity.ino, size: identity.size, mtime_ns: identity.mtime_ns, ..row })
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
