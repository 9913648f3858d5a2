//! Files that are answered before their rows are committed: where a power cut leaves nothing anyway, and the last seconds may go.
//!
//! On a volatile file system, with `storage.durability = "relaxed"`, a batch of nothing but new files leaves its transaction open for
//! the next one. It is committed a few milliseconds later, or at once when somebody wants to read, to change anything else, or
//! to open the cell: the cell's lock is held, and its change number odd, all the time. What a killed process had answered is
//! told by the log (`ahead/log.rs`), which is written before the renames, and `ahead/recovery.rs` makes the rows from it. In all else such
//! a batch goes as any other does. Contract: `docs/on-disk.md`.

mod log;
mod recovery;

use std::time::{Duration, Instant};

use super::Queued;
use super::batch::{Done, Planned, Writer, again, run};
use super::context::Context;
use super::decide::decide_all;
use crate::storage::changes::Changing;
use crate::storage::database::Tx;
use crate::storage::database::tx::{Counters, Unsaved};
use crate::storage::error::{Error, Result};
use crate::storage::lease::CellLock;

use log::Log;
pub(super) use recovery::recover;

/// How long rows may follow their answers.
const BEHIND: Duration = Duration::from_millis(25);
/// Operations of one transaction, at most about.
const MOST: usize = 2048;
/// After how many commits another process gets the cell's lock for sure, if it waits for it, and how long it has to take it.
const TURNS: u32 = 32;
const TURN: Duration = Duration::from_micros(500);
/// How often the rows of directories learn their times while much goes on.
const TIMES: Duration = Duration::from_millis(100);

/// What this writer has answered and not committed.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    log: Log,
    open: Option<Open>,
    times_written: Option<Instant>,
    commits: u32,
}

/// A transaction that waits for more.
#[derive(Debug)]
struct Open {
    // Dropped in this order: who gets the lock finds an even number.
    changing: Changing,
    lock: CellLock,
    before: Counters,
    unsaved: Unsaved,
    since: Instant,
    operations: usize,
    /// Files got new content, and nothing else has changed.
    only_replaces: bool,
    replaces: bool,
}

impl Ahead {
    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// How long the rows may still wait; none if there are none.
    pub(super) fn due_in(&self) -> Option<Duration> {
        let open = self.open.as_ref()?;
        Some(if open.operations >= MOST { Duration::ZERO } else { BEHIND.saturating_sub(open.since.elapsed()) })
    }
}

impl Writer {
    /// Whether all of a batch may be answered before its rows are committed.
    pub(super) fn may_go_ahead(&self, batch: &[Box<dyn Queued>]) -> bool {
        self.core.volatile
            && self.core.limits.relaxed
            && self.has_nothing_else_to_do()
            && !batch.is_empty()
            && batch.iter().all(|operation| operation.may_go_ahead())
    }

    /// Answers a batch, its rows being there for the next one only.
    pub(super) fn run_ahead(&mut self, batch: Vec<Box<dyn Queued>>) {
        let mut done = Vec::new();
        let begun = if self.ahead.is_open() { Ok(()) } else { self.begin_ahead() };
        if let Err(e) = begun {
            tracing::error!(error = &e as &dyn std::error::Error, cell = self.core.name, "a batch failed");
            done.extend(batch.into_iter().map(|operation| (operation, Err(again(&e)))));
        } else if let Err(e) = self.go_ahead(batch, &mut done) {
            tracing::error!(error = &e as &dyn std::error::Error, cell = self.core.name, "a batch failed");
            self.give_up_ahead();
        }
        for (operation, result) in done {
            operation.answer(result);
        }
    }

    fn begin_ahead(&mut self) -> Result<()> {
        let core = self.core.clone();
        let lock = core.lease.lock_cell(core.number).map_err(Error::io("lock the cell", core.name.clone()))?;
        let changing = core.changes.begin();
        self.prepare()?;
        self.ahead.log.begin(&core)?;
        run(&self.conn, "BEGIN IMMEDIATE").map_err(Error::database("begin"))?;
        let unsaved = match Tx::new(&self.conn, core.lease.owner()).and_then(Tx::pause) {
            Ok(unsaved) => unsaved,
            Err(e) => {
                drop(run(&self.conn, "ROLLBACK"));
                return Err(e);
            }
        };
        core.ahead.store(true, std::sync::atomic::Ordering::Release);
        self.ahead.open = Some(Open {
            changing,
            lock,
            before: unsaved.counters,
            unsaved,
            since: Instant::now(),
            operations: 0,
            only_replaces: true,
            replaces: false,
        });
        Ok(())
    }

