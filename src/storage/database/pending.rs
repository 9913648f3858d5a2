//! What is decided but not yet certain to be on disk (`pending`), what readers of the past may still need (`gone`), and who
//! those readers are (`generation`).

use rusqlite::params;
use serde::{Deserialize, Serialize};

use super::resource::Resource;
use super::taken::Taken;
use super::tx::{Tx, View};
use crate::base::id::{OwnerId, ResourceId};
use crate::storage::error::{Error, Result};

/// One rename of an operation. Paths are relative to the cell's directory, as of then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    pub how: How,
    pub from: String,
    pub to: String,
    /// The inode that moves from `from` to `to`: what still stands at `from` tells whether the step was done.
    pub ino: i64,
}

/// How a step renames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum How {
    /// To a name that must be free.
    Move,
    /// Both names change places.
    Exchange,
}

/// One row change that takes back what an operation did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Undo {
    /// Write the row as it was, at its place.
    Restore(Resource),
    /// Remove a row that was new, with all that hangs on it.
    Remove {
        parent: ResourceId,
        name: String,
        id: ResourceId,
    },
    /// Put a moved row back.
    Place {
        id: ResourceId,
        parent: ResourceId,
        name: String,
    },
    Children {
        id: ResourceId,
        delta: i64,
    },
    Unbury {
        parent: ResourceId,
        id: ResourceId,
    },
    Ungone {
        id: ResourceId,
        version: i64,
    },
    /// Write rows that were removed.
    PutBack(Taken),
    /// Remove a box's row.
    RemoveBox {
        id: ResourceId,
    },
    /// Give a box back its name.
    RenameBox {
        id: ResourceId,
        name: String,
    },
    /// Remove the jobs of a box.
    RemoveJobs {
        cell_box: ResourceId,
    },
    /// Let an installation be running again that had ended; what it bound to its box after the number `after` goes.
    ReopenInstall {
        job: i64,
        staged: String,
        cell_box: ResourceId,
        after: i64,
    },
}

/// A row of `pending`.
#[derive(Debug, Clone)]
pub struct Pending {
    pub seq: i64,
    pub op: String,
    pub id: ResourceId,
    pub owner: OwnerId,
    pub steps: Vec<Step>,
    pub undo: Vec<Undo>,
}

/// A row of `gone`: replaced or deleted content and where in `staging/` it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gone {
    pub id: ResourceId,
    pub version: i64,
    pub name: String,
    pub seq: i64,
    pub tree: bool,
}

fn decode<T: for<'a> Deserialize<'a>>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|e| Error::Inconsistent(format!("a pending row cannot be read: {e}")))
}

fn encode<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("invariant: steps and undo are plain data")
}

impl View<'_> {
    /// Pending rows in the order of their commits.
    pub fn pending(&self) -> Result<Vec<Pending>> {
        let rows =
            self.all("read pending", "SELECT seq, op, id, owner, steps, undo FROM pending ORDER BY seq", [], |r| {
                Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?, r.get::<_, String>(4)?, r.get::<_, String>(5)?))
            })?;
        rows.into_iter()
            .map(|(seq, op, id, owner, steps, undo)| {
                Ok(Pending { seq, op, id, owner, steps: decode(&steps)?, undo: decode(&undo)? })
            })
            .collect()
    }

    /// The owners other than this one that have something pending.
    pub fn other_pending_owners(&self, own: OwnerId) -> Result<Vec<OwnerId>> {
        // Two ranges of the index, so that what this process has pending itself is not looked at.
        let query = "SELECT DISTINCT owner FROM pending WHERE owner < ?1 UNION SELECT DISTINCT owner FROM pending WHERE owner > ?1";
        self.all("read owners", query, [own], |r| r.get(0))
    }

    /// The steps pending for a resource, the latest first.
    pub fn pending_of(&self, id: ResourceId) -> Result<Vec<Step>> {
        let rows =
            self.all("read pending", "SELECT steps FROM pending WHERE id=?1 ORDER BY seq DESC", params![id], |r| {
                r.get::<_, String>(0)
            })?;
        let mut steps = Vec::new();
        for text in rows {
            steps.extend(decode::<Vec<Step>>(&text)?);
        }
        Ok(steps)
    }

    /// Where the content of an earlier version is, below `staging/`.
    pub fn gone(&self, id: ResourceId, version: i64) -> Result<Option<Gone>> {
        self.optional(
            "find gone content",
            "SELECT id, version, name, seq, tree FROM gone WHERE id=?1 AND version=?2",
            params![id, version],
            read_gone,
        )
    }

    pub fn all_gone(&self) -> Result<Vec<Gone>> {
        self.all("read gone", "SELECT id, version, name, seq, tree FROM gone ORDER BY seq", [], read_gone)
    }

    /// Content that no registered generation needs and whose rename is certain, oldest first. A change may be numbered higher
    /// than its pending row (what it adopted on its way counts too), so nothing from the oldest pending row on is certain.
    pub fn reapable(&self, oldest_needed: i64, limit: usize) -> Result<Vec<Gone>> {
        self.all(
            "find what can be reaped",
            "SELECT id, version, name, seq, tree FROM gone WHERE seq<=?1 \
             AND seq < coalesce((SELECT min(seq) FROM pending), 9223372036854775807) ORDER BY seq LIMIT ?2",
            params![oldest_needed, limit as i64],
            read_gone,
        )
    }

    /// Registered generations: number, box, sequence, owner, end.
    pub fn generations(&self) -> Result<Vec<Generation>> {
        self.all("read generations", "SELECT id, box, seq, owner, expires_ms FROM generation", [], |r| {
            Ok(Generation {
                id: r.get(0)?,
                cell_box: r.get(1)?,
                seq: r.get(2)?,
                owner: r.get(3)?,
                expires_ms: r.get(4)?,
            })
        })
    }
}

