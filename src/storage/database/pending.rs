//! What is decided but not yet certain to be on disk (`pending`), what readers of the past may still need (`gone`), and who
//! those readers are (`generation`).

use std::borrow::Cow;

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
    /// Remove the row of a file of the snapshot area.
    RemoveSnapshot {
        id: i64,
    },
    /// Let an installation be running again that had ended; what it bound to its box after the number `after` goes.
    ReopenInstall {
        job: i64,
        staged: String,
        cell_box: ResourceId,
        after: i64,
    },
}

/// One operation of a row of `pending`: a row holds those of a batch that rename, in the order of their decisions.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Pending {
    pub seq: i64,
    pub op: Cow<'static, str>,
    pub id: ResourceId,
    pub steps: Vec<Step>,
    pub undo: Vec<Undo>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<RowContent>,
}

/// Content that no sync has covered yet: its bytes are in the row, so the operation needed none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowContent {
    /// The version of the resource that this is the content of.
    pub version: i64,
    pub crc: u32,
    /// Where the bytes begin in the row's `contents`.
    pub at: usize,
    pub size: usize,
}

/// A row of `pending`, without its contents.
#[derive(Debug, Clone)]
pub struct PendingBatch {
    /// The row's key: not greater than the number of any of its operations.
    pub seq: i64,
    pub owner: OwnerId,
    pub operations: Vec<Pending>,
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

fn encode<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).expect("invariant: steps and undo are plain data")
}

impl View<'_> {
    /// Pending rows in the order of their commits.
    pub fn pending(&self) -> Result<Vec<PendingBatch>> {
        let rows = self.all("read pending", "SELECT seq, owner, operations FROM pending ORDER BY seq", [], |r| {
            Ok((r.get(0)?, r.get(1)?, r.get::<_, String>(2)?))
        })?;
        rows.into_iter().map(|(seq, owner, text)| Ok(PendingBatch { seq, owner, operations: decode(&text)? })).collect()
    }

    /// The contents of a pending row.
    pub fn pending_contents(&self, seq: i64) -> Result<Vec<u8>> {
        let found = self.optional("read contents", "SELECT contents FROM pending WHERE seq=?1", [seq], |r| r.get(0))?;
        Ok(found.unwrap_or_default())
    }

    /// The owners other than this one that have something pending.
    pub fn other_pending_owners(&self, own: OwnerId) -> Result<Vec<OwnerId>> {
        // Two ranges of the index, so that what this process has pending itself is not looked at.
        let query = "SELECT DISTINCT owner FROM pending WHERE owner < ?1 UNION SELECT DISTINCT owner FROM pending WHERE owner > ?1";
        self.all("read owners", query, [own], |r| r.get(0))
    }

    /// The steps for a resource that may not have been done yet, the latest first. Renames follow their commit before the next
    /// batch of anybody, so they are in the last row; the one before it is looked at in case that a batch has just begun.
    pub fn steps_under_way(&self, id: ResourceId) -> Result<Vec<Step>> {
        let query = "SELECT operations FROM pending ORDER BY seq DESC LIMIT 2";
        let rows = self.all("read pending", query, [], |r| r.get::<_, String>(0))?;
        let mut steps = Vec::new();
        for text in rows {
            let operations = decode::<Vec<Pending>>(&text)?;
            steps.extend(operations.into_iter().rev().filter(|p| p.id == id).flat_map(|p| p.steps));
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
    /// Writes the redo and undo records of a batch.
    pub fn insert_pending(&self, operations: &[Pending], contents: &[u8]) -> Result<()> {
        self.insert_pending_of(self.owner(), operations, contents)
    }

    /// The same for another owner.
    pub fn insert_pending_of(&self, owner: OwnerId, operations: &[Pending], contents: &[u8]) -> Result<()> {
        let Some(seq) = operations.iter().map(|p| p.seq).min() else { return Ok(()) };
        self.run(
            "insert pending",
            "INSERT INTO pending(seq, owner, operations, contents) VALUES(?1,?2,?3,?4)",
            params![seq, owner, encode(&operations), contents],
        )?;
        Ok(())
    }

    /// Leaves these of the operations of a pending row.
    pub fn keep_pending(&self, seq: i64, operations: &[Pending]) -> Result<()> {
        if operations.is_empty() {
            return self.remove_pending(seq);
        }
        let query = "UPDATE pending SET operations=?2 WHERE seq=?1";
        self.run("shorten pending", query, params![seq, encode(&operations)])?;
        Ok(())
    }

    /// Forgets a batch.
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
                Undo::RemoveSnapshot { id } => self.remove_snapshot(*id)?,
                Undo::ReopenInstall { job, staged, cell_box, after } => {
                    self.reopen_job(*job, staged)?;
                    self.remove_objects_bound_after(*cell_box, *after)?;
                }
            }
        }
        Ok(())
    }
}
