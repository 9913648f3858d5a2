//! The snapshot area: what the rows know about its files, and the latest export and import of the cell.
//!
//! A file whose identity is not that of its row was put there by hand; it counts as the next version.

use rusqlite::{Row, params};

use super::tx::{Tx, View, sql};
use crate::base::id::OwnerId;
use crate::storage::error::Result;
use crate::storage::tree::Identity;

/// Made when a cell is created, and when one without them is opened.
pub const TABLES: &str = "
CREATE TABLE IF NOT EXISTS snapshot(
  id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, version INTEGER NOT NULL, stamp INTEGER NOT NULL,
  created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL, type TEXT NOT NULL,
  size INTEGER NOT NULL, ino INTEGER NOT NULL, mtime_ns INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS transfer(
  id INTEGER PRIMARY KEY, kind TEXT NOT NULL UNIQUE, name TEXT NOT NULL, state TEXT NOT NULL, owner INTEGER NOT NULL,
  started_ms INTEGER NOT NULL, progress INTEGER NOT NULL, message TEXT NOT NULL);
";

/// A file of the snapshot area as its row knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotRow {
    pub id: i64,
    pub name: String,
    pub version: i64,
    /// As of resources: microseconds, one for each content of the cell.
    pub stamp: i64,
    pub created_ms: i64,
    pub updated_ms: i64,
    pub content_type: String,
    pub identity: Identity,
}

const COLUMNS: &str = "id, name, version, stamp, created_ms, updated_ms, type, size, ino, mtime_ns";

fn snapshot(r: &Row<'_>) -> rusqlite::Result<SnapshotRow> {
    Ok(SnapshotRow {
        id: r.get(0)?,
        name: r.get(1)?,
        version: r.get(2)?,
        stamp: r.get(3)?,
        created_ms: r.get(4)?,
        updated_ms: r.get(5)?,
        content_type: r.get(6)?,
        identity: Identity { size: r.get(7)?, ino: r.get(8)?, mtime_ns: r.get(9)? },
    })
}

/// What moves a whole cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TransferKind {
    Export,
    Import,
}

impl TransferKind {
    fn column(self) -> &'static str {
        match self {
            Self::Export => "export",
            Self::Import => "import",
        }
    }

    /// As a refusal names it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Export => "cell export",
            Self::Import => "cell import",
        }
    }
}

/// The latest export or import of a cell, while it runs; an import also after it has failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    pub id: i64,
    pub kind: TransferKind,
    /// Of the snapshot, without its extension.
    pub name: String,
    pub failed: bool,
    pub owner: OwnerId,
    pub started_ms: i64,
    /// Percent.
    pub progress: i64,
    /// What is to be told if it comes to nothing, as JSON of the wire: until it has failed, that its process ended.
    pub message: String,
}

fn transfer(r: &Row<'_>) -> rusqlite::Result<Transfer> {
    Ok(Transfer {
        id: r.get(0)?,
        kind: if r.get::<_, String>(1)? == "export" { TransferKind::Export } else { TransferKind::Import },
        name: r.get(2)?,
        failed: r.get::<_, String>(3)? == "failed",
        owner: r.get(4)?,
        started_ms: r.get(5)?,
        progress: r.get(6)?,
        message: r.get(7)?,
    })
}

const TRANSFER: &str = "SELECT id, kind, name, state, owner, started_ms, progress, message FROM transfer";

impl View<'_> {
    pub fn snapshot(&self, name: &str) -> Result<Option<SnapshotRow>> {
        let query = sql!("SELECT ", COLUMNS, " FROM snapshot WHERE name=?1");
        self.optional("find a snapshot", query, [name], snapshot)
    }

    /// All rows by name.
    pub fn snapshots(&self) -> Result<Vec<SnapshotRow>> {
        self.all("list snapshots", sql!("SELECT ", COLUMNS, " FROM snapshot ORDER BY name"), [], snapshot)
    }

    pub fn transfer(&self, kind: TransferKind) -> Result<Option<Transfer>> {
        self.optional("find a transfer", sql!(TRANSFER, " WHERE kind=?1"), [kind.column()], transfer)
    }

    pub fn transfers(&self) -> Result<Vec<Transfer>> {
        self.all("list transfers", TRANSFER, [], transfer)
    }
}

impl Tx<'_> {
    /// Writes a row in the place of the one with its number or name.
    pub fn put_snapshot(&self, s: &SnapshotRow) -> Result<()> {
        let query = sql!("INSERT OR REPLACE INTO snapshot(", COLUMNS, ") VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10)");
        self.run(
            "write a snapshot",
            query,
            params![
                s.id,
                s.name,
                s.version,
                s.stamp,
                s.created_ms,
                s.updated_ms,
                s.content_type,
                s.identity.size,
                s.identity.ino,
                s.identity.mtime_ns
            ],
        )?;
        Ok(())
    }

    pub fn remove_snapshot(&self, id: i64) -> Result<()> {
        self.run("remove a snapshot", "DELETE FROM snapshot WHERE id=?1", [id])?;
        Ok(())
    }

    /// Writes a transfer in the place of the last one of its kind.
    pub fn put_transfer(&self, t: &Transfer) -> Result<()> {
        self.run(
            "write a transfer",
            "INSERT OR REPLACE INTO transfer(id, kind, name, state, owner, started_ms, progress, message) \
             VALUES(?1,?2,?3,?4,?5,?6,?7,?8)",
            params![
                t.id,
                t.kind.column(),
                t.name,
                if t.failed { "failed" } else { "running" },
                t.owner,
                t.started_ms,
                t.progress,
                t.message
            ],
        )?;
        Ok(())
    }

    pub fn remove_transfer(&self, kind: TransferKind) -> Result<()> {
        self.run("remove a transfer", "DELETE FROM transfer WHERE kind=?1", [kind.column()])?;
        Ok(())
    }
}
