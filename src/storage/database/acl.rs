//! Access control lists: entries by resource, roles by number so that a renamed role keeps its grants.

use rusqlite::params;

use super::resource::{HAS_ACL, Resource};
use super::tx::{Tx, View};
use crate::base::id::ResourceId;
use crate::storage::error::Result;

/// The list of one resource. An empty list without `require_schema` is stored as none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Acl {
    pub require_schema: Option<String>,
    pub aces: Vec<Ace>,
}

/// One entry: a role of the cell, or everybody, and privilege bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ace {
    /// None means `all`.
    pub role: Option<i64>,
    pub privileges: i64,
}

/// The number under which the cell's own list is kept.
pub const CELL_ACL: ResourceId = 0;

impl View<'_> {
    pub fn acl(&self, id: ResourceId) -> Result<Acl> {
        let require_schema = self
            .optional("read an acl", "SELECT require_schema FROM acl WHERE id=?1", params![id], |r| r.get(0))?
            .flatten();
        let aces =
            self.all("read aces", "SELECT role, privileges FROM ace WHERE id=?1 ORDER BY ord", params![id], |row| {
                Ok(Ace { role: row.get(0)?, privileges: row.get(1)? })
            })?;
        Ok(Acl { require_schema, aces })
    }
}

impl View<'_> {
    /// The resources whose own lists ask something of apps.
    pub fn asking_for_apps(&self) -> Result<Vec<ResourceId>> {
        let query = "SELECT id FROM acl WHERE require_schema IS NOT NULL AND require_schema<>'none' AND id<>0";
        self.all("find lists that ask for apps", query, [], |row| row.get(0))
    }
}

impl Tx<'_> {
    /// Replaces the list kept under a number.
    pub fn set_acl(&self, id: ResourceId, acl: &Acl) -> Result<()> {
        self.run("remove an acl", "DELETE FROM acl WHERE id=?1", params![id])?;
        self.run("remove aces", "DELETE FROM ace WHERE id=?1", params![id])?;
        if let Some(level) = &acl.require_schema {
            self.run("write an acl", "INSERT INTO acl(id, require_schema) VALUES(?1,?2)", params![id, level])?;
        }
        for (ord, ace) in acl.aces.iter().enumerate() {
            self.run(
                "write an ace",
                "INSERT INTO ace(id, ord, role, privileges) VALUES(?1,?2,?3,?4)",
                params![id, ord as i64, ace.role, ace.privileges],
            )?;
        }
        self.touch_access()
    }

    /// Replaces the list of a resource and brings its flag up to date.
    pub fn set_resource_acl(&self, resource: &Resource, acl: &Acl) -> Result<()> {
        self.set_acl(resource.id, acl)?;
        let any = !acl.aces.is_empty() || acl.require_schema.is_some();
        let flags = if any { resource.flags | HAS_ACL } else { resource.flags & !HAS_ACL };
        self.set_flags(resource.id, flags)
    }

    /// Takes a role that is being deleted out of every list.
    pub fn drop_role_from_acls(&self, role: i64) -> Result<()> {
        self.run("drop a role's aces", "DELETE FROM ace WHERE role=?1", params![role])?;
        Ok(())
    }
}
