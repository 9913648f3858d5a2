//! MKCOL: an empty collection, of a kind and with properties, appears at once.

use std::os::fd::AsFd;

use super::{Guard, check_child_limit, member_path, place_for, takes_members};
use crate::base::path::ResourcePath;
use crate::storage::database::pending::{How, Step, Undo};
use crate::storage::database::property::Property;
use crate::storage::database::resource::{Kind, Resource};
use crate::storage::error::{Error, Result};
use crate::storage::tree;
use crate::storage::writer::{Context, Decision, Footprint, Operation};

/// The member of a service collection that holds its sources.
pub const SOURCES: &str = "__src";

/// Makes a collection.
pub struct Mkcol {
    pub box_name: String,
    pub path: ResourcePath,
    pub kind: Kind,
    pub properties: Vec<Property>,
    pub guard: Guard,
}

impl Operation for Mkcol {
    type Output = Resource;

    fn footprint(&self) -> Footprint {
        Footprint::of(&self.box_name, &self.path)
    }

    fn decide(&mut self, ctx: &Context<'_>) -> Result<Decision<Resource>> {
        let lookup = ctx.resolve(&self.box_name, &self.path)?;
        (self.guard)(ctx.tx, &lookup)?;
        if lookup.missing == 0 {
            return Err(Error::Exists);
        }
        let name = place_for(&lookup, &self.path)?;
        let parent = lookup.nearest();
        if !takes_members(parent.kind) {
            return Err(Error::NotCollection);
        }
        if self.path.depth() > ctx.core.limits.depth {
            return Err(Error::DepthLimit);
        }
        check_child_limit(ctx, parent)?;
        if ctx.is_odd(&lookup.chain, name.as_str())? {
            return Err(Error::Exists);
        }
        let seq = ctx.tx.seq();
        ctx.tx.touch_box(lookup.cell_box.id);
        let (staged, ino, mtime_ns) = ctx.stage_directory()?;
        let mut row = new_collection(ctx, parent.id, name.as_str(), self.kind, ino, mtime_ns);
        row.seq = seq;
        row.placed_seq = seq;
        let mut undo = vec![Undo::Children { id: parent.id, delta: -1 }];
        undo.push(Undo::Remove { parent: parent.id, name: row.name.clone(), id: row.id });
        if self.kind == Kind::Service {
            let sources = stage_sources(ctx, &staged, row.id)?;
            ctx.tx.insert_resource(&sources)?;
            row.children = 1;
            row.dir_mtime_ns = 0;
            undo.push(Undo::Remove { parent: row.id, name: sources.name, id: sources.id });
        }
        ctx.tx.insert_resource(&row)?;
        ctx.tx.count_children(parent.id, 1)?;
        for property in &self.properties {
            ctx.tx.set_property(row.id, property)?;
        }
        if !self.properties.is_empty() {
            ctx.tx.flag_properties(&row)?;
        }
        Ok(Decision {
            op: "mkcol",
            id: row.id,
            steps: vec![Step {
                how: How::Move,
                from: format!("staging/{staged}"),
                to: member_path(&lookup, name.as_str()),
                ino,
            }],
            undo,
            touched: vec![ctx.touch(parent, &lookup.disk_path())],
            content: None,
            output: row,
        })
    }
}

/// The row of a collection that is about to exist.
pub(crate) fn new_collection(
    ctx: &Context<'_>,
    parent: i64,
    name: &str,
    kind: Kind,
    ino: i64,
    dir_mtime_ns: i64,
) -> Resource {
    let (seq, now) = (ctx.tx.seq(), ctx.tx.now_ms());
    Resource {
        parent,
        name: name.to_owned(),
        id: ctx.tx.next_id(),
        kind,
        flags: 0,
        version: 1,
        stamp: ctx.tx.next_stamp(),
        created_ms: now,
        mtime_ms: now,
        seq,
        placed_seq: seq,
        size: 0,
        crc: None,
        ino,
        mtime_ns: 0,
        content_type: None,
        children: 0,
        dir_mtime_ns,
    }
}

fn stage_sources(ctx: &Context<'_>, staged: &str, parent: i64) -> Result<Resource> {
    let below = ctx.directory(&format!("staging/{staged}"))?;
    ctx.core.disk.make_dir(below.as_fd(), SOURCES).map_err(Error::io("stage", SOURCES))?;
    ctx.core.disk.sync_dir(below.as_fd()).map_err(Error::io("sync", SOURCES))?;
    let stat = tree::stat_name(below.as_fd(), SOURCES).map_err(Error::errno("look at", SOURCES))?;
    let (ino, mtime_ns) = stat.map_or((0, 0), |s| (s.st_ino as i64, tree::mtime_ns(&s)));
    Ok(new_collection(ctx, parent, SOURCES, Kind::Collection, ino, mtime_ns))
}
