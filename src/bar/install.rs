//! Installing a box from a bar: what is decided before the answer, and the work that goes on after it.
//!
//! [`Installer::prepare`] checks the bar and makes the box, which everybody can see from then on and nobody can use. The work
//! ([`Accepted::run`]) builds the content in a hidden place; the rows of roles, rules and the like are collected and checked
//! in order, and written with the transaction that lets everything appear. An installation that fails keeps what came before
//! the entry that failed. Whatever happens, panics and full disks too, the box ends as ready or as failed.

mod acl;
mod bar_file;
mod contents;
mod declare;
mod ending;
mod objects;
mod report;
mod status;
mod work;

use std::collections::HashMap;
use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

pub use status::{BoxStatus, status_of};

use bar_file::BarFile;

use super::Layout;
use super::event::InstallEvent;
use super::inspect::{BarLimits, Plan, Stop, inspect};
use super::refusal::Refusal;
use crate::base::clock;
use crate::base::queue::{Job, Queue, Refused};
use crate::domain::event::{Event, EventLog, LOCAL_CELL};
use crate::storage;
use crate::storage::cell::Cell;
use crate::storage::database::cell_box::CellBox;
use crate::storage::operation::install::{BeginInstall, Begun};
use crate::storage::unit::Unit;
use crate::storage::writer::{Permission, Permitted};

/// In place of the number of a cell's installations: none may begin.
const HELD: usize = usize::MAX;
/// Installations that run at the same time; further ones wait.
const WORKERS: usize = 20;

/// What a client asks for.
#[derive(Debug)]
pub struct InstallRequest {
    pub box_name: String,
    /// The whole bar.
    pub bar: File,
    pub request_key: String,
    /// All URLs of the cell, each with its trailing slash; the first one is written in the log.
    pub cell_urls: Vec<String>,
}

/// Why an installation does not begin.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Store(#[from] storage::Error),
}

/// Installs boxes in the cells of a unit.
#[derive(Debug)]
pub struct Installer {
    unit: Arc<Unit>,
    log: Arc<EventLog>,
    limits: BarLimits,
    queue: Queue<Accepted>,
    /// Installations of each cell that have not ended.
    busy: Mutex<HashMap<i64, usize>>,
    /// Those that have not ended, by cell and box: each with what makes it end.
    running: Mutex<HashMap<(i64, i64), Arc<AtomicBool>>>,
    stopping: AtomicBool,
}

/// An installation that has begun. Dropped without having run, it fails.
#[derive(Debug)]
pub struct Accepted {
    install: Option<Box<Install>>,
}

/// Everything that the work needs.
#[derive(Debug)]
struct Install {
    installer: Arc<Installer>,
    cell: Arc<Cell>,
    begun: Begun,
    bar: BarFile,
    plan: Plan,
    request_key: String,
    cell_urls: Vec<String>,
    everything: bool,
    /// Somebody wants it to end.
    cancelled: Arc<AtomicBool>,
    /// Given back when the installation has ended.
    _busy: BusyMark,
}

impl Installer {
    pub fn new(unit: Arc<Unit>, log: Arc<EventLog>, limits: BarLimits) -> Arc<Self> {
        Arc::new(Self {
            unit,
            log,
            limits,
            queue: Queue::new(WORKERS, usize::MAX),
            busy: Mutex::default(),
            running: Mutex::default(),
            stopping: AtomicBool::new(false),
        })
    }

    /// Checks a bar and begins its installation. Blocks.
    pub fn prepare(self: &Arc<Self>, cell: Arc<Cell>, request: InstallRequest) -> Result<Accepted, PrepareError> {
        self.prepare_if(cell, request, Box::new(|_| Ok(())))
    }

