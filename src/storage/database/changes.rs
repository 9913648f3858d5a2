//! What has changed in a collection since some moment: rows by their change sequence, and the names that were removed.
//!
//! Everything has a position in one order, and what changes again moves to its end. So a listing can stop anywhere and go on
//! later, whatever has happened in between: nothing is missed, and nothing is told that has been overtaken.

use std::collections::HashMap;

use rusqlite::params;

use super::resource::Resource;
use super::tx::{Tx, View};
use crate::base::id::ResourceId;
use crate::storage::error::Result;

/// Names that were removed are remembered for so many changes of their cell.
const REMEMBERED: i64 = 1_000_000;

/// A place in the order of all changes of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Position {
    pub seq: i64,
    pub id: ResourceId,
}

impl Position {
    /// After everything of a change.
    pub fn after(seq: i64) -> Self {
        Self { seq, id: ResourceId::MAX }
    }
}

/// From where on changes are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Since {
    pub position: Position,
    /// Names that were removed up to this change were never told, or have been told as removed.
    pub buried_seq: i64,
}

impl Since {
    /// From the very beginning, which is now: nothing that is gone by now was ever told.
    pub fn beginning(now: i64) -> Self {
        Self { position: Position::default(), buried_seq: now }
    }

    /// Whether all names that were removed since then are still remembered, as of the change sequence `now`.
    pub fn is_remembered(&self, now: i64) -> bool {
        self.buried_seq >= now - REMEMBERED
    }

    fn is_beginning(&self) -> bool {
        self.position.seq == 0
    }
}

/// One difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Changed {
    pub position: Position,
    /// The name is gone, and the position has the number of its tombstone; else the resource is there.
    pub gone: bool,
}

/// The collections that were looked at on the way up: the last change that placed something between them and the top, or
/// none where they are not below it.
type Known = HashMap<ResourceId, Option<i64>>;

