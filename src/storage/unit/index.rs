//! `unit.db`: the cells by number and name, whose they are, and which of them have running jobs.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::storage::error::{Error, Result};
use crate::storage::private;

/// The format of `unit.db` that this program writes.
const FORMAT: i64 = 2;

const TABLES: &str = "
CREATE TABLE cell(
  number INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, uuid TEXT NOT NULL UNIQUE, version INTEGER NOT NULL,
  created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL, busy INTEGER NOT NULL DEFAULT 0);
CREATE INDEX cell_busy ON cell(busy) WHERE busy<>0;
CREATE TABLE meta(key TEXT PRIMARY KEY, value ANY) WITHOUT ROWID;
";

/// From format 1 to 2: cells have owners. What is known of them is in the cells themselves; before, no cell had one.
const OWNERS: &str = "
ALTER TABLE cell ADD COLUMN owner TEXT;
CREATE INDEX cell_owner ON cell(owner) WHERE owner IS NOT NULL;
";

/// A cell as the unit knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellRecord {
    pub number: i64,
    pub name: String,
    /// 22 characters of base64url.
    pub uuid: String,
    pub version: i64,
    pub created_ms: i64,
    pub updated_ms: i64,
    /// The URL of the unit user whose cell it is; one of this unit begins with `personium-localunit:`.
    pub owner: Option<String>,
}

/// The order of a list of cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CellOrder {
    Creation,
    Name,
    NameReversed,
}

impl CellOrder {
    fn clause(self) -> &'static str {
        match self {
            Self::Creation => "number",
            Self::Name => "name",
            Self::NameReversed => "name DESC",
        }
    }
}

fn record(r: &Row<'_>) -> rusqlite::Result<CellRecord> {
    Ok(CellRecord {
        number: r.get(0)?,
        name: r.get(1)?,
        uuid: r.get(2)?,
        version: r.get(3)?,
        created_ms: r.get(4)?,
        updated_ms: r.get(5)?,
        owner: r.get(6)?,
    })
}

const COLUMNS: &str = "number, name, uuid, version, created_ms, updated_ms, owner";

/// The open index.
#[derive(Debug)]
pub(super) struct Index {
    conn: Connection,
}

impl Index {
    pub(super) fn open(path: &Path) -> Result<Self> {
        private::create_database(path).map_err(Error::io("create", path.display().to_string()))?;
        private::restrict_database(path);
        let open = || -> rusqlite::Result<(Connection, i64)> {
            let conn = Connection::open(path)?;
            conn.busy_timeout(Duration::from_secs(30))?;
            conn.pragma_update(None, "journal_mode", "wal")?;
            conn.pragma_update(None, "synchronous", "full")?;
            conn.execute_batch("BEGIN IMMEDIATE")?;
            let mut format: i64 = conn.pragma_query_value(None, "user_version", |r| r.get(0))?;
            if format == 0 {
                conn.execute_batch(TABLES)?;
            }
            if format < 2 {
                conn.execute_batch(OWNERS)?;
                conn.pragma_update(None, "user_version", FORMAT)?;
                format = FORMAT;
            }
            conn.execute_batch("COMMIT")?;
            Ok((conn, format))
        };
        let (conn, format) = open().map_err(Error::database("open unit.db"))?;
        if format > FORMAT {
            return Err(Error::Newer { path: path.display().to_string(), format, known: FORMAT });
        }
        Ok(Self { conn })
    }

    pub(super) fn find(&self, name: &str) -> Result<Option<CellRecord>> {
        let query = format!("SELECT {COLUMNS} FROM cell WHERE name=?1");
        let mut statement = self.conn.prepare_cached(&query).map_err(Error::database("find a cell"))?;
        statement.query_row([name], record).optional().map_err(Error::database("find a cell"))
    }

    pub(super) fn find_uuid(&self, uuid: &str) -> Result<Option<CellRecord>> {
        let query = format!("SELECT {COLUMNS} FROM cell WHERE uuid=?1");
        self.conn.query_row(&query, [uuid], record).optional().map_err(Error::database("find a cell"))
    }

    fn rows(&self, query: &str, params: impl rusqlite::Params) -> Result<Vec<CellRecord>> {
        let read =
            || -> rusqlite::Result<Vec<CellRecord>> { self.conn.prepare(query)?.query_map(params, record)?.collect() };
        read().map_err(Error::database("list cells"))
    }

    /// Cells with greater numbers; with an owner, his.
    pub(super) fn list_after(&self, number: i64, limit: usize, owner: Option<&str>) -> Result<Vec<CellRecord>> {
        let whose = if owner.is_some() { "owner=?3" } else { "?3 IS NULL" };
        let query = format!("SELECT {COLUMNS} FROM cell WHERE number>?1 AND {whose} ORDER BY number LIMIT ?2");
        self.rows(&query, params![number, i64::try_from(limit).unwrap_or(i64::MAX), owner])
    }

    /// Cells in an order; with an owner, his.
    pub(super) fn list(
        &self,
        order: CellOrder,
        skip: usize,
        limit: usize,
        owner: Option<&str>,
    ) -> Result<Vec<CellRecord>> {
        let whose = if owner.is_some() { "owner=?3" } else { "?3 IS NULL" };
        let order = order.clause();
        let query = format!("SELECT {COLUMNS} FROM cell WHERE {whose} ORDER BY {order} LIMIT ?1 OFFSET ?2");
        self.rows(&query, params![i64::try_from(limit).unwrap_or(i64::MAX), skip as i64, owner])
    }