    /// As [`Self::prepare`], if that is allowed at the moment when the box appears.
    pub fn prepare_if(
        self: &Arc<Self>,
        cell: Arc<Cell>,
        request: InstallRequest,
        permission: Permission,
    ) -> Result<Accepted, PrepareError> {
        let InstallRequest { box_name, bar, request_key, cell_urls } = request;
        let (bar, bytes) = BarFile::open(bar, &self.limits)?;
        let schema_taken = |schema: &str| cell.read(|v| Ok(v.box_with_schema(schema)?.is_some()));
        let name_taken = || cell.read(|v| Ok(v.cell_box(&box_name)?.is_some()));
        let plan = inspect(&bar, bytes, &box_name, &self.limits, schema_taken, name_taken).map_err(|e| match e {
            Stop::Refused(refusal) => PrepareError::Refused(refusal),
            Stop::Failed(e) => PrepareError::Store(e),
        })?;
        cell.check_room(bar.content_bytes(plan.layout))?;
        let everything = self.log.installs_everything(&cell)?;
        let busy = BusyMark::new(self, cell.number())?;
        let begin =
            BeginInstall { name: box_name.clone(), schema: plan.schema.clone(), request_key: request_key.clone() };
        let before = clock::now_ms();
        let begun = cell.change(Permitted(permission, begin)).map_err(|e| match e {
            storage::Error::SchemaTaken => {
                Refusal::SchemaTaken { schema: plan.schema.clone().unwrap_or_default() }.into()
            }
            storage::Error::Exists => Refusal::NameTaken { name: box_name.clone() }.into(),
            refused @ storage::Error::Refused(_) => PrepareError::Store(refused),
            other => {
                ending::abandon_unheard(&cell, &box_name, &request_key, before);
                PrepareError::Store(other)
            }
        })?;
        let (installer, cancelled) = (self.clone(), Arc::new(AtomicBool::new(false)));
        let key = (cell.number(), begun.cell_box.id);
        self.running.lock().unwrap_or_else(PoisonError::into_inner).insert(key, cancelled.clone());
        let install =
            Install { installer, cell, begun, bar, plan, request_key, cell_urls, everything, cancelled, _busy: busy };
        install.announce();
        Ok(Accepted { install: Some(Box::new(install)) })
    }

    /// Lets an installation run as soon as its turn comes.
    pub fn enqueue(&self, accepted: Accepted) {
        match self.queue.submit(accepted) {
            Ok(()) => {}
            // It fails by being dropped.
            Err(Refused::Closed(accepted) | Refused::Full(accepted)) => drop(accepted),
        }
    }

    /// Whether an installation in this cell has not ended.
    pub fn is_busy(&self, cell: i64) -> bool {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&cell)
    }

    /// Lets no installation begin in a cell as long as what is returned lives; none where one has not ended.
    pub fn hold(self: &Arc<Self>, cell: i64) -> Option<Held> {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        if busy.contains_key(&cell) {
            return None;
        }
        busy.insert(cell, HELD);
        Some(Held { installer: self.clone(), number: cell })
    }

    /// Ends every installation, those that run at their next entry, and waits for that. Blocks.
    pub fn close(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.queue.close();
    }

    /// Asks an installation to end, as a failed one: at its next entry, or at once if it waits for its turn. Tells whether there
    /// was one.
    pub fn cancel(&self, cell: i64, cell_box: i64) -> bool {
        let running = {
            let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            running.get(&(cell, cell_box)).cloned()
        };
        let Some(cancelled) = running else { return false };
        cancelled.store(true, Ordering::Relaxed);
        self.queue.take_out(|accepted| accepted.is_of(cell, cell_box));
        true
    }
}

impl Accepted {
    /// The box as it is known from now on.
    pub fn cell_box(&self) -> &CellBox {
        &self.install().begun.cell_box
    }

    /// Whether all events of this installation are logged, whatever the rules say; its request belongs to them.
    pub fn logs_everything(&self) -> bool {
        self.install().everything
    }

    fn install(&self) -> &Install {
        self.install.as_ref().expect("invariant: only what consumes it takes it out")
    }

