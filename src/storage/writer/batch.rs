//! The writer's loop and one batch from lock to answers.

use std::cell::RefCell;
use std::collections::{HashSet, VecDeque};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rustix::io::Errno;

use super::context::{Context, Directories, Touched};
use super::settler::SyncJob;
use super::{Message, Plan, Queued, replay};
use crate::storage::cell::Core;
use crate::storage::database::pending::{Gone, How, Step};
use crate::storage::database::{Tx, schema};
use crate::storage::error::{Error, Result};
use crate::storage::{reap, tree};

/// Operations in one batch, at most.
const BATCH: usize = 256;
/// How long a rename may wait for the sync that makes its pending row superfluous.
const SETTLE_AFTER: Duration = Duration::from_millis(50);

/// The single writer of one cell within this process.
pub(super) struct Writer {
    core: Arc<Core>,
    conn: Connection,
    receiver: Receiver<Message>,
    sender: Sender<Message>,
    deferred: VecDeque<Box<dyn Queued>>,
    directories: RefCell<Directories>,
    /// Renamed, not yet given to the settler: sequence numbers and the directories to sync.
    unsettled: Vec<i64>,
    unsettled_dirs: HashSet<String>,
    unsettled_since: Option<Instant>,
    settled: Vec<i64>,
    reap_wanted: bool,
    /// The change sequence when this writer last let the lock go: another value means that somebody else wrote.
    last_seq: i64,
    broken: bool,
    /// How the connection commits, as far as this writer has set it.
    durable: Option<bool>,
}

struct Planned {
    operation: Box<dyn Queued>,
    plan: Plan,
    seq: i64,
}

impl Writer {
    pub(super) fn new(core: Arc<Core>, conn: Connection, receiver: Receiver<Message>, sender: Sender<Message>) -> Self {
        Self {
            core,
            conn,
            receiver,
            sender,
            deferred: VecDeque::new(),
            directories: RefCell::default(),
            unsettled: Vec::new(),
            unsettled_dirs: HashSet::new(),
            unsettled_since: None,
            settled: Vec::new(),
            reap_wanted: true,
            last_seq: -1,
            broken: false,
            durable: None,
        }
    }

    pub(super) fn run(mut self) {
        while let Some(batch) = self.gather() {
            if !batch.is_empty() || !self.settled.is_empty() || self.reap_wanted {
                self.run_batch(batch);
            }
            self.hand_to_settler(false);
        }
        self.stop();
    }

