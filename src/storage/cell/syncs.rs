//! The syncs of a cell, one at a time: a failure of one counts for all.
//!
//! The kernel tells an error of writing to one who asks and forgets it; the pages count as clean then, so that a second sync would
//! succeed although nothing is on disk. So after a failure nobody gets a sync of this cell until everything that is pending
//! has been written anew.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Whether the last sync failed, or ended in a panic.
#[derive(Debug, Default)]
pub(crate) struct Syncs(Mutex<bool>);

impl Syncs {
    fn failed(&self) -> MutexGuard<'_, bool> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a sync, unless one has failed before.
    pub(crate) fn run(&self, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut failed = self.failed();
        if *failed {
            return Err(io::Error::other("an earlier sync has failed"));
        }
        *failed = true;
        sync()?;
        *failed = false;
        Ok(())
    }

    /// Runs a sync of what was written anew since the last failure.
    pub(crate) fn run_anew(&self, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        *self.failed() = false;
        self.run(sync)
    }

    pub(crate) fn have_failed(&self) -> bool {
        *self.failed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_after_a_failure_hears_of_it_too() {
        let syncs = Syncs::default();
        syncs.run(|| Ok(())).expect("a sync");
        syncs.run(|| Err(io::ErrorKind::StorageFull.into())).expect_err("a failure");
        syncs.run(|| panic!("nobody syncs")).expect_err("a failure before");
        assert!(syncs.have_failed());
        syncs.run_anew(|| Ok(())).expect("a sync");
        syncs.run(|| Ok(())).expect("a sync");
        assert!(!syncs.have_failed());
    }

    #[test]
    fn a_panic_is_a_failure() {
        let syncs = Syncs::default();
        let run = std::panic::AssertUnwindSafe(|| syncs.run(|| panic!("injected")));
        assert!(std::panic::catch_unwind(run).is_err());
        assert!(syncs.have_failed());
    }
}
