//! Resources: boxes' roots, collections and files, one row each, found by parent and name or by number.

use std::hash::{DefaultHasher, Hash, Hasher};

use rusqlite::{Row, params};
use serde::{Deserialize, Serialize};

use super::tx::{Tx, View, sql};
use crate::base::id::{ETag, ResourceId};
use crate::storage::error::{Error, Result};
use crate::storage::tree::Identity;

/// What a resource is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    Collection = 1,
    File = 2,
    OData = 3,
    Service = 4,
    Stream = 5,
}

impl Kind {
    pub(super) fn from_column(value: i64) -> Self {
        match value {
            1 => Self::Collection,
            3 => Self::OData,
            4 => Self::Service,
            5 => Self::Stream,
            _ => Self::File,
        }
    }

    pub fn is_file(self) -> bool {
        self == Self::File
    }
}

/// Bits of [`Resource::flags`].
pub const HAS_PROPERTIES: i64 = 1;
pub const HAS_ACL: i64 = 2;

/// One row of `resource`. Sizes in bytes, times in the unit that the name tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    pub parent: ResourceId,
    pub name: String,
    pub id: ResourceId,
    pub kind: Kind,
    pub flags: i64,
    pub version: i64,
    /// Microseconds; grows strictly within the cell, one for each content.
    pub stamp: i64,
    pub created_ms: i64,
    pub mtime_ms: i64,
    pub seq: i64,
    /// The change that put the resource where it is.
    pub placed_seq: i64,
    pub size: i64,
    /// CRC-32 of the content; none until somebody had to read it.
    pub crc: Option<u32>,
    pub ino: i64,
    pub mtime_ns: i64,
    pub content_type: Option<String>,
    pub children: i64,
    /// The directory's mtime when rows and directory were last known to agree; 0: they must be compared.
    pub dir_mtime_ns: i64,
}

impl Resource {
    pub fn etag(&self) -> ETag {
        ETag { version: self.version, stamp: self.stamp }
    }

    pub fn is_file(&self) -> bool {
        self.kind.is_file()
    }

    pub fn identity(&self) -> Identity {
        Identity { ino: self.ino, size: self.size, mtime_ns: self.mtime_ns }
    }

    /// What it counts against the cell's limit.
    pub fn bytes(&self) -> i64 {
        if self.is_file() { self.size } else { 0 }
    }

    pub fn has_properties(&self) -> bool {
        self.flags & HAS_PROPERTIES != 0
    }

    pub fn has_acl(&self) -> bool {
        self.flags & HAS_ACL != 0
    }

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            parent: row.get(0)?,
            name: row.get(1)?,
            id: row.get(2)?,
            kind: Kind::from_column(row.get(3)?),
            flags: row.get(4)?,
            version: row.get(5)?,
            stamp: row.get(6)?,
            created_ms: row.get(7)?,
            mtime_ms: row.get(8)?,
            seq: row.get(9)?,
            placed_seq: row.get(10)?,
            size: row.get(11)?,
            crc: row.get::<_, Option<i64>>(12)?.map(|c| c as u32),
            ino: row.get(13)?,
            mtime_ns: row.get(14)?,
            content_type: row.get(15)?,
            children: row.get(16)?,
            dir_mtime_ns: row.get(17)?,
        })
    }
}

const COLUMNS: &str = "parent, name, id, kind, flags, version, stamp, created_ms, mtime_ms, seq, placed_seq, size, crc, ino, \
                       mtime_ns, type, children, dir_mtime_ns";

impl View<'_> {
    /// The child with exactly this name.
    pub fn child(&self, parent: ResourceId, name: &str) -> Result<Option<Resource>> {
        let query = sql!("SELECT ", COLUMNS, " FROM resource WHERE parent = ?1 AND name = ?2");
        self.optional("find a child", query, params![parent, name], Resource::from_row)
    }

    /// A resource wherever it is, also in the trash or hidden.
    pub fn resource(&self, id: ResourceId) -> Result<Option<Resource>> {
        let query = sql!("SELECT ", COLUMNS, " FROM resource WHERE id = ?1");
        self.optional("find a resource", query, params![id], Resource::from_row)
    }

    /// Calls `each` for the children in the order of their names' bytes.
    pub fn children(&self, parent: ResourceId, mut each: impl FnMut(Resource) -> Result<()>) -> Result<()> {
        let query = sql!("SELECT ", COLUMNS, " FROM resource WHERE parent = ?1 ORDER BY name");
        self.each("list children", query, params![parent], |row| Ok(each(Resource::from_row(row)?)))
    }

    /// The children that are no files.
    pub fn child_collections(&self, parent: ResourceId) -> Result<Vec<Resource>> {
        // SQLite would rather walk all children, however many files are among them.
        let source = " FROM resource INDEXED BY resource_collection WHERE parent = ?1 AND kind <> 2 ORDER BY name";
        let query = sql!("SELECT ", COLUMNS, source);
        self.all("list collections", query, params![parent], Resource::from_row)
    }

    /// Up to `limit` children whose names come after `after`, in the order of their names' bytes.
    pub fn children_after(&self, parent: ResourceId, after: &str, limit: usize) -> Result<Vec<Resource>> {
        let query = sql!("SELECT ", COLUMNS, " FROM resource WHERE parent = ?1 AND name > ?2 ORDER BY name LIMIT ?3");
        let mut found = Vec::new();
        self.each("page children", query, params![parent, after, limit as i64], |row| {
            found.push(Resource::from_row(row)?);
            Ok(Ok(()))
        })?;
        Ok(found)
    }

    /// The names from below a parent that is no resource (the boxes, the hidden, the trash) down to the resource, and that parent.
    pub fn chain(&self, id: ResourceId) -> Result<Option<(ResourceId, Vec<Resource>)>> {
        let mut chain = Vec::new();
        let mut at = id;
        while at > 0 {
            let Some(row) = self.resource(at)? else { return Ok(None) };
            at = row.parent;
            chain.push(row);
        }
        chain.reverse();
        Ok(Some((at, chain)))
    }
}

