//! Names that are not in Unicode's normal form C, found by what they are in it.
//!
//! Such names come by hand alone, for what clients create is normalised. A row is a hint: a lookup follows it to the resource
//! of that name, if there still is one.

use rusqlite::{Connection, params};
use unicode_normalization::{UnicodeNormalization, is_nfc};

use super::resource::Resource;
use super::tx::{Tx, View};
use crate::base::id::ResourceId;
use crate::storage::error::Result;

const TABLE: &str = "CREATE TABLE alias(
  parent INTEGER NOT NULL, nfc TEXT NOT NULL, name TEXT NOT NULL, PRIMARY KEY(parent, nfc, name)) WITHOUT ROWID";

const INSERT: &str = "INSERT OR IGNORE INTO alias(parent, nfc, name) VALUES(?1, ?2, ?3)";

/// Adds the table to a database, with what its resources have for it. Within a transaction.
pub(super) fn create(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute_batch(TABLE)?;
    let mut names = conn.prepare("SELECT parent, name FROM resource WHERE parent>0 AND name GLOB '*[^ -~]*'")?;
    let mut rows = names.query([])?;
    while let Some(row) = rows.next()? {
        let (parent, name): (ResourceId, String) = (row.get(0)?, row.get(1)?);
        if let Some(nfc) = composed(&name) {
            conn.execute(INSERT, params![parent, nfc, name])?;
        }
    }
    Ok(())
}

/// The normal form of a name that is not in it.
fn composed(name: &str) -> Option<String> {
    if name.is_ascii() || is_nfc(name) { None } else { Some(name.nfc().collect()) }
}

impl View<'_> {
    /// The names of members, or of former ones, that are this in normal form and are not in it.
    pub fn aliases(&self, parent: ResourceId, nfc: &str) -> Result<Vec<String>> {
        if nfc.is_ascii() {
            return Ok(Vec::new());
        }
        let query = "SELECT name FROM alias WHERE parent=?1 AND nfc=?2 ORDER BY name";
        self.all("find other forms of a name", query, params![parent, nfc], |row| row.get(0))
    }

    /// The member whose name is this in normal form, though not in it.
    pub(super) fn child_by_alias(&self, parent: ResourceId, nfc: &str) -> Result<Option<Resource>> {
        for name in self.aliases(parent, nfc)? {
            if let Some(found) = self.child(parent, &name)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

impl Tx<'_> {
    /// Follows a resource that gets a name.
    pub(super) fn note_alias(&self, parent: ResourceId, name: &str) -> Result<()> {
        match composed(name) {
            Some(nfc) if parent > 0 => self.run("note a form of a name", INSERT, params![parent, nfc, name]).map(drop),
            _ => Ok(()),
        }
    }

    /// Follows a resource that loses its name.
    pub(super) fn drop_alias(&self, parent: ResourceId, name: &str) -> Result<()> {
        let Some(nfc) = composed(name) else { return Ok(()) };
        let query = "DELETE FROM alias WHERE parent=?1 AND nfc=?2 AND name=?3";
        self.run("forget a form of a name", query, params![parent, nfc, name]).map(drop)
    }

    /// As [`Tx::drop_alias`], for a resource wherever it is.
    pub(super) fn drop_alias_of(&self, id: ResourceId) -> Result<()> {
        let query = "DELETE FROM alias WHERE parent=(SELECT parent FROM resource WHERE id=?1) \
                     AND name=(SELECT name FROM resource WHERE id=?1)";
        self.run("forget a form of a name", query, [id]).map(drop)
    }

    /// Follows the members of one resource to another.
    pub(super) fn move_aliases(&self, from: ResourceId, to: ResourceId) -> Result<()> {
        self.run("move forms of names", "UPDATE OR REPLACE alias SET parent=?2 WHERE parent=?1", [from, to]).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_without_the_table_gets_it_with_what_it_needs() {
        let conn = Connection::open_in_memory().expect("a database");
        conn.execute_batch(
            "CREATE TABLE resource(parent INTEGER, name TEXT);
             INSERT INTO resource VALUES(7, 'plain'), (7, 'caf' || char(233)), (7, 'cafe' || char(769)), (-2, 'e' || char(769))",
        )
        .expect("tables");
        create(&conn).expect("the table");
        let rows: (i64, i64, String, String) = conn
            .query_row("SELECT count(*), parent, nfc, name FROM alias", [], |r| {
                Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?))
            })
            .expect("a row");
        assert_eq!(rows, (1, 7, "caf\u{e9}".to_owned(), "cafe\u{301}".to_owned()));
    }
}
