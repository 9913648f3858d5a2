//! A reader's view of the rows and the writer's transaction, with the counters that every change uses.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;

use rusqlite::{Connection, Params, Row};

use super::quota::HELD;
use crate::base::clock;
use crate::base::id::{OwnerId, ResourceId};
use crate::storage::error::{Error, Result};

/// Joins pieces of SQL at compile time.
macro_rules! sql {
    ($($piece:expr),+ $(,)?) => { &*[$($piece),+].concat() };
}
pub(crate) use sql;

/// The rows of a cell at one moment.
#[derive(Debug)]
pub struct View<'c> {
    conn: &'c Connection,
    pub(super) known: Known,
}

/// What was found out about the rows at this moment and is asked again and again.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) has_locks: Cell<Option<bool>>,
    /// The cell's own limit.
    pub(super) quota: Cell<Asked<Option<i64>>>,
}

/// What may have been asked.
#[derive(Debug, Clone, Copy, Default)]
pub(super) enum Asked<T> {
    #[default]
    NotYet,
    Is(T),
}

impl Known {
    pub(super) fn forget(&self) {
        self.has_locks.set(None);
        self.quota.set(Asked::NotYet);
    }
}

impl<'c> View<'c> {
    pub fn new(conn: &'c Connection) -> Self {
        Self { conn, known: Known::default() }
    }

    pub fn conn(&self) -> &'c Connection {
        self.conn
    }

    pub(crate) fn optional<T>(
        &self,
        op: &'static str,
        query: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>> {
        let mut statement = self.conn.prepare_cached(query).map_err(Error::database(op))?;
        let mut rows = statement.query(params).map_err(Error::database(op))?;
        match rows.next().map_err(Error::database(op))? {
            Some(row) => read(row).map(Some).map_err(Error::database(op)),
            None => Ok(None),
        }
    }

    pub(crate) fn each(
        &self,
        op: &'static str,
        query: &str,
        params: impl Params,
        mut each: impl FnMut(&Row<'_>) -> rusqlite::Result<Result<()>>,
    ) -> Result<()> {
        let mut statement = self.conn.prepare_cached(query).map_err(Error::database(op))?;
        let mut rows = statement.query(params).map_err(Error::database(op))?;
        while let Some(row) = rows.next().map_err(Error::database(op))? {
            each(row).map_err(Error::database(op))??;
        }
        Ok(())
    }

    pub(crate) fn all<T>(
        &self,
        op: &'static str,
        query: &str,
        params: impl Params,
        mut read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>> {
        let mut found = Vec::new();
        self.each(op, query, params, |row| {
            found.push(read(row)?);
            Ok(Ok(()))
        })?;
        Ok(found)
    }

    /// A number kept under a key of `meta`; 0 if there is none.
    pub fn meta_number(&self, key: &str) -> Result<i64> {
        Ok(self.optional("read meta", "SELECT value FROM meta WHERE key=?1", [key], |r| r.get(0))?.unwrap_or(0))
    }

    pub fn meta_text(&self, key: &str) -> Result<Option<String>> {
        self.optional("read meta", "SELECT value FROM meta WHERE key=?1", [key], |r| r.get(0))
    }

    /// The URL of the unit user whose cell it is. It never changes.
    pub fn owner(&self) -> Result<Option<String>> {
        self.meta_text("owner")
    }

    /// The cell's change sequence.
    pub fn change_seq(&self) -> Result<i64> {
        self.meta_number("seq")
    }
}

/// The counters of a cell while its write lock is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    pub seq: i64,
    pub next_id: i64,
    pub stamp: i64,
    pub control_seq: i64,
    /// The bytes of all rows.
    pub held_bytes: i64,
}

/// What a transaction has yet to write when it ends.
#[derive(Debug, Default)]
pub(crate) struct Unsaved {
    pub(crate) counters: Counters,
    touched: BTreeSet<ResourceId>,
    /// Members that collections have got and their rows do not count yet.
    members: BTreeMap<ResourceId, i64>,
}

/// One transaction of the writer. Reads as a [`View`]; the changes are methods in the table families' files.
#[derive(Debug)]
pub struct Tx<'c> {
    view: View<'c>,
    counters: Cell<Counters>,
    owner: OwnerId,
    now_ms: i64,
    /// Boxes in which something has changed; their rows learn of it at the end.
    touched: RefCell<BTreeSet<ResourceId>>,
    /// Members that collections have got and their rows do not count yet.
    members: RefCell<BTreeMap<ResourceId, i64>>,
    /// Whether such members are counted at the end: in between nothing may set their number, or read it from the rows alone.
    defers: bool,
    /// What went wrong where nobody could be told at once.
    failed: RefCell<Option<Error>>,
}

impl<'c> Deref for Tx<'c> {
    type Target = View<'c>;

    fn deref(&self) -> &View<'c> {
        &self.view
    }
}

impl<'c> Tx<'c> {
    /// Reads the counters; the transaction must have begun.
    pub fn new(conn: &'c Connection, owner: OwnerId) -> Result<Self> {
        let view = View::new(conn);
        let kept = view.held_bytes()?;
        let held_bytes = match kept {
            Some(held) => held,
            None => view.sum_of_sizes()?,
        };
        let counters = Counters {
            seq: view.meta_number("seq")?,
            next_id: view.meta_number("next_id")?,
            stamp: view.meta_number("stamp")?,
            control_seq: view.meta_number("control_seq")?,
            held_bytes,
        };
        let mut tx = Self::resume(conn, owner, Unsaved { counters, ..Unsaved::default() });
        tx.defers = false;
        if kept.is_none() {
            tx.set_meta(HELD, held_bytes)?;
        }
        Ok(tx)
    }

