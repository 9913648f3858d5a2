//! Tombstones in the order of the changes: what a sync tells as gone, and what it cannot tell.

use std::collections::VecDeque;

use rusqlite::params;

use crate::base::id::ResourceId;
use crate::storage::database::View;
use crate::storage::error::Result;

/// Tombstones of names that are free, and of collections that were replaced, in the order of the changes, a few at a time.
pub(super) struct Graves {
    read: VecDeque<Grave>,
    /// The last that was read.
    after: i64,
    /// How many are read at once.
    some: usize,
    more: bool,
}

#[derive(Clone, Copy)]
pub(super) struct Grave {
    pub(super) seq: i64,
    pub(super) id: ResourceId,
    pub(super) parent: ResourceId,
    /// It was a collection, and something else has its name now.
    pub(super) replaced: bool,
}

impl Graves {
    pub(super) fn after(seq: i64, limit: usize) -> Self {
        Self { read: VecDeque::new(), after: seq, some: limit.saturating_add(1).min(1000), more: true }
    }

    /// The next one up to a change.
    pub(super) fn next(&mut self, view: &View<'_>, until: i64) -> Result<Option<Grave>> {
        if self.read.is_empty() && self.more {
            // Of a name that is free the last removal stands for all.
            let query = "SELECT t.seq, t.id, t.parent, r.id IS NOT NULL FROM tombstone t NOT INDEXED \
                         LEFT JOIN resource r ON r.parent=t.parent AND r.name=t.name WHERE t.seq>?1 \
                         AND CASE WHEN r.id IS NOT NULL THEN t.kind<>2 AND r.id<>t.id ELSE NOT EXISTS( \
                         SELECT 1 FROM tombstone l WHERE l.parent=t.parent AND l.name=t.name AND l.seq>t.seq) END \
                         ORDER BY t.seq LIMIT ?2";
            let read = view.all("find removed names", query, params![self.after, self.some as i64], |row| {
                Ok(Grave { seq: row.get(0)?, id: row.get(1)?, parent: row.get(2)?, replaced: row.get(3)? })
            })?;
            self.more = read.len() == self.some;
            self.after = read.last().map_or(self.after, |grave| grave.seq);
            self.read = read.into();
        }
        Ok(self.read.pop_front_if(|grave| grave.seq <= until))
    }
}
