//! How a job ends: its outcome is there before it is over, so that who sees that it is over finds the outcome.

use std::time::Duration;

use super::Job;
use crate::base::path::{NewName, Segment};
use crate::snapshot::failure::Failure;
use crate::storage::area::StagedSnapshot;
use crate::storage::operation::area::{EndExport, FailImport, ForgetTransfer};
use crate::storage::{Error, Result};

/// Attempts to leave an outcome; the pause doubles each time.
const ATTEMPTS: u32 = 8;
const PAUSE: Duration = Duration::from_millis(50);

impl Job {
    /// Lets the file appear, or an `.error` that tells why there is none.
    pub(super) fn end_export(self, outcome: std::result::Result<StagedSnapshot, Failure>) {
        let outcome = outcome.and_then(|staged| {
            self.publish_file(".zip", "application/zip", staged).map_err(Failure::machine("create snapshot file"))
        });
        match outcome {
            Ok(()) => self.publish(&self.cell, "cell.export", "__export"),
            Err(_) if self.progress.is_cancelled() => self.forget(),
            Err(failure) => {
                let cell = self.cell.name();
                tracing::warn!(error = &failure as &dyn std::error::Error, cell, "an export has failed");
                self.leave_error(&failure);
            }
        }
        self.over();
    }

    fn publish_file(&self, extension: &str, content_type: &'static str, staged: StagedSnapshot) -> Result<()> {
        let name = Segment::new(format!("{}{extension}", self.transfer.name)).and_then(|name| NewName::new(&name));
        let file = name.map_err(|_| Error::Name(self.transfer.name.clone()))?;
        self.cell.change(EndExport { transfer: self.transfer.clone(), file, content_type, staged })
    }

    /// On a full disk there is room again as soon as the unfinished file has gone.
    fn leave_error(&self, failure: &Failure) {
        let document = failure.document();
        let leave = || -> Result<()> {
            let mut file = self.cell.new_snapshot()?;
            file.write(document.as_bytes())?;
            self.publish_file(".error", "application/json", file.finish()?)
        };
        insist("the failure of an export is not told", leave);
    }

    /// The new content is there already, or the cell says why it has the old one.
    pub(super) fn end_import(self, outcome: std::result::Result<(), Failure>) {
        let name = self.cell.name().to_owned();
        match outcome {
            // It is another cell now, behind the same name.
            Ok(()) => match self.transfers.unit.cell(&name) {
                Ok(cell) => self.publish(&cell, "cell.import", "__import"),
                Err(e) => tracing::warn!(error = &e as &dyn std::error::Error, cell = name, "cannot be opened"),
            },
            Err(_) if self.progress.is_cancelled() => self.forget(),
            Err(failure) => {
                tracing::warn!(error = &failure as &dyn std::error::Error, cell = name, "an import has failed");
                self.fail_import(&failure);
            }
        }
        self.over();
    }

    /// Nothing is left of a job that somebody has cancelled.
    fn forget(&self) {
        let forget = || -> Result<()> {
            let cell = self.transfers.unit.cell(self.cell.name())?;
            cell.change(ForgetTransfer { transfer: self.transfer.clone() })
        };
        insist("that a job was cancelled is not written down", forget);
    }

    fn fail_import(&self, failure: &Failure) {
        let fail = || -> Result<()> {
            // The failure may have come after the cell had been closed.
            let cell = self.transfers.unit.cell(self.cell.name())?;
            let (transfer, progress) = (self.transfer.clone(), self.progress.percent());
            cell.change(FailImport { transfer, progress, message: failure.document() })
        };
        insist("the failure of an import is not told", fail);
    }

    /// Makes place for the next job.
    fn over(self) {
        let number = self.cell.number();
        drop(self.closed);
        self.transfers.release(number);
    }
}

/// Tries to leave an outcome, again and again if it must be; `otherwise` is logged where it cannot be left.
fn insist(otherwise: &'static str, leave: impl Fn() -> Result<()>) {
    let mut pause = PAUSE;
    for attempt in 1..=ATTEMPTS {
        match leave() {
            // The cell was deleted, or another process has taken it: the row is ended when it is next opened.
            Ok(()) | Err(Error::CellMissing | Error::Missing) => return,
            Err(e) if attempt == ATTEMPTS => tracing::error!(error = &e as &dyn std::error::Error, "{otherwise}"),
            Err(_) => {
                std::thread::sleep(pause);
                pause *= 2;
            }
        }
    }
}
