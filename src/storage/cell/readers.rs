//! Connections of readers that are idle: opening one costs more than most reads.
//!
//! Each cell keeps a few. Where many read one cell at once it keeps more, as long as few cells do.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, TryLockError};

use rusqlite::Connection;

use super::locked;

/// What each cell may keep.
const OF_EACH: usize = 4;

/// What all cells together may keep beyond that.
const OF_ALL: usize = 64;

static MORE: AtomicUsize = AtomicUsize::new(0);

/// The idle connections of one cell.
#[derive(Debug, Default)]
pub(super) struct Readers(Mutex<Vec<Connection>>);

impl Readers {
    /// One of them, if there is one.
    pub(super) fn take(&self) -> Option<Connection> {
        taken(&mut locked(&self.0))
    }

    /// The same without waiting.
    pub(super) fn take_now(&self) -> Option<Connection> {
        match self.0.try_lock() {
            Ok(mut idle) => taken(&mut idle),
            Err(TryLockError::Poisoned(idle)) => taken(&mut idle.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Keeps one, or closes it where there are enough.
    pub(super) fn give(&self, conn: Connection) {
        let mut idle = locked(&self.0);
        let room = |more: usize| (more < OF_ALL).then_some(more + 1);
        if idle.len() < OF_EACH || MORE.fetch_update(Relaxed, Relaxed, room).is_ok() {
            idle.push(conn);
        }
    }
}

fn taken(idle: &mut Vec<Connection>) -> Option<Connection> {
    if idle.len() > OF_EACH {
        MORE.fetch_sub(1, Relaxed);
    }
    idle.pop()
}

impl Drop for Readers {
    fn drop(&mut self) {
        while self.take().is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_keeps_more_connections_only_while_there_are_few() {
        let open = || Connection::open_in_memory().expect("a database");
        let cells: Vec<Readers> = (0..4).map(|_| Readers::default()).collect();
        let kept = |readers: &Readers| locked(&readers.0).len();
        for cell in &cells {
            (0..OF_ALL).for_each(|_| cell.give(open()));
        }
        let all: usize = cells.iter().map(kept).sum();
        assert!(all <= OF_ALL + cells.len() * OF_EACH && cells.iter().all(|cell| kept(cell) >= OF_EACH), "{all}");
        drop(cells);
        let cell = Readers::default();
        (0..2 * OF_EACH).for_each(|_| cell.give(open()));
        assert_eq!(kept(&cell), 2 * OF_EACH, "places are given back");
        assert!(cell.take_now().is_some() && cell.take().is_some());
    }
}