    fn is_of(&self, cell: i64, cell_box: i64) -> bool {
        let install = self.install();
        install.cell.number() == cell && install.begun.cell_box.id == cell_box
    }
}

impl Job for Accepted {
    const NAME: &'static str = "install";

    /// Does the work, to its end. Blocks; never panics.
    fn run(mut self) {
        if let Some(install) = self.install.take() {
            install.run();
        }
    }

    /// Ends the installation as a failed one. Blocks.
    fn give_up(mut self) {
        if let Some(install) = self.install.take() {
            install.give_up(install.why_stopped());
        }
    }
}

impl Drop for Install {
    fn drop(&mut self) {
        let key = (self.cell.number(), self.begun.cell_box.id);
        self.installer.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
    }
}

impl Drop for Accepted {
    fn drop(&mut self) {
        let Some(install) = self.install.take() else { return };
        // Whoever drops it may be a thread that must not block.
        let spawned = std::thread::Builder::new().name("install".to_owned()).spawn(move || {
            install.give_up(ending::STOPPED);
        });
        if let Err(e) = spawned {
            tracing::error!(error = %e, "an installation that was not run is left to the next start");
        }
    }
}

impl Install {
    fn is_stopping(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed) || self.installer.stopping.load(Ordering::Relaxed)
    }

    fn why_stopped(&self) -> &'static str {
        if self.cancelled.load(Ordering::Relaxed) { ending::CANCELLED } else { ending::STOPPED }
    }

    /// The first events.
    fn announce(&self) {
        let name = &self.begun.cell_box.name;
        let started = Event {
            event_type: InstallEvent::BarStarted.code().to_owned(),
            object: Some(format!("{LOCAL_CELL}{name}")),
            info: Some(InstallEvent::BarStarted.text("")),
            ..Event::default()
        };
        let mut events = vec![started];
        if self.plan.layout == Layout::V2 {
            events.push(report::created("Box", &format!("Box('{name}')")));
        }
        self.publish(&events);
    }

    fn publish(&self, events: &[Event]) {
        let url = self.cell_urls.first().map_or("", String::as_str);
        self.installer.log.publish(&self.cell, &self.request_key, events, url, self.everything);
    }
}

/// The event of a request to install a box: `status` is that of its answer, `by` the schema and the subject of its token.
pub fn request_event(box_name: &str, status: u16, by: (Option<String>, Option<String>)) -> Event {
    Event {
        external: false,
        schema: by.0,
        subject: by.1,
        event_type: "boxinstall".to_owned(),
        object: Some(format!("{LOCAL_CELL}{box_name}")),
        info: Some(status.to_string()),
    }
}

/// As long as this lives, no installation begins in a cell.
#[derive(Debug)]
pub struct Held {
    installer: Arc<Installer>,
    number: i64,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.installer.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.number);
    }
}

/// Says in the unit's index that a cell has a running job, so that the next start recovers it at once.
#[derive(Debug)]
struct BusyMark {
    installer: Arc<Installer>,
    number: i64,
}

impl BusyMark {
    fn new(installer: &Arc<Installer>, number: i64) -> storage::Result<Self> {
        let mut busy = installer.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let count = busy.get(&number).copied().unwrap_or(0);
        if count == HELD {
            return Err(storage::Error::Busy("cell rename"));
        }
        if count == 0 {
            installer.unit.set_busy(number, true)?;
        }
        busy.insert(number, count + 1);
        Ok(Self { installer: installer.clone(), number })
    }
}

impl Drop for BusyMark {
    fn drop(&mut self) {
        let mut busy = self.installer.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let left = busy.get(&self.number).copied().unwrap_or(1) - 1;
        if left > 0 {
            busy.insert(self.number, left);
            return;
        }
        busy.remove(&self.number);
        if let Err(e) = self.installer.unit.set_busy(self.number, false) {
            tracing::warn!(error = &e as &dyn std::error::Error, "a cell stays marked as busy");
        }
    }
}

#[cfg(test)]
mod tests;
