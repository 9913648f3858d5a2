//! Rows that an operation removes and an undo puts back, whatever table they are of.

use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{ToSql, params_from_iter};
use serde::{Deserialize, Serialize};

use super::tx::Tx;
use crate::storage::error::{Error, Result};

/// One column of a row; the tables hold no other kinds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum Column {
    Null,
    Number(i64),
    Text(String),
}

/// Removed rows of one table, with all their columns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    table: String,
    rows: Vec<Vec<Column>>,
}

impl ToSql for Column {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Null => ToSqlOutput::Owned(Value::Null),
            Self::Number(n) => ToSqlOutput::Owned(Value::Integer(*n)),
            Self::Text(t) => ToSqlOutput::Borrowed(ValueRef::Text(t.as_bytes())),
        })
    }
}

impl Tx<'_> {
    /// Removes the rows of a table for which `condition` holds of `?1`, the number given, and keeps them.
    pub(crate) fn take_rows(&self, table: &'static str, condition: &str, number: i64) -> Result<Taken> {
        let read = |row: &rusqlite::Row<'_>| -> rusqlite::Result<Vec<Column>> {
            (0..row.as_ref().column_count())
                .map(|i| {
                    Ok(match row.get_ref(i)? {
                        ValueRef::Integer(n) => Column::Number(n),
                        ValueRef::Text(t) => Column::Text(String::from_utf8_lossy(t).into_owned()),
                        _ => Column::Null,
                    })
                })
                .collect()
        };
        let rows = self.all("take rows", &format!("SELECT * FROM {table} WHERE {condition}"), [number], read)?;
        if !rows.is_empty() {
            self.run("take rows", &format!("DELETE FROM {table} WHERE {condition}"), [number])?;
        }
        Ok(Taken { table: table.to_owned(), rows })
    }

    /// Puts rows back that were taken.
    pub(crate) fn put_back(&self, taken: &Taken) -> Result<()> {
        const TABLES: &[&str] = &[
            "box",
            "job",
            "role",
            "relation",
            "ext_role",
            "rule",
            "link",
            "ace",
            "lock",
            "drive_password",
            "snapshot",
            "transfer",
        ];
        if !TABLES.contains(&taken.table.as_str()) {
            return Err(Error::Inconsistent(format!("rows of {} cannot be put back", taken.table)));
        }
        self.known.forget();
        for row in &taken.rows {
            let places: Vec<String> = (1..=row.len()).map(|n| format!("?{n}")).collect();
            let query = format!("INSERT INTO {} VALUES({})", taken.table, places.join(","));
            self.run("put rows back", &query, params_from_iter(row))?;
        }
        self.touch_access()
    }
}