    pub(super) fn busy(&self) -> Result<Vec<CellRecord>> {
        self.rows(&format!("SELECT {COLUMNS} FROM cell WHERE busy<>0"), [])
    }

    pub(super) fn count(&self, owner: Option<&str>) -> Result<usize> {
        let query = "SELECT COUNT(*) FROM cell WHERE ?1 IS NULL OR owner=?1";
        let count: rusqlite::Result<i64> = self.conn.query_row(query, [owner], |r| r.get(0));
        Ok(count.map_err(Error::database("count cells"))? as usize)
    }

    pub(super) fn insert(
        &mut self,
        name: &str,
        uuid: &str,
        owner: Option<&str>,
        created_ms: i64,
    ) -> Result<CellRecord> {
        self.conn
            .execute(
                "INSERT INTO cell(name, uuid, version, created_ms, updated_ms, owner) VALUES(?1,?2,1,?3,?3,?4)",
                params![name, uuid, created_ms, owner],
            )
            .map_err(Error::database("insert a cell"))?;
        self.find(name)?.ok_or(Error::CellMissing)
    }

    pub(super) fn update(&mut self, number: i64, name: &str) -> Result<CellRecord> {
        self.conn
            .execute(
                "UPDATE cell SET name=?2, version=version+1, updated_ms=?3 WHERE number=?1",
                params![number, name, crate::base::clock::now_ms()],
            )
            .map_err(Error::database("update a cell"))?;
        self.find(name)?.ok_or(Error::CellMissing)
    }

    /// Makes a cell's row what it was.
    pub(super) fn put_back(&mut self, record: &CellRecord) -> Result<()> {
        let CellRecord { number, name, version, updated_ms, .. } = record;
        let query = "UPDATE cell SET name=?2, version=?3, updated_ms=?4 WHERE number=?1";
        let done = self.conn.execute(query, params![number, name, version, updated_ms]);
        done.map(drop).map_err(Error::database("update a cell"))
    }

    pub(super) fn remove(&mut self, number: i64) -> Result<()> {
        self.conn.execute("DELETE FROM cell WHERE number=?1", [number]).map_err(Error::database("remove a cell"))?;
        Ok(())
    }

    /// Changes the number of running jobs of a cell, in all processes.
    pub(super) fn count_busy(&mut self, number: i64, change: i64) -> Result<()> {
        self.conn
            .execute("UPDATE cell SET busy=MAX(busy+?2, 0) WHERE number=?1", params![number, change])
            .map_err(Error::database("mark a cell"))?;
        Ok(())
    }

    /// Says that a cell was looked at: what ran there and did not end has been ended.
    pub(super) fn forget_busy(&mut self, number: i64) -> Result<()> {
        self.conn
            .execute("UPDATE cell SET busy=0 WHERE number=?1", [number])
            .map_err(Error::database("mark a cell"))?;
        Ok(())
    }

    pub(super) fn directory_mtime(&self) -> Result<i64> {
        let found = self.conn.query_row("SELECT value FROM meta WHERE key='cells_mtime'", [], |r| r.get(0)).optional();
        Ok(found.map_err(Error::database("read meta"))?.unwrap_or(0))
    }

    pub(super) fn set_directory_mtime(&mut self, mtime_ns: i64) -> Result<()> {
        self.conn
            .execute(
                "INSERT INTO meta(key, value) VALUES('cells_mtime', ?1) ON CONFLICT(key) DO UPDATE SET value=excluded.value",
                [mtime_ns],
            )
            .map_err(Error::database("write meta"))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_of_format_1_gets_owners() {
        let folder = tempfile::tempdir().expect("a directory");
        let path = folder.path().join("unit.db");
        let old = Connection::open(&path).expect("a database");
        old.execute_batch(TABLES).expect("tables");
        old.execute_batch("INSERT INTO cell(name, uuid, version, created_ms, updated_ms) VALUES('c', 'u', 1, 7, 7)")
            .expect("a row");
        old.pragma_update(None, "user_version", 1).expect("a version");
        drop(old);
        for opening in ["first", "second"] {
            let mut index = Index::open(&path).expect("an index");
            let found = index.find("c").expect("a record").expect("a cell");
            assert_eq!((found.created_ms, found.owner), (7, None), "{opening}");
            let made = index.insert(opening, opening, Some("o"), 8).expect("a record");
            assert_eq!(made.owner.as_deref(), Some("o"));
        }
        let index = Index::open(&path).expect("an index");
        let names = |owner| -> Vec<String> {
            let rows = index.list(CellOrder::Name, 0, 9, owner).expect("rows");
            rows.into_iter().map(|record| record.name).collect()
        };
        assert_eq!(
            (names(None), names(Some("o"))),
            (vec!["c".into(), "first".into(), "second".into()], vec!["first".into(), "second".into()])
        );
        assert_eq!((index.count(None).expect("a number"), index.count(Some("o")).expect("a number")), (3, 2));
        assert_eq!(index.list_after(1, 9, Some("o")).expect("rows").len(), 2);
    }
}
