//! How much room there is where a unit lives.

use super::error::{Error, Result};
use super::unit::Unit;

/// The room on a file system, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// What this process may still use.
    pub free: u64,
    pub total: u64,
}

impl Unit {
    /// The room on the file system of the unit's directory, now.
    pub fn space(&self) -> Result<Space> {
        let root = self.root();
        let vfs = rustix::fs::statvfs(root).map_err(Error::errno("look at", root.display().to_string()))?;
        Ok(Space { free: vfs.f_bavail.saturating_mul(vfs.f_frsize), total: vfs.f_blocks.saturating_mul(vfs.f_frsize) })
    }
}
