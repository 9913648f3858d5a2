//! PROPPATCH: dead properties are set and removed in one step, all or none.

use super::Guard;
use crate::base::path::ResourcePath;
use crate::storage::database::property::Property;
use crate::storage::database::resource::Resource;
use crate::storage::error::{Error, Result};
use crate::storage::writer::{Context, Decision, Footprint, Operation};

/// One instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PropertyChange {
    Set(Property),
    /// Removing what is not there is no error.
    Remove {
        ns: String,
        local: String,
    },
}

/// Changes the properties of a resource, in the order of the instructions. A file's ETag is that of its content and stays, a
/// collection gets a new one.
pub struct Proppatch {
    pub box_name: String,
    pub path: ResourcePath,
    pub changes: Vec<PropertyChange>,
    pub guard: Guard,
}

impl Operation for Proppatch {
    type Output = Resource;

    fn footprint(&self) -> Footprint {
        Footprint::of(&self.box_name, &self.path)
    }

    fn decide(&mut self, ctx: &Context<'_>) -> Result<Decision<Resource>> {
        let lookup = ctx.resolve(&self.box_name, &self.path)?;
        (self.guard)(ctx.tx, &lookup)?;
        let row = lookup.found().ok_or(Error::Missing)?;
        for change in &self.changes {
            match change {
                PropertyChange::Set(property) => ctx.tx.set_property(row.id, property)?,
                PropertyChange::Remove { ns, local } => {
                    ctx.tx.remove_property(row.id, ns, local)?;
                }
            }
        }
        if self.changes.is_empty() {
            return Ok(Decision::rows(row.clone()));
        }
        ctx.tx.flag_properties(row)?;
        ctx.tx.touch_box(lookup.cell_box.id);
        Ok(Decision::rows(ctx.tx.renew(row)?))
    }
}
