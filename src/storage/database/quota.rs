//! How many bytes a cell holds, and how many it may.
//!
//! The sum of all sizes is kept in `meta` and follows every row in its own transaction, so it is exact whatever is undone or
//! replayed. It includes what is being built; what is in the trash is taken off when the number is asked for.

use super::schema::PARENT_TRASH;
use super::tx::{Asked, Tx, View};
use crate::base::id::ResourceId;
use crate::storage::error::{Error, Result};

/// The bytes of all rows.
pub(super) const HELD: &str = "held_bytes";
/// The cell's own limit.
const LIMIT: &str = "quota";

impl View<'_> {
    /// The sum of all sizes as it is kept; none in a cell that has not kept it yet.
    pub(super) fn held_bytes(&self) -> Result<Option<i64>> {
        self.optional("read meta", "SELECT value FROM meta WHERE key=?1", [HELD], |r| r.get(0))
    }

    pub(super) fn sum_of_sizes(&self) -> Result<i64> {
        let sum = self.optional("add up sizes", "SELECT sum(size) FROM resource WHERE kind=2", [], |r| r.get(0))?;
        Ok(sum.flatten().unwrap_or(0))
    }

    /// The bytes of a cell's files, those that are being copied or installed included.
    pub fn used_bytes(&self) -> Result<i64> {
        let held = match self.held_bytes()? {
            Some(held) => held,
            None => self.sum_of_sizes()?,
        };
        Ok(held - self.bytes_below(PARENT_TRASH)?)
    }

    fn bytes_below(&self, top: ResourceId) -> Result<i64> {
        let (mut sum, mut waiting) = (0, vec![top]);
        while let Some(parent) = waiting.pop() {
            let query = "SELECT coalesce(sum(size), 0) FROM resource WHERE parent=?1 AND kind=2";
            sum += self.optional("add up sizes", query, [parent], |r| r.get::<_, i64>(0))?.unwrap_or(0);
            let query = "SELECT id FROM resource WHERE parent=?1 AND kind<>2";
            waiting.extend(self.all("list collections", query, [parent], |r| r.get::<_, i64>(0))?);
        }
        Ok(sum)
    }

    /// The bytes that the cell may hold: its own limit, else the unit's, of which 0 means none.
    pub fn quota(&self, unit: i64) -> Result<Option<i64>> {
        Ok(self.own_quota()?.or_else(|| Some(unit).filter(|limit| *limit > 0)))
    }

    /// The cell's own limit in bytes, where it has one.
    pub fn own_quota(&self) -> Result<Option<i64>> {
        if let Asked::Is(known) = self.known.quota.get() {
            return Ok(known);
        }
        let limit = self.optional("read meta", "SELECT value FROM meta WHERE key=?1", [LIMIT], |r| r.get(0))?;
        self.known.quota.set(Asked::Is(limit));
        Ok(limit)
    }
}

impl Tx<'_> {
    /// Sets the cell's own limit, or takes it away.
    pub fn set_quota(&self, bytes: Option<i64>) -> Result<()> {
        self.known.forget();
        match bytes {
            Some(bytes) => self.set_meta(LIMIT, bytes),
            None => self.run("remove meta", "DELETE FROM meta WHERE key=?1", [LIMIT]).map(drop),
        }
    }

    /// Refuses what the rows of this transaction bring in, and these bytes, if it is more than the cell may hold. `unit` is the
    /// unit's limit.
    pub fn check_quota(&self, more: i64, unit: i64) -> Result<()> {
        let Some(limit) = self.quota(unit)? else { return Ok(()) };
        let held = self.counters().held_bytes + more;
        if held > limit && held - self.bytes_below(PARENT_TRASH)? > limit { Err(Error::OverQuota) } else { Ok(()) }
    }
}
