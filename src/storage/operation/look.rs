//! The last look: what a path leads to, and what a directory holds, asked where rows and tree agree.

use crate::base::path::ResourcePath;
use crate::storage::database::cell_box::Lookup;
use crate::storage::error::Result;
use crate::storage::writer::{Context, Decision, Footprint, Operation};

/// Follows a path and adopts or forgets what lies on it.
#[derive(Debug)]
pub struct Look {
    pub box_name: String,
    pub path: ResourcePath,
}

impl Operation for Look {
    type Output = Lookup;

    fn footprint(&self) -> Footprint {
        Footprint::of(&self.box_name, &self.path)
    }

    fn may_use_reserve(&self) -> bool {
        true
    }

    fn decide(&mut self, ctx: &Context<'_>) -> Result<Decision<Lookup>> {
        let before = ctx.tx.seq();
        let lookup = ctx.look(&self.box_name, &self.path)?;
        if ctx.tx.seq() != before {
            ctx.tx.touch_box(lookup.cell_box.id);
        }
        Ok(Decision::rows(lookup))
    }
}

/// Follows a path and makes the rows of the collection there agree with its directory.
#[derive(Debug)]
pub struct Refresh {
    pub box_name: String,
    pub path: ResourcePath,
}

impl Operation for Refresh {
    type Output = Lookup;

    fn footprint(&self) -> Footprint {
        Footprint::of(&self.box_name, &self.path)
    }

    fn may_use_reserve(&self) -> bool {
        true
    }

    fn decide(&mut self, ctx: &Context<'_>) -> Result<Decision<Lookup>> {
        let mut lookup = ctx.look(&self.box_name, &self.path)?;
        if lookup.missing == 0 && !lookup.nearest().is_file() {
            ctx.reconcile(&lookup)?;
            let id = lookup.nearest().id;
            if let Some(fresh) = ctx.tx.resource(id)? {
                lookup.chain.pop();
                lookup.chain.push(fresh);
            }
        }
        Ok(Decision::rows(lookup))
    }
}
