//! The writer's loop and one batch from lock to answers.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use rusqlite::Connection;
use rustix::io::Errno;

use super::ahead::{self, Ahead};
use super::context::{Context, Directories};
use super::decide::decide_all;
use super::places::Places;
use super::settler::SyncJob;
use super::unsettled::Unsettled;
use super::{Message, Plan, Queued, replay};
use crate::storage::cell::Core;
use crate::storage::database::pending::{Gone, Pending, RowContent};
use crate::storage::database::{Tx, schema};
use crate::storage::error::{Error, Result};
use crate::storage::reap;

/// Operations in one batch, at most.
const BATCH: usize = 256;

/// The single writer of one cell within this process.
pub(super) struct Writer {
    pub(super) core: Arc<Core>,
    pub(super) conn: Connection,
    receiver: Receiver<Message>,
    /// They wait for the rows of all that was answered.
    pub(super) readers: Vec<Sender<Infallible>>,
    pub(super) ahead: Ahead,
    sender: Sender<Message>,
    deferred: VecDeque<Box<dyn Queued>>,
    pub(super) directories: RefCell<Directories>,
    pub(super) places: RefCell<Places>,
    pub(super) unsettled: Unsettled,
    /// Pending rows that a sync has made superfluous.
    settled: Vec<i64>,
    pub(super) reap_wanted: bool,
    /// The cell is being closed.
    stopping: bool,
    /// The change sequence when this writer last let the lock go: another value means that somebody else wrote.
    pub(super) last_seq: i64,
    pub(super) broken: bool,
    /// Pages in the write-ahead log.
    log_pages: Arc<AtomicI64>,
    /// The settler is moving the log.
    checkpointing: Arc<AtomicBool>,
    /// Operations since the connection's cache was last given back.
    pub(super) since_rest: usize,
    /// How the connection commits, as far as this writer has set it.
    durable: Option<bool>,
}

/// An operation that has been decided.
pub(super) struct Planned {
    pub(super) operation: Box<dyn Queued>,
    pub(super) plan: Plan,
    pub(super) seq: i64,
}

/// Operations with their results.
pub(super) type Done = Vec<(Box<dyn Queued>, Result<()>)>;

impl Writer {
    pub(super) fn new(
        core: Arc<Core>,
        mut conn: Connection,
        receiver: Receiver<Message>,
        sender: Sender<Message>,
    ) -> Result<Self> {
        let log_pages = schema::count_log(&mut conn)?;
        Ok(Self {
            core,
            conn,
            receiver,
            readers: Vec::new(),
            ahead: Ahead::default(),
            sender,
            deferred: VecDeque::new(),
            directories: RefCell::default(),
            places: RefCell::default(),
            unsettled: Unsettled::default(),
            settled: Vec::new(),
            reap_wanted: true,
            stopping: false,
            last_seq: -1,
            broken: false,
            log_pages,
            checkpointing: Arc::default(),
            since_rest: 0,
            durable: None,
        })
    }

    pub(super) fn run(mut self) {
        while let Some(batch) = self.gather() {
            if !self.readers.is_empty() || self.ahead.due_in() == Some(Duration::ZERO) {
                self.publish();
            }
            if self.may_go_ahead(&batch) {
                self.run_ahead(batch);
            } else if !batch.is_empty() || !self.settled.is_empty() || self.reap_wanted {
                self.run_batch(batch);
            }
            self.hand_to_settler();
            if !self.ahead.is_open() {
                self.tend_log();
            }
        }
        self.publish();
        self.stop();
    }

    /// Whether there is no work but what operations bring.
    pub(super) fn has_nothing_else_to_do(&self) -> bool {
        self.settled.is_empty() && !self.reap_wanted && !self.broken && !self.core.syncs.have_failed()
    }

