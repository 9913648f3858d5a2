//! Rows of what a killed process had answered, made from its log.
//!
//! Under the cell's lock. The operations become pending ones of an owner that never lives, in one transaction with their rows; the
//! replay that follows does what is left of their renames.

use std::collections::HashSet;

use rusqlite::Connection;

use super::log::{self, Frame, Put};
use crate::base::id::OwnerId;
use crate::storage::cell::Core;
use crate::storage::database::Tx;
use crate::storage::database::pending::{Gone, Pending, Undo};
use crate::storage::database::schema::PARENT_BOXES;
use crate::storage::error::Result;
use crate::storage::tree;
use crate::storage::writer::replay::in_transaction;

/// No process has this number.
const NOBODY: OwnerId = 0;

/// Makes the rows of what was answered and never committed.
pub(in crate::storage::writer) fn recover(core: &Core, conn: &Connection) -> Result<()> {
    if !core.volatile {
        return Ok(());
    }
    let Some((file, frames)) = log::read(core)? else { return Ok(()) };
    in_transaction(core, conn, |tx| {
        let known = tx.seq();
        let undone: HashSet<i64> = frames.iter().flat_map(undone).copied().collect();
        let mut pending = Vec::new();
        for frame in frames {
            let Frame::Done(puts) = frame else { continue };
            for put in puts.into_iter().filter(|put| put.seq > known && !undone.contains(&put.seq)) {
                if !make_rows(tx, &put)? {
                    // It was not answered: what it rests on came in the same batch, which was not finished.
                    tracing::warn!(cell = core.name, name = put.file.name, "left undone: its place is not known");
                    continue;
                }
                let Put { seq, steps, undo, file } = put;
                pending.push(Pending { seq, op: "put".into(), id: file.id, steps, undo, content: None });
            }
        }
        if !pending.is_empty() {
            tracing::info!(
                cell = core.name,
                operations = pending.len(),
                "making rows of what was answered before them"
            );
        }
        tx.insert_pending_of(NOBODY, &pending, &[])
    })?;
    log::clear(&file)
}

fn undone(frame: &Frame<Put>) -> &[i64] {
    match frame {
        Frame::Undone(numbers) => numbers,
        Frame::Done(_) => &[],
    }
}

/// Makes the rows of one operation; false if they do not fit in.
fn make_rows(tx: &Tx<'_>, put: &Put) -> Result<bool> {
    let file = &put.file;
    let before = put.undo.iter().find_map(|undo| match undo {
        Undo::Restore(before) => Some(before),
        _ => None,
    });
    let there = tx.child(file.parent, &file.name)?;
    let Some((PARENT_BOXES, chain)) = tx.chain(file.parent)? else { return Ok(false) };
    match (before, there) {
        (None, None) => {
            tx.insert_resource(file)?;
            tx.count_children(file.parent, 1)?;
        }
        (Some(before), Some(there)) if (there.id, there.version) == (before.id, before.version) => {
            tx.replace_file(file, before.size)?;
            for step in &put.steps {
                let name = tree::split(&step.from).1.to_owned();
                tx.insert_gone(&Gone { id: before.id, version: before.version, name, seq: put.seq, tree: false })?;
            }
        }
        _ => return Ok(false),
    }
    chain.first().inspect(|root| tx.touch_box(root.id));
    tx.reach(put.seq, file.id, file.stamp);
    Ok(true)
}
