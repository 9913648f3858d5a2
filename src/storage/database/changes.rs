//! What has changed in a collection since some moment: rows by their change sequence, and the names that were removed.
//!
//! Everything has a place in one order, and what changes again moves to its end. So a listing can stop anywhere and go on
//! later, whatever has happened in between: nothing is missed, and nothing is told that has been overtaken. Where nothing is known
//! yet, a walk of the tree as of a change comes first, by path, and what has changed since then follows. Either way some of it
//! costs about as much as what is told, not as what is left.

use std::collections::HashMap;
use std::ops::ControlFlow;

use rusqlite::params;

use self::graves::Graves;
use super::resource::Resource;
use super::tx::{Tx, View};
use crate::base::id::ResourceId;
use crate::storage::error::{Error, Result};

mod graves;

/// Names that were removed are remembered for so many changes of their cell.
const REMEMBERED: i64 = 1_000_000;

/// How far a sync has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Since {
    /// What has changed up to here is known, or told by the walk that is under way.
    pub base: i64,
    pub told: Place,
}

/// The last thing that was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In the walk that comes first when nothing is known: a path below the collection, empty at the beginning.
    Walk(Vec<String>),
    /// In the order of the changes: a member of `parent`, and a path below it if it was told along with that. No name stands
    /// for the tombstone of the change, which comes first.
    Change { seq: i64, parent: ResourceId, names: Vec<String> },
}

impl Since {
    /// From the very beginning, which is now: nothing that is gone by now was ever told.
    pub fn beginning(now: i64) -> Self {
        Self { base: now, told: Place::Walk(Vec::new()) }
    }

    /// After all of a change.
    pub fn after(seq: i64) -> Self {
        Self { base: seq, told: Place::Change { seq, parent: ResourceId::MAX, names: Vec::new() } }
    }

    /// Whether all names that were removed since then are still remembered, as of the change sequence `now`.
    pub fn is_remembered(&self, now: i64) -> bool {
        self.base >= now - REMEMBERED
    }
}

/// How deep below a collection is looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    Members,
    Tree,
}

/// One difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Changed {
    pub id: ResourceId,
    /// The name is gone, and this is the number of its tombstone; else the resource is there.
    pub gone: Option<i64>,
}

/// Differences, in an order in which a sync can stop anywhere and go on later.
#[derive(Debug)]
pub struct Changes {
    pub told: Vec<Changed>,
    limit: usize,
    /// The last that was told, once there are as many as were asked for.
    last: Option<Place>,
    /// There is more.
    pub cut: bool,
    /// What was in a collection that is gone cannot be told any more.
    lost: bool,
}

impl Changes {
    fn add(&mut self, changed: Changed, place: impl FnOnce() -> Place) -> ControlFlow<()> {
        if self.told.len() >= self.limit {
            self.cut = true;
            return ControlFlow::Break(());
        }
        self.told.push(changed);
        if self.told.len() == self.limit {
            self.last = Some(place());
        }
        ControlFlow::Continue(())
    }

    /// Where to go on if there is more.
    pub fn rest(&self, since: &Since) -> Option<Since> {
        let told = self.last.clone().filter(|_| self.cut)?;
        Some(Since { base: since.base, told })
    }
}

/// The collections that were looked at on the way up: the last change that placed something between them and the top, or
/// none where they are not below it.
type Known = HashMap<ResourceId, Option<i64>>;

/// Goes on, or ends where the function around it does because enough was told.
macro_rules! unless_full {
    ($flow:expr) => {
        if $flow.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    };
}