    /// Waits for work; `None` when nobody can send any more.
    fn gather(&mut self) -> Option<Vec<Box<dyn Queued>>> {
        while self.unsettled.is_full() && !self.broken && !self.stopping {
            let message = self.receiver.recv().unwrap_or(Message::Stop);
            self.note(message);
        }
        let mut batch = Vec::new();
        let mut footprints = Vec::new();
        let mut later = VecDeque::new();
        for operation in std::mem::take(&mut self.deferred) {
            sort_in(operation, &mut batch, &mut footprints, &mut later);
        }
        if batch.is_empty() && self.settled.is_empty() && !self.stopping {
            if self.unsettled.is_empty() && !self.ahead.is_open() {
                // Somebody may move or remove them by hand before there is work again.
                self.directories.borrow_mut().clear();
                self.places.borrow_mut().clear();
                self.rest();
            }
            let due = [self.unsettled.due_in(), self.ahead.due_in()].into_iter().flatten().min();
            let message = match due {
                _ if self.reap_wanted => self.receiver.recv_timeout(Duration::ZERO),
                Some(wait) => self.receiver.recv_timeout(wait),
                None => self.receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match message {
                Ok(Message::Operation(o)) => sort_in(o, &mut batch, &mut footprints, &mut later),
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return None,
                Ok(other) => self.note(other),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
        if self.ahead.is_open() {
            // Who was answered a moment ago is about to send more, and many at once cost less.
            std::thread::yield_now();
        }
        while batch.len() + later.len() < BATCH && !self.stopping {
            match self.receiver.try_recv() {
                Ok(Message::Operation(o)) => sort_in(o, &mut batch, &mut footprints, &mut later),
                Ok(other) => self.note(other),
                Err(_) => break,
            }
        }
        self.deferred = later;
        if self.stopping {
            self.run_batch(batch);
            while !self.deferred.is_empty() {
                let one = self.deferred.pop_front().into_iter().collect();
                self.run_batch(one);
            }
            return None;
        }
        Some(batch)
    }

    /// Gives the connection's cache back after much work: most open cells are idle.
    fn rest(&mut self) {
        if self.since_rest < BATCH {
            return;
        }
        self.since_rest = 0;
        if let Err(e) = self.conn.execute_batch("PRAGMA shrink_memory") {
            tracing::warn!(error = %e, cell = self.core.name, "the cache cannot be given back");
        }
    }

    fn note(&mut self, message: Message) {
        match message {
            Message::Settled(rows) => {
                self.settled.extend(rows);
                self.unsettled.settled();
            }
            Message::Unsynced => self.broken = true,
            Message::Publish(reader) => self.readers.push(reader),
            Message::Reap => self.reap_wanted = true,
            Message::Operation(o) => self.deferred.push_back(o),
            Message::Stop => self.stopping = true,
        }
    }

    fn run_batch(&mut self, batch: Vec<Box<dyn Queued>>) {
        self.publish();
        // After a failure it waits for the next occasion instead of being tried again and again.
        let reap = std::mem::take(&mut self.reap_wanted);
        if (self.broken || self.core.syncs.have_failed())
            && let Err(e) = self.reopen()
        {
            tracing::error!(error = &e as &dyn std::error::Error, "the cell cannot be opened again");
            for operation in batch {
                operation.answer(Err(again(&e)));
            }
            return;
        }
        let core = self.core.clone();
        let lock = match core.lease.lock_cell(core.number) {
            Ok(lock) => lock,
            Err(e) => {
                let text = e.to_string();
                for operation in batch {
                    let source = std::io::Error::other(text.clone());
                    operation.answer(Err(Error::Io { op: "lock the cell", path: core.name.clone(), source }));
                }
                return;
            }
        };
        let mut done = Vec::new();
        // To settle changes nothing that anybody sees.
        let changes = !batch.is_empty() || core.changes.now().is_none();
        let changing = changes.then(|| core.changes.begin());
        let mut replaces = false;
        let outcome = self.transact(batch, reap, &mut done, &mut replaces);
        match changing {
            Some(changing) if replaces && outcome.is_ok() => changing.end_unchanged(),
            changing => drop(changing),
        }
        let reaped = match outcome {
            Ok(reaped) => reaped,
            Err(e) => {
                tracing::error!(error = &e as &dyn std::error::Error, cell = core.name, "a batch failed");
                Vec::new()
            }
        };
        drop(lock);
        for (operation, result) in done {
            operation.answer(result);
        }
        if !reaped.is_empty() {
            core.settler.remove(core.clone(), reaped);
        }
    }

    /// Everything under the lock. Operations leave `batch` for `done` with their results, whatever happens. `replaces` says
    /// afterwards whether files got new content and nothing else has changed that anybody can see.
    fn transact(
        &mut self,
        batch: Vec<Box<dyn Queued>>,
        reap: bool,
        done: &mut Done,
        replaces: &mut bool,
    ) -> Result<Vec<Gone>> {
        let fail_all = |batch: Vec<Box<dyn Queued>>, done: &mut Vec<_>, e: &Error| {
            for operation in batch {
                done.push((operation, Err(again(e))));
            }
        };
        if let Err(e) = self.prepare() {
            fail_all(batch, done, &e);
            return Err(e);
        }
        // Without operations, it is settled what was removed, and then the room is free.
        if batch.is_empty() || batch.iter().any(|operation| operation.may_use_reserve()) {
            self.core.reserve.use_if_needed();
        }
        let quiet = batch.iter().all(|operation| operation.waits_for_another());
        let begun = (|| {
            // What only forgets settled rows need not be durable either.
            self.set_durable(!quiet)?;
            run(&self.conn, "BEGIN IMMEDIATE")
        })();
        if let Err(source) = begun {
            let e = Error::Database { op: "begin", source };
            fail_all(batch, done, &e);
            return Err(e);
        }
        let mut planned = Vec::new();
        let decided = self.decide(batch, reap, &mut planned, done);
        let reaped = match decided {
            Ok(reaped) => reaped,
            Err(e) => {
                drop(self.conn.execute_batch("ROLLBACK"));
                self.places.borrow_mut().clear();
                for p in planned {
                    done.push((p.operation, Err(again(&e))));
                }
                return Err(e);
            }
        };
        self.settled.clear();
        self.since_rest += planned.len();
        for p in &mut planned {
            p.operation.committed();
        }
        let commit = self
            .core
            .disk
            .point("commit")
            .map_err(Error::io("commit", "cell.db"))
            .and_then(|()| run(&self.conn, "COMMIT").map_err(Error::database("commit")))
            .and_then(|()| self.core.disk.point("committed").map_err(Error::io("commit", "cell.db")));
        if let Err(e) = commit {
            // Whether it happened is unknown: the cell is opened anew and what its rows then say is done.
            self.broken = true;
            drop(self.conn.execute_batch("ROLLBACK"));
            for p in planned {
                done.push((p.operation, Err(again(&e))));
            }
            return Err(e);
        }
        *replaces = planned.iter().all(|p| p.plan.only_replaces());
        self.rename_all(planned, done)?;
        Ok(reaped)
    }

    /// Whether the next commit waits for the disk.
    fn set_durable(&mut self, durable: bool) -> rusqlite::Result<()> {
        if self.durable != Some(durable) {
            self.conn.pragma_update(None, "synchronous", if durable { "full" } else { "normal" })?;
            self.durable = Some(durable);
        }
        Ok(())
    }

    /// Makes sure that the directory is still the cell's and that nothing of a dead process is pending.
    pub(super) fn prepare(&mut self) -> Result<()> {
        self.core.still_there()?;
        ahead::recover(&self.core, &self.conn)?;
        let view = crate::storage::database::View::new(&self.conn);
        let mut dead = false;
        for owner in view.other_pending_owners(self.core.lease.owner())? {
            dead |= !self.core.lease.is_alive(owner).map_err(Error::io("look for", "owners"))?;
        }
        if dead {
            replay::replay(&self.core, &self.conn)?;
            self.directories.borrow_mut().clear();
            self.places.borrow_mut().clear();
        }
        let seq = view.change_seq()?;
        if seq != self.last_seq {
            self.directories.borrow_mut().clear();
            self.places.borrow_mut().clear();
            self.core.forget_mtimes();
        }
        Ok(())
    }

    fn decide(
        &mut self,
        batch: Vec<Box<dyn Queued>>,
        reap: bool,
        planned: &mut Vec<Planned>,
        done: &mut Done,
    ) -> Result<Vec<Gone>> {
        let tx = Tx::new(&self.conn, self.core.lease.owner())?;
        let before = tx.counters();
        for row in &self.settled {
            tx.remove_pending(*row)?;
        }
        if !self.settled.is_empty() {
            self.core.write_known_mtimes(&tx)?;
            self.places.borrow_mut().clear();
        }
        let (directories, places) = (&self.directories, &self.places);
        let ctx = Context { tx: &tx, core: &self.core, directories, places };
        decide_all(&ctx, batch, planned, done)?;
        let mut reaped = Vec::new();
        if !self.settled.is_empty() || reap {
            (reaped, self.reap_wanted) = reap::choose(&self.core, &tx)?;
        }
        write_pending(&tx, planned)?;
        tx.save_counters(before)?;
        self.last_seq = tx.seq();
        // A file whose content is in the row can be made anew; for the rest its name in `staging/` must be certain.
        let uncertain = |p: &Planned| !p.plan.steps.is_empty() && p.plan.content.is_none();
        if !self.core.volatile && planned.iter().any(uncertain) {
            self.core.disk.sync_dir(self.core.staging.as_fd()).map_err(Error::io("sync", "staging"))?;
        }
        Ok(reaped)
    }

    /// Gives what was renamed to the settler, once it has waited long enough.
    fn hand_to_settler(&mut self) {
        let Some(due) = self.unsettled.take_due() else { return };
        if self.core.volatile {
            self.settled.extend(due.rows);
            self.unsettled.settled();
            return;
        }
        let mut directories = Vec::new();
        let mut all = true;
        for path in due.directories.iter().filter(|_| due.files.is_some()) {
            match self.directories.borrow_mut().get(&self.core, path) {
                Ok(fd) => directories.push(fd),
                // Moved since, and settled then; or removed by hand, and nothing is left to be settled.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => {}
                Err(e) => {
                    tracing::error!(path, error = %e, "a directory to be synced cannot be opened");
                    all = false;
                }
            }
        }
        // The directories may be moved from now on without this writer knowing.
        self.directories.borrow_mut().clear();
        if !all {
            self.unsettled.put_back(due);
            return;
        }
        self.core.settler.sync(SyncJob {
            core: self.core.clone(),
            files: due.files,
            directories,
            rows: due.rows,
            reply: self.sender.clone(),
        });
    }

    /// Lets the write-ahead log be moved into the database, before it gets too long.
    fn tend_log(&self) {
        let pages = self.log_pages.load(Ordering::Relaxed);
        if pages > schema::LOG_PAGES_MOST {
            if let Err(e) = schema::checkpoint_by(&self.conn) {
                tracing::warn!(error = &e as &dyn std::error::Error, cell = self.core.name, "checkpoint");
            }
        } else if pages > schema::LOG_PAGES && !self.checkpointing.swap(true, Ordering::AcqRel) {
            self.core.settler.checkpoint(self.core.clone(), self.checkpointing.clone());
        }
    }

    /// Opens the database again after a commit of unknown outcome and does what its rows say.
    pub(super) fn reopen(&mut self) -> Result<()> {
        self.core.reserve.use_if_needed();
        self.conn = schema::open(&self.core.path.join("cell.db"), schema::Access::Write)?;
        self.log_pages = schema::count_log(&mut self.conn)?;
        self.durable = None;
        self.directories.borrow_mut().clear();
        self.places.borrow_mut().clear();
        let _lock = self.core.lease.lock_cell(self.core.number).map_err(Error::io("lock", "the cell"))?;
        let _changing = self.core.changes.begin();
        ahead::recover(&self.core, &self.conn)?;
        replay::replay_all(&self.core, &self.conn)?;
        self.unsettled = Unsettled::default();
        self.last_seq = -1;
        self.broken = false;
        Ok(())
    }

    /// Settles everything, so that nothing is pending or in `staging/` that need not be.
    fn stop(mut self) {
        if self.broken || self.core.syncs.have_failed() {
            return;
        }
        let core = self.core.clone();
        let settle = (|| -> Result<()> {
            let _lock = core.lease.lock_cell(core.number).map_err(Error::io("lock", "the cell"))?;
            let _changing = core.changes.begin();
            core.still_there()?;
            loop {
                self.conn.execute_batch("BEGIN IMMEDIATE").map_err(Error::database("begin"))?;
                let tx = Tx::new(&self.conn, core.lease.owner())?;
                let before = tx.counters();
                replay::settle_pending(&core, &tx)?;
                core.write_known_mtimes(&tx)?;
                // What is left of a large tree is done when the cell is opened again.
                let (reaped, _) = reap::choose(&core, &tx)?;
                tx.save_counters(before)?;
                self.conn.execute_batch("COMMIT").map_err(Error::database("commit"))?;
                let more = reaped.len() >= reap::CHUNK;
                reap::remove(&core, &reaped);
                if !more {
                    return replay::clear_own(&core, &self.conn);
                }
            }
        })();
        if let Err(e) = settle {
            tracing::warn!(error = &e as &dyn std::error::Error, cell = core.name, "the cell was closed unsettled");
        }
        self.deferred.clear();
    }
}

/// The key of the pending row of a batch.
pub(super) fn pending_row(planned: &[Planned]) -> i64 {
    planned.iter().filter(|p| !p.plan.steps.is_empty()).map(|p| p.seq).min().unwrap_or(0)
}

/// Writes the pending row of a batch.
fn write_pending(tx: &Tx<'_>, planned: &mut [Planned]) -> Result<()> {
    let mut contents = Vec::new();
    let mut operations = Vec::new();
    for Planned { plan, seq, .. } in planned.iter_mut().filter(|p| !p.plan.steps.is_empty()) {
        let content = plan.content.as_ref().map(|riding| {
            let (at, size) = (contents.len(), riding.bytes.len());
            contents.extend_from_slice(&riding.bytes);
            RowContent { version: riding.version, crc: riding.crc, at, size }
        });
        let (steps, undo) = (plan.steps.clone(), plan.undo.clone());
        operations.push(Pending { seq: *seq, op: plan.op.into(), id: plan.id, steps, undo, content });
    }
    tx.insert_pending(&operations, &contents)
}

/// A statement without parameters, prepared once.
pub(super) fn run(conn: &Connection, sql: &str) -> rusqlite::Result<()> {
    conn.prepare_cached(sql)?.execute([]).map(drop)
}

fn sort_in(
    operation: Box<dyn Queued>,
    batch: &mut Vec<Box<dyn Queued>>,
    footprints: &mut Vec<super::Footprint>,
    later: &mut VecDeque<Box<dyn Queued>>,
) {
    let footprint = operation.footprint();
    let clash = footprints.iter().any(|f| f.meets(&footprint));
    // What waits counts too: nothing overtakes an earlier operation on the same names.
    footprints.push(footprint);
    if clash {
        later.push_back(operation);
    } else {
        batch.push(operation);
    }
}

/// The same failure for one more client.
pub(super) fn again(e: &Error) -> Error {
    match e {
        Error::Io { op, path, source } => {
            let source = source.raw_os_error().map_or_else(
                || std::io::Error::new(source.kind(), source.to_string()),
                std::io::Error::from_raw_os_error,
            );
            Error::Io { op, path: path.clone(), source }
        }
        Error::Database { op, source: rusqlite::Error::SqliteFailure(e, text) } => {
            Error::Database { op, source: rusqlite::Error::SqliteFailure(*e, text.clone()) }
        }
        Error::CellMissing => Error::CellMissing,
        other => Error::Inconsistent(format!("the batch failed: {other}")),
    }
}
