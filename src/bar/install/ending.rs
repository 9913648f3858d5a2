//! How an installation ends: ready, failed with what came before the failure, or failed and empty where the machine failed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::Install;
use super::acl::PlannedAcl;
use super::objects::Objects;
use super::work::{Failure, Work};
use crate::bar::Layout;
use crate::bar::cause::Cause;
use crate::bar::event::InstallEvent;
use crate::domain::event::{Event, LOCAL_CELL};
use crate::storage::build::BuildTree;
use crate::storage::cell::Cell;
use crate::storage::database::job::JobState;
use crate::storage::database::property::Property;
use crate::storage::error::{Error, Result};
use crate::storage::operation::install::{AbandonInstall, Begun, EndInstall};
use crate::storage::writer::Context;

/// What is said of an installation that the server did not bring to its end.
pub(super) const CANCELLED: &str = "The installation was cancelled.";
pub(super) const STOPPED: &str = "The server stopped during the installation.";
const PANICKED: &str = "The server failed.";
const FULL: &str = "The disk is full.";

/// Attempts to write down that an installation failed; the pause doubles each time.
const ATTEMPTS: u32 = 8;
const PAUSE: Duration = Duration::from_millis(50);

/// The rows of the last transaction.
struct LastRows {
    cell_box: i64,
    objects: Objects,
    acls: Vec<PlannedAcl>,
    box_properties: Vec<Property>,
}

impl LastRows {
    fn write(&self, ctx: &Context<'_>) -> Result<()> {
        let roles = self.objects.write(ctx, self.cell_box)?;
        let root = ctx.tx.resource(self.cell_box)?.ok_or(Error::BoxMissing)?;
        for property in &self.box_properties {
            ctx.tx.set_property(root.id, property)?;
        }
        ctx.tx.flag_properties(&root)?;
        self.acls.iter().try_for_each(|acl| acl.write(ctx, &roles))
    }
}

/// A failure as the box, and the last event, tell it.
struct Told {
    /// The type and the object of the event of the failure.
    event: InstallEvent,
    object: String,
    cause: String,
    /// The cause in the last event.
    last: String,
}

impl Told {
    fn of(failure: &Failure, install: &Install) -> Self {
        match failure {
            Failure::Bar { cause, object, in_list } => {
                let cause = cause.to_string();
                let last = match install.plan.layout {
                    Layout::V1 => Cause::Structure.to_string(),
                    Layout::V2 if *in_list => cause.clone(),
                    Layout::V2 => InstallEvent::Failed.text(&cause),
                };
                Self { event: InstallEvent::Failed, object: object.clone(), cause, last }
            }
            Failure::Machine(e) if e.is_full() => Self::unknown(FULL),
            Failure::Machine(e) => {
                tracing::error!(error = e as &dyn std::error::Error, "an installation failed");
                Self::unknown(&with_sources(e))
            }
            Failure::Stopped => Self::unknown(install.why_stopped()),
        }
    }

    fn unknown(cause: &str) -> Self {
        let last = InstallEvent::Unknown.text(cause);
        Self { event: InstallEvent::Unknown, object: String::new(), cause: cause.to_owned(), last }
    }

    fn message(&self) -> String {
        let value = self.event.text(&self.cause);
        json!({ "code": self.event.code(), "message": { "lang": "en", "value": value } }).to_string()
    }
}

