//! Dead properties: XML fragments by namespace and local name.

use rusqlite::params;

use super::resource::{HAS_PROPERTIES, Resource};
use super::tx::{Tx, View};
use crate::base::id::ResourceId;
use crate::storage::error::Result;

/// A dead property as a client set it: a self-contained XML element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property {
    pub ns: String,
    pub local: String,
    pub xml: String,
}

impl View<'_> {
    /// The properties of a resource by namespace and name.
    pub fn properties(&self, id: ResourceId) -> Result<Vec<Property>> {
        self.all(
            "read properties",
            "SELECT ns, local, xml FROM property WHERE id=?1 ORDER BY ns, local",
            params![id],
            |row| Ok(Property { ns: row.get(0)?, local: row.get(1)?, xml: row.get(2)? }),
        )
    }
}

impl Tx<'_> {
    pub fn set_property(&self, id: ResourceId, property: &Property) -> Result<()> {
        self.run(
            "set a property",
            "INSERT INTO property(id, ns, local, xml) VALUES(?1,?2,?3,?4) \
             ON CONFLICT(id, ns, local) DO UPDATE SET xml=excluded.xml",
            params![id, property.ns, property.local, property.xml],
        )?;
        Ok(())
    }

    /// Removes a property; tells whether it was there.
    pub fn remove_property(&self, id: ResourceId, ns: &str, local: &str) -> Result<bool> {
        let n = self.run(
            "remove a property",
            "DELETE FROM property WHERE id=?1 AND ns=?2 AND local=?3",
            params![id, ns, local],
        )?;
        Ok(n > 0)
    }

    /// Brings the flag of a resource up to date after its properties changed.
    pub fn flag_properties(&self, resource: &Resource) -> Result<()> {
        let any = self
            .optional(
                "look for properties",
                "SELECT 1 FROM property WHERE id=?1 LIMIT 1",
                params![resource.id],
                |_| Ok(()),
            )?
            .is_some();
        let flags = if any { resource.flags | HAS_PROPERTIES } else { resource.flags & !HAS_PROPERTIES };
        self.set_flags(resource.id, flags)
    }

    /// Gives one resource the properties of another.
    pub fn copy_properties(&self, from: ResourceId, to: ResourceId) -> Result<()> {
        self.run(
            "copy properties",
            "INSERT INTO property(id, ns, local, xml) SELECT ?2, ns, local, xml FROM property WHERE id=?1",
            params![from, to],
        )?;
        Ok(())
    }

    /// Removes everything that hangs on a resource's number.
    pub fn forget_attachments(&self, id: ResourceId) -> Result<()> {
        self.run("remove properties", "DELETE FROM property WHERE id=?1", params![id])?;
        self.run("remove an acl", "DELETE FROM acl WHERE id=?1", params![id])?;
        self.run("remove aces", "DELETE FROM ace WHERE id=?1", params![id])?;
        self.run("remove locks", "DELETE FROM lock WHERE id=?1", params![id])?;
        Ok(())
    }
}
