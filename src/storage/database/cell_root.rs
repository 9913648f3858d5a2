//! The root of a cell as a resource of its own: its version and times. Its properties and access control list are kept
//! under number 0, which no resource has.

use super::tx::{Tx, View};
use crate::base::id::{ETag, ResourceId};
use crate::storage::error::Result;

/// The number under which the cell's own properties and its list are kept.
pub const CELL_ROOT: ResourceId = super::acl::CELL_ACL;

/// What the root of a cell is at one moment. Times in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CellRoot {
    pub version: i64,
    pub created_ms: i64,
    pub updated_ms: i64,
}

impl CellRoot {
    pub fn etag(&self) -> ETag {
        ETag { version: self.version, stamp: self.updated_ms }
    }
}

impl View<'_> {
    pub fn cell_root(&self) -> Result<CellRoot> {
        let created_ms = self.meta_number("created_ms")?;
        let version = self.meta_number("root_version")?.max(1);
        let updated_ms = self.meta_number("root_updated_ms")?.max(created_ms);
        Ok(CellRoot { version, created_ms, updated_ms })
    }
}

impl Tx<'_> {
    /// Counts a change of the cell's own properties or list.
    pub fn touch_cell_root(&self) -> Result<CellRoot> {
        let before = self.cell_root()?;
        let updated_ms = self.now_ms().max(before.updated_ms);
        self.set_meta("root_version", before.version + 1)?;
        self.set_meta("root_updated_ms", updated_ms)?;
        Ok(CellRoot { version: before.version + 1, updated_ms, ..before })
    }
}
