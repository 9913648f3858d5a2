//! The tables of `cell.db`, their version, and how a connection to it is set up.
//!
//! The format is told by `user_version`; a newer one than this program knows is refused, an older one migrated.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::{account, alias, migration};
use crate::storage::error::{Error, Result};
use crate::storage::private;

/// The format that this program writes.
pub const FORMAT: i64 = 2;

/// Parents that are no resources.
pub const PARENT_BOXES: i64 = 0;
pub const PARENT_HIDDEN: i64 = -1;
pub const PARENT_TRASH: i64 = -2;

/// Pages in the write-ahead log above which they are moved into the database beside everything else.
pub const LOG_PAGES: i64 = 4096;
/// Pages above which a writer moves them itself: while it goes on, the log never begins anew, however often it is moved.
pub const LOG_PAGES_MOST: i64 = 4 * LOG_PAGES;
/// Length in bytes to which the log's file is cut when it begins anew.
pub const LOG_BYTES: i64 = LOG_PAGES * 4096;

const TABLES: &str = "
CREATE TABLE meta(key TEXT PRIMARY KEY, value ANY) WITHOUT ROWID;

CREATE TABLE resource(
  parent INTEGER NOT NULL, name TEXT NOT NULL, id INTEGER NOT NULL, kind INTEGER NOT NULL, flags INTEGER NOT NULL,
  version INTEGER NOT NULL, stamp INTEGER NOT NULL, created_ms INTEGER NOT NULL, mtime_ms INTEGER NOT NULL,
  seq INTEGER NOT NULL, placed_seq INTEGER NOT NULL,
  size INTEGER NOT NULL, crc INTEGER, ino INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, type TEXT,
  children INTEGER NOT NULL, dir_mtime_ns INTEGER NOT NULL,
  PRIMARY KEY(parent, name)) WITHOUT ROWID;
CREATE UNIQUE INDEX resource_id ON resource(id);
CREATE INDEX resource_seq ON resource(seq);
CREATE INDEX resource_collection ON resource(parent, name) WHERE kind<>2;

CREATE TABLE box(
  id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, schema TEXT UNIQUE, version INTEGER NOT NULL,
  created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL, seq INTEGER NOT NULL);

CREATE TABLE property(
  id INTEGER NOT NULL, ns TEXT NOT NULL, local TEXT NOT NULL, xml TEXT NOT NULL,
  PRIMARY KEY(id, ns, local)) WITHOUT ROWID;

CREATE TABLE acl(id INTEGER PRIMARY KEY, require_schema TEXT);
CREATE TABLE ace(
  id INTEGER NOT NULL, ord INTEGER NOT NULL, role INTEGER, privileges INTEGER NOT NULL,
  PRIMARY KEY(id, ord)) WITHOUT ROWID;
CREATE INDEX ace_role ON ace(role);

CREATE TABLE lock(
  token TEXT PRIMARY KEY, id INTEGER NOT NULL, infinite INTEGER NOT NULL, shared INTEGER NOT NULL, owner TEXT,
  principal TEXT NOT NULL, expires_ms INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX lock_id ON lock(id);

CREATE TABLE tombstone(seq INTEGER PRIMARY KEY, parent INTEGER NOT NULL, name TEXT NOT NULL, id INTEGER NOT NULL, kind INTEGER NOT NULL);
CREATE INDEX tombstone_name ON tombstone(parent, name);

CREATE TABLE gone(
  id INTEGER NOT NULL, version INTEGER NOT NULL, name TEXT NOT NULL, seq INTEGER NOT NULL, tree INTEGER NOT NULL,
  PRIMARY KEY(id, version)) WITHOUT ROWID;
CREATE INDEX gone_seq ON gone(seq);

CREATE TABLE generation(
  id INTEGER PRIMARY KEY, box INTEGER NOT NULL, seq INTEGER NOT NULL, owner INTEGER NOT NULL, expires_ms INTEGER NOT NULL);

CREATE TABLE job(
  id INTEGER PRIMARY KEY, kind TEXT NOT NULL, box INTEGER, state TEXT NOT NULL, owner INTEGER NOT NULL, request_key TEXT,
  started_ms INTEGER NOT NULL, ended_ms INTEGER, progress INTEGER NOT NULL, message TEXT, staged TEXT);
CREATE INDEX job_box ON job(box);

CREATE TABLE role(
  id INTEGER PRIMARY KEY, name TEXT NOT NULL, box INTEGER NOT NULL, version INTEGER NOT NULL,
  created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL, UNIQUE(box, name));
CREATE TABLE relation(
  id INTEGER PRIMARY KEY, name TEXT NOT NULL, box INTEGER NOT NULL, version INTEGER NOT NULL,
  created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL, UNIQUE(box, name));
CREATE TABLE ext_role(
  id INTEGER PRIMARY KEY, url TEXT NOT NULL, relation INTEGER NOT NULL, version INTEGER NOT NULL,
  created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL, UNIQUE(relation, url));
CREATE TABLE rule(
  id INTEGER PRIMARY KEY, name TEXT NOT NULL, box INTEGER NOT NULL, fields TEXT NOT NULL, version INTEGER NOT NULL,
  created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL, UNIQUE(box, name));
CREATE TABLE link(
  a_kind TEXT NOT NULL, a INTEGER NOT NULL, b_kind TEXT NOT NULL, b INTEGER NOT NULL,
  PRIMARY KEY(a_kind, a, b_kind, b)) WITHOUT ROWID;
CREATE INDEX link_back ON link(b_kind, b);
";

/// What is decided and not yet certain to be on disk: a row for each batch.
pub(super) const PENDING: &str = "
CREATE TABLE pending(seq INTEGER PRIMARY KEY, owner INTEGER NOT NULL, operations TEXT NOT NULL, contents BLOB NOT NULL);
CREATE INDEX pending_owner ON pending(owner);
";

/// How a connection is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Write,
    Read,
}