    /// Waits for work; `None` when nobody can send any more.
    fn gather(&mut self) -> Option<Vec<Box<dyn Queued>>> {
        let mut batch = Vec::new();
        let mut footprints = Vec::new();
        let mut later = VecDeque::new();
        for operation in std::mem::take(&mut self.deferred) {
            sort_in(operation, &mut batch, &mut footprints, &mut later);
        }
        if batch.is_empty() && self.settled.is_empty() {
            if self.unsettled_since.is_none() {
                // Somebody may move or remove them by hand before there is work again.
                self.directories.borrow_mut().clear();
            }
            let message = match self.unsettled_since {
                _ if self.reap_wanted => self.receiver.recv_timeout(Duration::ZERO),
                Some(since) => self.receiver.recv_timeout(SETTLE_AFTER.saturating_sub(since.elapsed())),
                None => self.receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match message {
                Ok(Message::Operation(o)) => sort_in(o, &mut batch, &mut footprints, &mut later),
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return None,
                Ok(other) => self.note(other),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
        let mut stop = false;
        while batch.len() + later.len() < BATCH {
            match self.receiver.try_recv() {
                Ok(Message::Operation(o)) => sort_in(o, &mut batch, &mut footprints, &mut later),
                Ok(Message::Stop) => {
                    stop = true;
                    break;
                }
                Ok(other) => self.note(other),
                Err(_) => break,
            }
        }
        self.deferred = later;
        if stop {
            self.run_batch(batch);
            while !self.deferred.is_empty() {
                let one = self.deferred.pop_front().into_iter().collect();
                self.run_batch(one);
            }
            return None;
        }
        Some(batch)
    }

    fn note(&mut self, message: Message) {
        match message {
            Message::Settled(seqs) => self.settled.extend(seqs),
            Message::Unsynced => self.broken = true,
            Message::Reap => self.reap_wanted = true,
            Message::Operation(o) => self.deferred.push_back(o),
            Message::Stop => {}
        }
    }

    fn run_batch(&mut self, batch: Vec<Box<dyn Queued>>) {
        // After a failure it waits for the next occasion instead of being tried again and again.
        let reap = std::mem::take(&mut self.reap_wanted);
        if self.broken
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
        let outcome = self.transact(batch, reap, &mut done);
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

    /// Everything under the lock. Operations leave `batch` for `done` with their results, whatever happens.
    fn transact(
        &mut self,
        batch: Vec<Box<dyn Queued>>,
        reap: bool,
        done: &mut Vec<(Box<dyn Queued>, Result<()>)>,
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
        let quiet = batch.is_empty();
        let begun = (|| {
            // What only forgets settled rows need not be durable.
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
                for p in planned {
                    done.push((p.operation, Err(again(&e))));
                }
                return Err(e);
            }
        };
        self.settled.clear();
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
    fn prepare(&mut self) -> Result<()> {
        self.core.still_there()?;
        let view = crate::storage::database::View::new(&self.conn);
        let mut dead = false;
        for owner in view.other_pending_owners(self.core.lease.owner())? {
            dead |= !self.core.lease.is_alive(owner).map_err(Error::io("look for", "owners"))?;
        }
        if dead {
            replay::replay(&self.core, &self.conn)?;
            self.directories.borrow_mut().clear();
        }
        let seq = view.change_seq()?;
        if seq != self.last_seq {
            self.directories.borrow_mut().clear();
            self.core.forget_mtimes();
        }
        Ok(())
    }

    fn decide(
        &mut self,
        batch: Vec<Box<dyn Queued>>,
        reap: bool,
        planned: &mut Vec<Planned>,
        done: &mut Vec<(Box<dyn Queued>, Result<()>)>,
    ) -> Result<Vec<Gone>> {
        let tx = Tx::new(&self.conn, self.core.lease.owner())?;
        let before = tx.counters();
        for seq in &self.settled {
            tx.remove_pending(*seq)?;
        }
        if !self.settled.is_empty() {
            self.core.write_known_mtimes(&tx)?;
        }
        let mut staged = false;
        let ctx = Context { tx: &tx, core: &self.core, directories: &self.directories };
        let mut batch = batch.into_iter();
        while let Some(mut operation) = batch.next() {
            match decide_one(&ctx, operation.as_mut()) {
                Ok((plan, seq)) => {
                    staged |= !plan.steps.is_empty();
                    planned.push(Planned { operation, plan, seq });
                }
                Err(e) if e.is_failure() => {
                    for rest in std::iter::once(operation).chain(batch) {
                        done.push((rest, Err(again(&e))));
                    }
                    return Err(e);
                }
                Err(e) => done.push((operation, Err(e))),
            }
        }
        let mut reaped = Vec::new();
        if !self.settled.is_empty() || reap {
            (reaped, self.reap_wanted) = reap::choose(&self.core, &tx)?;
        }
        tx.save_counters(before)?;
        self.last_seq = tx.seq();
        if staged {
            self.core.disk.sync_dir(self.core.staging.as_fd()).map_err(Error::io("sync", "staging"))?;
        }
        Ok(reaped)
    }

    /// Renames in commit order; what fails is taken back by a second transaction.
    fn rename_all(&mut self, planned: Vec<Planned>, done: &mut Vec<(Box<dyn Queued>, Result<()>)>) -> Result<()> {
        let mut undone = Vec::new();
        let keeps_paths = |p: &Planned| matches!(p.plan.op, "rows" | "put" | "mkcol");
        let all_keep_paths = planned.iter().all(keeps_paths);
        for p in planned {
            if p.plan.steps.is_empty() {
                done.push((p.operation, Ok(())));
                continue;
            }
            match self.rename(&p.plan) {
                Ok(()) => {
                    self.unsettled.push(p.seq);
                    self.unsettled_since.get_or_insert_with(Instant::now);
                    for step in &p.plan.steps {
                        for path in [&step.from, &step.to] {
                            let dir = tree::split(path).0;
                            if !self.unsettled_dirs.contains(dir) {
                                self.unsettled_dirs.insert(dir.to_owned());
                            }
                        }
                    }
                    done.push((p.operation, Ok(())));
                }
                Err(e) => undone.push((p, e)),
            }
        }
        if !all_keep_paths || !undone.is_empty() {
            self.directories.borrow_mut().clear();
        }
        if undone.is_empty() {
            return Ok(());
        }
        let taken_back = (|| -> Result<()> {
            self.conn.execute_batch("BEGIN IMMEDIATE").map_err(Error::database("begin"))?;
            let tx = Tx::new(&self.conn, self.core.lease.owner())?;
            let before = tx.counters();
            for (p, _) in &undone {
                tx.next_seq();
                tx.apply_undo(&p.plan.undo)?;
                tx.remove_pending(p.seq)?;
            }
            tx.save_counters(before)?;
            self.last_seq = tx.seq();
            self.conn.execute_batch("COMMIT").map_err(Error::database("commit"))
        })();
        if let Err(e) = &taken_back {
            tracing::error!(error = e as &dyn std::error::Error, "an operation could not be taken back");
            drop(self.conn.execute_batch("ROLLBACK"));
            self.broken = true;
        }
        for (p, e) in undone {
            done.push((p.operation, Err(e)));
        }
        taken_back
    }

    /// Does the renames of one operation; on failure those already done are taken back.
    fn rename(&mut self, plan: &Plan) -> Result<()> {
        let before: Vec<(Touched, i64)> =
            plan.touched.iter().map(|t| (t.clone(), self.directory_mtime(&t.path).unwrap_or(0))).collect();
        for (i, step) in plan.steps.iter().enumerate() {
            if let Err(e) = self.rename_step(step) {
                for back in plan.steps[..i].iter().rev() {
                    let reverse = Step { how: back.how, from: back.to.clone(), to: back.from.clone(), ino: back.ino };
                    if let Err(worse) = self.rename_step(&reverse) {
                        tracing::error!(error = &worse as &dyn std::error::Error, "a rename could not be taken back");
                    }
                }
                return Err(e);
            }
        }
        for (t, mtime) in before {
            // An earlier operation of this batch may have changed the same directory since this one was decided.
            let agreed = mtime != 0 && mtime == self.core.latest_mtime(t.id).unwrap_or(t.known_mtime_ns);
            let now = if agreed { self.directory_mtime(&t.path).unwrap_or(0) } else { 0 };
            self.core.remember_mtime(t.id, now);
        }
        Ok(())
    }

    fn rename_step(&mut self, step: &Step) -> Result<()> {
        let mut directories = self.directories.borrow_mut();
        let (from_dir, from) = tree::split(&step.from);
        let (to_dir, to) = tree::split(&step.to);
        let from_fd = directories.get(&self.core, from_dir).map_err(Error::errno("open the directory", from_dir))?;
        let to_fd = directories.get(&self.core, to_dir).map_err(Error::errno("open the directory", to_dir))?;
        match step.how {
            How::Move => self.core.disk.rename((&from_fd, from), (&to_fd, to)),
            How::Exchange => self.core.disk.exchange((&from_fd, from), (&to_fd, to)),
        }
        .map_err(Error::io("rename", step.to.clone()))
    }

    fn directory_mtime(&self, path: &str) -> Option<i64> {
        let fd = self.directories.borrow_mut().get(&self.core, path).ok()?;
        rustix::fs::fstat(&fd).ok().map(|s| tree::mtime_ns(&s))
    }

    /// Gives what was renamed to the settler, once it has waited long enough.
    fn hand_to_settler(&mut self, now: bool) {
        let due = self.unsettled_since.is_some_and(|since| now || since.elapsed() >= SETTLE_AFTER);
        if !due {
            return;
        }
        let mut directories = Vec::new();
        let mut all = true;
        for path in &self.unsettled_dirs {
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
            // All of it is tried again, so that nothing later is settled before it.
            self.unsettled_since = Some(Instant::now());
            return;
        }
        self.unsettled_since = None;
        self.unsettled_dirs.clear();
        let seqs = std::mem::take(&mut self.unsettled);
        let wal = self.core.path.join("cell.db-wal");
        let checkpoint = std::fs::metadata(wal).is_ok_and(|m| m.len() as i64 > schema::LOG_BYTES);
        self.core.settler.sync(SyncJob {
            core: self.core.clone(),
            directories,
            seqs,
            checkpoint,
            reply: self.sender.clone(),
        });
    }

    /// Opens the database again after a commit of unknown outcome and does what its rows say.
    fn reopen(&mut self) -> Result<()> {
        let conn = schema::open(&self.core.path.join("cell.db"), schema::Access::Write)?;
        self.conn = conn;
        self.durable = None;
        self.directories.borrow_mut().clear();
        let _lock = self.core.lease.lock_cell(self.core.number).map_err(Error::io("lock", "the cell"))?;
        replay::replay_all(&self.core, &self.conn)?;
        self.unsettled.clear();
        self.unsettled_dirs.clear();
        self.unsettled_since = None;
        self.last_seq = -1;
        self.broken = false;
        Ok(())
    }

    /// Settles everything, so that nothing is pending or in `staging/` that need not be.
    fn stop(mut self) {
        if self.broken {
            return;
        }
        let core = self.core.clone();
        let settle = (|| -> Result<()> {
            let _lock = core.lease.lock_cell(core.number).map_err(Error::io("lock", "the cell"))?;
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

/// A statement without parameters, prepared once.
fn run(conn: &Connection, sql: &str) -> rusqlite::Result<()> {
    conn.prepare_cached(sql)?.execute([]).map(drop)
}

/// One operation under a savepoint of its own.
fn decide_one(ctx: &Context<'_>, operation: &mut dyn Queued) -> Result<(Plan, i64)> {
    let tx = ctx.tx;
    let before = tx.counters();
    let run = |sql: &str| run(tx.conn(), sql).map_err(Error::database("savepoint"));
    run("SAVEPOINT operation")?;
    let seq = tx.next_seq();
    let decided = operation.decide(ctx).and_then(|plan| {
        if !plan.steps.is_empty() {
            tx.insert_pending(seq, plan.op, plan.id, &plan.steps, &plan.undo)?;
        }
        Ok(plan)
    });
    match decided {
        Ok(plan) => {
            run("RELEASE operation")?;
            Ok((plan, seq))
        }
        Err(e) => {
            run("ROLLBACK TO operation")?;
            run("RELEASE operation")?;
            tx.set_counters(before);
            Err(e)
        }
    }
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
fn again(e: &Error) -> Error {
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
