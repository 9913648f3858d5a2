//! How much room there is where a unit lives.

use super::cell::Cell;
use super::database::View;
use super::error::{Error, Result};
use super::unit::Unit;

/// The room on a file system, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// What this process may still use.
    pub free: u64,
    pub total: u64,
}

/// What a cell holds and may still take, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    pub used: u64,
    /// As far as the cell's limit and the disk allow.
    pub available: u64,
}

impl Cell {
    /// What the cell holds and may still take, as of the rows of a view.
    pub fn quota(&self, view: &View<'_>) -> Result<Quota> {
        let vfs = rustix::fs::fstatvfs(&self.core.dir).map_err(Error::errno("look at", self.name()))?;
        let free = vfs.f_bavail.saturating_mul(vfs.f_frsize);
        let used = view.used_bytes()?.max(0) as u64;
        let limit = view.quota(self.core.limits.cell_bytes)?;
        let available = limit.map_or(free, |limit| (limit as u64).saturating_sub(used).min(free));
        Ok(Quota { used, available })
    }

    /// Refuses bytes that the cell could not take now. What is put into it is checked again at the end.
    pub fn check_room(&self, bytes: i64) -> Result<()> {
        if bytes <= 0 {
            return Ok(());
        }
        self.read(|view| match view.quota(self.core.limits.cell_bytes)? {
            Some(limit) if view.used_bytes()? + bytes > limit => Err(Error::OverQuota),
            _ => Ok(()),
        })
    }
}

impl Unit {
    /// Whether there is room for more than removing things: what is kept for that is there, or was put there now.
    pub fn keeps_reserve(&self) -> bool {
        self.reserve.keep()
    }

    /// The room on the file system of the unit's directory, now.
    pub fn space(&self) -> Result<Space> {
        let root = self.root();
        let vfs = rustix::fs::statvfs(root).map_err(Error::errno("look at", root.display().to_string()))?;
        Ok(Space { free: vfs.f_bavail.saturating_mul(vfs.f_frsize), total: vfs.f_blocks.saturating_mul(vfs.f_frsize) })
    }
}
