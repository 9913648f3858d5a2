//! A moment of a box that somebody reads: while it is registered, what is replaced or deleted stays in `gone/`.

use crate::base::id::ResourceId;
use crate::storage::cell::Cell;
use crate::storage::database::pending::Generation;
use crate::storage::error::Result;
use crate::storage::writer::{Change, Context};

/// A registered moment; released on drop.
#[derive(Debug)]
pub struct Pin {
    release: Option<Release>,
    pub seq: i64,
}

#[derive(Debug)]
struct Release {
    id: i64,
    queue: crate::storage::writer::Queue,
}

impl Pin {
    /// Registers the present moment. Content of every row read afterwards can be opened until the pin is dropped.
    pub fn new(cell: &Cell, cell_box: ResourceId) -> Result<Self> {
        let (id, seq) = cell.change(Change(move |ctx: &Context<'_>| {
            let g =
                Generation { id: ctx.tx.next_id(), cell_box, seq: ctx.tx.seq(), owner: ctx.tx.owner(), expires_ms: 0 };
            ctx.tx.insert_generation(&g)?;
            Ok((g.id, g.seq))
        }))?;
        Ok(Self { release: Some(Release { id, queue: cell.queue() }), seq })
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        if let Some(Release { id, queue }) = self.release.take() {
            // Nobody waits for it; if the cell is being closed its generations go with their owner.
            drop(queue.submit(Change(move |ctx: &Context<'_>| ctx.tx.remove_generation(id))));
            queue.reap();
        }
    }
}