impl View<'_> {
    /// What has changed among the members of a collection, in the order of the changes.
    pub fn changed_members(&self, collection: ResourceId, since: Since) -> Result<Vec<Changed>> {
        let mut found = Vec::new();
        let mut add = |row: &rusqlite::Row<'_>| {
            found.push(Changed { position: Position { seq: row.get(0)?, id: row.get(1)? }, gone: false });
            Ok(Ok(()))
        };
        if since.is_beginning() {
            self.each("list members", "SELECT seq, id FROM resource WHERE parent=?1", [collection], &mut add)?;
        } else {
            let query = "SELECT seq, id FROM resource INDEXED BY resource_seq WHERE seq>=?2 AND parent=?1";
            self.each("find changed members", query, params![collection, since.position.seq], &mut add)?;
        }
        for grave in self.graves(since)?.into_iter().filter(|g| g.parent == collection) {
            found.push(grave.changed());
        }
        Ok(sorted(found, since))
    }

    /// What has changed anywhere below a collection, in the order of the changes. None if that cannot be told, because a
    /// collection has been replaced by another thing of its name, and what was in it is not known any more.
    pub fn changed_below(&self, collection: ResourceId, since: Since) -> Result<Option<Vec<Changed>>> {
        let mut found = Vec::new();
        if since.is_beginning() {
            self.all_below(collection, 0, &mut found)?;
        } else {
            let mut known = Known::from([(collection, Some(0))]);
            for parent in self.parents_of_replaced(since.buried_seq)? {
                if self.placed_below(parent, &mut known)?.is_some() {
                    return Ok(None);
                }
            }
            self.changed_rows_below(since, &mut known, &mut found)?;
            for grave in self.graves(since)? {
                if self.placed_below(grave.parent, &mut known)?.is_some() {
                    found.push(grave.changed());
                }
            }
        }
        Ok(Some(sorted(found, since)))
    }

    fn changed_rows_below(&self, since: Since, known: &mut Known, found: &mut Vec<Changed>) -> Result<()> {
        let from = since.position.seq;
        let query = "SELECT seq, id, parent, placed_seq, kind FROM resource INDEXED BY resource_seq WHERE seq>=?1";
        self.each("find what has changed", query, [from], |row| {
            let (seq, id, parent, placed): (i64, i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
            let is_file = row.get::<_, i64>(4)? == super::Kind::File as i64;
            Ok((|| {
                match self.placed_below(parent, known)? {
                    // What was placed with a collection above it is told along with that.
                    Some(above) if above < from => {}
                    _ => return Ok(()),
                }
                found.push(Changed { position: Position { seq, id }, gone: false });
                if placed >= from && !is_file { self.all_below(id, placed, found) } else { Ok(()) }
            })())
        })
    }

    /// Everything below a collection. It has changed when it or something between was placed, at the earliest at `placed`.
    fn all_below(&self, collection: ResourceId, placed: i64, found: &mut Vec<Changed>) -> Result<()> {
        let query = "SELECT seq, id, placed_seq, kind FROM resource WHERE parent=?1";
        let mut waiting = vec![(collection, placed)];
        while let Some((parent, above)) = waiting.pop() {
            self.each("list a tree", query, [parent], |row| {
                let (seq, id, placed): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
                found.push(Changed { position: Position { seq: seq.max(above), id }, gone: false });
                if row.get::<_, i64>(3)? != super::Kind::File as i64 {
                    waiting.push((id, above.max(placed)));
                }
                Ok(Ok(()))
            })?;
        }
        Ok(())
    }

    /// The last change that placed a collection or one between it and the top; none if it is not below the top.
    fn placed_below(&self, collection: ResourceId, known: &mut Known) -> Result<Option<i64>> {
        let mut way = Vec::new();
        let mut at = collection;
        let mut placed = loop {
            if let Some(known) = known.get(&at) {
                break *known;
            }
            match if at > 0 { self.resource(at)? } else { None } {
                None => break None,
                Some(row) => {
                    way.push((at, row.placed_seq));
                    at = row.parent;
                }
            }
        };
        for (id, own) in way.into_iter().rev() {
            placed = placed.map(|above| above.max(own));
            known.insert(id, placed);
        }
        Ok(placed)
    }

    /// Names that were removed and are still free, each once.
    fn graves(&self, since: Since) -> Result<Vec<Grave>> {
        let query = "SELECT max(t.seq), t.id, t.parent FROM tombstone t WHERE t.seq>?1 \
                     AND NOT EXISTS(SELECT 1 FROM resource r WHERE r.parent=t.parent AND r.name=t.name) \
                     GROUP BY t.parent, t.name";
        let from = since.buried_seq.max(since.position.seq - 1);
        self.all("find removed names", query, [from], |row| {
            Ok(Grave { position: Position { seq: row.get(0)?, id: row.get(1)? }, parent: row.get(2)? })
        })
    }

    /// The parents of collections that were removed after a change, and whose names something else has now.
    fn parents_of_replaced(&self, seq: i64) -> Result<Vec<ResourceId>> {
        let query = "SELECT DISTINCT t.parent FROM tombstone t JOIN resource r ON r.parent=t.parent AND r.name=t.name \
                     WHERE t.seq>?1 AND t.kind<>2 AND r.id<>t.id";
        self.all("find replaced collections", query, [seq], |row| row.get(0))
    }

    /// The parent and the name that a tombstone is for.
    pub fn buried(&self, seq: i64) -> Result<Option<(ResourceId, String)>> {
        let query = "SELECT parent, name FROM tombstone WHERE seq=?1";
        self.optional("read a tombstone", query, [seq], |row| Ok((row.get(0)?, row.get(1)?)))
    }

    /// The resources below a collection on the way down to `id`, which comes last. None if it is not below it.
    pub fn chain_below(&self, top: ResourceId, id: ResourceId) -> Result<Option<Vec<Resource>>> {
        let mut chain = Vec::new();
        let mut at = id;
        while at != top {
            match if at > 0 { self.resource(at)? } else { None } {
                None => return Ok(None),
                Some(row) => {
                    at = row.parent;
                    chain.push(row);
                }
            }
        }
        chain.reverse();
        Ok(Some(chain))
    }
}

impl Tx<'_> {
    /// Forgets some of the names that nobody can ask for any more: more than one for each that is buried.
    pub(super) fn forget_old_graves(&self, now: i64) -> Result<()> {
        let query = "DELETE FROM tombstone WHERE seq IN (SELECT seq FROM tombstone WHERE seq<?1 ORDER BY seq LIMIT 4)";
        self.run("forget removed names", query, [now - REMEMBERED]).map(drop)
    }
}

struct Grave {
    position: Position,
    parent: ResourceId,
}

impl Grave {
    fn changed(&self) -> Changed {
        Changed { position: self.position, gone: true }
    }
}

fn sorted(mut found: Vec<Changed>, since: Since) -> Vec<Changed> {
    found.retain(|changed| changed.position > since.position);
    found.sort_unstable_by_key(|changed| changed.position);
    found
}
