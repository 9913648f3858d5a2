//! The end of what was replaced or deleted: its rows and bytes go when no registered generation may need them.

use std::os::fd::AsFd;

use super::cell::Core;
use super::database::pending::Gone;
use super::database::{Kind, Tx};
use super::error::{Error, Result};
use crate::base::id::ResourceId;
use crate::storage::database::schema::PARENT_TRASH;

/// Rows removed in one transaction, at most, so that no batch waits long for a large tree.
pub(crate) const CHUNK: usize = 1000;

/// Forgets the rows of what can go; what it returns is removed from the disk once the transaction has committed. Also tells
/// whether it stopped because it was enough for one transaction.
pub(crate) fn choose(core: &Core, tx: &Tx<'_>) -> Result<(Vec<Gone>, bool)> {
    let mut oldest_needed = i64::MAX;
    for g in tx.generations()? {
        if core.lease.is_alive(g.owner).map_err(Error::io("look for", "owners"))? {
            oldest_needed = oldest_needed.min(g.seq);
        } else {
            tx.remove_generation(g.id)?;
        }
    }
    let mut budget = CHUNK;
    let mut chosen = Vec::new();
    for gone in tx.reapable(oldest_needed, CHUNK)? {
        if budget == 0 {
            break;
        }
        if gone.tree && !remove_rows_below(tx, gone.id, &mut budget)? {
            break;
        }
        // The row of a replaced file lives on with its new content; only what is in the trash goes.
        if let Some(row) = tx.resource(gone.id)?
            && row.parent == PARENT_TRASH
        {
            tx.remove_resource(row.parent, &row.name)?;
            tx.forget_attachments(row.id)?;
        }
        tx.remove_gone(gone.id, gone.version)?;
        budget = budget.saturating_sub(1);
        chosen.push(gone);
    }
    Ok((chosen, budget == 0))
}

/// Removes rows from the leaves up, so that being interrupted leaves no row without a parent; tells whether all are gone.
fn remove_rows_below(tx: &Tx<'_>, id: ResourceId, budget: &mut usize) -> Result<bool> {
    let mut stack = vec![id];
    while let Some(&at) = stack.last() {
        if *budget == 0 {
            return Ok(false);
        }
        let children = tx.children_after(at, "", (*budget).min(CHUNK))?;
        if children.is_empty() {
            stack.pop();
            if at != id
                && let Some(row) = tx.resource(at)?
            {
                tx.remove_resource(row.parent, &row.name)?;
                tx.forget_attachments(row.id)?;
                *budget = budget.saturating_sub(1);
            }
            continue;
        }
        for child in children {
            if child.kind == Kind::File {
                tx.remove_resource(child.parent, &child.name)?;
                if child.flags != 0 {
                    tx.forget_attachments(child.id)?;
                }
                *budget = budget.saturating_sub(1);
            } else {
                stack.push(child.id);
                break;
            }
        }
    }
    Ok(true)
}

/// Removes bytes that no row names any more. A failure leaves litter that the next opening clears.
pub(crate) fn remove(core: &Core, gone: &[Gone]) {
    for g in gone.iter().filter(|g| !g.name.is_empty()) {
        if let Err(e) = core.disk.remove_tree(core.staging.as_fd(), g.name.as_ref()) {
            tracing::warn!(error = %e, cell = core.name, name = g.name, "cannot be removed");
        }
    }
}
