//! What the metadata of a box say about its installation.

use crate::storage::Result;
use crate::storage::database::View;
use crate::storage::database::cell_box::CellBox;
use crate::storage::database::job::{Job, JobState};

/// The state of a box. Times in milliseconds since 1970, progress in percent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BoxStatus {
    Ready {
        installed_at: i64,
    },
    InProgress {
        started_at: i64,
        progress: i64,
    },
    Failed {
        started_at: i64,
        progress: i64,
        /// JSON: code, and message with language and value.
        message: String,
    },
}

/// The state of a box. `retention_ms` after an installation has ended nothing tells any more how, and the box is ready.
pub fn status_of(view: &View<'_>, cell_box: &CellBox, retention_ms: i64, now_ms: i64) -> Result<BoxStatus> {
    let created = BoxStatus::Ready { installed_at: cell_box.created_ms };
    let Some(job) = view.install_of(cell_box.id)? else { return Ok(created) };
    let Job { state, started_ms: started_at, ended_ms, progress, message, .. } = job;
    if state == JobState::Running {
        return Ok(BoxStatus::InProgress { started_at, progress });
    }
    let expired = now_ms.saturating_sub(ended_ms.unwrap_or(started_at)) >= retention_ms;
    Ok(match state {
        _ if expired => created,
        JobState::Failed => BoxStatus::Failed { started_at, progress, message: message.unwrap_or_default() },
        _ => BoxStatus::Ready { installed_at: started_at },
    })
}
