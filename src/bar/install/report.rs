//! What an installation tells while it goes on: events for the log, in order, and how far it has come.

use std::time::{Duration, Instant};

use super::Install;
use crate::bar::event::InstallEvent;
use crate::domain::event::{Event, LOCAL_CELL};

/// Events that are written together, at most.
const EVENTS: usize = 1000;
/// How long an event, or a new percentage, may stay untold.
const PATIENCE: Duration = Duration::from_millis(200);
/// Percent that progress must have grown by before it is shown again.
const STEP: i64 = 10;

/// The event of a control object that the installation created; `path` is that below `__ctl/`.
pub(super) fn created(what: &str, path: &str) -> Event {
    Event {
        event_type: format!("cellctl.{what}.create"),
        object: Some(format!("{LOCAL_CELL}__ctl/{path}")),
        info: Some("box install".to_owned()),
        ..Event::default()
    }
}

/// Collects and counts.
pub(super) struct Report<'i> {
    install: &'i Install,
    events: Vec<Event>,
    told: Instant,
    done: usize,
    /// The percentage that was last shown, rounded down to a multiple of the step.
    mark: i64,
}

impl<'i> Report<'i> {
    pub(super) fn new(install: &'i Install) -> Self {
        Self { install, events: Vec::new(), told: Instant::now(), done: 0, mark: 0 }
    }

    pub(super) fn event(&mut self, event: InstallEvent, object: &str, cause: &str) {
        self.push(Event {
            event_type: event.code().to_owned(),
            object: Some(object.to_owned()),
            info: Some(event.text(cause)),
            ..Event::default()
        });
    }

    pub(super) fn push(&mut self, event: Event) {
        self.events.push(event);
        if self.events.len() >= EVENTS || self.told.elapsed() >= PATIENCE {
            self.flush();
        }
    }

    /// Writes what was collected.
    pub(super) fn flush(&mut self) {
        self.told = Instant::now();
        if !self.events.is_empty() {
            self.install.publish(&self.events);
            self.events.clear();
        }
    }

    /// The processing of one more file begins.
    pub(super) fn count_file(&mut self) {
        self.done += 1;
    }

    /// Percent of the files, rounded down.
    pub(super) fn percent(&self) -> i64 {
        (self.done * 100 / self.install.plan.files.max(1)).min(100) as i64
    }

    /// The percentage to show now, if it has grown enough.
    pub(super) fn due(&mut self) -> Option<i64> {
        let percent = self.percent();
        (percent - self.mark > STEP).then(|| {
            self.mark = percent / STEP * STEP;
            percent
        })
    }
}
