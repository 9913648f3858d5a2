//! How far an export or an import has come, for everybody who asks; and what it is asked to do.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// What an entry counts besides its bytes, when a percentage is told.
const ENTRY_WEIGHT: u64 = 4096;

const GO_ON: u8 = 0;
const STOP: u8 = 1;
const CANCEL: u8 = 2;

/// Shared by those who work and those who watch.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    total: Counter,
    done: Counter,
    asked: AtomicU8,
    waiting_for: Mutex<Vec<String>>,
}

#[derive(Debug, Default)]
struct Counter {
    bytes: AtomicU64,
    entries: AtomicU64,
}

/// How much has been done, of how much.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Detail {
    /// Of content, before it is compressed.
    pub bytes: u64,
    pub bytes_total: u64,
    pub entries: u64,
    pub entries_total: u64,
    /// Other processes that must let go of the cell before it goes on.
    pub waiting_for: Vec<String>,
}

impl Counter {
    fn get(&self) -> (u64, u64) {
        (self.bytes.load(Ordering::Relaxed), self.entries.load(Ordering::Relaxed))
    }

    fn set(&self, bytes: u64, entries: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
        self.entries.store(entries, Ordering::Relaxed);
    }
}

impl Progress {
    /// Begins anew: so much is to be done.
    pub(crate) fn expect(&self, bytes: u64, entries: u64) {
        self.done.set(0, 0);
        self.total.set(bytes, entries);
    }

    pub(crate) fn add(&self, bytes: u64, entries: u64) {
        self.done.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.done.entries.fetch_add(entries, Ordering::Relaxed);
    }

    /// Percent, rounded down.
    pub(crate) fn percent(&self) -> i64 {
        let weight = |(bytes, entries): (u64, u64)| u128::from(bytes) + u128::from(entries) * u128::from(ENTRY_WEIGHT);
        let (done, total) = (weight(self.done.get()), weight(self.total.get()));
        (done * 100).checked_div(total).map_or(0, |percent| percent.min(100) as i64)
    }

    pub(crate) fn detail(&self) -> Detail {
        let ((bytes, entries), (bytes_total, entries_total)) = (self.done.get(), self.total.get());
        let waiting_for = self.waiting_for.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Detail { bytes, bytes_total, entries, entries_total, waiting_for }
    }

    /// Names those who must let go of the cell; tells whether they are others than before.
    pub(crate) fn wait_for(&self, holders: Vec<String>) -> bool {
        let mut waiting_for = self.waiting_for.lock().unwrap_or_else(PoisonError::into_inner);
        let others = *waiting_for != holders;
        *waiting_for = holders;
        others
    }

    /// Asks for the end, because the process ends.
    pub(crate) fn stop(&self) {
        self.asked.fetch_max(STOP, Ordering::Relaxed);
    }

    /// Asks for the end, because somebody wants it: nothing shall be left of the job.
    pub(crate) fn cancel(&self) {
        self.asked.store(CANCEL, Ordering::Relaxed);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.asked.load(Ordering::Relaxed) != GO_ON
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.asked.load(Ordering::Relaxed) == CANCEL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_count_besides_their_bytes() {
        let progress = Progress::default();
        assert_eq!(progress.percent(), 0);
        progress.expect(4096, 3);
        progress.add(0, 1);
        assert_eq!(progress.percent(), 25);
        progress.add(4096, 2);
        assert_eq!(progress.percent(), 100);
        progress.add(1, 1);
        assert_eq!(progress.percent(), 100);
        progress.expect(10, 0);
        assert_eq!((progress.percent(), progress.detail().bytes_total), (0, 10));
    }

    #[test]
    fn who_cancels_is_not_outdone_by_who_stops() {
        let progress = Progress::default();
        assert!(!progress.is_stopping());
        progress.stop();
        assert!(progress.is_stopping() && !progress.is_cancelled());
        progress.cancel();
        progress.stop();
        assert!(progress.is_cancelled());
        assert!(progress.wait_for(vec!["process 1".to_owned()]));
        assert!(!progress.wait_for(vec!["process 1".to_owned()]));
        assert!(progress.wait_for(Vec::new()));
    }
}