fn read_gone(r: &rusqlite::Row<'_>) -> rusqlite::Result<Gone> {
    Ok(Gone { id: r.get(0)?, version: r.get(1)?, name: r.get(2)?, seq: r.get(3)?, tree: r.get(4)? })
}

/// A registered reader of a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    pub id: i64,
    pub cell_box: ResourceId,
    pub seq: i64,
    pub owner: OwnerId,
    pub expires_ms: i64,
}

impl Tx<'_> {
    /// Writes the redo and undo record of an operation under the sequence of its change.
    pub fn insert_pending(&self, seq: i64, op: &str, id: ResourceId, steps: &[Step], undo: &[Undo]) -> Result<()> {
        self.run(
            "insert pending",
            "INSERT INTO pending(seq, op, id, owner, steps, undo) VALUES(?1,?2,?3,?4,?5,?6)",
            params![seq, op, id, self.owner(), encode(&steps), encode(&undo)],
        )?;
        Ok(())
    }

    pub fn remove_pending(&self, seq: i64) -> Result<()> {
        self.run("remove pending", "DELETE FROM pending WHERE seq=?1", params![seq])?;
        Ok(())
    }

    pub fn insert_gone(&self, gone: &Gone) -> Result<()> {
        self.run(
            "insert gone",
            "INSERT INTO gone(id, version, name, seq, tree) VALUES(?1,?2,?3,?4,?5)",
            params![gone.id, gone.version, gone.name, gone.seq, gone.tree],
        )?;
        Ok(())
    }

    pub fn remove_gone(&self, id: ResourceId, version: i64) -> Result<()> {
        self.run("remove gone", "DELETE FROM gone WHERE id=?1 AND version=?2", params![id, version])?;
        Ok(())
    }

    pub fn insert_generation(&self, g: &Generation) -> Result<()> {
        self.run(
            "register a generation",
            "INSERT INTO generation(id, box, seq, owner, expires_ms) VALUES(?1,?2,?3,?4,?5)",
            params![g.id, g.cell_box, g.seq, g.owner, g.expires_ms],
        )?;
        Ok(())
    }

    pub fn remove_generation(&self, id: i64) -> Result<()> {
        self.run("release a generation", "DELETE FROM generation WHERE id=?1", params![id])?;
        Ok(())
    }

    /// Takes back row changes, the last first.
    pub fn apply_undo(&self, undo: &[Undo]) -> Result<()> {
        for change in undo.iter().rev() {
            match change {
                // Who has seen the change in between must see that it is taken back, too.
                Undo::Restore(row) => {
                    self.remove_resource(row.parent, &row.name)?;
                    self.insert_resource(&Resource { seq: self.seq(), ..row.clone() })?;
                }
                Undo::Remove { parent, name, id } => {
                    self.bury_where_it_is(*id)?;
                    self.remove_resource(*parent, name)?;
                    self.forget_attachments(*id)?;
                }
                Undo::Place { id, parent, name } => {
                    let seq = self.seq();
                    self.bury_where_it_is(*id)?;
                    self.place_resource(*id, *parent, name, seq)?;
                }
                Undo::Children { id, delta } => self.count_children(*id, *delta)?,
                Undo::Unbury { parent, id } => self.unbury(*parent, *id)?,
                Undo::Ungone { id, version } => self.remove_gone(*id, *version)?,
                Undo::RemoveBox { id } => self.remove_box(*id)?,
                Undo::PutBack(taken) => self.put_back(taken)?,
                Undo::RenameBox { id, name } => {
                    self.run("rename a box", "UPDATE box SET name=?2 WHERE id=?1", params![id, name])?;
                }
                Undo::RemoveJobs { cell_box } => self.remove_jobs_of(*cell_box)?,
                Undo::ReopenInstall { job, staged, cell_box, after } => {
                    self.reopen_job(*job, staged)?;
                    self.remove_objects_bound_after(*cell_box, *after)?;
                }
            }
        }
        Ok(())
    }
}
