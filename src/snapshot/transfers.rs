//! Exports and imports of whole cells, as jobs: one at a time for a cell, some at a time for the unit, the others in line.
//!
//! A job has a row from before its request is answered to the moment when its outcome is there. Whatever happens, panics and
//! full disks too, it ends: with a file, with an `.error`, or as an import that has failed.

mod ending;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::export::{self, ExportOf};
use super::failure::{EXPORT_CANCELLED, EXPORT_STOPPED, Failure, IMPORT_CANCELLED, IMPORT_STOPPED};
use super::gate::{Closed, Gates};
use super::import::{self, SnapshotSource};
pub use super::progress::Detail;
use super::progress::Progress;
use crate::base::queue::{self, Queue, Refused as NotTaken};
use crate::domain::event::{Event, EventLog, LOCAL_CELL};
use crate::storage::database::View;
use crate::storage::database::area::{Transfer, TransferKind};
use crate::storage::operation::area::BeginTransfer;
use crate::storage::unit::{CellRecord, Unit};
use crate::storage::{self, Cell};

/// Attempts at a moment whose files are changed by hand while they are read.
const ATTEMPTS: usize = 5;

/// How exports and imports are done.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Writes of a cell are refused while it is exported.
    pub exclusive: bool,
    /// Jobs that may wait.
    pub queue: usize,
    /// How hard exports compress: 1 to 9.
    pub level: u32,
}

/// Why a job does not begin.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error("{} runs", .0.label())]
    Busy(TransferKind),
    #[error("the name is taken")]
    Exists,
    #[error("the cell is being written to")]
    Accessed,
    #[error("no such snapshot")]
    Missing,
    #[error(transparent)]
    Snapshot(#[from] Failure),
    #[error(transparent)]
    Store(#[from] storage::Error),
}

/// Who asked for a job.
#[derive(Debug, Clone)]
pub struct Asked {
    pub request_key: String,
    /// With its trailing slash.
    pub cell_url: String,
}

/// A job as its status tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    Ready,
    Running {
        name: String,
        started_ms: i64,
        progress: i64,
        /// None where another process does it.
        detail: Option<Detail>,
    },
    /// Of an import, until the next one.
    Failed {
        name: String,
        started_ms: i64,
        progress: i64,
        /// JSON: code and message.
        message: String,
    },
}

#[derive(Debug)]
struct Active {
    kind: TransferKind,
    progress: Arc<Progress>,
    /// The name, and when it began; none before it has.
    begun: Option<(String, i64)>,
}

/// The jobs of a process.
#[derive(Debug)]
pub struct Transfers {
    unit: Arc<Unit>,
    log: Arc<EventLog>,
    gates: Arc<Gates>,
    rules: Rules,
    active: Mutex<HashMap<i64, Active>>,
    queue: Queue<Box<Job>>,
}

/// A job that has begun, with everything that it needs.
pub(super) struct Job {
    transfers: Arc<Transfers>,
    cell: Arc<Cell>,
    transfer: Transfer,
    progress: Arc<Progress>,
    asked: Asked,
    work: Work,
    closed: Option<Closed>,
}

enum Work {
    Export(ExportOf),
    Import(CellRecord, Box<SnapshotSource>),
}

