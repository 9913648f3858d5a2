//! A cell gets another name, another limit, or both: all of it or nothing.

use super::creation::{rename_new, sync_directory};
use super::{CellRecord, RecordGuard, Unit, locked, taken};
use crate::storage::database::Tx;
use crate::storage::database::schema;
use crate::storage::error::{Error, Result};
use crate::storage::writer::{Change, Context};

/// What a cell gets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CellChange {
    /// Another name; none or its own to keep it.
    pub name: Option<String>,
    pub quota: Option<QuotaChange>,
}

/// A cell's own limit from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuotaChange {
    /// That of the unit.
    None,
    Bytes(i64),
}

impl From<Option<i64>> for QuotaChange {
    fn from(bytes: Option<i64>) -> Self {
        bytes.map_or(Self::None, Self::Bytes)
    }
}

impl QuotaChange {
    fn bytes(self) -> Option<i64> {
        match self {
            Self::None => None,
            Self::Bytes(bytes) => Some(bytes),
        }
    }
}

impl Unit {
    /// Gives a cell another name. Fails with `InUse` while another process has it open.
    pub fn rename_cell(&self, name: &str, new_name: &str) -> Result<CellRecord> {
        self.change_cell(name, &CellChange { name: Some(new_name.to_owned()), quota: None }, &|_| Ok(()))
    }

    /// Changes a cell; `guard` sees its record at the moment of the change. Another name is refused with `Exists` if it is
    /// taken and with `InUse` while another process has the cell open.
    pub fn change_cell(&self, name: &str, change: &CellChange, guard: RecordGuard<'_>) -> Result<CellRecord> {
        let record = self.record(name)?.ok_or(Error::CellMissing)?;
        guard(&record)?;
        match change.name.as_deref().filter(|new| *new != name) {
            Some(new_name) => self.rename(&record, new_name, change.quota, guard),
            None => self.change_in_place(&record, change.quota, guard),
        }
    }

    fn change_in_place(
        &self,
        record: &CellRecord,
        quota: Option<QuotaChange>,
        guard: RecordGuard<'_>,
    ) -> Result<CellRecord> {
        let cell = quota.is_some().then(|| self.cell(&record.name)).transpose()?;
        let mut index = locked(&self.index);
        guard(&index.find(&record.name)?.ok_or(Error::CellMissing)?)?;
        let set = |quota: Option<i64>| {
            let cell = cell.as_ref().ok_or(Error::CellMissing)?;
            cell.change(Change(move |ctx: &Context<'_>| {
                let before = ctx.tx.own_quota()?;
                ctx.tx.set_quota(quota).map(|()| before)
            }))
        };
        let before = quota.map(|quota| set(quota.bytes())).transpose()?;
        index.update(record.number, &record.name).inspect_err(|_| {
            if let Some(Err(e)) = before.map(set) {
                tracing::error!(error = &e as &dyn std::error::Error, cell = record.name, "the limit is not set back");
            }
        })
    }

    fn rename(
        &self,
        record: &CellRecord,
        new_name: &str,
        quota: Option<QuotaChange>,
        guard: RecordGuard<'_>,
    ) -> Result<CellRecord> {
        if self.record(new_name)?.is_some() {
            return Err(Error::Exists);
        }
        let _alone = self.close_for_good(record)?;
        let cells = self.root.join("cells");
        let mut index = locked(&self.index);
        guard(&index.find(&record.name)?.filter(|r| r.number == record.number).ok_or(Error::CellMissing)?)?;
        // Nobody else has the cell open: its limit waits in a transaction until the name is certain.
        let conn = schema::open(&self.cell_path(&record.name).join("cell.db"), schema::Access::Write)?;
        let run = |sql: &str| conn.execute_batch(sql).map_err(Error::database("set the limit"));
        if let Some(quota) = quota {
            run("BEGIN IMMEDIATE")?;
            Tx::new(&conn, self.lease.owner())?.set_quota(quota.bytes())?;
        }
        rename_new(&cells.join(&record.name), &cells.join(new_name)).map_err(taken)?;
        let certain = self.disk.point("sync cells").map_err(Error::io("sync", "cells"));
        let renamed =
            certain.and_then(|()| sync_directory(&cells)).and_then(|()| index.update(record.number, new_name));
        let done = renamed.and_then(|after| {
            if quota.is_some() {
                self.disk.point("commit").map_err(Error::io("commit", "cell.db"))?;
                run("COMMIT")?;
            }
            Ok(after)
        });
        done.inspect_err(|_| {
            let back = rename_new(&cells.join(new_name), &cells.join(&record.name))
                .and_then(|()| index.put_back(record))
                .and_then(|()| sync_directory(&cells));
            if let Err(e) = back {
                tracing::error!(
                    error = &e as &dyn std::error::Error,
                    cell = record.name,
                    "the old name is not set back"
                );
            }
        })
    }
}