fn failed(path: &Path) -> impl FnOnce(rusqlite::Error) -> Error {
    let path = path.display().to_string();
    move |source| {
        tracing::debug!(path, error = %source, "cannot open the database");
        Error::Database { op: "open cell.db", source }
    }
}

/// Opens an existing database of this format or an older one.
pub fn open(path: &Path, access: Access) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_READ_WRITE;
    let conn = Connection::open_with_flags(path, flags).map_err(failed(path))?;
    set_up(&conn, access).map_err(failed(path))?;
    let format = migration::format(&conn)?;
    if format > FORMAT {
        return Err(Error::Newer { path: path.display().to_string(), format, known: FORMAT });
    }
    if format < 1 {
        return Err(Error::Inconsistent(format!("{}: it is no cell's database", path.display())));
    }
    Ok(conn)
}

/// Creates the database of a new cell; `fill` writes its first rows in the same transaction.
pub fn create(path: &Path, fill: impl FnOnce(&Connection) -> rusqlite::Result<()>) -> Result<()> {
    private::create_database(path).map_err(Error::io("create", path.display().to_string()))?;
    let make = || -> rusqlite::Result<()> {
        let conn = Connection::open(path)?;
        conn.pragma_update(None, "page_size", 4096)?;
        conn.pragma_update(None, "journal_mode", "wal")?;
        set_up(&conn, Access::Write)?;
        conn.execute_batch("BEGIN IMMEDIATE")?;
        conn.execute_batch(TABLES)?;
        conn.execute_batch(PENDING)?;
        alias::create(&conn)?;
        conn.execute_batch(super::area::TABLES)?;
        conn.execute_batch(account::TABLES)?;
        conn.pragma_update(None, "user_version", FORMAT)?;
        fill(&conn)?;
        conn.execute_batch("COMMIT; PRAGMA wal_checkpoint(TRUNCATE)")?;
        Ok(())
    };
    make().map_err(Error::database("create cell.db"))
}

fn set_up(conn: &Connection, access: Access) -> rusqlite::Result<()> {
    conn.busy_timeout(Duration::from_secs(30))?;
    // Checkpoints run on a thread of their own, never inside a commit or a close.
    conn.pragma_update(None, "wal_autocheckpoint", 0)?;
    conn.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    // Otherwise statements are prepared anew whenever a bound value might change their plan.
    conn.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // KiB. A writer touches a page of each folder in use, and those of contents that ride in pending rows.
    conn.pragma_update(None, "cache_size", if access == Access::Write { -4096 } else { -256 })?;
    conn.pragma_update(None, "temp_store", "memory")?;
    match access {
        Access::Write => {
            conn.pragma_update(None, "synchronous", "full")?;
            conn.pragma_update(None, "journal_size_limit", LOG_BYTES)?;
        }
        Access::Read => conn.pragma_update(None, "query_only", true)?,
    }
    conn.set_prepared_statement_cache_capacity(128);
    Ok(())
}

/// Keeps count of the pages in the write-ahead log, as of the last commit of this connection.
pub fn count_log(conn: &mut Connection) -> Result<Arc<AtomicI64>> {
    let pages = Arc::new(AtomicI64::new(0));
    let count = pages.clone();
    let hook = move |_: &mut rusqlite::hooks::Wal, pages: i32| {
        count.store(i64::from(pages), Ordering::Relaxed);
        Ok(())
    };
    conn.wal_hook(Some(hook)).map_err(Error::database("watch the log"))?;
    Ok(pages)
}

/// Moves what the write-ahead log holds into the database file, as far as readers allow.
pub fn checkpoint(path: &Path) -> Result<()> {
    checkpoint_by(&open(path, Access::Write)?)
}

/// The same through a connection that there is.
pub fn checkpoint_by(conn: &Connection) -> Result<()> {
    conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).map_err(Error::database("checkpoint"))
}