impl Transfers {
    pub fn new(unit: Arc<Unit>, log: Arc<EventLog>, rules: Rules) -> Arc<Self> {
        // Each has several threads of its own.
        let workers = std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 10);
        let queue = Queue::new(workers, rules.queue);
        Arc::new(Self { unit, log, gates: Arc::default(), rules, active: Mutex::default(), queue })
    }

    /// Who may write to which cell.
    pub fn gates(&self) -> &Arc<Gates> {
        &self.gates
    }

    /// How hard exports compress.
    pub fn level(&self) -> u32 {
        self.rules.level
    }

    fn active(&self) -> MutexGuard<'_, HashMap<i64, Active>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What runs in a cell.
    pub fn running(&self, cell: &Cell) -> storage::Result<Option<TransferKind>> {
        if let Some(active) = self.active().get(&cell.number()) {
            return Ok(Some(active.kind));
        }
        let others = |v: &View<'_>| {
            Ok(v.transfers()?.into_iter().filter(|t| !t.failed && t.owner != cell.owner()).collect::<Vec<_>>())
        };
        let mut elsewhere = cell.read(others)?.into_iter();
        elsewhere.find(|t| cell.owner_lives(t.owner)).map_or(Ok(None), |t| Ok(Some(t.kind)))
    }

    /// How the latest job of a kind stands.
    pub fn status(&self, cell: &Cell, kind: TransferKind) -> storage::Result<Status> {
        // A job of this process is over when everything is as it was before, which is a little later than its row tells.
        if let Some(active) = self.active().get(&cell.number()).filter(|a| a.kind == kind)
            && let Some((name, started_ms)) = active.begun.clone()
        {
            let (progress, detail) = (active.progress.percent(), Some(active.progress.detail()));
            return Ok(Status::Running { name, started_ms, progress, detail });
        }
        let Some(row) = cell.read(|v| v.transfer(kind))? else { return Ok(Status::Ready) };
        let Transfer { name, started_ms, message, .. } = row;
        if row.failed {
            return Ok(Status::Failed { name, started_ms, progress: row.progress, message });
        }
        let elsewhere = row.owner != cell.owner() && cell.owner_lives(row.owner);
        let running = Status::Running { name, started_ms, progress: row.progress, detail: None };
        Ok(if elsewhere { running } else { Status::Ready })
    }

    /// Begins an export. Its status can be asked when this returns. Blocks.
    pub fn export(self: &Arc<Self>, cell: Arc<Cell>, name: &str, of: ExportOf, asked: Asked) -> Result<(), Refused> {
        let reserved = self.reserve(cell.number(), TransferKind::Export)?;
        let mut closed = None;
        if self.rules.exclusive {
            closed = Some(self.gates.close(cell.name(), TransferKind::Export).ok_or(Refused::Accessed)?);
        }
        let begin =
            BeginTransfer { kind: TransferKind::Export, name: name.to_owned(), message: EXPORT_STOPPED.document() };
        let transfer = cell.change(begin).map_err(|e| match e {
            storage::Error::Exists => Refused::Exists,
            other => Refused::Store(other),
        })?;
        let progress = reserved.keep(&transfer);
        self.submit(Job { transfers: self.clone(), cell, transfer, progress, asked, work: Work::Export(of), closed });
        Ok(())
    }

    /// Begins an import, once nobody writes to the cell. `installing` tells whether a box is being installed in it. Blocks.
    pub fn import(
        self: &Arc<Self>,
        cell: Arc<Cell>,
        record: CellRecord,
        name: &str,
        asked: Asked,
        installing: &dyn Fn(i64) -> bool,
    ) -> Result<(), Refused> {
        let reserved = self.reserve(cell.number(), TransferKind::Import)?;
        let (_, file) = cell.open_snapshot(&format!("{name}.zip"))?.ok_or(Refused::Missing)?;
        let source = Box::new(SnapshotSource::open(file, &|| cell.spool())?);
        let closed = self.gates.close(cell.name(), TransferKind::Import).ok_or(Refused::Accessed)?;
        if installing(cell.number()) {
            return Err(Refused::Accessed);
        }
        let begin =
            BeginTransfer { kind: TransferKind::Import, name: name.to_owned(), message: IMPORT_STOPPED.document() };
        let transfer = cell.change(begin)?;
        let (progress, closed) = (reserved.keep(&transfer), Some(closed));
        let work = Work::Import(record, source);
        self.submit(Job { transfers: self.clone(), cell, transfer, progress, asked, work, closed });
        Ok(())
    }

    fn submit(&self, job: Job) {
        if let Err(e) = self.unit.set_busy(job.cell.number(), true) {
            tracing::warn!(
                error = &e as &dyn std::error::Error,
                "a job is found after a crash when its cell is opened"
            );
        }
        match self.queue.submit(Box::new(job)) {
            Ok(()) => {}
            Err(NotTaken::Full(job)) => job.give_up(Failure::TooMany),
            Err(NotTaken::Closed(job)) => {
                let failure = job.stopped();
                job.give_up(failure);
            }
        }
    }

    /// Ends the job of a kind that runs in a cell, or waits there: of an export nothing is left, after an import the cell is as
    /// it was. The job may be through before it notices. Tells whether there was one. It has ended when its status tells so.
    pub fn cancel(&self, cell: &Cell, kind: TransferKind) -> bool {
        let number = cell.number();
        let Some(()) = self.active().get(&number).filter(|a| a.kind == kind).map(|a| a.progress.cancel()) else {
            return false;
        };
        self.queue.take_out(|job| job.cell.number() == number && job.transfer.kind == kind);
        true
    }

    /// Makes a job the cell's only one.
    fn reserve(self: &Arc<Self>, number: i64, kind: TransferKind) -> Result<Reserved, Refused> {
        let mut active = self.active();
        if let Some(other) = active.get(&number) {
            return Err(Refused::Busy(other.kind));
        }
        let progress = Arc::new(Progress::default());
        active.insert(number, Active { kind, progress: progress.clone(), begun: None });
        Ok(Reserved { transfers: self.clone(), number, progress, kept: false })
    }

    /// Lets no job begin in a cell as long as what is returned lives; tells which one runs already.
    pub fn hold(self: &Arc<Self>, number: i64) -> Result<Reserved, TransferKind> {
        self.reserve(number, TransferKind::Export).map_err(|refused| match refused {
            Refused::Busy(kind) => kind,
            _ => TransferKind::Export,
        })
    }

    fn release(&self, number: i64) {
        self.active().remove(&number);
        if let Err(e) = self.unit.set_busy(number, false) {
            tracing::warn!(error = &e as &dyn std::error::Error, "a cell stays marked as busy");
        }
    }

    /// Ends every job, those that run as soon as they notice, and waits for that. Blocks.
    pub fn close(&self) {
        self.active().values().for_each(|active| active.progress.stop());
        self.queue.close();
    }
}

