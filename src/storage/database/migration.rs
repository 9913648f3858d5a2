//! Databases of older formats, brought up to date one step at a time.
//!
//! All of it is one transaction. Whoever migrates must have the cell alone: a process that opened it in the old format would
//! go on writing that.

use rusqlite::{Connection, params};
use serde::Deserialize;

use super::pending::{Pending, Step, Undo};
use super::schema::{FORMAT, PENDING};
use super::{account, alias, area};
use crate::storage::error::{Error, Result};

/// The format of a database.
pub fn format(conn: &Connection) -> Result<i64> {
    conn.pragma_query_value(None, "user_version", |r| r.get(0)).map_err(Error::database("read the format"))
}

/// Brings a database to the format that this program writes.
pub fn migrate(conn: &Connection) -> Result<()> {
    conn.execute_batch("BEGIN IMMEDIATE").map_err(Error::database("begin"))?;
    let migrated = (|| {
        if format(conn)? < 2 {
            gather_pending(conn)?;
            alias::create(conn).map_err(Error::database("migrate alias"))?;
            conn.execute_batch(area::TABLES).map_err(Error::database("add tables of snapshots"))?;
            conn.execute_batch(account::TABLES).map_err(Error::database("add tables of accounts"))?;
        }
        conn.pragma_update(None, "user_version", FORMAT).map_err(Error::database("migrate"))
    })();
    match migrated {
        Ok(()) => conn.execute_batch("COMMIT").map_err(Error::database("commit")),
        Err(e) => {
            drop(conn.execute_batch("ROLLBACK"));
            Err(e)
        }
    }
}

/// From 1 to 2, beside new tables: a row of `pending` holds the operations of a batch instead of one, and may hold contents.
fn gather_pending(conn: &Connection) -> Result<()> {
    let failed = Error::database("migrate pending");
    let rows = (|| -> rusqlite::Result<Vec<_>> {
        let mut statement = conn.prepare("SELECT seq, op, id, owner, steps, undo FROM pending ORDER BY seq")?;
        let rows = statement
            .query_map([], |r| Ok((r.get(0)?, r.get::<_, String>(1)?, r.get(2)?, r.get(3)?, r.get(4)?, r.get(5)?)))?;
        rows.collect()
    })();
    let rows: Vec<(i64, String, i64, i64, String, String)> = rows.map_err(failed)?;
    conn.execute_batch(&format!("DROP TABLE pending; {PENDING}")).map_err(Error::database("migrate pending"))?;
    for (seq, op, id, owner, steps, undo) in rows {
        let (steps, undo) = (decode::<Vec<Step>>(&steps)?, decode::<Vec<Undo>>(&undo)?);
        let operations = [Pending { seq, op: op.into(), id, steps, undo, content: None }];
        let text = serde_json::to_string(&operations).expect("invariant: steps and undo are plain data");
        let query = "INSERT INTO pending(seq, owner, operations, contents) VALUES(?1,?2,?3,x'')";
        conn.execute(query, params![seq, owner, text]).map_err(Error::database("migrate pending"))?;
    }
    Ok(())
}

fn decode<T: for<'a> Deserialize<'a>>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|e| Error::Inconsistent(format!("a pending row cannot be read: {e}")))
}