fn with_sources(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

impl Install {
    /// Everything from the first entry to the last event. A panic is an end like others.
    pub(super) fn run(&self) {
        if catch_unwind(AssertUnwindSafe(|| self.install())).is_err() {
            self.give_up(PANICKED);
        }
    }

    fn install(&self) {
        let tree = BuildTree::at(&self.cell, self.begun.staged.clone());
        let mut work = Work::new(self, &tree);
        let failure = work.run().err();
        let progress = if failure.is_some() { work.report.percent() } else { 100 };
        let mut told = failure.as_ref().map(|f| Told::of(f, self));
        if let Some(told) = &told {
            work.report.event(told.event, &told.object, &told.cause);
        }
        work.report.flush();
        let sealed = if work.spoilt { Err(Failure::Stopped) } else { work.seal() };
        let ended = sealed.and_then(|()| self.show(work, told.as_ref(), progress).map_err(Failure::Machine));
        if let Err(failure) = ended {
            let told = told.get_or_insert_with(|| {
                let told = Told::of(&failure, self);
                self.publish(&[event(told.event, &told.object, &told.cause)]);
                told
            });
            self.abandon(progress.min(99), &told.message());
        }
        self.publish(&[self.last_event(told.as_ref())]);
    }

    /// Lets what was built appear.
    fn show(&self, work: Work<'_>, told: Option<&Told>, progress: i64) -> Result<()> {
        let Work { objects, acls, box_properties, .. } = work;
        let last = Arc::new(LastRows { cell_box: self.begun.cell_box.id, objects, acls, box_properties });
        let end = EndInstall {
            begun: self.begun.clone(),
            state: if told.is_some() { JobState::Failed } else { JobState::Done },
            progress,
            message: told.map(Told::message),
            finish: Box::new(move |ctx| last.write(ctx)),
        };
        match self.cell.change(end) {
            // A commit can have succeeded without anybody having heard of it.
            Err(_) if self.has_ended() => Ok(()),
            other => other,
        }
    }

    fn has_ended(&self) -> bool {
        has_ended(&self.cell, &self.begun)
    }

    /// Ends an installation that does not go on, as failed and with an empty box.
    pub(super) fn give_up(&self, cause: &str) {
        if self.has_ended() {
            return;
        }
        let told = Told::unknown(cause);
        let progress = self.cell.read(|v| v.job(self.begun.job.id)).ok().flatten().map_or(0, |job| job.progress);
        self.abandon(progress, &told.message());
        self.publish(&[event(told.event, &told.object, &told.cause), self.last_event(Some(&told))]);
    }

    fn abandon(&self, progress: i64, message: &str) {
        abandon(&self.cell, &self.begun, progress, message);
    }

    fn last_event(&self, told: Option<&Told>) -> Event {
        let (kind, cause) =
            told.map_or((InstallEvent::BarCompleted, ""), |t| (InstallEvent::BarFailed, t.last.as_str()));
        event(kind, &format!("{LOCAL_CELL}{}", self.begun.cell_box.name), cause)
    }
}

fn has_ended(cell: &Cell, begun: &Begun) -> bool {
    let job = cell.read(|v| v.job(begun.job.id));
    job.is_ok_and(|job| job.is_none_or(|job| job.state != JobState::Running))
}

/// Writes down that an installation failed, again and again if it must be.
fn abandon(cell: &Cell, begun: &Begun, progress: i64, message: &str) {
    let mut pause = PAUSE;
    for _ in 0..ATTEMPTS {
        let abandon = AbandonInstall { begun: begun.clone(), progress, message: message.to_owned() };
        match cell.change(abandon) {
            Ok(()) | Err(Error::BoxMissing | Error::CellMissing) => return,
            Err(_) if has_ended(cell, begun) => return,
            Err(e) => tracing::error!(error = &e as &dyn std::error::Error, "a failed installation is not ended"),
        }
        std::thread::sleep(pause);
        pause *= 2;
    }
}

/// Ends an installation of whose beginning nobody heard: its commit may have succeeded although it was reported as failed.
pub(super) fn abandon_unheard(cell: &Cell, box_name: &str, request_key: &str, since_ms: i64) {
    let found = cell.read(|v| {
        let Some(cell_box) = v.cell_box(box_name)? else { return Ok(None) };
        let job = v.install_of(cell_box.id)?.filter(|job| {
            job.state == JobState::Running
                && job.owner == cell.owner()
                && job.request_key.as_deref() == Some(request_key)
                && job.started_ms >= since_ms
        });
        Ok(job.and_then(|job| job.staged.clone().map(|staged| Begun { cell_box, job, staged })))
    });
    if let Ok(Some(begun)) = found {
        abandon(cell, &begun, 0, &Told::unknown(PANICKED).message());
    }
}

fn event(event: InstallEvent, object: &str, cause: &str) -> Event {
    Event {
        event_type: event.code().to_owned(),
        object: Some(object.to_owned()),
        info: Some(event.text(cause)),
        ..Event::default()
    }
}