/// The place of a job that has not begun yet.
#[derive(Debug)]
pub struct Reserved {
    transfers: Arc<Transfers>,
    number: i64,
    progress: Arc<Progress>,
    kept: bool,
}

impl Reserved {
    fn keep(mut self, transfer: &Transfer) -> Arc<Progress> {
        self.kept = true;
        if let Some(active) = self.transfers.active().get_mut(&self.number) {
            active.begun = Some((transfer.name.clone(), transfer.started_ms));
        }
        self.progress.clone()
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if !self.kept {
            self.transfers.active().remove(&self.number);
        }
    }
}

impl queue::Job for Box<Job> {
    const NAME: &'static str = "transfer";
    const NICE: i32 = 10;

    fn run(self) {
        Job::run(*self);
    }

    fn give_up(self) {
        let failure = self.stopped();
        Job::give_up(*self, failure);
    }
}

impl Job {
    /// Does the work, to its end. Never panics.
    fn run(self) {
        match &self.work {
            Work::Export(of) => {
                let outcome = catch_unwind(AssertUnwindSafe(|| self.export(of))).unwrap_or(Err(Failure::Unknown));
                self.end_export(outcome);
            }
            Work::Import(record, source) => {
                let import = || import::run(&self.transfers.unit, &self.cell, record, source, &self.progress);
                let outcome = catch_unwind(AssertUnwindSafe(import)).unwrap_or(Err(Failure::Unknown));
                self.end_import(outcome);
            }
        }
    }

    /// What is told of the job if it is not brought to its end.
    fn stopped(&self) -> Failure {
        match self.work {
            Work::Export(_) if self.progress.is_cancelled() => EXPORT_CANCELLED,
            Work::Import(..) if self.progress.is_cancelled() => IMPORT_CANCELLED,
            Work::Export(_) => EXPORT_STOPPED,
            Work::Import(..) => IMPORT_STOPPED,
        }
    }

    fn export(&self, of: &ExportOf) -> Result<storage::area::StagedSnapshot, Failure> {
        for _ in 1..ATTEMPTS {
            match export::write(&self.cell, of, &self.progress) {
                Err(Failure::Broken(entry)) => {
                    tracing::warn!(
                        cell = self.cell.name(),
                        entry,
                        "changed by hand during an export, which begins anew"
                    );
                }
                outcome => return outcome,
            }
        }
        export::write(&self.cell, of, &self.progress)
    }

    /// Ends the job without having done anything.
    fn give_up(self, failure: Failure) {
        match &self.work {
            Work::Export(_) => self.end_export(Err(failure)),
            Work::Import(..) => self.end_import(Err(failure)),
        }
    }

    fn publish(&self, cell: &Cell, event_type: &str, object: &str) {
        let event = Event {
            event_type: event_type.to_owned(),
            object: Some(format!("{LOCAL_CELL}{object}")),
            info: Some(String::new()),
            ..Event::default()
        };
        self.transfers.log.publish(cell, &self.asked.request_key, &[event], &self.asked.cell_url, false);
    }
}
