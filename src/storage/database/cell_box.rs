//! Boxes: their names, schemas and times. A box's number is that of its root collection; while it is being installed the
//! root is hidden, so the box is there and its content is not.

use rusqlite::{Row, params};

use super::resource::Resource;
use super::schema::PARENT_BOXES;
use super::tx::{Tx, View, sql};
use crate::base::id::ResourceId;
use crate::base::path::ResourcePath;
use crate::storage::error::{Error, Result};

/// The name of the box that every cell has.
pub const MAIN_BOX: &str = "__";

/// One row of `box`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellBox {
    pub id: ResourceId,
    pub name: String,
    pub schema: Option<String>,
    pub version: i64,
    pub created_ms: i64,
    pub updated_ms: i64,
    /// The last change of anything in the box.
    pub seq: i64,
}

impl CellBox {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            name: row.get(1)?,
            schema: row.get(2)?,
            version: row.get(3)?,
            created_ms: row.get(4)?,
            updated_ms: row.get(5)?,
            seq: row.get(6)?,
        })
    }

    pub fn is_main(&self) -> bool {
        self.name == MAIN_BOX
    }
}

const COLUMNS: &str = "id, name, schema, version, created_ms, updated_ms, seq";

/// What a path led to.
#[derive(Debug, Clone)]
pub struct Lookup {
    pub cell_box: CellBox,
    /// The box's root and what exists of the path below it, from the top.
    pub chain: Vec<Resource>,
    /// How many names of the path lead nowhere.
    pub missing: usize,
}

impl Lookup {
    /// The resource, if all of the path exists.
    pub fn found(&self) -> Option<&Resource> {
        if self.missing == 0 { self.chain.last() } else { None }
    }

    /// The deepest resource that exists.
    pub fn nearest(&self) -> &Resource {
        self.chain.last().expect("invariant: a lookup has at least the box's root")
    }

    /// The parent of what the path names; none for a box and where the parent is missing.
    pub fn parent(&self) -> Option<&Resource> {
        match self.missing {
            0 => self.chain.len().checked_sub(2).map(|i| &self.chain[i]),
            1 => self.chain.last(),
            _ => None,
        }
    }

    /// Where the content of the found or nearest resource lies, from the cell's directory.
    pub fn disk_path(&self) -> String {
        disk_path(&self.chain)
    }
}

/// Where a chain of resources from a box's root lies, from the cell's directory.
pub fn disk_path(chain: &[Resource]) -> String {
    let mut path = String::from("boxes");
    for r in chain {
        path.push('/');
        path.push_str(&r.name);
    }
    path
}

impl View<'_> {
    pub fn cell_box(&self, name: &str) -> Result<Option<CellBox>> {
        let query = sql!("SELECT ", COLUMNS, " FROM box WHERE name=?1");
        self.optional("find a box", query, params![name], CellBox::from_row)
    }

    pub fn cell_box_by_id(&self, id: ResourceId) -> Result<Option<CellBox>> {
        let query = sql!("SELECT ", COLUMNS, " FROM box WHERE id=?1");
        self.optional("find a box", query, params![id], CellBox::from_row)
    }

    pub fn box_with_schema(&self, schema: &str) -> Result<Option<CellBox>> {
        let query = sql!("SELECT ", COLUMNS, " FROM box WHERE schema=?1");
        self.optional("find a box by schema", query, params![schema], CellBox::from_row)
    }

    /// All boxes by name, the main box among them.
    pub fn boxes(&self) -> Result<Vec<CellBox>> {
        self.all("list boxes", sql!("SELECT ", COLUMNS, " FROM box ORDER BY name"), [], CellBox::from_row)
    }

    /// Follows a path below a box. A name is looked up as given, then in NFC, then whatever is the same in NFC. The error is `BoxMissing`, or `Busy` while the
    /// box is being installed.
    pub fn lookup(&self, box_name: &str, path: &ResourcePath) -> Result<Lookup> {
        let cell_box = self.cell_box(box_name)?.ok_or(Error::BoxMissing)?;
        let root = self.child(PARENT_BOXES, box_name)?.ok_or(Error::Busy("box installation"))?;
        let mut chain = Vec::with_capacity(path.depth() + 1);
        chain.push(root);
        for (i, segment) in path.segments().iter().enumerate() {
            let parent = chain.last().expect("invariant: the root is there").id;
            let mut found = self.child(parent, segment.as_str())?;
            if found.is_none() {
                let nfc = segment.nfc();
                if nfc != *segment {
                    found = self.child(parent, nfc.as_str())?;
                }
                if found.is_none() {
                    found = self.child_by_alias(parent, nfc.as_str())?;
                }
            }
            match found {
                Some(row) => chain.push(row),
                None => return Ok(Lookup { cell_box, chain, missing: path.depth() - i }),
            }
        }
        Ok(Lookup { cell_box, chain, missing: 0 })
    }
}

impl Tx<'_> {
    pub fn insert_box(&self, b: &CellBox) -> Result<()> {
        let query = sql!("INSERT INTO box(", COLUMNS, ") VALUES(?1,?2,?3,?4,?5,?6,?7)");
        self.run("insert a box", query, params![b.id, b.name, b.schema, b.version, b.created_ms, b.updated_ms, b.seq])?;
        Ok(())
    }

    pub fn update_box(&self, b: &CellBox) -> Result<()> {
        self.run(
            "update a box",
            "UPDATE box SET name=?2, schema=?3, version=?4, updated_ms=?5, seq=?6 WHERE id=?1",
            params![b.id, b.name, b.schema, b.version, b.updated_ms, b.seq],
        )?;
        Ok(())
    }

    pub fn remove_box(&self, id: ResourceId) -> Result<()> {
        self.run("remove a box", "DELETE FROM box WHERE id=?1", params![id])?;
        Ok(())
    }

    pub(super) fn set_box_seq(&self, id: ResourceId) -> Result<()> {
        self.run("touch a box", "UPDATE box SET seq=?2 WHERE id=?1", params![id, self.seq()])?;
        Ok(())
    }
}