impl View<'_> {
    /// What tells one state of a tree from another: it changes with every change of a resource in the tree, of its
    /// properties and of its list, and with every arrival and departure. None if the resource is not there.
    pub fn fingerprint(&self, id: ResourceId) -> Result<Option<u64>> {
        let Some(top) = self.resource(id)? else { return Ok(None) };
        let mut hasher = DefaultHasher::new();
        let mut add = |r: &Resource| (r.id, r.parent, r.seq, r.version, r.stamp, &r.name).hash(&mut hasher);
        add(&top);
        let mut waiting = vec![(top.id, top.is_file())];
        while let Some((id, is_file)) = waiting.pop() {
            if is_file {
                continue;
            }
            self.children(id, |row| {
                add(&row);
                waiting.push((row.id, row.is_file()));
                Ok(())
            })?;
        }
        Ok(Some(hasher.finish()))
    }
}

impl Tx<'_> {
    pub fn insert_resource(&self, r: &Resource) -> Result<()> {
        let query = sql!(
            "INSERT INTO resource(",
            COLUMNS,
            ") VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18)"
        );
        self.run(
            "insert a resource",
            query,
            params![
                r.parent,
                r.name,
                r.id,
                r.kind as i64,
                r.flags,
                r.version,
                r.stamp,
                r.created_ms,
                r.mtime_ms,
                r.seq,
                r.placed_seq,
                r.size,
                r.crc,
                r.ino,
                r.mtime_ns,
                r.content_type,
                r.children,
                r.dir_mtime_ns
            ],
        )?;
        self.count_bytes(r.bytes());
        self.note_alias(r.parent, &r.name)
    }

    /// Writes the row of a resource at its place; the place itself (parent, name) must be the one in the table.
    pub fn update_resource(&self, r: &Resource) -> Result<()> {
        if r.is_file()
            && let Some(before) = self.child(r.parent, &r.name)?
        {
            self.count_bytes(r.bytes() - before.bytes());
        }
        self.write_resource(r)
    }

    /// The same for a file of which the size so far is known.
    pub fn replace_file(&self, r: &Resource, size_before: i64) -> Result<()> {
        self.count_bytes(r.size - size_before);
        self.write_resource(r)
    }

    fn write_resource(&self, r: &Resource) -> Result<()> {
        self.run(
            "update a resource",
            "UPDATE resource SET kind=?3, flags=?4, version=?5, stamp=?6, created_ms=?7, mtime_ms=?8, seq=?9, placed_seq=?10, \
             size=?11, crc=?12, ino=?13, mtime_ns=?14, type=?15, dir_mtime_ns=?16 WHERE parent=?1 AND name=?2",
            params![
                r.parent, r.name, r.kind as i64, r.flags, r.version, r.stamp, r.created_ms, r.mtime_ms, r.seq,
                r.placed_seq, r.size, r.crc, r.ino, r.mtime_ns, r.content_type, r.dir_mtime_ns
            ],
        )?;
        Ok(())
    }

    /// Puts a resource elsewhere; what is below it comes along.
    pub fn place_resource(&self, id: ResourceId, parent: ResourceId, name: &str, seq: i64) -> Result<()> {
        self.drop_alias_of(id)?;
        self.run(
            "place a resource",
            "UPDATE resource SET parent=?2, name=?3, seq=?4, placed_seq=?4 WHERE id=?1",
            params![id, parent, name, seq],
        )?;
        self.note_alias(parent, name)
    }

    pub fn remove_resource(&self, parent: ResourceId, name: &str) -> Result<()> {
        let query = "DELETE FROM resource WHERE parent=?1 AND name=?2 RETURNING iif(kind=2, size, 0)";
        let bytes = self.optional("remove a resource", query, params![parent, name], |row| row.get::<_, i64>(0))?;
        self.count_bytes(-bytes.unwrap_or(0));
        self.drop_alias(parent, name)
    }

    /// Adds to the number of a collection's children, which is a modification of it as on any disk: clients look at its time to learn
    /// whether names have come or gone.
    pub fn count_children(&self, id: ResourceId, delta: i64) -> Result<()> {
        let query = "UPDATE resource SET children=children+?2, mtime_ms=max(mtime_ms, ?3) WHERE id=?1";
        self.run("count children", query, params![id, delta, self.now_ms()])?;
        Ok(())
    }

    pub fn set_children(&self, id: ResourceId, count: i64) -> Result<()> {
        self.run("set children", "UPDATE resource SET children=?2 WHERE id=?1", params![id, count])?;
        Ok(())
    }

    pub fn set_dir_mtime(&self, id: ResourceId, mtime_ns: i64) -> Result<()> {
        self.run("set a directory's time", "UPDATE resource SET dir_mtime_ns=?2 WHERE id=?1", params![id, mtime_ns])?;
        Ok(())
    }

    /// What a collection's row knows of its directory, with the number of its members as the rows have them.
    pub fn set_folder(&self, id: ResourceId, ino: i64, mtime_ns: i64) -> Result<()> {
        let query = "UPDATE resource SET ino=?2, dir_mtime_ns=?3, children=(SELECT COUNT(*) FROM resource AS member \
                     WHERE member.parent=?1) WHERE id=?1";
        self.run("describe a folder", query, params![id, ino, mtime_ns])?;
        Ok(())
    }

    pub fn set_flags(&self, id: ResourceId, flags: i64) -> Result<()> {
        self.run("set flags", "UPDATE resource SET flags=?2, seq=?3 WHERE id=?1", params![id, flags, self.seq()])?;
        Ok(())
    }

    /// Gives a collection its next version, because its properties or its list have changed; a file has versions of its content
    /// alone. Returns the resource as it is now.
    pub fn renew(&self, resource: &Resource) -> Result<Resource> {
        let stamp = if resource.is_file() { resource.stamp } else { self.next_stamp() };
        if !resource.is_file() {
            let query = "UPDATE resource SET version=version+1, stamp=?2 WHERE id=?1";
            self.run("renew a collection", query, params![resource.id, stamp])?;
        }
        self.resource(resource.id)?.ok_or(Error::Missing)
    }

    /// Says what the content of a version is known by now.
    pub fn set_identity(&self, id: ResourceId, version: i64, identity: Identity) -> Result<()> {
        let query = "UPDATE resource SET ino=?3, mtime_ns=?4 WHERE id=?1 AND version=?2";
        self.run("set an identity", query, params![id, version, identity.ino, identity.mtime_ns])?;
        Ok(())
    }

    pub fn set_crc(&self, id: ResourceId, version: i64, crc: u32) -> Result<()> {
        self.run("keep a CRC", "UPDATE resource SET crc=?3 WHERE id=?1 AND version=?2", params![id, version, crc])?;
        Ok(())
    }

    /// Remembers that a name was removed, for those who ask what changed.
    pub fn bury(&self, r: &Resource) -> Result<()> {
        let seq = self.next_seq();
        self.run(
            "bury a name",
            "INSERT INTO tombstone(seq, parent, name, id, kind) VALUES(?1,?2,?3,?4,?5)",
            params![seq, r.parent, r.name, r.id, r.kind as i64],
        )?;
        self.forget_old_graves(seq)
    }

    /// As [`Tx::bury`] for the place that a resource has now, if that is one that anybody can see.
    pub(super) fn bury_where_it_is(&self, id: ResourceId) -> Result<()> {
        match self.resource(id)? {
            Some(row) if row.parent > 0 => self.bury(&row),
            _ => Ok(()),
        }
    }

    /// Forgets that a resource was removed from where it is again.
    pub fn unbury(&self, parent: ResourceId, id: ResourceId) -> Result<()> {
        let query = "DELETE FROM tombstone WHERE parent=?1 AND id=?2 AND EXISTS(SELECT 1 FROM resource r \
                     WHERE r.id=tombstone.id AND r.parent=tombstone.parent AND r.name=tombstone.name)";
        self.run("dig up a name", query, params![parent, id])?;
        Ok(())
    }
}

impl View<'_> {
    /// All children, for parents that have few.
    pub fn all_children(&self, parent: ResourceId) -> Result<Vec<Resource>> {
        let mut found = Vec::new();
        self.children(parent, |r| {
            found.push(r);
            Ok(())
        })?;
        Ok(found)
    }
}

impl Tx<'_> {
    /// Gives all children of one resource to another.
    pub fn adopt_children(&self, from: ResourceId, to: ResourceId) -> Result<()> {
        self.run("adopt children", "UPDATE resource SET parent=?2 WHERE parent=?1", params![from, to])?;
        self.move_aliases(from, to)
    }
}
