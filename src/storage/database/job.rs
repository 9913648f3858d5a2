//! Jobs that outlive a request: box installs, with their state, progress and message.

use rusqlite::{Row, params};

use super::tx::{Tx, View, sql};
use crate::base::id::{OwnerId, ResourceId};
use crate::storage::error::Result;

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobState {
    Running,
    Done,
    Failed,
}

/// One row of `job`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    pub id: i64,
    pub kind: String,
    pub cell_box: Option<ResourceId>,
    pub state: JobState,
    pub owner: OwnerId,
    pub request_key: Option<String>,
    pub started_ms: i64,
    pub ended_ms: Option<i64>,
    /// Percent, 0 to 100.
    pub progress: i64,
    /// What went wrong, as JSON of the wire.
    pub message: Option<String>,
    /// The hidden directory below `staging/` that the job builds.
    pub staged: Option<String>,
}

/// The kind of a box install.
pub const INSTALL: &str = "install";

impl Job {
    fn from_row(r: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: r.get(0)?,
            kind: r.get(1)?,
            cell_box: r.get(2)?,
            state: match r.get::<_, String>(3)?.as_str() {
                "running" => JobState::Running,
                "done" => JobState::Done,
                _ => JobState::Failed,
            },
            owner: r.get(4)?,
            request_key: r.get(5)?,
            started_ms: r.get(6)?,
            ended_ms: r.get(7)?,
            progress: r.get(8)?,
            message: r.get(9)?,
            staged: r.get(10)?,
        })
    }
}

impl JobState {
    fn column(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

const COLUMNS: &str = "id, kind, box, state, owner, request_key, started_ms, ended_ms, progress, message, staged";

impl View<'_> {
    /// The latest install of a box.
    pub fn install_of(&self, cell_box: ResourceId) -> Result<Option<Job>> {
        let query = sql!("SELECT ", COLUMNS, " FROM job WHERE box=?1 AND kind='install' ORDER BY id DESC LIMIT 1");
        self.optional("find an install", query, params![cell_box], Job::from_row)
    }

    pub fn job(&self, id: i64) -> Result<Option<Job>> {
        self.optional("find a job", sql!("SELECT ", COLUMNS, " FROM job WHERE id=?1"), params![id], Job::from_row)
    }

    /// How the latest installation of a box ended, if it has.
    pub fn ended_install_of(&self, cell_box: ResourceId) -> Result<Option<Job>> {
        Ok(self.install_of(cell_box)?.filter(|job| job.state != JobState::Running))
    }

    pub fn running_jobs(&self) -> Result<Vec<Job>> {
        self.all("list jobs", sql!("SELECT ", COLUMNS, " FROM job WHERE state='running'"), [], Job::from_row)
    }
}

impl Tx<'_> {
    pub fn insert_job(&self, j: &Job) -> Result<()> {
        let query = sql!("INSERT INTO job(", COLUMNS, ") VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11)");
        self.run(
            "insert a job",
            query,
            params![
                j.id,
                j.kind,
                j.cell_box,
                j.state.column(),
                j.owner,
                j.request_key,
                j.started_ms,
                j.ended_ms,
                j.progress,
                j.message,
                j.staged
            ],
        )?;
        Ok(())
    }

    pub fn update_job(&self, j: &Job) -> Result<()> {
        self.run(
            "update a job",
            "UPDATE job SET state=?2, ended_ms=?3, progress=?4, message=?5, staged=?6 WHERE id=?1",
            params![j.id, j.state.column(), j.ended_ms, j.progress, j.message, j.staged],
        )?;
        Ok(())
    }

    /// Says how far a job has come, in percent.
    pub fn set_progress(&self, id: i64, progress: i64) -> Result<()> {
        self.run("keep the progress", "UPDATE job SET progress=?2 WHERE id=?1", params![id, progress])?;
        Ok(())
    }

    /// Lets a job be running again.
    pub fn reopen_job(&self, id: i64, staged: &str) -> Result<()> {
        self.run(
            "reopen a job",
            "UPDATE job SET state='running', ended_ms=NULL, message=NULL, staged=?2 WHERE id=?1",
            params![id, staged],
        )?;
        Ok(())
    }

    pub fn remove_jobs_of(&self, cell_box: ResourceId) -> Result<()> {
        self.run("remove jobs", "DELETE FROM job WHERE box=?1", params![cell_box])?;
        Ok(())
    }
}
