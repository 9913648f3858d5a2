//! ACL: the list of a resource is replaced, its roles found by name in the same transaction.

use super::Guard;
use crate::base::path::ResourcePath;
use crate::storage::database::View;
use crate::storage::database::acl::Acl;
use crate::storage::database::resource::Resource;
use crate::storage::error::{Error, Result};
use crate::storage::writer::{Context, Decision, Footprint, Operation};

/// Makes the list from what the rows say: finds roles by their names.
pub type MakeAcl = Box<dyn FnMut(&View<'_>) -> Result<Acl> + Send>;

/// Replaces the access control list of a resource. A file's ETag is that of its content and stays, a collection gets a new one.
pub struct SetAcl {
    pub box_name: String,
    pub path: ResourcePath,
    pub guard: Guard,
    pub acl: MakeAcl,
}

impl Operation for SetAcl {
    type Output = Resource;

    fn footprint(&self) -> Footprint {
        Footprint::of(&self.box_name, &self.path)
    }

    fn decide(&mut self, ctx: &Context<'_>) -> Result<Decision<Resource>> {
        let lookup = ctx.resolve(&self.box_name, &self.path)?;
        (self.guard)(ctx.tx, &lookup)?;
        let row = lookup.found().ok_or(Error::Missing)?;
        let acl = (self.acl)(ctx.tx)?;
        ctx.tx.set_resource_acl(row, &acl)?;
        ctx.tx.touch_box(lookup.cell_box.id);
        Ok(Decision::rows(ctx.tx.renew(row)?))
    }
}
