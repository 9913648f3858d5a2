//! Write locks (RFC 4918 section 6), by the number of the resource that they were taken on.
//!
//! A lock ends at a moment of its own; one that is over is as good as not there, and its row goes when the next lock is
//! taken. A lock on a resource that is no longer in a box guards nothing.

use rusqlite::{Row, params};

use super::pending::Undo;
use super::resource::Resource;
use super::schema::PARENT_BOXES;
use super::tx::{Tx, View, sql};
use crate::base::id::ResourceId;
use crate::storage::error::Result;

/// One row of `lock`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// An absolute URI.
    pub token: String,
    /// The resource that was locked: the lock's root.
    pub id: ResourceId,
    /// Depth infinity: the lock covers what is below its root too.
    pub infinite: bool,
    pub shared: bool,
    /// The element `owner`, as a fragment for any document.
    pub owner: Option<String>,
    /// Who took the lock, and alone may use and release it.
    pub principal: String,
    /// Milliseconds since 1970.
    pub expires_ms: i64,
}

impl Lock {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            token: row.get(0)?,
            id: row.get(1)?,
            infinite: row.get(2)?,
            shared: row.get(3)?,
            owner: row.get(4)?,
            principal: row.get(5)?,
            expires_ms: row.get(6)?,
        })
    }
}

/// A lock with its root and what is above that, from the root of the box.
#[derive(Debug, Clone)]
pub struct Rooted {
    pub lock: Lock,
    pub chain: Vec<Resource>,
}

const COLUMNS: &str = "token, id, infinite, shared, owner, principal, expires_ms";

impl View<'_> {
    /// Whether there is any lock at all; most cells have none.
    pub fn has_locks(&self) -> Result<bool> {
        if let Some(known) = self.known.has_locks.get() {
            return Ok(known);
        }
        let found = self.optional("look for locks", "SELECT 1 FROM lock LIMIT 1", [], |_| Ok(()))?.is_some();
        self.known.has_locks.set(Some(found));
        Ok(found)
    }

    /// The locks of which this resource is the root, that hold at a moment.
    pub fn locks_on(&self, id: ResourceId, now_ms: i64) -> Result<Vec<Lock>> {
        let query = sql!("SELECT ", COLUMNS, " FROM lock WHERE id=?1 AND expires_ms>?2 ORDER BY token");
        self.all("read locks", query, params![id, now_ms], Lock::from_row)
    }

    /// The locks that cover the last resource of a chain: its own, and those with depth infinity above it.
    pub fn locks_over(&self, chain: &[Resource], now_ms: i64) -> Result<Vec<Lock>> {
        let mut over = Vec::new();
        if self.has_locks()? {
            for (i, row) in chain.iter().enumerate() {
                let last = i + 1 == chain.len();
                over.extend(self.locks_on(row.id, now_ms)?.into_iter().filter(|lock| last || lock.infinite));
            }
        }
        Ok(over)
    }

    /// Every lock of the cell that holds at a moment, with its root; those on what is in no box are left out.
    pub fn all_locks(&self, now_ms: i64) -> Result<Vec<Rooted>> {
        let query = sql!("SELECT ", COLUMNS, " FROM lock WHERE expires_ms>?1 ORDER BY id, token");
        let mut found = Vec::new();
        for lock in self.all("list locks", query, params![now_ms], Lock::from_row)? {
            if let Some((PARENT_BOXES, chain)) = self.chain(lock.id)? {
                found.push(Rooted { lock, chain });
            }
        }
        Ok(found)
    }

    /// The locks on what lies below a resource.
    pub fn locks_below(&self, id: ResourceId, now_ms: i64) -> Result<Vec<Rooted>> {
        let mut found = self.all_locks(now_ms)?;
        found.retain(|l| l.lock.id != id && l.chain.iter().any(|row| row.id == id));
        Ok(found)
    }
}

impl Tx<'_> {
    pub fn insert_lock(&self, lock: &Lock) -> Result<()> {
        self.known.forget();
        self.run(
            "insert a lock",
            sql!("INSERT INTO lock(", COLUMNS, ") VALUES(?1,?2,?3,?4,?5,?6,?7)"),
            params![lock.token, lock.id, lock.infinite, lock.shared, lock.owner, lock.principal, lock.expires_ms],
        )?;
        Ok(())
    }

    /// Lets a lock hold until another moment.
    pub fn extend_lock(&self, token: &str, expires_ms: i64) -> Result<()> {
        self.run("extend a lock", "UPDATE lock SET expires_ms=?2 WHERE token=?1", params![token, expires_ms])?;
        Ok(())
    }

    pub fn remove_lock(&self, token: &str) -> Result<()> {
        self.run("remove a lock", "DELETE FROM lock WHERE token=?1", params![token])?;
        Ok(())
    }

    /// Removes the rows of locks that are over.
    pub fn forget_expired_locks(&self) -> Result<()> {
        self.run("forget locks", "DELETE FROM lock WHERE expires_ms<=?1", params![self.now_ms()])?;
        Ok(())
    }

    /// Removes the locks on a resource and on everything below it; returns what puts them back.
    pub fn drop_locks(&self, top: &Resource) -> Result<Vec<Undo>> {
        if !self.has_locks()? {
            return Ok(Vec::new());
        }
        let mut ids = vec![top.id];
        if !top.is_file() {
            ids.extend(self.locks_below(top.id, self.now_ms())?.iter().map(|l| l.lock.id));
            ids.dedup();
        }
        ids.into_iter().map(|id| Ok(Undo::PutBack(self.take_rows("lock", "id=?1", id)?))).collect()
    }
}
