//! Who may write to a cell while all of it is exported or imported.
//!
//! A request that writes is counted while it is handled. Closing a cell refuses further ones at once and waits for those that
//! are under way, so that what was acknowledged before is there, and nothing is acknowledged afterwards.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::storage::database::area::TransferKind;

/// How long closing waits for writes that are under way.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
struct State {
    closed: Option<TransferKind>,
    writing: usize,
}

/// The gates of all cells, by name. Only cells that are written to or closed are in it.
#[derive(Debug, Default)]
pub struct Gates {
    cells: Mutex<HashMap<String, State>>,
    quiet: Condvar,
}

/// A write that is under way.
#[derive(Debug)]
pub struct Writing {
    gates: Arc<Gates>,
    cell: String,
}

/// The hold on a cell that nobody may write to.
#[derive(Debug)]
pub struct Closed {
    gates: Arc<Gates>,
    cell: String,
}

impl Gates {
    fn cells(&self) -> MutexGuard<'_, HashMap<String, State>> {
        self.cells.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a write, unless the cell is closed: then the error tells why.
    pub fn enter(self: &Arc<Self>, cell: &str) -> Result<Writing, TransferKind> {
        let mut cells = self.cells();
        let state = cells.entry(cell.to_owned()).or_default();
        if let Some(kind) = state.closed {
            return Err(kind);
        }
        state.writing += 1;
        Ok(Writing { gates: self.clone(), cell: cell.to_owned() })
    }

    /// Closes a cell once nobody writes to it any more; none if somebody still does after five seconds, or it is closed
    /// already. Blocks.
    pub fn close(self: &Arc<Self>, cell: &str, kind: TransferKind) -> Option<Closed> {
        self.close_within(cell, kind, PATIENCE)
    }

    fn close_within(self: &Arc<Self>, cell: &str, kind: TransferKind, patience: Duration) -> Option<Closed> {
        let deadline = Instant::now() + patience;
        let mut cells = self.cells();
        let state = cells.entry(cell.to_owned()).or_default();
        if state.closed.is_some() {
            return None;
        }
        state.closed = Some(kind);
        // From here on dropping opens it again.
        let closed = Closed { gates: self.clone(), cell: cell.to_owned() };
        while cells.get(cell).is_some_and(|state| state.writing > 0) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                drop(cells);
                return None;
            }
            cells = self.quiet.wait_timeout(cells, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(cells);
        Some(closed)
    }

    fn leave(&self, cell: &str, change: impl FnOnce(&mut State)) {
        let mut cells = self.cells();
        if let Some(state) = cells.get_mut(cell) {
            change(state);
            if state.writing == 0 && state.closed.is_none() {
                cells.remove(cell);
            }
        }
        drop(cells);
        self.quiet.notify_all();
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.gates.leave(&self.cell, |state| state.writing = state.writing.saturating_sub(1));
    }
}

impl Drop for Closed {
    fn drop(&mut self) {
        self.gates.leave(&self.cell, |state| state.closed = None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_waits_for_writes_and_refuses_further_ones() {
        let gates = Arc::new(Gates::default());
        let writing = gates.enter("c").expect("open");
        assert!(gates.close_within("c", TransferKind::Import, Duration::from_millis(20)).is_none(), "somebody writes");
        let second = gates.enter("c").expect("open again");
        let waiting = gates.clone();
        let closing = std::thread::spawn(move || waiting.close("c", TransferKind::Import));
        while gates.enter("c").is_ok() {
            std::thread::yield_now();
        }
        drop(writing);
        drop(second);
        let closed = closing.join().expect("no panic").expect("closed");
        assert_eq!(gates.enter("c").err(), Some(TransferKind::Import));
        assert!(gates.enter("other").is_ok());
        assert!(gates.close("c", TransferKind::Export).is_none(), "closed once");
        drop(closed);
        assert!(gates.enter("c").is_ok());
        assert!(gates.cells().is_empty());
    }
}