    /// One batch within the open transaction. On failure nothing of what it left in the transaction may be kept.
    fn go_ahead(&mut self, batch: Vec<Box<dyn Queued>>, done: &mut Done) -> Result<()> {
        let core = self.core.clone();
        let Some(open) = &mut self.ahead.open else { return Err(Error::Inconsistent("no transaction".to_owned())) };
        let asked = batch.len();
        let tx = Tx::resume(&self.conn, core.lease.owner(), std::mem::take(&mut open.unsaved));
        let first = tx.seq();
        let ctx = Context { tx: &tx, core: &core, directories: &self.directories, places: &self.places };
        let mut planned = Vec::new();
        let decided = decide_all(&ctx, batch, &mut planned, done);
        // What was found by hand is not in the log.
        let adopted = tx.seq() - first != asked as i64;
        let mut unsaved = decided.and_then(|()| tx.pause());
        if unsaved.is_ok() {
            for p in &mut planned {
                p.operation.committed();
            }
            if let Err(e) = self.ahead.log.write_done(&core, &planned) {
                unsaved = Err(e);
            }
        }
        let mut unsaved = match unsaved {
            Ok(unsaved) => unsaved,
            Err(e) => {
                done.extend(planned.into_iter().map(|p| (p.operation, Err(again(&e)))));
                return Err(e);
            }
        };
        open.only_replaces &= planned.iter().all(|p| p.plan.only_replaces());
        open.replaces |= planned.iter().any(|p| p.plan.only_replaces());
        open.operations += asked;
        self.since_rest += asked;
        let undone = self.rename_ahead(planned, done);
        if !undone.is_empty() {
            unsaved = self.take_back(unsaved, undone, done)?;
        }
        self.last_seq = unsaved.counters.seq;
        if let Some(open) = &mut self.ahead.open {
            open.unsaved = unsaved;
        }
        if adopted {
            self.publish();
        }
        Ok(())
    }

    /// Renames; returns what could not be.
    fn rename_ahead(&mut self, planned: Vec<Planned>, done: &mut Done) -> Vec<(Planned, Error)> {
        let mut undone = Vec::new();
        for p in planned {
            match self.rename(&p.plan) {
                Ok(()) => done.push((p.operation, Ok(()))),
                Err(e) => undone.push((p, e)),
            }
        }
        undone
    }

    /// Takes back what could not be renamed.
    fn take_back(&mut self, unsaved: Unsaved, undone: Vec<(Planned, Error)>, done: &mut Done) -> Result<Unsaved> {
        let core = self.core.clone();
        self.places.borrow_mut().clear();
        let taken_back = (|| {
            self.ahead.log.write_undone(&core, undone.iter().map(|(p, _)| p.seq).collect())?;
            let tx = Tx::resume(&self.conn, core.lease.owner(), unsaved);
            for (p, _) in &undone {
                tx.next_seq();
                tx.apply_undo(&p.plan.undo)?;
            }
            tx.pause()
        })();
        done.extend(undone.into_iter().map(|(p, e)| (p.operation, Err(e))));
        taken_back
    }

    /// Commits what was answered, and lets those go on who wait for that.
    pub(super) fn publish(&mut self) {
        if let Some(open) = self.ahead.open.take() {
            self.commit_ahead(open);
        }
        self.readers.clear();
    }

    fn commit_ahead(&mut self, open: Open) {
        let core = self.core.clone();
        let Open { changing, lock, before, unsaved, only_replaces, replaces, .. } = open;
        let committed = (|| {
            core.disk.point("publish").map_err(Error::io("commit", "cell.db"))?;
            let tx = Tx::resume(&self.conn, core.lease.owner(), unsaved);
            if self.ahead.times_written.is_none_or(|at| at.elapsed() >= TIMES) {
                core.write_known_mtimes(&tx)?;
                self.places.borrow_mut().clear();
                self.ahead.times_written = Some(Instant::now());
            }
            tx.save_counters(before)?;
            run(&self.conn, "COMMIT").map_err(Error::database("commit"))
        })();
        match committed {
            Ok(()) => {
                self.ahead.log.end();
                self.reap_wanted |= replaces;
                if only_replaces {
                    changing.end_unchanged();
                }
                drop(lock);
                core.ahead.store(false, std::sync::atomic::Ordering::Release);
                self.ahead.commits = self.ahead.commits.wrapping_add(1);
                if self.ahead.commits.is_multiple_of(TURNS) {
                    std::thread::sleep(TURN);
                }
            }
            Err(e) => {
                tracing::error!(error = &e as &dyn std::error::Error, cell = core.name, "rows cannot be committed");
                drop((changing, lock));
                self.give_up_ahead();
            }
        }
    }

    /// Takes back the open transaction and makes the rows of what was answered from the log.
    fn give_up_ahead(&mut self) {
        drop(run(&self.conn, "ROLLBACK"));
        self.ahead.open = None;
        self.places.borrow_mut().clear();
        self.broken = true;
        if let Err(e) = self.reopen() {
            tracing::error!(
                error = &e as &dyn std::error::Error,
                cell = self.core.name,
                "the cell cannot be opened again"
            );
        }
        self.core.ahead.store(false, std::sync::atomic::Ordering::Release);
    }
}