impl View<'_> {
    /// What has changed among the members of a collection, or anywhere below it, at most `limit` of it. None if that cannot
    /// be told, because a collection has been replaced by another thing of its name, and what was in it is not known any more.
    pub fn changes(
        &self,
        collection: ResourceId,
        reach: Reach,
        since: &Since,
        limit: usize,
    ) -> Result<Option<Changes>> {
        let mut known = Known::from([(collection, Some(0))]);
        let mut found = Changes { told: Vec::new(), limit, last: None, cut: false, lost: false };
        let mut from = since.clone();
        if let Place::Walk(after) = &since.told {
            let bound = since.base.saturating_add(1);
            if self.walk(collection, reach, bound, after, &mut found, &|path| Place::Walk(path.to_vec()))?.is_break() {
                return Ok(Some(found));
            }
            from = Since::after(since.base);
        }
        let _full = self.scan(&Scan { collection, reach, base: from.base }, &from.told, &mut known, &mut found)?;
        Ok(Some(found).filter(|found| !found.lost))
    }

    /// Everything that was there before a change and has stayed, by its path, from a path on. Collections that were placed
    /// since are told with what is in them when it is their turn.
    fn walk(
        &self,
        top: ResourceId,
        reach: Reach,
        bound: i64,
        after: &[String],
        found: &mut Changes,
        place: &dyn Fn(&[String]) -> Place,
    ) -> Result<ControlFlow<()>> {
        // Collections from the top down with the name of the last member that was seen; the names are also the path.
        let (mut open, mut names) = (vec![top], Vec::new());
        for name in after {
            names.push(name.clone());
            let at = open[open.len() - 1];
            match self.child(at, name)? {
                Some(row) if !row.is_file() && row.placed_seq < bound && reach == Reach::Tree => open.push(row.id),
                _ => break,
            }
        }
        if names.len() < open.len() {
            names.push(String::new());
        }
        let query = "SELECT name, id, seq, placed_seq, kind FROM resource WHERE parent=?1 AND name>?2 ORDER BY name";
        while let Some(parent) = open.last().copied() {
            let after = names.pop().unwrap_or_default();
            let mut below = None;
            let mut statement = self.conn().prepare_cached(query).map_err(Error::database("walk a tree"))?;
            let mut rows = statement.query(params![parent, after]).map_err(Error::database("walk a tree"))?;
            while let Some(row) = rows.next().map_err(Error::database("walk a tree"))? {
                let member = WalkRow::of(row).map_err(Error::database("walk a tree"))?;
                let path = || {
                    names.push(member.name.clone());
                    let path = place(&names);
                    names.pop();
                    path
                };
                if member.seq < bound {
                    unless_full!(found.add(Changed { id: member.id, gone: None }, path));
                }
                if reach == Reach::Tree && member.collection && member.placed_seq < bound {
                    below = Some(member);
                    break;
                }
            }
            match below {
                Some(member) => {
                    names.extend([member.name, String::new()]);
                    open.push(member.id);
                }
                None => {
                    open.pop();
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Everything that has changed, by its change sequence, from a place on.
    fn scan(&self, scan: &Scan, from: &Place, known: &mut Known, found: &mut Changes) -> Result<ControlFlow<()>> {
        let Place::Change { seq, parent, names } = from else { return Ok(ControlFlow::Continue(())) };
        let name = names.first().cloned().unwrap_or_default();
        if let Some(row) = self.child(*parent, &name)?.filter(|row| row.seq == *seq && scan.reach == Reach::Tree) {
            unless_full!(self.what_came_with(scan, &ScanRow::from(row), &names[1..], known, found)?);
        }
        let mut graves = Graves::after(*seq, found.limit);
        let query = "SELECT seq, parent, name, id, placed_seq, kind FROM resource INDEXED BY resource_seq \
                     WHERE (seq, parent, name)>(?1, ?2, ?3) ORDER BY seq, parent, name";
        let failed = "find what has changed";
        let mut statement = self.conn().prepare_cached(query).map_err(Error::database(failed))?;
        let mut rows = statement.query(params![seq, parent, name]).map_err(Error::database(failed))?;
        while let Some(row) = rows.next().map_err(Error::database(failed))? {
            let row = ScanRow::of(row).map_err(Error::database(failed))?;
            unless_full!(self.graves_until(row.seq, scan, &mut graves, known, found)?);
            let counts = match scan.reach {
                Reach::Members => row.parent == scan.collection,
                // What was placed later with a collection above it is told along with that.
                Reach::Tree => self.placed_below(row.parent, known)?.is_some_and(|above| above <= row.seq),
            };
            if !counts {
                continue;
            }
            unless_full!(found.add(Changed { id: row.id, gone: None }, || row.place(&[])));
            if scan.reach == Reach::Tree {
                unless_full!(self.what_came_with(scan, &row, &[], known, found)?);
            }
        }
        self.graves_until(i64::MAX, scan, &mut graves, known, found)
    }

    /// What was there when its collection came to its place after the base, from a path on.
    fn what_came_with(
        &self,
        scan: &Scan,
        row: &ScanRow,
        after: &[String],
        known: &mut Known,
        found: &mut Changes,
    ) -> Result<ControlFlow<()>> {
        let above = self.placed_below(row.parent, known)?;
        if !row.collection || row.placed_seq <= scan.base || above.is_none_or(|above| above > row.placed_seq) {
            return Ok(ControlFlow::Continue(()));
        }
        self.walk(row.id, Reach::Tree, row.placed_seq, after, found, &|path| row.place(path))
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

    /// Tells names that were removed up to a change and are still free, each once, and notes what cannot be told.
    fn graves_until(
        &self,
        seq: i64,
        scan: &Scan,
        graves: &mut Graves,
        known: &mut Known,
        found: &mut Changes,
    ) -> Result<ControlFlow<()>> {
        while let Some(grave) = graves.next(self, seq)? {
            let counts = match scan.reach {
                Reach::Members => grave.parent == scan.collection,
                Reach::Tree => self.placed_below(grave.parent, known)?.is_some(),
            };
            if counts && grave.replaced && scan.reach == Reach::Tree {
                found.lost = true;
                return Ok(ControlFlow::Break(()));
            }
            if counts && !grave.replaced {
                let place = || Place::Change { seq: grave.seq, parent: ResourceId::MIN, names: Vec::new() };
                unless_full!(found.add(Changed { id: grave.id, gone: Some(grave.seq) }, place));
            }
        }
        Ok(ControlFlow::Continue(()))
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

/// What a scan is about.
struct Scan {
    collection: ResourceId,
    reach: Reach,
    base: i64,
}

/// A row in a scan.
struct ScanRow {
    seq: i64,
    parent: ResourceId,
    name: String,
    id: ResourceId,
    placed_seq: i64,
    collection: bool,
}

impl ScanRow {
    fn of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            seq: row.get(0)?,
            parent: row.get(1)?,
            name: row.get(2)?,
            id: row.get(3)?,
            placed_seq: row.get(4)?,
            collection: row.get::<_, i64>(5)? != super::Kind::File as i64,
        })
    }

    /// This row, or what came with it at a path below it.
    fn place(&self, below: &[String]) -> Place {
        let names = std::iter::once(&self.name).chain(below).cloned().collect();
        Place::Change { seq: self.seq, parent: self.parent, names }
    }
}

impl From<Resource> for ScanRow {
    fn from(row: Resource) -> Self {
        let collection = !row.is_file();
        let Resource { seq, parent, name, id, placed_seq, .. } = row;
        Self { seq, parent, name, id, placed_seq, collection }
    }
}

/// A row in a walk.
struct WalkRow {
    name: String,
    id: ResourceId,
    seq: i64,
    placed_seq: i64,
    collection: bool,
}

impl WalkRow {
    fn of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            name: row.get(0)?,
            id: row.get(1)?,
            seq: row.get(2)?,
            placed_seq: row.get(3)?,
            collection: row.get::<_, i64>(4)? != super::Kind::File as i64,
        })
    }
}