    /// Goes on with a transaction where [`Self::pause`] left it.
    pub(crate) fn resume(conn: &'c Connection, owner: OwnerId, unsaved: Unsaved) -> Self {
        Self {
            view: View::new(conn),
            counters: Cell::new(unsaved.counters),
            owner,
            now_ms: clock::now_ms(),
            touched: RefCell::new(unsaved.touched),
            members: RefCell::new(unsaved.members),
            defers: true,
            failed: RefCell::default(),
        }
    }

    /// Lets the transaction be gone on with; nothing of it is saved yet.
    pub(crate) fn pause(self) -> Result<Unsaved> {
        self.failed.take().map_or(Ok(()), Err)?;
        Ok(Unsaved { counters: self.counters.get(), touched: self.touched.take(), members: self.members.take() })
    }

    pub(crate) fn run(&self, op: &'static str, query: &str, params: impl Params) -> Result<usize> {
        let mut statement = self.conn().prepare_cached(query).map_err(Error::database(op))?;
        statement.execute(params).map_err(Error::database(op))
    }

    pub fn owner(&self) -> OwnerId {
        self.owner
    }

    /// The time of the batch, in milliseconds since 1970.
    pub fn now_ms(&self) -> i64 {
        self.now_ms
    }

    /// The change sequence of the operation at hand.
    pub fn seq(&self) -> i64 {
        self.counters.get().seq
    }

    /// Counts one more change.
    pub fn next_seq(&self) -> i64 {
        let mut c = self.counters.get();
        c.seq += 1;
        self.counters.set(c);
        c.seq
    }

    /// A number that no resource or control object of the cell had before.
    pub fn next_id(&self) -> i64 {
        let mut c = self.counters.get();
        c.next_id += 1;
        self.counters.set(c);
        c.next_id
    }

    /// A stamp that no content of the cell had before, in microseconds since 1970 or a little later.
    pub fn next_stamp(&self) -> i64 {
        let mut c = self.counters.get();
        c.stamp = clock::now_us().max(c.stamp + 1);
        self.counters.set(c);
        c.stamp
    }

    /// Says that roles, relations, rules or other members of an archive that are no resources have changed. What was known
    /// about access is void at once, for the operations of the same batch too.
    pub fn touch_control(&self) {
        let mut c = self.counters.get();
        c.control_seq += 1;
        self.counters.set(c);
        if let Err(e) = self.touch_access() {
            self.failed.replace(Some(e));
        }
    }

    /// Counts on from these numbers at least.
    pub(crate) fn reach(&self, seq: i64, id: i64, stamp: i64) {
        let c = self.counters.get();
        let (seq, next_id, stamp) = (c.seq.max(seq), c.next_id.max(id), c.stamp.max(stamp));
        self.counters.set(Counters { seq, next_id, stamp, ..c });
    }

    /// Counts bytes that a row brings or takes along.
    pub(super) fn count_bytes(&self, delta: i64) {
        let mut c = self.counters.get();
        c.held_bytes += delta;
        self.counters.set(c);
    }

    pub fn counters(&self) -> Counters {
        self.counters.get()
    }

    pub(crate) fn set_counters(&self, counters: Counters) {
        self.counters.set(counters);
    }

    /// Goes back to a savepoint, at which the counters were these.
    pub(crate) fn go_back_to(&self, counters: Counters) {
        self.counters.set(counters);
        self.known.forget();
    }

    /// Counts one more member of a collection.
    pub(crate) fn count_member(&self, collection: ResourceId) -> Result<()> {
        if !self.defers {
            return self.count_children(collection, 1);
        }
        *self.members.borrow_mut().entry(collection).or_default() += 1;
        Ok(())
    }

    /// Members of a collection that its row does not count yet.
    pub(crate) fn uncounted_members(&self, collection: ResourceId) -> i64 {
        self.members.borrow().get(&collection).copied().unwrap_or(0)
    }

    /// Says that something in a box has changed.
    pub fn touch_box(&self, id: ResourceId) {
        self.touched.borrow_mut().insert(id);
    }

    /// Writes the counters that have changed since `before`, and the sequence of each box that was touched.
    pub(crate) fn save_counters(&self, before: Counters) -> Result<()> {
        for id in self.touched.take() {
            self.set_box_seq(id)?;
        }
        for (id, members) in self.members.take() {
            self.count_children(id, members)?;
        }
        let now = self.counters.get();
        for (key, old, new) in [
            ("seq", before.seq, now.seq),
            ("next_id", before.next_id, now.next_id),
            ("stamp", before.stamp, now.stamp),
            ("control_seq", before.control_seq, now.control_seq),
            (HELD, before.held_bytes, now.held_bytes),
        ] {
            if old != new {
                self.set_meta(key, new)?;
            }
        }
        self.failed.take().map_or(Ok(()), Err)
    }

    pub fn set_meta(&self, key: &str, value: impl rusqlite::ToSql) -> Result<()> {
        self.run(
            "write meta",
            "INSERT INTO meta(key, value) VALUES(?1, ?2) ON CONFLICT(key) DO UPDATE SET value=excluded.value",
            rusqlite::params![key, value],
        )?;
        Ok(())
    }
}
