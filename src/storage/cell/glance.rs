//! What a path leads to, and its members, without waiting: for threads that others need. As in `now.rs`, only what was read a
//! moment ago is tried, and nothing says nothing.

use std::os::fd::AsFd;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};

use super::now::{READ, place};
use super::{Cell, View};
use crate::base::id::ResourceId;
use crate::base::path::ResourcePath;
use crate::storage::database::Resource;
use crate::storage::database::cell_box::Lookup;
use crate::storage::error::Result;
use crate::storage::tree;

/// Collections of which members may be kept, in all cells together: some megabytes.
const COLLECTIONS: usize = 64;

/// A collection that was listed, and the change sequence of its cell at that moment.
struct Listed {
    /// Inode and number.
    cell: (u64, i64),
    collection: ResourceId,
    seq: i64,
    /// Kept once it was listed twice without a change of the cell in between.
    members: Option<Arc<[Resource]>>,
}

/// The one that was listed last comes last.
static LISTED: Mutex<Vec<Listed>> = Mutex::new(Vec::new());

impl Cell {
    /// The members of a collection, in the order of their names' bytes, where nothing in the cell has changed since they were
    /// listed: every change that a listing could show gives the cell another change sequence, in the same transaction.
    pub fn known_members(&self, view: &View<'_>, collection: &Resource) -> Result<Option<Arc<[Resource]>>> {
        let Some(mut listed) = LISTED.try_lock().ok().filter(|_| !collection.is_file()) else { return Ok(None) };
        let cell = (self.core.inode, self.core.number);
        let seq = view.change_seq()?;
        let found = listed.iter().rposition(|known| known.collection == collection.id && known.cell == cell);
        let mut known = match found {
            Some(at) => listed.remove(at),
            None => Listed { cell, collection: collection.id, seq: -1, members: None },
        };
        if known.seq != seq {
            known.members = None;
            known.seq = seq;
        } else if known.members.is_none() {
            known.members = Some(view.all_children(collection.id)?.into());
        }
        let members = known.members.clone();
        if listed.len() >= COLLECTIONS {
            listed.remove(0);
        }
        listed.push(known);
        Ok(members)
    }

    fn was_read_lately(&self, box_name: &str, path: &ResourcePath) -> bool {
        let fingerprint = self.fingerprint(box_name, path);
        READ[place(fingerprint)].load(Relaxed) == fingerprint
    }

    /// Runs `f` on one moment of the rows, if a reader is free.
    fn read_now<T>(&self, f: impl FnOnce(&View<'_>) -> Option<T>) -> Option<T> {
        if self.is_ahead() {
            return None;
        }
        let conn = self.readers.take_now()?;
        let step = |sql| conn.prepare_cached(sql).and_then(|mut s| s.execute([])).is_ok();
        let found = if step("BEGIN") { f(&View::new(&conn)) } else { None };
        // A connection that cannot end its transaction is closed.
        if step("COMMIT") {
            self.readers.give(conn);
        }
        found
    }

    /// Runs `f` on what a path leads to, and the cell's number before it was read, if that is told by rows that were read a moment ago. `members`: where it is a
    /// collection, its rows and its directory must agree, and it may have so many members at most.
    pub fn glance<T>(
        &self,
        box_name: &str,
        path: &ResourcePath,
        members: Option<i64>,
        f: impl FnOnce(&View<'_>, &Lookup, Option<u64>) -> Option<T>,
    ) -> Option<T> {
        if !self.was_read_lately(box_name, path) {
            return None;
        }
        let moment = self.core.changes.now();
        self.read_now(|view| {
            let lookup = view.lookup(box_name, path).ok()?;
            let row = lookup.found()?;
            let as_asked = lookup.chain[1..].iter().zip(path.segments()).all(|(row, asked)| row.name == asked.as_str());
            let is_small = row.is_file() || members.is_none_or(|most| row.children <= most);
            let is_known = row.is_file() || members.is_none() || self.agrees_now(&lookup);
            if as_asked && is_small && is_known { f(view, &lookup, moment) } else { None }
        })
    }

    /// Whether the directory of a collection is as the rows know it, which were read before.
    fn agrees_now(&self, lookup: &Lookup) -> bool {
        let stat = tree::stat_dir_now(self.core.dir.as_fd(), &lookup.disk_path());
        stat.is_some_and(|stat| tree::mtime_ns(&stat) == self.core.known_mtime(lookup.nearest()))
    }
}
