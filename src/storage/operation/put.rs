//! PUT: staged content takes a name, new or in exchange for what has it.

use super::{Guard, check_child_limit, check_growth, member_path, place_for, takes_members};
use crate::base::path::ResourcePath;
use crate::storage::adopt::guess_type;
use crate::storage::database::cell_box::Lookup;
use crate::storage::database::pending::{Gone, How, Step, Undo};
use crate::storage::database::resource::{Kind, Resource};
use crate::storage::error::{Error, Result};
use crate::storage::stage::Staged;
use crate::storage::writer::{Context, Decision, Footprint, Operation};

/// Puts a staged file under a path.
pub struct Put {
    pub box_name: String,
    pub path: ResourcePath,
    pub staged: Staged,
    /// As declared; none keeps what the resource has, and guesses for a new one.
    pub content_type: Option<String>,
    /// The client's own modification time, in milliseconds since 1970.
    pub mtime_ms: Option<i64>,
    pub guard: Guard,
    /// Dead properties and access entries of this resource are given to a new one: for COPY.
    pub properties_of: Option<Vec<crate::storage::database::property::Property>>,
}

/// What a PUT did.
#[derive(Debug, Clone)]
pub struct PutOutcome {
    pub created: bool,
    pub resource: Resource,
}

impl Operation for Put {
    type Output = PutOutcome;

    fn footprint(&self) -> Footprint {
        Footprint::of(&self.box_name, &self.path)
    }

    fn decide(&mut self, ctx: &Context<'_>) -> Result<Decision<PutOutcome>> {
        let lookup = ctx.resolve_place(&self.box_name, &self.path)?;
        (self.guard)(ctx.tx, &lookup)?;
        let seq = ctx.tx.seq();
        ctx.tx.touch_box(lookup.cell_box.id);
        match lookup.found() {
            Some(row) if row.is_file() => self.replace(ctx, &lookup, row.clone(), seq),
            Some(_) => Err(Error::IsCollection),
            None => self.create(ctx, &lookup, seq),
        }
    }

    fn refuses_first(&self) -> bool {
        true
    }

    fn keeps_places(&self) -> bool {
        true
    }

    fn may_go_ahead(&self) -> bool {
        self.properties_of.is_none()
    }

    fn file_of(output: &PutOutcome) -> Option<&Resource> {
        Some(&output.resource)
    }

    fn committed(&mut self) {
        self.staged.take();
    }
}

impl Put {
    fn create(&mut self, ctx: &Context<'_>, lookup: &Lookup, seq: i64) -> Result<Decision<PutOutcome>> {
        let name = place_for(lookup, &self.path)?;
        let parent = lookup.nearest();
        if !takes_members(parent.kind) {
            return Err(Error::NotCollection);
        }
        check_child_limit(ctx, parent)?;
        check_growth(ctx, self.staged.identity.size)?;
        self.staged.write_out()?;
        let now = ctx.tx.now_ms();
        let row = Resource {
            parent: parent.id,
            name: name.as_str().to_owned(),
            id: ctx.tx.next_id(),
            kind: Kind::File,
            flags: 0,
            version: 1,
            stamp: ctx.tx.next_stamp(),
            created_ms: now,
            mtime_ms: self.mtime_ms.unwrap_or(now),
            seq,
            placed_seq: seq,
            size: self.staged.identity.size,
            crc: Some(self.staged.crc),
            ino: self.staged.identity.ino,
            mtime_ns: self.staged.identity.mtime_ns,
            content_type: Some(self.content_type.clone().unwrap_or_else(|| guess_type(name.as_str()))),
            children: 0,
            dir_mtime_ns: 0,
        };
        ctx.tx.insert_resource(&row)?;
        ctx.tx.count_member(parent.id)?;
        ctx.note_member(parent.id);
        self.give_properties(ctx, &row)?;
        let undo = vec![
            Undo::Children { id: parent.id, delta: -1 },
            Undo::Remove { parent: parent.id, name: row.name.clone(), id: row.id },
        ];
        let to = member_path(lookup, name.as_str());
        Ok(self.decision(
            ctx,
            How::Move,
            to,
            parent,
            &lookup.disk_path(),
            undo,
            PutOutcome { created: true, resource: row },
        ))
    }

    fn replace(
        &mut self,
        ctx: &Context<'_>,
        lookup: &Lookup,
        before: Resource,
        seq: i64,
    ) -> Result<Decision<PutOutcome>> {
        let parent = lookup.parent().ok_or(Error::IsCollection)?;
        check_growth(ctx, self.staged.identity.size - before.size)?;
        self.staged.write_out()?;
        let now = ctx.tx.now_ms();
        let row = Resource {
            version: before.version + 1,
            stamp: ctx.tx.next_stamp(),
            mtime_ms: self.mtime_ms.unwrap_or(now),
            seq,
            size: self.staged.identity.size,
            crc: Some(self.staged.crc),
            ino: self.staged.identity.ino,
            mtime_ns: self.staged.identity.mtime_ns,
            content_type: self.content_type.clone().or_else(|| before.content_type.clone()),
            ..before.clone()
        };
        ctx.tx.replace_file(&row, before.size)?;
        let gone =
            Gone { id: before.id, version: before.version, name: self.staged.name().to_owned(), seq, tree: false };
        ctx.tx.insert_gone(&gone)?;
        let undo = vec![Undo::Ungone { id: before.id, version: before.version }, Undo::Restore(before)];
        let parent_path = crate::storage::database::cell_box::disk_path(&lookup.chain[..lookup.chain.len() - 1]);
        let to = lookup.disk_path();
        Ok(self.decision(
            ctx,
            How::Exchange,
            to,
            parent,
            &parent_path,
            undo,
            PutOutcome { created: false, resource: row },
        ))
    }

    fn give_properties(&self, ctx: &Context<'_>, row: &Resource) -> Result<()> {
        let Some(properties) = self.properties_of.as_ref().filter(|p| !p.is_empty()) else { return Ok(()) };
        for property in properties {
            ctx.tx.set_property(row.id, property)?;
        }
        ctx.tx.flag_properties(row)
    }

    #[allow(clippy::too_many_arguments, reason = "the parts of one decision")]
    fn decision(
        &self,
        ctx: &Context<'_>,
        how: How,
        to: String,
        parent: &Resource,
        parent_path: &str,
        undo: Vec<Undo>,
        output: PutOutcome,
    ) -> Decision<PutOutcome> {
        Decision {
            op: "put",
            id: output.resource.id,
            steps: vec![Step { how, from: self.staged.path(), to, ino: self.staged.identity.ino }],
            undo,
            touched: vec![ctx.touch(parent, parent_path)],
            content: self.staged.riding_as(output.resource.version),
            output,
        }
    }
}
